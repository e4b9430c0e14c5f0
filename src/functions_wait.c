/*-------------------------------------------------------------------------
 *
 * functions_wait.c
 *	  Sleep until orders are final.
 *
 * bw_wait() sleeps in the caller's transaction, bw_order_and_wait() between two
 * of its own: an order is sent when the transaction that made it has committed.
 *
 * src/functions_wait.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "functions.h"
#include "order.h"
#include "registry.h"
#include "store.h"
#include "store_orders.h"

PG_FUNCTION_INFO_V1(bw_wait);
PG_FUNCTION_INFO_V1(bw_wait_many);
PG_FUNCTION_INFO_V1(bw_order_and_wait);

/* Without a worker to wake us, we look ourselves this often. */
#define LAP_MS 1000
/* As good as for ever, and added to now it is still a time. */
#define TIMEOUT_MAX_MS (INT64CONST(1000) * 365 * 86400000)

static void wait_for_orders(const int64 *ids, int count, const Interval *timeout,
							BwOrderStatus *statuses);
static bool read_statuses(MemoryContext lap, const int64 *ids, int count, Oid role,
						  BwOrderStatus *statuses);

Datum
bw_wait(PG_FUNCTION_ARGS)
{
	int64		id = PG_GETARG_INT64(0);
	BwOrderStatus status;

	wait_for_orders(&id, 1, PG_GETARG_INTERVAL_P(1), &status);
	PG_RETURN_TEXT_P(cstring_to_text(bw_order_status_name(status)));
}

Datum
bw_wait_many(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	BwOrderStatus *statuses;
	int64	   *ids;
	Datum	   *items;
	bool	   *nulls;
	int			count;
	int			n = 0;

	bw_init_materialized_srf(fcinfo);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), INT8OID, 8, FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &items, &nulls, &count);
	ids = palloc(sizeof(int64) * Max(count, 1));
	statuses = palloc(sizeof(BwOrderStatus) * Max(count, 1));
	for (int i = 0; i < count; i++)
		if (!nulls[i])
			ids[n++] = DatumGetInt64(items[i]);
	wait_for_orders(ids, n, PG_GETARG_INTERVAL_P(1), statuses);
	for (int i = 0; i < n; i++)
	{
		Datum		values[2] = {Int64GetDatum(ids[i]),
		CStringGetTextDatum(bw_order_status_name(statuses[i]))};
		bool		no_nulls[2] = {false};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, no_nulls);
	}
	return (Datum) 0;
}

/*
 * A procedure for scripts: order, commit, wait.
 */
Datum
bw_order_and_wait(PG_FUNCTION_ARGS)
{
	BwPlaced	placed;
	BwOrderStatus status;
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false};

	PreventCommandIfReadOnly("bw_order_and_wait()");
	bw_require_own_transactions(fcinfo, "bw_order_and_wait",
								"The order is sent when its transaction commits, and so the procedure commits it; bw_order() does not.");
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (PG_ARGISNULL(12))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("timeout must not be null")));
	bw_place_order(fcinfo, &placed);
	bw_warn_without_worker("the order stays QUEUED");
	bw_store_commit_caller();
	wait_for_orders(&placed.id, 1, PG_GETARG_INTERVAL_P(12), &status);
	values[0] = Int64GetDatum(placed.id);
	values[1] = CStringGetTextDatum(bw_order_status_name(status));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/*
 * Sleep until all are final or the time is up.  The worker sets our latch
 * when orders of this database moved; each lap sees the newest state.
 */
static void
wait_for_orders(const int64 *ids, int count, const Interval *timeout,
				BwOrderStatus *statuses)
{
	static uint32 wait_event = 0;
	Oid			role = GetUserId();
	int64		timeout_ms = (int64) timeout->time / 1000 +
	((int64) timeout->day + (int64) timeout->month * 30) * 86400000;
	TimestampTz give_up = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													  Max(Min(timeout_ms, TIMEOUT_MAX_MS), 0));
	MemoryContext lap = AllocSetContextCreate(CurrentMemoryContext, "bandwidth wait",
											  ALLOCSET_SMALL_SIZES);

	for (int i = 0; i < count; i++)
		statuses[i] = BW_ORDER_QUEUED;
	bw_registry_wait_begin();
	PG_TRY();
	{
		while (!read_statuses(lap, ids, count, role, statuses))
		{
			long		rest = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
															   give_up);

			if (rest <= 0)
				break;
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 Min(rest, LAP_MS),
							 bw_wait_event(&wait_event, "BandwidthOrder"));
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
	}
	PG_FINALLY();
	{
		bw_registry_wait_end();
	}
	PG_END_TRY();
	MemoryContextDelete(lap);
}

/*
 * Are all of them final?  Those that were are not looked at again.  A wait may
 * have laps for days: what one reads goes with it.
 */
static bool
read_statuses(MemoryContext lap, const int64 *ids, int count, Oid role,
			  BwOrderStatus *statuses)
{
	MemoryContext old = MemoryContextSwitchTo(lap);
	BwStoreScope scope;
	bool		all_final = true;

	bw_store_enter(&scope);
	for (int i = 0; i < count; i++)
	{
		BwOrderRow *order;

		if (bw_order_is_final(statuses[i]))
			continue;
		order = bw_store_order(ids[i], role);
		statuses[i] = order->status;
		if (bw_order_is_final(order->status))
			continue;
		all_final = false;
		if (order->own_write)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("order " INT64_FORMAT " was made by this transaction", ids[i]),
					 errdetail("It is sent when the transaction commits, so waiting here would wait for ever."),
					 errhint("COMMIT first, then call bw_wait().")));
	}
	bw_store_leave(&scope);
	MemoryContextSwitchTo(old);
	MemoryContextReset(lap);
	return all_final;
}
