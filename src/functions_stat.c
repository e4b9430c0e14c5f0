/*-------------------------------------------------------------------------
 *
 * functions_stat.c
 *	  What views about the worker and its calls show, and no table knows.
 *
 * src/functions_stat.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "functions.h"
#include "registry.h"
#include "statistics.h"
#include "store.h"
#include "store_orders.h"

/* Columns of the functions below, as bandwidth--1.0.sql declares them. */
#define WORKER_COLUMNS 10
#define REQUESTS_COLUMNS 21
#define DELAY_COLUMNS 3

PG_FUNCTION_INFO_V1(bw_waiting_for);
PG_FUNCTION_INFO_V1(bw_waiting_for_access);
PG_FUNCTION_INFO_V1(bw_stat_get_worker);
PG_FUNCTION_INFO_V1(bw_stat_get_requests);
PG_FUNCTION_INFO_V1(bw_stat_get_delay);
PG_FUNCTION_INFO_V1(bw_stat_reset);

/* A row in the making: its next column is set by one of the functions below. */
typedef struct Row
{
	Datum		v[REQUESTS_COLUMNS];
	bool		n[REQUESTS_COLUMNS];
	int			count;
} Row;

static const char *const class_names[BW_CLASS_COUNT] = {
	[BW_CLASS_ORDER] = "order",
	[BW_CLASS_SEARCH] = "search",
	[BW_CLASS_DISCONNECT] = "disconnect",
	[BW_CLASS_SUBSCRIPTION] = "subscription",
	[BW_CLASS_HISTORY] = "history",
	[BW_CLASS_INSERVICE_NPANXX] = "inservice_npanxx",
	[BW_CLASS_AVAILABLE_NPANXX] = "available_npanxx",
	[BW_CLASS_RESERVATION] = "reservation",
	[BW_CLASS_TOKEN] = "token",
	[BW_CLASS_OTHER] = "other",
};

static void put_counters(Row *row, const BwCallStatistics *statistics);
static void put_latency(Row *row, const BwCallStatistics *statistics);
static void put_budget(Row *row, const BwCallStatistics *statistics);
static Datum row_datum(FunctionCallInfo fcinfo, Row *row);

static void
put(Row *row, Datum value, bool isnull)
{
	row->v[row->count] = value;
	row->n[row->count++] = isnull;
}

static void
put_count(Row *row, int64 count)
{
	put(row, Int64GetDatum(count), false);
}

static void
put_text(Row *row, const char *text)
{
	put(row, text ? CStringGetTextDatum(text) : (Datum) 0, text == NULL);
}

/* DT_NOBEGIN is null. */
static void
put_time(Row *row, TimestampTz at)
{
	put(row, TimestampTzGetDatum(at), TIMESTAMP_IS_NOBEGIN(at));
}

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

/* bw_waiting_for(id): 42704 for an order that the caller's role may not see. */
Datum
bw_waiting_for(PG_FUNCTION_ARGS)
{
	Oid			role = GetUserId();
	BwStoreScope scope;
	char	   *what;

	bw_store_enter(&scope);
	what = bw_store_waiting_for(bw_store_order(PG_GETARG_INT64(0), role)->id);
	bw_store_leave(&scope);
	if (what == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(CStringGetTextDatum(what));
}

/* bw_waiting_for_access(server, ordered_by): null: nothing is missing, or the server is. */
Datum
bw_waiting_for_access(PG_FUNCTION_ARGS)
{
	BwServer   *server = bw_config_server_if_exists(NameStr(*PG_GETARG_NAME(0)));
	char	   *what = server ? bw_config_missing(server, NameStr(*PG_GETARG_NAME(1))) : NULL;

	if (what == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(CStringGetTextDatum(what));
}

/*
 * bw_stat_get_worker(): of this database's worker; what only a running one has
 * is null for others.
 */
Datum
bw_stat_get_worker(PG_FUNCTION_ARGS)
{
	int			pid = 0;
	TimestampTz since = DT_NOBEGIN;
	BwWorkerState state = bw_registry_worker_state(MyDatabaseId, &pid, &since);
	bool		running = state == BW_WORKER_RUNNING;
	BwWorkerStatistics statistics = {.next_wake_at = DT_NOBEGIN,
	.succeeded_at = DT_NOBEGIN,.failed_at = DT_NOBEGIN};
	BwStoreScope scope;
	Row			row = {.count = 0};
	bool		fenced;

	bw_store_enter(&scope);
	fenced = !bw_store_has_identity();
	bw_store_leave(&scope);
	(void) bw_statistics_worker(&statistics);
	put(&row, Int32GetDatum(pid), !running);
	put_text(&row, state_name(state));
	put_time(&row, running ? since : DT_NOBEGIN);
	put(&row, BoolGetDatum(fenced), false);
	put(&row, Int32GetDatum(statistics.in_flight), !running);
	put(&row, Int32GetDatum(statistics.port), !running || statistics.port == 0);
	put_time(&row, running ? statistics.next_wake_at : DT_NOBEGIN);
	put_time(&row, statistics.succeeded_at);
	put_time(&row, statistics.failed_at);
	put_text(&row, TIMESTAMP_IS_NOBEGIN(statistics.failed_at) ? NULL : statistics.error);
	Assert(row.count == WORKER_COLUMNS);
	return row_datum(fcinfo, &row);
}

static Datum
row_datum(FunctionCallInfo fcinfo, Row *row)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), row->v, row->n));
}

