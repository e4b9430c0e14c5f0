/*-------------------------------------------------------------------------
 *
 * functions.c
 *	  What the SQL functions share: accounts, arguments, problems.
 *
 * The functions themselves stand in functions_search.c, functions_orders.c
 * and functions_account.c.
 *
 * src/functions.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "functions.h"
#include "registry.h"

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
