/*-------------------------------------------------------------------------
 *
 * functions_stat.c
 *	  What views about the worker show, and no table knows.
 *
 * src/functions_stat.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "registry.h"
#include "store.h"
#include "store_orders.h"

PG_FUNCTION_INFO_V1(bw_stat_get_worker);

static const char *
state_name(BwWorkerState state)
{
	if (!bw_registry_shared())
		return "not preloaded";
	switch (state)
	{
		case BW_WORKER_NONE:
			break;
		case BW_WORKER_STARTING:
			return "starting";
		case BW_WORKER_RUNNING:
			return "running";
		case BW_WORKER_LEAVING:
			return "leaving";
	}
	return "stopped";
}

/* bw_stat_get_worker(): pid, state, since, fenced; of this database's worker. */
Datum
bw_stat_get_worker(PG_FUNCTION_ARGS)
{
	int			pid = 0;
	TimestampTz since = DT_NOBEGIN;
	BwWorkerState state = bw_registry_worker_state(MyDatabaseId, &pid, &since);
	bool		running = state == BW_WORKER_RUNNING;
	BwStoreScope scope;
	TupleDesc	desc;
	Datum		v[4];
	bool		n[4] = {!running, false, !running, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	bw_store_enter(&scope);
	v[3] = BoolGetDatum(!bw_store_has_identity());
	bw_store_leave(&scope);
	v[0] = Int32GetDatum(pid);
	v[1] = CStringGetTextDatum(state_name(state));
	v[2] = TimestampTzGetDatum(since);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), v, n)));
}