/* bw_stat_get_requests(): of this database, one row for each server and class. */
Datum
bw_stat_get_requests(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	BwCallStatistics statistics;
	int			position = 0;

	bw_init_materialized_srf(fcinfo);
	while (bw_statistics_next(&position, &statistics))
	{
		Row			row = {.count = 0};

		put(&row, ObjectIdGetDatum(statistics.server), false);
		put_text(&row, class_names[statistics.class]);
		put_counters(&row, &statistics);
		put_latency(&row, &statistics);
		put_budget(&row, &statistics);
		put_time(&row, statistics.succeeded_at);
		put_time(&row, statistics.failed_at);
		put_text(&row, TIMESTAMP_IS_NOBEGIN(statistics.failed_at) ? NULL
				 : statistics.error);
		put_time(&row, statistics.since);
		Assert(row.count == REQUESTS_COLUMNS);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row.v, row.n);
	}
	return (Datum) 0;
}

static void
put_counters(Row *row, const BwCallStatistics *statistics)
{
	put_count(row, statistics->calls);
	for (int i = 0; i < BW_OUTCOME_COUNT; i++)
		put_count(row, statistics->outcomes[i]);
	put_count(row, statistics->retries);
	put_count(row, statistics->bytes_sent);
	put_count(row, statistics->bytes_received);
}

/* In ms, as PostgreSQL's views have it: in all, bounds, calls up to each. */
static void
put_latency(Row *row, const BwCallStatistics *statistics)
{
	Datum		bounds[BW_LATENCY_BOUNDS];
	Datum		calls[BW_LATENCY_BOUNDS + 1];

	put(row, Float8GetDatum(statistics->total_us / 1000.0), false);
	for (int i = 0; i < BW_LATENCY_BOUNDS; i++)
		bounds[i] = Int32GetDatum(bw_latency_bounds_ms[i]);
	for (int i = 0; i <= BW_LATENCY_BOUNDS; i++)
		calls[i] = Int64GetDatum(statistics->latency[i]);
	put(row, PointerGetDatum(construct_array(bounds, BW_LATENCY_BOUNDS, INT4OID,
											 sizeof(int32), true, TYPALIGN_INT)), false);
	put(row, PointerGetDatum(construct_array(calls, BW_LATENCY_BOUNDS + 1, INT8OID,
											 sizeof(int64), FLOAT8PASSBYVAL,
											 TYPALIGN_DOUBLE)), false);
}

/* The server's configuration, NULL if it is gone. */
static BwServer *
server_of(Oid serverid)
{
	ForeignServer *server = GetForeignServerExtended(serverid, FSV_MISSING_OK);

	return server ? bw_config_server_if_exists(server->servername) : NULL;
}

/* DT_NOBEGIN: a call can go out now. */
static int
budget_left(const BwServer *server, BwEndpointClass class, TimestampTz *free_at)
{
	int			left = bw_registry_budget_left(server->account_id, class,
											   server->requests_per_minute,
											   server->burst, free_at);

	if (left > 0)
		*free_at = DT_NOBEGIN;
	return Max(left, 0);
}

/* Access tokens are not limited. */
static void
put_budget(Row *row, const BwCallStatistics *statistics)
{
	BwServer   *server = server_of(statistics->server);
	TimestampTz free_at = DT_NOBEGIN;
	int			left = 0;
	bool		limited = server != NULL && statistics->class != BW_CLASS_TOKEN;

	if (limited)
		left = budget_left(server, statistics->class, &free_at);
	put(row, Int32GetDatum(left), !limited);
	put_time(row, free_at);
}

/*
 * bw_stat_get_delay(server, class): until when the rate limit and the worker's
 * back-off hold calls of this class back, null where they do not; and why they
 * fail, if the last one did.
 */
Datum
bw_stat_get_delay(PG_FUNCTION_ARGS)
{
	BwServer   *server = bw_config_server_if_exists(NameStr(*PG_GETARG_NAME(0)));
	char	   *class_name = bw_arg_text(fcinfo, 1);
	BwCallStatistics statistics = {0};
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz free_at = DT_NOBEGIN;
	BwEndpointClass class = 0;
	bool		failing = false;
	Row			row = {.count = 0};

	while (class < BW_CLASS_OTHER && strcmp(class_names[class], class_name) != 0)
		class++;
	if (server != NULL)
	{
		(void) budget_left(server, class, &free_at);
		failing = bw_statistics_of(server->serverid, class, &statistics) &&
			statistics.failed_at > statistics.succeeded_at;
	}
	put_time(&row, free_at);
	put_time(&row, failing && statistics.retry_at > now ? statistics.retry_at : DT_NOBEGIN);
	put_text(&row, failing ? statistics.error : NULL);
	Assert(row.count == DELAY_COLUMNS);
	return row_datum(fcinfo, &row);
}

/* bw_stat_reset(server): null means everything of this database. */
Datum
bw_stat_reset(PG_FUNCTION_ARGS)
{
	bw_statistics_reset(PG_ARGISNULL(0) ? InvalidOid
						: bw_config_server(bw_arg_text(fcinfo, 0))->serverid);
	PG_RETURN_VOID();
}
