/*-------------------------------------------------------------------------
 *
 * store_operator.c
 *	  Statements of the operators' levers.
 *
 * src/store_operator.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "store_operator.h"
#include "store_orders.h"
#include "store_timeline.h"

static BwStatement approve = {
	.text =
	"WITH h AS ("
	" DELETE FROM bw_held"
	"  WHERE order_id = $1 AND reason IN ('approval', 'release_after')"
	" RETURNING *),"
	"q AS ("
	" INSERT INTO bw_queue (server, ordered_by, order_id, request_id, quantity,"
	"                       approved, search)"
	" SELECT h.server, h.ordered_by, h.order_id, o.request_id, h.quantity, true,"
	"        EXISTS (SELECT FROM bw_searches AS s WHERE s.order_id = h.order_id)"
	"   FROM h JOIN bw_orders AS o ON o.id = h.order_id),"
	"e AS ("
	" INSERT INTO bw_order_events (order_id, status, source, detail)"
	" SELECT order_id, 'QUEUED', 'user', 'approved' FROM h)"
	"UPDATE bw_orders AS o SET status = 'QUEUED' FROM h WHERE o.id = h.order_id",
	.nargs = 1,
	.argtypes = {INT8OID}
};

/*
 * Levers on what Bandwidth may have or not lock first the orders of the request,
 * and then its row in the work list: the worker waits for the latter while it
 * has the former, and never the other way round.  While the request is under way
 * its orders are not locked: the worker needs them more than we do.
 */
