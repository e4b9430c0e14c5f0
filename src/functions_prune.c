/*-------------------------------------------------------------------------
 *
 * functions_prune.c
 *	  bw_prune(): deletes what is old, when somebody says so.
 *
 * Nothing calls this by itself: how long orders are kept is a matter of the
 * law and of the books.
 *
 * src/functions_prune.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "functions.h"
#include "store.h"
#include "store_prune.h"

PG_FUNCTION_INFO_V1(bw_prune);

typedef int64 (*Prune) (TimestampTz before, int64 *after);

static void note_pruned(TimestampTz before);
static int64 prune_table(Prune prune, TimestampTz before);

/*
 * A procedure: each page of each table is a transaction of its own, so that
 * neither locks nor dead rows pile up.  Orders first, because a request goes
 * when its last order has gone.
 */
Datum
bw_prune(PG_FUNCTION_ARGS)
{
	static const Prune tables[] = {
		bw_store_prune_orders, bw_store_prune_requests, bw_store_prune_notifications
	};
	TimestampTz before;
	TupleDesc	desc;
	Datum		deleted[lengthof(tables)];
	bool		nulls[lengthof(tables)] = {false};

	PreventCommandIfReadOnly("bw_prune()");
	bw_require_own_transactions(fcinfo, "bw_prune",
								"It commits after each batch.");
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the time before which to delete must not be null")));
	before = PG_GETARG_TIMESTAMPTZ(0);
	/* 'infinity', or a sign that was forgotten: all of it would go. */
	if (before > GetCurrentTimestamp())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the time before which to delete must not be in the future"),
				 errhint("To delete all orders that have ended, use now().")));
	note_pruned(before);
	for (int i = 0; i < (int) lengthof(tables); i++)
		deleted[i] = Int64GetDatum(prune_table(tables[i], before));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, deleted, nulls)));
}

static void
note_pruned(TimestampTz before)
{
	BwStoreScope scope;

	bw_store_enter(&scope);
	bw_store_note_pruned(before);
	bw_store_leave(&scope);
}

static int64
prune_table(Prune prune, TimestampTz before)
{
	BwStoreScope scope;
	int64		deleted = 0;
	int64		after = 0;

	do
	{
		CHECK_FOR_INTERRUPTS();
		bw_store_enter(&scope);
		deleted += prune(before, &after);
		bw_store_leave(&scope);
		bw_store_commit_caller();
	} while (after > 0);
	return deleted;
}
