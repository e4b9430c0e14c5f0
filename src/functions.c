/*-------------------------------------------------------------------------
 *
 * functions.c
 *	  What the SQL functions share: accounts, arguments, problems.
 *
 * The functions themselves stand in functions_search.c, functions_orders.c,
 * functions_subscriptions.c and others.
 *
 * src/functions.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "encoding.h"
#include "functions.h"
#include "registry.h"

/* 2099-12-31, in days since 2000-01-01 */
#define LAST_DAY 36524
/* Longer than any id that Bandwidth gives: they are UUIDs. */
#define BANDWIDTH_ID_MAX 63

char *
bw_arg_text(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

int
bw_arg_flag(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? -1 : PG_GETARG_BOOL(n) ? 1 : 0;
}

void
bw_arg_criteria(FunctionCallInfo fcinfo, BwSearch *search)
{
	search->area_code = bw_arg_text(fcinfo, 2);
	search->npanxxx = bw_arg_text(fcinfo, 3);
	search->rate_center = bw_arg_text(fcinfo, 4);
	search->city = bw_arg_text(fcinfo, 5);
	search->state = bw_arg_text(fcinfo, 6);
	search->zip = bw_arg_text(fcinfo, 7);
	search->lata = bw_arg_text(fcinfo, 8);
	search->local_vanity = bw_arg_text(fcinfo, 9);
	search->ends_in = bw_arg_flag(fcinfo, 10);
	search->toll_free_vanity = bw_arg_text(fcinfo, 11);
	search->toll_free_wildcard_pattern = bw_arg_text(fcinfo, 12);
	search->lca = bw_arg_flag(fcinfo, 13);
	search->order_by = bw_arg_text(fcinfo, 14);
	search->protected_numbers = bw_arg_text(fcinfo, 15);
}

Datum
bw_text_or_null(const char *text, bool *isnull)
{
	*isnull = (text == NULL || text[0] == '\0');
	return *isnull ? (Datum) 0 : CStringGetTextDatum(bw_from_utf8(text));
}

Datum
bw_int_or_null(const char *text, bool *isnull)
{
	char	   *end;
	long		value = text ? strtol(text, &end, 10) : 0;

	*isnull = (text == NULL || text[0] == '\0' || *end != '\0' ||
			   value < 0 || value > INT_MAX);
	return Int32GetDatum((int32) value);
}

Datum
bw_date_or_null(const char *text, bool *isnull)
{
	TimestampTz at = bw_api_parse_date(text);

	*isnull = TIMESTAMP_IS_NOBEGIN(at);
	return TimestampTzGetDatum(at);
}

Datum
bw_digits_or_null(const char *text, bool *isnull)
{
	BwNumber	number;
	BwProblem	problem;

	if (text != NULL && bw_number_parse(text, &number, &problem))
		return bw_text_or_null(number.digits, isnull);
	return bw_text_or_null(text, isnull);
}

void
bw_arg_number(FunctionCallInfo fcinfo, int n, BwNumber *number)
{
	BwProblem	problem;

	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("telephone_number must not be null")));
	if (!bw_number_parse(bw_arg_text(fcinfo, n), number, &problem))
		bw_problem_raise(&problem);
}

void
bw_check_digits(const char *name, const char *value, int least, int most)
{
	int			len = value ? (int) strlen(value) : 0;

	if (value == NULL ||
		(len >= least && len <= most && (int) strspn(value, "0123456789") == len))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid %s: \"%s\"", name, value),
			 least == most ? errdetail("It has %d digits.", most)
			 : errdetail("It has %d to %d digits.", least, most)));
}

void
bw_check_state(const char *state)
{
	if (state == NULL ||
		(strlen(state) == 2 && isalpha((unsigned char) state[0]) &&
		 isalpha((unsigned char) state[1])))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid state: \"%s\"", state),
			 errdetail("A state or province has two letters.")));
}

void
bw_check_site_id(const char *site_id)
{
	BwProblem	problem;

	if (site_id != NULL && !bw_site_id_check(site_id, &problem))
		bw_problem_raise(&problem);
}

/* It becomes part of a path or a filter: "" would be all orders. */
void
bw_check_bandwidth_id(const char *id)
{
	size_t		len = id ? strlen(id) : 0;

	if (id == NULL ||
		(len > 0 && len <= BANDWIDTH_ID_MAX &&
		 strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == len))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid id: \"%s\"", id),
			 errhint("Give the order's id as Bandwidth shows it: at most %d letters, digits, \"-\" and \"_\".",
					 BANDWIDTH_ID_MAX)));
}

/* Bandwidth takes years of two digits, and those of 2000 to 2099 for certain. */
static TimestampTz
start_of_day(DateADT day)
{
	if (day < 0 || day > LAST_DAY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("start_date and end_date must be within 2000-01-01 and 2099-12-31")));
	return day * USECS_PER_DAY;
}

