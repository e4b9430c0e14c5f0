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
#include "nodes/execnodes.h"
#include "order.h"
#include "place.h"
#include "request.h"

/* Argument "n" as a C string, NULL if it is null. */
extern char *bw_arg_text(FunctionCallInfo fcinfo, int n);

/* -1 null, 0 false, 1 true. */
extern int	bw_arg_flag(FunctionCallInfo fcinfo, int n);

/* Raise a refused argument as an ERROR. */
extern void bw_problem_raise(const BwProblem *problem) pg_attribute_noreturn();

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

/* Warn that no worker serves this database, with the line to configure. */
extern void bw_warn_without_worker(const char *consequence);

#endif							/* BW_FUNCTIONS_H */
