/*-------------------------------------------------------------------------
 *
 * store_guards.c
 *	  Statements on what holds orders back: limits, times, pauses.
 *
 * src/store_guards.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "store_guards.h"

/*
 * As many as there is room for, oldest first.  One that no day has room for would
 * keep all others back, and is passed over.  What a user has locked, because he is
 * cancelling it, waits for another time.
 */
static BwStatement release_held = {
	.text =
	"WITH t AS MATERIALIZED ("
	" SELECT h.order_id, h.quantity"
	"   FROM bw_held AS h JOIN bw_orders AS o ON o.id = h.order_id"
	"  WHERE h.server = $1 AND h.reason = $3 AND h.quantity <= $4"
	"  ORDER BY h.order_id LIMIT least($2, 5000)"
	" FOR NO KEY UPDATE OF o SKIP LOCKED),"
	"c AS ("
	" SELECT order_id, sum(quantity) OVER (ORDER BY order_id) AS total FROM t),"
	"h AS ("
	" DELETE FROM bw_held AS h USING c"
	"  WHERE h.order_id = c.order_id AND c.total <= $2"
	" RETURNING h.*),"
	"q AS ("
	" INSERT INTO bw_queue (server, ordered_by, order_id, request_id, quantity,"
	"                       approved, search)"
	" SELECT h.server, h.ordered_by, h.order_id,"
	"        CASE WHEN NOT r.shared THEN r.id END, h.quantity, h.approved,"
	"        EXISTS (SELECT FROM bw_searches AS s WHERE s.order_id = h.order_id)"
	"   FROM h JOIN bw_orders AS o ON o.id = h.order_id"
	"   LEFT JOIN bw_requests AS r ON r.id = o.request_id),"
	"e AS ("
	" INSERT INTO bw_order_events (order_id, status, source, detail)"
	" SELECT order_id, 'QUEUED', 'worker', $3 FROM h)"
	"UPDATE bw_orders AS o SET status = 'QUEUED' FROM h WHERE o.id = h.order_id"
	" RETURNING o.id",
	.nargs = 4,
	.argtypes = {TEXTOID, INT8OID, TEXTOID, INT4OID}
};

/* They were held for a time, which has come. */
static BwStatement release_due = {
	.text =
	"WITH t AS MATERIALIZED ("
	" SELECT h.order_id"
	"   FROM bw_held AS h JOIN bw_orders AS o ON o.id = h.order_id"
	"  WHERE h.due_at <= now()"
	"  ORDER BY h.due_at LIMIT $1"
	" FOR NO KEY UPDATE OF o SKIP LOCKED),"
	"h AS ("
	" DELETE FROM bw_held AS h USING t WHERE h.order_id = t.order_id"
	" RETURNING h.*),"
	"q AS ("
	" INSERT INTO bw_queue (server, ordered_by, order_id, request_id, quantity)"
	" SELECT h.server, h.ordered_by, h.order_id, o.request_id, h.quantity"
	"   FROM h JOIN bw_orders AS o ON o.id = h.order_id),"
	"e AS ("
	" INSERT INTO bw_order_events (order_id, status, source, detail)"
	" SELECT order_id, 'QUEUED', 'worker', reason FROM h)"
	"UPDATE bw_orders AS o SET status = 'QUEUED' FROM h WHERE o.id = h.order_id"
	" RETURNING o.id",
	.nargs = 1,
	.argtypes = {INT4OID}
};

static BwStatement next_release = {
	.text =
	"SELECT due_at FROM bw_held WHERE due_at IS NOT NULL AND due_at > now()"
	" ORDER BY due_at LIMIT 1",
	.nargs = 0
};

static BwStatement spend = {
	.text =
	"INSERT INTO bw_spending AS s (server, kind, minute, numbers)"
	" VALUES ($1, $3, date_trunc('minute', now()), $2)"
	" ON CONFLICT (server, kind, minute)"
	" DO UPDATE SET numbers = s.numbers + EXCLUDED.numbers",
	.nargs = 3,
	.argtypes = {TEXTOID, INT4OID, TEXTOID}
};

/*
 * From the minute in which they were counted, if that counts still: a negative
 * number in a later one would hide other numbers once that minute is forgotten.
 */
static BwStatement give_back = {
	.text =
	"UPDATE bw_spending AS s SET numbers = s.numbers - b.numbers"
	"  FROM (SELECT m.minute, least(m.numbers, $4) AS numbers"
	"          FROM bw_requests AS r"
	"          JOIN bw_orders AS o ON o.id = r.members[1]"
	"          JOIN bw_spending AS m ON m.server = $1 AND m.kind = $2"
	"                               AND m.minute = date_trunc('minute', o.sent_at)"
	"         WHERE r.id = $3 AND " BW_COUNTS_YET("m.minute") ") AS b"
	" WHERE s.server = $1 AND s.kind = $2 AND s.minute = b.minute"
	" RETURNING b.numbers",
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, INT8OID, INT4OID}
};

static BwStatement counts_yet = {
	.text =
	"SELECT FROM bw_requests AS r"
	"  JOIN bw_orders AS o ON o.id = ANY (r.members) AND o.request_id = r.id"
	" WHERE r.id = $1 AND " BW_COUNTS_YET("date_trunc('minute', o.sent_at)")
	" LIMIT 1",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement spent = {
	.text =
	"SELECT COALESCE(sum(numbers), 0)::bigint FROM bw_spending"
	" WHERE server = $1 AND kind = $2 AND " BW_COUNTS_YET("minute"),
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID}
};