bool
bw_arg_days(FunctionCallInfo fcinfo, int from, TimestampTz *start, TimestampTz *end)
{
	if (PG_ARGISNULL(from) && PG_ARGISNULL(from + 1))
		return false;
	if (PG_ARGISNULL(from))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("end_date needs start_date")));
	*start = start_of_day(PG_GETARG_DATEADT(from));
	*end = PG_ARGISNULL(from + 1) ? GetCurrentTimestamp() + USECS_PER_DAY
		: start_of_day(PG_GETARG_DATEADT(from + 1));
	if (*start > *end)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 PG_ARGISNULL(from + 1) ? errmsg("start_date is in the future")
				 : errmsg("start_date is after end_date")));
	return true;
}

void
bw_problem_raise(const BwProblem *problem)
{
	int			code = ERRCODE_INVALID_PARAMETER_VALUE;

	switch (problem->kind)
	{
		case BW_PROBLEM_INVALID_PARAMETER:
			break;
		case BW_PROBLEM_INVALID_TEXT:
			code = ERRCODE_INVALID_TEXT_REPRESENTATION;
			break;
		case BW_PROBLEM_NULL:
			code = ERRCODE_NULL_VALUE_NOT_ALLOWED;
			break;
		case BW_PROBLEM_NOT_SUPPORTED:
			code = ERRCODE_FEATURE_NOT_SUPPORTED;
			break;
	}
	ereport(ERROR,
			(errcode(code),
			 errmsg("%s", problem->message),
			 problem->detail[0] ? errdetail("%s", problem->detail) : 0,
			 problem->hint[0] ? errhint("%s", problem->hint) : 0));
}

BwAccount *
bw_account(const char *server, Oid role)
{
	BwAccount  *account = palloc(sizeof(BwAccount));

	account->server = bw_config_server(server);
	bw_config_check_usage(account->server, role);
	account->credentials = bw_config_require_credentials(account->server, role);
	return account;
}

void
bw_warn_without_worker(const char *consequence)
{
	if (bw_registry_shared())
		return;
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("%s", consequence),
			 errdetail("The library \"bandwidth\" is not preloaded, so no worker is running."),
			 errhint("Add shared_preload_libraries = 'bandwidth' to postgresql.conf and restart the server.")));
}

void
bw_require_own_transactions(FunctionCallInfo fcinfo, const char *procedure,
							const char *why)
{
	if (fcinfo->context != NULL && IsA(fcinfo->context, CallContext) &&
		!castNode(CallContext, fcinfo->context)->atomic)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
			 errmsg("%s() cannot be called in a transaction block", procedure),
			 errdetail("%s", why)));
}

void
bw_check_guards(const BwServer *server, const BwOrderOptions *options, int quantity)
{
	if (server->ordering == BW_ORDERING_OFF)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("ordering is off for server \"%s\"", server->name),
				 errhint("Its owner can run ALTER SERVER ... OPTIONS (SET ordering 'on').")));
	if (quantity > server->max_numbers_per_order ||
		quantity > server->max_numbers_per_day)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("order of %d telephone numbers exceeds the limit of server \"%s\"",
						quantity, server->name),
				 errdetail("The limits are %d numbers per order and %d per day.",
						   server->max_numbers_per_order, server->max_numbers_per_day),
				 errhint("See the server options \"max_numbers_per_order\" and \"max_numbers_per_day\".")));
	if (!bw_config_site_allowed(server, options->site_id))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("site \"%s\" is not allowed for server \"%s\"",
						options->site_id, server->name),
				 errhint("See the server option \"allowed_sites\".")));
	if (!bw_config_peer_allowed(server, options->peer_id))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("SIP peer \"%s\" is not allowed for server \"%s\"",
						options->peer_id, server->name),
				 errhint("See the server option \"allowed_peers\".")));
}

void
bw_return_order(ReturnSetInfo *rsinfo, int64 id)
{
	int			count;
	BwOrderLine *lines = bw_store_order_lines(id, &count);

	for (int i = 0; i < count; i++)
	{
		Datum		values[3] = {Int64GetDatum(id)};
		bool		nulls[3] = {false};

		nulls[1] = lines[i].telephone_number == NULL;
		if (!nulls[1])
			values[1] = CStringGetTextDatum(lines[i].telephone_number);
		values[2] = CStringGetTextDatum(lines[i].status);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

void
bw_require_order_at_bandwidth(const BwOrderRow *order)
{
	if (order->bandwidth_order_id == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("order " INT64_FORMAT " has no order at Bandwidth yet", order->id),
				 errdetail("Its status is %s.", bw_order_status_name(order->status))));
}