static BwStatement lock_members = {
	.text =
	"SELECT FROM bw_requests AS r JOIN bw_orders AS o ON o.id = ANY (r.members)"
	" WHERE r.id = $1 AND o.request_id = r.id AND NOT o.is_final"
	"   AND EXISTS (SELECT FROM bw_open_requests AS w"
	"                WHERE w.request_id = r.id AND w.step <> 'sent')"
	" ORDER BY o.id FOR NO KEY UPDATE OF o",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement lock_request = {
	.text =
	"SELECT FROM bw_open_requests WHERE request_id = $1 AND step <> 'sent'"
	" FOR NO KEY UPDATE",
	.nargs = 1,
	.argtypes = {INT8OID}
};

/*
 * What the levers change has the order in $1.  Either its outcome is unknown, and
 * no order at Bandwidth is known to be its own, or that one is lost: Bandwidth
 * does not know it any more.  $2 is the request, "r", and its work "w".
 */
#define UNDECIDED \
	"w.request_id = $2 AND r.id = $2 AND w.step <> 'sent'" \
	" AND (r.bandwidth_order_id IS NULL OR w.step = 'lost')" \
	" AND EXISTS (SELECT FROM bw_orders AS x" \
	"              WHERE x.id = $1 AND x.request_id = r.id" \
	"                AND NOT x.is_final" \
	"                AND (x.status = 'UNKNOWN' OR w.step = 'lost'))"

/* Its orders, all of which share what is decided. */
#define ITS_ORDERS \
	"o.id = ANY (r.members) AND o.request_id = r.id AND NOT o.is_final"

/* It may turn up again, so it stays a candidate. */
#define WITH_LOST \
	"CASE WHEN r.bandwidth_order_id IS NULL THEN w.candidates" \
	"     ELSE w.candidates || r.bandwidth_order_id END "

/* The request, "r", and its orders have no order at Bandwidth any more. */
#define UNBIND \
	"u AS (" \
	" UPDATE bw_requests SET bandwidth_order_id = NULL, state = 'unknown'" \
	"   FROM r WHERE bw_requests.id = r.id AND bandwidth_order_id IS NOT NULL)," \
	"o AS (" \
	" UPDATE bw_orders AS o SET status = 'UNKNOWN', attention = NULL," \
	"        bandwidth_order_id = NULL" \
	"   FROM r WHERE " ITS_ORDERS \
	" RETURNING o.id, o.status)"

static BwStatement resend = {
	.text =
	"WITH r AS ("
	" UPDATE bw_open_requests AS w SET step = 'resend', due_at = now(), tries = 0,"
	"        candidates = " WITH_LOST
	"   FROM bw_requests AS r WHERE " UNDECIDED " AND w.adopting IS NULL"
	" RETURNING r.id, r.members),"
	UNBIND
	"INSERT INTO bw_order_events (order_id, status, source, detail)"
	" SELECT id, status, 'user', 'to be sent again' FROM o",
	.nargs = 2,
	.argtypes = {INT8OID, INT8OID}
};

static BwStatement give_up = {
	.text =
	"WITH r AS ("
	" SELECT r.id, r.members FROM bw_requests AS r, bw_open_requests AS w"
	"  WHERE " UNDECIDED "),"
	"o AS ("
	" UPDATE bw_orders AS o"
	"    SET status = " BW_ENDED_STATUS("FAILED") ","
	"        closed_at = clock_timestamp(), attention = NULL,"
	"        completed_quantity = COALESCE(o.completed_quantity, 0),"
	"        failed_quantity = o.quantity - COALESCE(o.completed_quantity, 0),"
	"        error_text = format('given up by %s', $3)"
	"   FROM r WHERE " ITS_ORDERS
	" RETURNING o.id, o.status),"
	"n AS ("
	" UPDATE bw_order_numbers AS n SET status = 'FAILED'"
	"   FROM o WHERE n.order_id = o.id AND n.status = 'PENDING'),"
	"e AS ("
	" INSERT INTO bw_order_events (order_id, status, source, detail)"
	" SELECT id, status, 'user', format('given up by %s', $3) FROM o),"
	"w AS (DELETE FROM bw_open_requests AS w USING r WHERE w.request_id = r.id)"
	"UPDATE bw_requests SET state = 'closed', closed_at = clock_timestamp()"
	"  FROM r WHERE bw_requests.id = r.id",
	.nargs = 3,
	.argtypes = {INT8OID, INT8OID, TEXTOID}
};

static BwStatement adopt = {
	.text =
	"WITH r AS ("
	" UPDATE bw_open_requests AS w"
	"    SET step = 'look_up', adopting = $3, due_at = now(), tries = 0,"
	"        candidates = " WITH_LOST
	"   FROM bw_requests AS r WHERE " UNDECIDED
	" RETURNING r.id, r.members),"
	UNBIND
	"INSERT INTO bw_order_events (order_id, status, source, detail)"
	" SELECT id, status, 'user', format('to be adopted: %s', $3) FROM o",
	.nargs = 3,
	.argtypes = {INT8OID, INT8OID, TEXTOID}
};

static BwStatement is_bound = {
	.text =
	"SELECT FROM bw_requests WHERE bandwidth_order_id COLLATE \"C\" = $1 AND id <> $2"
	" UNION ALL "
	"SELECT FROM bw_open_requests WHERE adopting = $1 AND request_id <> $2",
	.nargs = 2,
	.argtypes = {TEXTOID, INT8OID}
};

static BwStatement close_order = {
	.text =
	"UPDATE bw_open_requests SET step = 'close', due_at = now(), tries = 0"
	" WHERE request_id = $1 AND step = 'poll'",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement count_doubts = {
	.text = "SELECT count(*)::int FROM bw_doubts WHERE server = $1",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

static BwStatement count_attention = {
	.text =
	"SELECT count(*) FROM bw_open_requests AS w"
	"  JOIN bw_requests AS r ON r.id = w.request_id"
	"  JOIN bw_orders AS o ON o.id = ANY (r.members) AND o.request_id = r.id"
	" WHERE w.server = $1 AND o.attention IS NOT NULL",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

static BwStatement count_open = {
	.text =
	"SELECT (SELECT count(*) FROM bw_queue) + (SELECT count(*) FROM bw_held),"
	"       (SELECT COALESCE(sum(cardinality(r.members)), 0)::bigint"
	"          FROM bw_open_requests AS w JOIN bw_requests AS r ON r.id = w.request_id)",
	.nargs = 0
};

static BwStatement default_version = {
	.text =
	"SELECT e.default_version FROM pg_available_extensions() AS e"
	" WHERE e.name = 'bandwidth'",
	.nargs = 0
};

static BwStatement take_identity = {
	.text =
	"UPDATE bw_identity SET database_oid = $1, system_identifier = $2,"
	"       instance = $3, timeline = $4, taken_over_at = now(),"
	"       requests_before = COALESCE((SELECT max(r.id) FROM bw_requests AS r), 0)",
	.nargs = 4,
	.argtypes = {OIDOID, INT8OID, TEXTOID, INT4OID}
};

static BwStatement discard_queued = {
	.text =
	"WITH o AS ("
	" UPDATE bw_orders AS o"
	"    SET status = CASE WHEN o.attempts_used = 1 THEN 'CANCELLED'"
	"                 ELSE " BW_ENDED_STATUS("FAILED") " END,"
	"        closed_at = now()"
	"  WHERE status IN ('QUEUED', 'HELD') RETURNING id, status, request_id),"
	"q AS (DELETE FROM bw_queue USING o WHERE order_id = o.id),"
	"h AS (DELETE FROM bw_held USING o WHERE order_id = o.id),"
	"s AS (DELETE FROM bw_searches USING o WHERE order_id = o.id),"
	"r AS ("
	" UPDATE bw_requests AS r SET state = 'closed', closed_at = now()"
	"   FROM o WHERE r.id = o.request_id)"
	"INSERT INTO bw_order_events (order_id, status, source, detail)"
	" SELECT id, status, 'user', format('discarded when %s took over', $1)"
	"   FROM o",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

void
bw_store_take_over(bool discard, const char *by)
{
	Datum		identity[4];
	Datum		v[1] = {CStringGetTextDatum(by)};

	identity[0] = ObjectIdGetDatum(MyDatabaseId);
	identity[1] = Int64GetDatum((int64) GetSystemIdentifier());
	identity[2] = CStringGetTextDatum(bw_instance);
	identity[3] = Int32GetDatum(bw_current_timeline());
	if (discard)
		bw_store_run(&discard_queued, v, NULL);
	else
		(void) bw_store_doubt_unsent();
	bw_store_doubt_resends();
	bw_store_run(&take_identity, identity, NULL);
}

bool
bw_store_approve(int64 order_id)
{
	Datum		v[1] = {Int64GetDatum(order_id)};

	return bw_store_lock_unsent(order_id) && bw_store_run(&approve, v, NULL) > 0;
}

/*
 * In statements of their own, so that the next one sees what whoever had the
 * locks did.  False: the request is under way, or was closed.
 */
static bool
lock_undecided(int64 request_id)
{
	Datum		v[1] = {Int64GetDatum(request_id)};

	bw_store_run(&lock_members, v, NULL);
	return bw_store_run(&lock_request, v, NULL) > 0;
}

bool
bw_store_resend(int64 order_id, int64 request_id)
{
	Datum		v[2] = {Int64GetDatum(order_id), Int64GetDatum(request_id)};

	return lock_undecided(request_id) && bw_store_run(&resend, v, NULL) > 0;
}

bool
bw_store_give_up(int64 order_id, int64 request_id, const char *by)
{
	Datum		v[3] = {Int64GetDatum(order_id), Int64GetDatum(request_id),
	CStringGetTextDatum(by)};

	return lock_undecided(request_id) && bw_store_run(&give_up, v, NULL) > 0;
}

bool
bw_store_adopt(int64 order_id, int64 request_id, const char *bandwidth_order_id)
{
	Datum		v[3] = {Int64GetDatum(order_id), Int64GetDatum(request_id),
	CStringGetTextDatum(bandwidth_order_id)};

	return lock_undecided(request_id) && bw_store_run(&adopt, v, NULL) > 0;
}

bool
bw_store_is_bound(const char *bandwidth_order_id, int64 request_id)
{
	Datum		v[2] = {CStringGetTextDatum(bandwidth_order_id),
	Int64GetDatum(request_id)};

	return bw_store_run(&is_bound, v, NULL) > 0;
}

bool
bw_store_close_order(int64 request_id)
{
	Datum		v[1] = {Int64GetDatum(request_id)};

	return bw_store_run(&close_order, v, NULL) > 0;
}

int
bw_store_count_doubts(const char *server)
{
	Datum		v[1] = {CStringGetTextDatum(server)};

	bw_store_run(&count_doubts, v, NULL);
	return bw_store_int32(0, 0);
}

int64
bw_store_count_attention(const char *server)
{
	Datum		v[1] = {CStringGetTextDatum(server)};

	bw_store_run(&count_attention, v, NULL);
	return bw_store_int64(0, 0);
}

void
bw_store_count_open(int64 *unsent, int64 *under_way)
{
	bw_store_run(&count_open, NULL, NULL);
	*unsent = bw_store_int64(0, 0);
	*under_way = bw_store_int64(0, 1);
}

char *
bw_store_default_version(void)
{
	return bw_store_run(&default_version, NULL, NULL) > 0 ? bw_store_text(0, 0) : NULL;
}
