/*-------------------------------------------------------------------------
 *
 * functions_retry.c
 *	  bw_retry(): what an order did not get is ordered once more.
 *
 * src/functions_retry.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"

#include "compat.h"
#include "functions.h"
#include "registry.h"
#include "store.h"
#include "store_orders.h"

PG_FUNCTION_INFO_V1(bw_retry);

static void require_failure(const BwOrderRow *row);

/*
 * bw_retry(id): a new order, of the caller's, for the telephone numbers that
 * order "id" did not get, or for as many by its criteria.  Errors 55000 while
 * the order is under way, or has all that it asked for.  An order is retried
 * once; asked again, the same new order is returned.
 */
Datum
bw_retry(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			role = GetUserId();
	BwOrderOptions options = {0};
	BwStoreScope scope;
	BwOrderRow *row;
	BwNewOrder *order;
	BwServer   *server;
	int64		id;

	PreventCommandIfReadOnly("bw_retry()");
	bw_init_materialized_srf(fcinfo);
	bw_store_enter(&scope);
	row = bw_store_order(PG_GETARG_INT64(0), role);
	require_failure(row);
	order = bw_store_rest_of_order(row->id);
	server = bw_config_server(order->server);
	bw_config_check_usage(server, role);
	options.site_id = order->site_id;
	options.peer_id = order->peer_id;
	bw_check_guards(server, &options, order->quantity);
	order->account_id = server->account_id;
	order->ordered_by = GetUserNameFromId(role, false);
	order->status = server->ordering == BW_ORDERING_HOLD ? BW_ORDER_HELD : BW_ORDER_QUEUED;
	id = bw_store_insert_order(order, NULL);
	bw_return_order(rsinfo, id != 0 ? id : bw_store_same_order(order));
	bw_store_leave(&scope);
	bw_registry_wake_at_commit(BW_TOPIC_QUEUE);
	bw_warn_without_worker("the order stays QUEUED");
	return (Datum) 0;
}

static void
require_failure(const BwOrderRow *row)
{
	if (!bw_order_is_final(row->status))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("order " INT64_FORMAT " is still under way", row->id),
				 errdetail("Its status is %s.", bw_order_status_name(row->status)),
				 errhint("bw_open_orders says what it waits for; bw_wait() waits for its end.")));
	if (row->kind == BW_KIND_DISCONNECT)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("order " INT64_FORMAT " gives telephone numbers back", row->id),
				 errhint("Call bw_disconnect() for those that are still yours.")));
	if (row->for_table != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("order " INT64_FORMAT " was made for a row of table %s",
						row->id, row->for_table),
				 errhint("Have the trigger of that table order again, by an UPDATE of the row.")));
	if (row->status == BW_ORDER_COMPLETE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("order " INT64_FORMAT " got all that it asked for", row->id)));
}
