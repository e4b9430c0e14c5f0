/*-------------------------------------------------------------------------
 *
 * functions_test.c
 *	  bw_test_outcome(): users test what they do with outcomes.
 *
 * Nothing leaves the transaction, so that a test can roll it back.  Only for
 * servers on loopback, where nobody takes a played number for one that is his.
 *
 * src/functions_test.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "functions.h"
#include "store.h"
#include "store_orders.h"
#include "store_provisions.h"
#include "store_test.h"
#include "write_back.h"

PG_FUNCTION_INFO_V1(bw_test_outcome);

static BwOrderStatus parse_outcome(const char *name);
static void require_loopback(const BwOrderRow *order);

/*
 * bw_test_outcome(id, status, error_code): the order ends so, in this
 * transaction, and the outcome is written into the row that it was for.
 */
Datum
bw_test_outcome(PG_FUNCTION_ARGS)
{
	int64		id;
	BwOrderStatus status;
	char	   *error_code = bw_arg_text(fcinfo, 2);
	Oid			role = GetUserId();
	BwStoreScope scope;
	BwOrderRow *order;
	BwProvision *provision;

	PreventCommandIfReadOnly("bw_test_outcome()");
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", PG_ARGISNULL(0) ? "id" : "status")));
	id = PG_GETARG_INT64(0);
	status = parse_outcome(bw_arg_text(fcinfo, 1));
	bw_store_enter(&scope);
	order = bw_store_own_order(id, role);
	require_loopback(order);
	if (!bw_store_play_outcome(id, status, error_code))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("outcome %s cannot be played for order " INT64_FORMAT,
						bw_order_status_name(status), id),
				 errdetail("Its status is %s; only an order that waits to be sent can be played, and PARTIAL only if it is for more than one number.",
						   bw_order_status_name(order->status))));
	provision = bw_store_provision(id);
	if (provision != NULL)
		bw_write_back(provision, role);
	bw_store_leave(&scope);
	PG_RETURN_VOID();
}

static BwOrderStatus
parse_outcome(const char *name)
{
	BwOrderStatus status;

	if (!bw_order_status_parse(name, &status) || !bw_order_is_final(status) ||
		status == BW_ORDER_CANCELLED)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized outcome: \"%s\"", name),
				 errhint("Outcomes are COMPLETE, PARTIAL, FAILED and REJECTED.")));
	return status;
}

static void
require_loopback(const BwOrderRow *order)
{
	if (!bw_config_is_loopback(bw_config_server(order->server)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("outcomes can be played only for servers on loopback"),
				 errdetail("Order " INT64_FORMAT " is for server \"%s\".", order->id, order->server),
				 errhint("Test with a server whose base_url is that of a sandbox, http://127.0.0.1:.../api.")));
}