static BwStatement forget_spending = {
	.text = "DELETE FROM bw_spending WHERE NOT " BW_COUNTS_YET("minute"),
	.nargs = 0
};

static BwStatement pauses = {
	.text =
	"SELECT ordered_by, automatic, reason, fingerprint FROM bw_pauses"
	" WHERE server = $1 AND ordered_by IN ('', $2)",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID}
};

static BwStatement pause = {
	.text =
	"INSERT INTO bw_pauses (server, ordered_by, automatic, reason, error_code,"
	"                       paused_by, fingerprint)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7)"
	" ON CONFLICT (server, ordered_by, automatic) DO UPDATE"
	"    SET reason = EXCLUDED.reason, error_code = EXCLUDED.error_code,"
	"        paused_by = EXCLUDED.paused_by, since = now(),"
	"        fingerprint = EXCLUDED.fingerprint",
	.nargs = 7,
	.argtypes = {TEXTOID, TEXTOID, BOOLOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}
};

static BwStatement resume = {
	.text =
	"DELETE FROM bw_pauses"
	" WHERE server = $1 AND ($2 IS NULL OR (ordered_by = $2 AND automatic))",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID}
};

int64 *
bw_store_release_held(const char *server, const char *reason, int limit,
					  int64 room, int *count)
{
	Datum		v[4] = {CStringGetTextDatum(server), Int64GetDatum(room),
	CStringGetTextDatum(reason), Int32GetDatum(limit)};

	return bw_store_ids(bw_store_run(&release_held, v, NULL), count);
}

int64 *
bw_store_release_due(int limit, int *count)
{
	Datum		v[1] = {Int32GetDatum(limit)};

	return bw_store_ids(bw_store_run(&release_due, v, NULL), count);
}

TimestampTz
bw_store_next_release(void)
{
	return bw_store_run(&next_release, NULL, NULL) == 0 ? DT_NOEND : bw_store_time(0, 0);
}

void
bw_store_spend(const char *server, BwOrderKind kind, int numbers)
{
	Datum		v[3] = {CStringGetTextDatum(server), Int32GetDatum(numbers),
	CStringGetTextDatum(bw_order_kind_name(kind))};

	bw_store_run(&spend, v, NULL);
}

int
bw_store_give_back(const char *server, BwOrderKind kind, int64 request_id,
				   int numbers)
{
	Datum		v[4] = {CStringGetTextDatum(server),
		CStringGetTextDatum(bw_order_kind_name(kind)), Int64GetDatum(request_id),
	Int32GetDatum(numbers)};

	return bw_store_run(&give_back, v, NULL) == 0 ? 0 : bw_store_int32(0, 0);
}

bool
bw_store_counts_yet(int64 request_id)
{
	Datum		v[1] = {Int64GetDatum(request_id)};

	return bw_store_run(&counts_yet, v, NULL) > 0;
}

void
bw_store_forget_spending(void)
{
	bw_store_run(&forget_spending, NULL, NULL);
}

int64
bw_store_spent(const char *server, BwOrderKind kind)
{
	Datum		v[2] = {CStringGetTextDatum(server),
	CStringGetTextDatum(bw_order_kind_name(kind))};

	bw_store_run(&spent, v, NULL);
	return bw_store_int64(0, 0);
}

BwPause *
bw_store_pauses(const char *server, const char *ordered_by, int *count)
{
	Datum		v[2] = {CStringGetTextDatum(server), CStringGetTextDatum(ordered_by)};
	BwPause    *list;

	*count = (int) bw_store_run(&pauses, v, NULL);
	list = palloc0(sizeof(BwPause) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		list[i].server = pstrdup(server);
		list[i].ordered_by = bw_store_text(i, 0);
		list[i].automatic = bw_store_bool(i, 1);
		list[i].reason = bw_store_text(i, 2);
		list[i].fingerprint = bw_store_text(i, 3);
	}
	return list;
}

void
bw_store_pause(const BwPause *p)
{
	Datum		v[7];
	bool		nulls[7] = {false};

	v[0] = CStringGetTextDatum(p->server);
	v[1] = CStringGetTextDatum(p->ordered_by);
	v[2] = BoolGetDatum(p->automatic);
	v[3] = CStringGetTextDatum(p->reason);
	nulls[4] = p->error_code == NULL;
	if (p->error_code != NULL)
		v[4] = CStringGetTextDatum(p->error_code);
	nulls[5] = p->paused_by == NULL;
	if (p->paused_by != NULL)
		v[5] = CStringGetTextDatum(p->paused_by);
	nulls[6] = p->fingerprint == NULL;
	if (p->fingerprint != NULL)
		v[6] = CStringGetTextDatum(p->fingerprint);
	bw_store_run(&pause, v, nulls);
}

bool
bw_store_resume(const char *server, const char *ordered_by)
{
	Datum		v[2] = {CStringGetTextDatum(server)};
	bool		nulls[2] = {false};

	nulls[1] = ordered_by == NULL;
	if (ordered_by != NULL)
		v[1] = CStringGetTextDatum(ordered_by);
	return bw_store_run(&resume, v, nulls) > 0;
}
