/*-------------------------------------------------------------------------
 *
 * functions.h
 *	  What the SQL functions share: accounts, arguments, problems.
 *
 * src/functions.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_FUNCTIONS_H
#define BW_FUNCTIONS_H

#include "bandwidth.h"

#include "api.h"
#include "compat.h"
#include "nodes/execnodes.h"
#include "order.h"
#include "place.h"
#include "request.h"
#include "store_orders.h"

/* Argument "n" as a C string, NULL if it is null. */
extern char *bw_arg_text(FunctionCallInfo fcinfo, int n);

/* -1 null, 0 false, 1 true. */
extern int	bw_arg_flag(FunctionCallInfo fcinfo, int n);

/* Arguments 2 to 15 of bw_search() and bw_order_search(): they are the same. */
extern void bw_arg_criteria(FunctionCallInfo fcinfo, BwSearch *search);

/* Raise a refused argument as an ERROR. */
pg_noreturn extern void bw_problem_raise(const BwProblem *problem);

/* Bandwidth's texts as columns; absent and empty ones, and what is none, are null. */
extern Datum bw_text_or_null(const char *text, bool *isnull);
extern Datum bw_int_or_null(const char *text, bool *isnull);
extern Datum bw_date_or_null(const char *text, bool *isnull);

/* A telephone number as ten digits; others than North American as they came. */
extern Datum bw_digits_or_null(const char *text, bool *isnull);

/* Argument "n" as a telephone number; a null is refused. */
extern void bw_arg_number(FunctionCallInfo fcinfo, int n, BwNumber *number);

/* Refuse what is not of so many digits, or no state; NULL passes. */
extern void bw_check_digits(const char *name, const char *value, int least, int most);
extern void bw_check_state(const char *state);

/* The same for the id of a site, and for one of an order at Bandwidth. */
extern void bw_check_site_id(const char *site_id);
extern void bw_check_bandwidth_id(const char *id);

/*
 * Arguments "from" and "from" + 1 as the days of a list's range, in UTC; false:
 * none.  A range without an end goes on to tomorrow.
 */
extern bool bw_arg_days(FunctionCallInfo fcinfo, int from, TimestampTz *start,
						TimestampTz *end);

/*
 * Server by name (NULL: bandwidth.default_server) with the credentials of
 * "role"; errors 42704, 42501 and 28000 with hints.
 */
extern BwAccount *bw_account(const char *server, Oid role);

/* What the server's options allow (53400, 42501, 55000), before anything is written. */
extern void bw_check_guards(const BwServer *server, const BwOrderOptions *options,
							int quantity);

/* bw_order(), with its arguments in the places that they have there. */
extern void bw_place_order(FunctionCallInfo fcinfo, BwPlaced *placed);

/* Rows of an order that is there: id, telephone_number, status. */
extern void bw_return_order(ReturnSetInfo *rsinfo, int64 id);

/* An error unless this CALL of "procedure" may commit; "why" it does. */
extern void bw_require_own_transactions(FunctionCallInfo fcinfo, const char *procedure,
										const char *why);

/* 55000 for an order that has none at Bandwidth. */
extern void bw_require_order_at_bandwidth(const BwOrderRow *order);

/* Warn that no worker serves this database, with the line to configure. */
extern void bw_warn_without_worker(const char *consequence);

#endif							/* BW_FUNCTIONS_H */
