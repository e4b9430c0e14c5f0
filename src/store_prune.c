/*-------------------------------------------------------------------------
 *
 * store_prune.c
 *	  Statements that delete what is old.
 *
 * src/store_prune.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "store_prune.h"

/* Rows of a page: a transaction that takes some milliseconds. */
#define PAGE "1000"

static int64 prune(BwStatement *statement, TimestampTz before, int64 *after);

static BwStatement note_pruned = {
	.text =
	"UPDATE bw_identity SET pruned_before = least($1, now())"
	" WHERE pruned_before < least($1, now())",
	.nargs = 1,
	.argtypes = {TIMESTAMPTZOID}
};

/*
 * $1: before; $2: after.  How many were deleted, and the last id of the page:
 * null if there is none, or nothing of that age.  A request ends with all of its
 * orders, so they are there until then.
 */
static BwStatement prune_orders = {
	.text =
	"WITH page AS MATERIALIZED ("
	" SELECT id, created_at FROM bw_orders WHERE id > $2 ORDER BY id LIMIT " PAGE "),"
	"gone AS MATERIALIZED ("
	" SELECT o.id FROM bw_orders AS o"
	"  WHERE o.id IN (SELECT page.id FROM page) AND o.is_final"
	"    AND COALESCE(o.closed_at, o.created_at) < $1"
	"    AND NOT EXISTS (SELECT FROM bw_provisions AS p WHERE p.order_id = o.id)"
	"    AND NOT EXISTS (SELECT FROM bw_open_requests AS w WHERE w.request_id = o.request_id)"
	"  ORDER BY o.id FOR UPDATE SKIP LOCKED),"
	"e AS (DELETE FROM bw_order_events AS e USING gone WHERE e.order_id = gone.id),"
	"d AS (DELETE FROM bw_orders AS o USING gone WHERE o.id = gone.id RETURNING o.id)"
	"SELECT (SELECT count(*) FROM d), max(page.id)"
	"  FROM page HAVING min(page.created_at) < $1",
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, INT8OID}
};

static BwStatement prune_requests = {
	.text =
	"WITH page AS MATERIALIZED ("
	" SELECT id, created_at FROM bw_requests WHERE id > $2 ORDER BY id LIMIT " PAGE "),"
	"gone AS MATERIALIZED ("
	" SELECT r.id FROM bw_requests AS r"
	"  WHERE r.id IN (SELECT page.id FROM page) AND r.state = 'closed'"
	"    AND COALESCE(r.closed_at, r.created_at) < $1"
	"    AND NOT EXISTS (SELECT FROM bw_open_requests AS w WHERE w.request_id = r.id)"
	"    AND NOT EXISTS (SELECT FROM bw_orders AS o WHERE o.id = ANY (r.members))"
	"  ORDER BY r.id FOR UPDATE SKIP LOCKED),"
	"d AS (DELETE FROM bw_requests AS r USING gone WHERE r.id = gone.id RETURNING r.id)"
	"SELECT (SELECT count(*) FROM d), max(page.id)"
	"  FROM page HAVING min(page.created_at) < $1",
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, INT8OID}
};

static BwStatement prune_notifications = {
	.text =
	"WITH page AS MATERIALIZED ("
	" SELECT id, received_at FROM bw_notifications WHERE id > $2 ORDER BY id LIMIT " PAGE "),"
	"gone AS MATERIALIZED ("
	" SELECT n.id FROM bw_notifications AS n"
	"  WHERE n.id IN (SELECT page.id FROM page) AND n.received_at < $1"
	"    AND NOT EXISTS (SELECT FROM bw_inbox AS i WHERE i.notification_id = n.id)"
	"  ORDER BY n.id FOR UPDATE SKIP LOCKED),"
	"d AS (DELETE FROM bw_notifications AS n USING gone WHERE n.id = gone.id RETURNING n.id)"
	"SELECT (SELECT count(*) FROM d), max(page.id)"
	"  FROM page HAVING min(page.received_at) < $1",
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, INT8OID}
};

void
bw_store_note_pruned(TimestampTz before)
{
	Datum		v[1] = {TimestampTzGetDatum(before)};

	bw_store_run(&note_pruned, v, NULL);
}

int64
bw_store_prune_orders(TimestampTz before, int64 *after)
{
	return prune(&prune_orders, before, after);
}

int64
bw_store_prune_requests(TimestampTz before, int64 *after)
{
	return prune(&prune_requests, before, after);
}

int64
bw_store_prune_notifications(TimestampTz before, int64 *after)
{
	return prune(&prune_notifications, before, after);
}

static int64
prune(BwStatement *statement, TimestampTz before, int64 *after)
{
	Datum		v[2] = {TimestampTzGetDatum(before), Int64GetDatum(*after)};

	*after = 0;
	if (bw_store_run(statement, v, NULL) == 0)
		return 0;
	*after = bw_store_int64(0, 1);
	return bw_store_int64(0, 0);
}
