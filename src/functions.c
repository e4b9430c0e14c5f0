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

#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "functions.h"
#include "registry.h"
#include "store_orders.h"

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
