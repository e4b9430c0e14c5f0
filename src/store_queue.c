/*-------------------------------------------------------------------------
 *
 * store_queue.c
 *	  Statements on what waits to be sent.
 *
 * src/store_queue.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "store_queue.h"

static BwOrderData *read_order_data(uint64 rows);
static void number_new_requests(BwClaim *claims, int count);

/* The first group after a given one, and whether there are more after it. */
static BwStatement next_group = {
	.text =
	"SELECT q.server, q.ordered_by,"
	"       EXISTS (SELECT FROM bw_queue AS n"
	"                WHERE (n.server, n.ordered_by) > (q.server, q.ordered_by))"
	"  FROM bw_queue AS q"
	" WHERE (q.server, q.ordered_by) > ($1, $2)"
	" ORDER BY q.server, q.ordered_by LIMIT 1",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID}
};

#define ORDER_DATA_COLUMNS \
	"o.id, r.id, r.customer_order_id, o.kind, o.quantity, o.site_id," \
	" o.peer_id, o.name, o.partial_allowed, o.back_order_requested, o.direct," \
	" CASE WHEN o.direct THEN o.criteria::text END," \
	" (SELECT array_agg(n.telephone_number ORDER BY n.telephone_number)" \
	"    FROM bw_order_numbers AS n" \
	"   WHERE n.order_id = o.id AND n.attempt = o.attempts_used)," \
	" o.reservation_ids, cardinality(r.members)"

/*
 * Our plans are made while the tables are small, and kept.  Where a join could
 * be begun at the wrong end, it is written so that it cannot: from few rows to
 * those that they name, each by an index (a LATERAL that is not pulled up).
 */

/* Does another order want one of the numbers?  Whether it is under way ... */
#define RIVAL_COLUMN \
	"(SELECT min(n.order_id)" \
	"   FROM (SELECT telephone_number FROM bw_order_numbers" \
	"          WHERE order_id = o.id OFFSET 0) AS m" \
	"  CROSS JOIN LATERAL (" \
	"   SELECT x.order_id FROM bw_order_numbers AS x" \
	"    WHERE x.telephone_number = m.telephone_number AND x.order_id <> o.id" \
	"      AND x.status = 'PENDING' OFFSET 0) AS n) "

/* ... is asked only then. */
static BwStatement blockers = {
	.text =
	"SELECT i.order_id, min(b.id)"
	"  FROM unnest($1) AS i(order_id)"
	" CROSS JOIN LATERAL ("
	"  SELECT o.account_id FROM bw_orders AS o WHERE o.id = i.order_id OFFSET 0) AS o"
	" CROSS JOIN LATERAL ("
	"  SELECT m.telephone_number FROM bw_order_numbers AS m"
	"   WHERE m.order_id = i.order_id OFFSET 0) AS m"
	" CROSS JOIN LATERAL ("
	"  SELECT n.order_id FROM bw_order_numbers AS n"
	"   WHERE n.telephone_number = m.telephone_number"
	"     AND n.order_id <> i.order_id OFFSET 0) AS n"
	" CROSS JOIN LATERAL ("
	"  SELECT b.id FROM bw_orders AS b"
	"   WHERE b.id = n.order_id AND b.account_id = o.account_id"
	"     AND b.status IN ('SENDING', 'UNKNOWN', 'RECEIVED', 'BACKORDERED') OFFSET 0) AS b"
	" GROUP BY i.order_id",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID}
};

/*
 * Rows of the queue by the ids in $3, for statements whose $1 and $2 are server
 * and role.  Written so that each id is one look into the index, whatever the
 * planner thinks: our plans are made when the queue is short, and a plan that
 * goes through all of a group and compares each row with each id takes a second
 * for 1,000 of 100,000.
 */
#define QUEUE_ROWS \
	"ctid = ANY (ARRAY(" \
	" SELECT r.ctid FROM unnest($3::bigint[]) AS m CROSS JOIN LATERAL (" \
	"  SELECT p.ctid FROM bw_queue AS p" \
	"   WHERE p.server = $1 AND p.ordered_by = $2 AND p.order_id = m" \
	"   LIMIT 1) AS r)) "

static BwStatement pick_orders = {
	.text =
	"SELECT " ORDER_DATA_COLUMNS ", q.approved, " RIVAL_COLUMN ","
	"       EXISTS (SELECT FROM bw_pauses AS p"
	"                WHERE p.server = $1 AND p.ordered_by IN ('', $2)),"
	"       q.criteria::text"
	"  FROM bw_queue AS q"
	"  JOIN bw_orders AS o ON o.id = q.order_id"
	"  LEFT JOIN bw_requests AS r ON r.id = q.request_id"
	" WHERE q.server = $1 AND q.ordered_by = $2"
	"   AND ($5 = 1 OR (q.request_id IS NULL) = ($5 = 2))"
	"   AND q.due_at <= now() AND q.waits_for IS NULL AND NOT q.search"
	"   AND NOT " BW_IN_DOUBT("q")
	"   AND o.status = 'QUEUED' AND o.account_id = $3"
	"   AND o.home = (SELECT i.home FROM bw_identity AS i)"
	" ORDER BY q.order_id"
	" LIMIT $4"
	" FOR NO KEY UPDATE OF o SKIP LOCKED",
	.nargs = 5,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, INT4OID, INT4OID}
};

static BwStatement request_orders = {
	.text =
	"SELECT " ORDER_DATA_COLUMNS ", true, NULL::bigint, false, NULL::text"
	"  FROM bw_requests AS r"
	"  JOIN bw_orders AS o ON o.id = ANY (r.members) AND o.request_id = r.id"
	" WHERE r.id = $1"
	" ORDER BY o.id",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement new_request_ids = {
	.text =
	"SELECT nextval('bw_requests_id_seq'),"
	"       " BW_NEW_CUSTOMER_ORDER_ID("(SELECT i.home FROM bw_identity AS i)", "o.id")
	"  FROM unnest($1) AS o(id)",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID}
};

/* $4, $5: ids and CustomerOrderIds; $6, $7: orders and their request. */
static BwStatement make_requests = {
	.text =
	"INSERT INTO bw_requests (id, home, kind, server, account_id, ordered_by,"
	"       customer_order_id, members, quantity, shared, state, attempts,"
	"       first_sent_at, last_sent_at)"
	" OVERRIDING SYSTEM VALUE"
	" SELECT n.id, i.home, 'explicit', $1, $3, $2, n.customer_order_id,"
	"        x.members, cardinality(x.members), true, 'sending', 1,"
	"        clock_timestamp(), clock_timestamp()"
	"   FROM unnest($4::bigint[], $5::text[]) AS n(id, customer_order_id)"
	"  CROSS JOIN bw_identity AS i"
	"  CROSS JOIN LATERAL ("
	"   SELECT array_agg(m.order_id ORDER BY m.order_id) AS members"
	"     FROM unnest($6::bigint[], $7::bigint[]) AS m(order_id, request_id)"
	"    WHERE m.request_id = n.id) AS x",
	.nargs = 7,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, INT8ARRAYOID, TEXTARRAYOID,
	INT8ARRAYOID, INT8ARRAYOID}
};

/*
 * $3, $4: orders and their request; $5: the requests, each once; $8: those of
 * them that were there before; $7, $9: numbers that are ordered, and disconnected.
 * They are counted in the minute of sent_at, where give_back finds them.
 */
static BwStatement claim = {
	.text =
	"WITH t AS MATERIALIZED (SELECT clock_timestamp() AS at),"
	"r AS ("
	" UPDATE bw_requests SET state = 'sending', attempts = attempts + 1,"
	"        first_sent_at = COALESCE(first_sent_at, clock_timestamp()),"
	"        last_sent_at = clock_timestamp()"
	"  WHERE id = ANY ($8)),"
	"o AS ("
	" UPDATE bw_orders AS o SET status = 'SENDING', request_id = m.request_id,"
	"        sent_at = (SELECT at FROM t)"
	"   FROM unnest($3::bigint[], $4::bigint[]) AS m(order_id, request_id)"
	"  WHERE o.id = m.order_id),"
	"e AS ("
	" INSERT INTO bw_order_events (order_id, status, source)"
	" SELECT m, 'SENDING', 'worker' FROM unnest($3::bigint[]) AS m),"
	"d AS ("
	" DELETE FROM bw_queue WHERE " QUEUE_ROWS "),"
	"s AS ("
	" INSERT INTO bw_spending AS s (server, kind, minute, numbers)"
	" SELECT $1, n.kind, date_trunc('minute', t.at), n.numbers"
	"   FROM t, (VALUES ('order', $7), ('disconnect', $9)) AS n(kind, numbers)"
	"  WHERE n.numbers > 0"
	" ON CONFLICT (server, kind, minute)"
	" DO UPDATE SET numbers = s.numbers + EXCLUDED.numbers)"
	"INSERT INTO bw_open_requests (request_id, server, step, due_at)"
	" SELECT m, $1, 'sent', now() + $6 * interval '1 ms'"
	"   FROM unnest($5::bigint[]) AS m",
	.nargs = 9,
	.argtypes = {TEXTOID, TEXTOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID,
	INT4OID, INT4OID, INT8ARRAYOID, INT4OID}
};

/*
 * A request of its own is kept; orders that shared one are free again, and the
 * request is closed by the caller.
 */
static BwStatement requeue = {
	.text =
	"INSERT INTO bw_queue (server, ordered_by, order_id, request_id, quantity,"
	"                      due_at, approved, claimed)"
	" SELECT o.server, o.ordered_by, o.id,"
	"        CASE WHEN NOT r.shared THEN r.id END,"
	"        CASE WHEN NOT r.shared THEN r.quantity ELSE o.quantity END,"
	"        $2, true, true"
	"   FROM bw_orders AS o LEFT JOIN bw_requests AS r ON r.id = o.request_id"
	"  WHERE o.id = ANY ($1) AND (r.shared IS NOT FALSE OR r.members[1] = o.id)",
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, TIMESTAMPTZOID}
};

static BwStatement make_part = {
	.text =
	"WITH r AS ("
	" INSERT INTO bw_requests (home, kind, server, account_id, ordered_by,"
	"        customer_order_id, members, quantity)"
	" SELECT home, kind, server, account_id, ordered_by,"
	"        " BW_NEW_CUSTOMER_ORDER_ID("home", "$2[1]") ", $2, cardinality($2)"
	"   FROM bw_requests WHERE id = $1"
	" RETURNING id, server, ordered_by, quantity),"
	"q AS ("
	" INSERT INTO bw_queue (server, ordered_by, order_id, request_id, quantity,"
	"                       approved, claimed)"
	" SELECT r.server, r.ordered_by, $2[1], r.id, r.quantity, true, true FROM r),"
	"e AS ("
	" INSERT INTO bw_order_events (order_id, status, source, detail)"
	" SELECT m, 'QUEUED', 'reply', 'its request was refused and split'"
	"   FROM unnest($2) AS m)"
	"UPDATE bw_orders AS o SET status = 'QUEUED', request_id = r.id"
	"  FROM r WHERE o.id = ANY ($2)",
	.nargs = 2,
	.argtypes = {INT8OID, INT8ARRAYOID}
};

/* Part of a copy: UNKNOWN is never QUEUED again, so that it goes out as a copy. */
static BwStatement make_part_again = {
	.text =
	"WITH r AS ("
	" INSERT INTO bw_requests (home, kind, server, account_id, ordered_by,"
	"        customer_order_id, members, quantity, state, attempts,"
	"        first_sent_at, last_sent_at)"
	" SELECT home, kind, server, account_id, ordered_by,"
	"        " BW_NEW_CUSTOMER_ORDER_ID("home", "$2[1]") ", $2, cardinality($2),"
	"        'unknown', 1, first_sent_at, last_sent_at"
	"   FROM bw_requests WHERE id = $1"
	" RETURNING id, server),"
	"w AS ("
	" INSERT INTO bw_open_requests (request_id, server, step, due_at)"
	" SELECT r.id, r.server, 'resend', now() FROM r),"
	"e AS ("
	" INSERT INTO bw_order_events (order_id, status, source, detail)"
	" SELECT m, 'UNKNOWN', 'look-up', 'its request was refused and split'"
	"   FROM unnest($2) AS m)"
	"UPDATE bw_orders AS o SET status = 'UNKNOWN', request_id = r.id"
	"  FROM r WHERE o.id = ANY ($2)",
	.nargs = 2,
	.argtypes = {INT8OID, INT8ARRAYOID}
};

static BwStatement close_request = {
	.text =
	"WITH w AS (DELETE FROM bw_open_requests WHERE request_id = $1)"
	"UPDATE bw_requests SET state = 'closed', closed_at = clock_timestamp()"
	" WHERE id = $1",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement put_off = {
	.text =
	"UPDATE bw_queue SET due_at = $4"
	" WHERE server = $1 AND ordered_by = $2 AND order_id = $3",
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, INT8OID, TIMESTAMPTZOID}
};

static BwStatement wait_for = {
	.text =
	"UPDATE bw_queue AS q SET waits_for = w.blocked_by"
	"  FROM unnest($3::bigint[], $4::bigint[]) AS w(order_id, blocked_by)"
	" WHERE q." QUEUE_ROWS " AND q.order_id = w.order_id",
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, INT8ARRAYOID, INT8ARRAYOID}
};

/*
 * What waited for these orders, and is locked by nobody, is free again, except an
 * order for one number, and with one attempt, that the first one got: that would
 * only fail.  The first one is named to those who may see it.
 */
static BwStatement anyone_waits = {
	.text = "SELECT FROM bw_queue WHERE waits_for = ANY ($1) LIMIT 1",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID}
};

static BwStatement release_waiting = {
	.text =
	"WITH w AS ("
	" SELECT q.ctid AS row, q.order_id, r.members FROM bw_queue AS q"
	"   LEFT JOIN bw_requests AS r ON r.id = q.request_id"
	"   JOIN bw_orders AS x ON x.id = q.order_id"
	"  WHERE q.waits_for = ANY ($1) FOR NO KEY UPDATE OF x, q SKIP LOCKED),"
	"lost AS ("
	" SELECT w.row, o.id, o.request_id, min(f.id) AS first,"
	"        bool_or(f.ordered_by = o.ordered_by) AS seen"
	"   FROM w CROSS JOIN LATERAL ("
	"    SELECT * FROM bw_orders AS o"
	"     WHERE o.id = w.order_id AND o.quantity = 1 AND o.attempts = 1"
	"       AND o.kind = 'order'"
	"       AND COALESCE(cardinality(w.members), 1) = 1 OFFSET 0) AS o"
	"  CROSS JOIN LATERAL ("
	"    SELECT m.telephone_number FROM bw_order_numbers AS m"
	"     WHERE m.order_id = o.id OFFSET 0) AS m"
	"  CROSS JOIN LATERAL ("
	"    SELECT n.order_id FROM bw_order_numbers AS n"
	"     WHERE n.telephone_number = m.telephone_number"
	"       AND n.order_id + 0 = ANY ($1) AND n.status = 'COMPLETE' OFFSET 0) AS n"
	"  CROSS JOIN LATERAL ("
	"    SELECT f.id, f.ordered_by FROM bw_orders AS f"
	"     WHERE f.id = n.order_id AND f.account_id = o.account_id"
	"       AND f.kind = 'order' OFFSET 0) AS f"
	"  GROUP BY w.row, o.id, o.request_id),"
	"q AS ("
	" DELETE FROM bw_queue WHERE ctid = ANY (ARRAY(SELECT row FROM lost))),"
	"u AS ("
	" UPDATE bw_queue SET waits_for = NULL"
	"  WHERE ctid = ANY (ARRAY(SELECT w.row FROM w"
	"                           WHERE w.order_id NOT IN (SELECT id FROM lost)))),"
	"n AS ("
	" UPDATE bw_order_numbers SET status = 'FAILED', error_code = '5005',"
	"        error_text = 'ordered already'"
	"   FROM lost WHERE order_id = lost.id),"
	"r AS ("
	" UPDATE bw_requests AS r SET state = 'closed', closed_at = clock_timestamp()"
	"   FROM lost WHERE r.id = lost.request_id),"
	"e AS ("
	" INSERT INTO bw_order_events (order_id, status, source, detail)"
	" SELECT id, 'REJECTED', 'worker', '5005' FROM lost)"
	"UPDATE bw_orders AS o SET status = 'REJECTED', error_code = '5005',"
	"       closed_at = clock_timestamp(), completed_quantity = 0,"
	"       failed_quantity = 1,"
	"       error_text = CASE WHEN lost.seen"
	"                    THEN format('the telephone number was bought by order %s', lost.first)"
	"                    ELSE 'the telephone number was bought by another order' END"
	"  FROM lost WHERE o.id = lost.id"
	" RETURNING o.id",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID}
};

/* Orders that have ended while others wait for them. */
static BwStatement ended_blockers = {
	.text =
	"SELECT b.id"
	"  FROM (SELECT DISTINCT waits_for FROM bw_queue WHERE waits_for IS NOT NULL) AS q"
	" CROSS JOIN LATERAL ("
	"  SELECT b.id FROM bw_orders AS b"
	"   WHERE b.id = q.waits_for AND b.is_final OFFSET 0) AS b",
	.nargs = 0
};

/* Orders that these limits or this server do not let pass. */
static BwStatement hold = {
	.text =
	"WITH q AS ("
	" DELETE FROM bw_queue WHERE " QUEUE_ROWS
	" RETURNING *),"
	"h AS ("
	" INSERT INTO bw_held (order_id, server, ordered_by, quantity, reason, approved)"
	" SELECT order_id, server, ordered_by, quantity, $4, approved FROM q),"
	"e AS ("
	" INSERT INTO bw_order_events (order_id, status, source, detail)"
	" SELECT order_id, 'HELD', 'worker', $4 FROM q)"
	"UPDATE bw_orders AS o SET status = 'HELD' FROM q WHERE o.id = q.order_id"
	" RETURNING o.id",
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, INT8ARRAYOID, TEXTOID}
};

static BwStatement reject = {
	.text =
	"WITH q AS ("
	" DELETE FROM bw_queue WHERE " QUEUE_ROWS
	" RETURNING *),"
	"n AS ("
	" UPDATE bw_order_numbers AS n SET status = 'FAILED'"
	"   FROM q WHERE n.order_id = q.order_id),"
	"r AS ("
	" UPDATE bw_requests AS r SET state = 'closed', closed_at = clock_timestamp()"
	"   FROM q WHERE r.id = q.request_id),"
	"o AS ("
	" UPDATE bw_orders AS o"
	"    SET status = " BW_ENDED_STATUS("REJECTED") ", error_text = $4,"
	"        failed_quantity = o.quantity - o.completed_quantity,"
	"        closed_at = clock_timestamp()"
	"   FROM q WHERE o.id = q.order_id"
	" RETURNING o.id, o.status),"
	"e AS ("
	" INSERT INTO bw_order_events (order_id, status, source, detail)"
	" SELECT id, status, 'worker', $4 FROM o)"
	"SELECT id, status FROM o",
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, INT8ARRAYOID, TEXTOID}
};

/*
 * Orders for numbers; those that give some back have a limit of their own.  What
 * was claimed passed once, and may stand here for others that go with it.
 */
static BwStatement queued_ids = {
	.text =
	"SELECT q.order_id"
	"  FROM bw_queue AS q JOIN bw_orders AS o ON o.id = q.order_id"
	" WHERE q.server = $1 AND q.ordered_by = $2 AND o.status = 'QUEUED'"
	"   AND o.kind = 'order' AND NOT q.claimed"
	" ORDER BY q.order_id LIMIT $3"
	" FOR NO KEY UPDATE OF o SKIP LOCKED",
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTOID, INT4OID}
};

bool
bw_store_next_group(BwGroup *group, bool *more)
{
	Datum		v[2];

	v[0] = CStringGetTextDatum(group->server);
	v[1] = CStringGetTextDatum(group->ordered_by);
	*more = false;
	if (bw_store_run(&next_group, v, NULL) == 0)
		return false;
	*more = bw_store_bool(0, 2);
	group->server = bw_store_text(0, 0);
	group->ordered_by = bw_store_text(0, 1);
	return true;
}

static BwOrderData *
read_order_data(uint64 rows)
{
	BwOrderData *orders = palloc0(sizeof(BwOrderData) * Max(rows, 1));

	for (uint64 i = 0; i < rows; i++)
	{
		BwOrderData *o = &orders[i];

		o->id = bw_store_int64(i, 0);
		o->request_id = bw_store_int64(i, 1);
		o->request_customer_order_id = bw_store_text(i, 2);
		o->kind = bw_order_kind_parse(bw_store_text(i, 3));
		o->quantity = bw_store_int32(i, 4);
		o->site_id = bw_store_text(i, 5);
		o->peer_id = bw_store_text(i, 6);
		o->name = bw_store_text(i, 7);
		o->partial_allowed = bw_store_bool(i, 8);
		o->back_order_requested = bw_store_bool(i, 9);
		o->direct = bw_store_bool(i, 10);
		o->criteria = bw_store_text(i, 11);
		o->numbers = bw_store_texts(i, 12, &o->number_count);
		o->reservation_ids = bw_store_texts(i, 13, &o->reservation_count);
		o->member_count = bw_store_int32(i, 14);
		o->approved = bw_store_bool(i, 15);
		o->blocked_by = bw_store_int64(i, 16);
		o->paused = bw_store_bool(i, 17);
		if (!o->direct)
		{
			o->criteria = bw_store_text(i, 18);
			/* Of several, some may be there already. */
			o->quantity = o->number_count;
		}
	}
	return orders;
}

/* From rivals to those that are under way. */
static void
find_blockers(BwOrderData *orders, int count)
{
	int64	   *ids = palloc(sizeof(int64) * Max(count, 1));
	int			n = 0;
	uint64		rows;
	Datum		v[1];

	for (int i = 0; i < count; i++)
		if (orders[i].blocked_by != 0)
			ids[n++] = orders[i].id;
	if (n == 0)
		return;
	v[0] = bw_store_int64_array(ids, n);
	rows = bw_store_run(&blockers, v, NULL);
	for (int i = 0; i < count; i++)
	{
		orders[i].blocked_by = 0;
		for (uint64 row = 0; row < rows; row++)
			if (bw_store_int64(row, 0) == orders[i].id)
				orders[i].blocked_by = bw_store_int64(row, 1);
	}
}

BwOrderData *
bw_store_pick_orders(const BwGroup *group, const char *account_id, BwPick which,
					 int limit, int *count)
{
	BwOrderData *orders;
	Datum		v[5];

	v[0] = CStringGetTextDatum(group->server);
	v[1] = CStringGetTextDatum(group->ordered_by);
	v[2] = CStringGetTextDatum(account_id);
	v[3] = Int32GetDatum(limit);
	v[4] = Int32GetDatum(which);
	*count = (int) bw_store_run(&pick_orders, v, NULL);
	orders = read_order_data(*count);
	find_blockers(orders, *count);
	return orders;
}

BwOrderData *
bw_store_request_orders(int64 request_id, int *count)
{
	Datum		v[1] = {Int64GetDatum(request_id)};

	*count = (int) bw_store_run(&request_orders, v, NULL);
	return read_order_data(*count);
}

static void
number_new_requests(BwClaim *claims, int count)
{
	Datum		v[1];
	int64	   *first = palloc(sizeof(int64) * count);
	int			fresh = 0;
	int			row = 0;

	for (int i = 0; i < count; i++)
		if (claims[i].is_new)
			first[fresh++] = claims[i].orders[0]->id;
	if (fresh == 0)
		return;
	v[0] = bw_store_int64_array(first, fresh);
	bw_store_run(&new_request_ids, v, NULL);
	for (int i = 0; i < count; i++)
	{
		if (!claims[i].is_new)
			continue;
		claims[i].request_id = bw_store_int64(row, 0);
		claims[i].customer_order_id = bw_store_text(row, 1);
		row++;
	}
}

/* Every order of the claims with its request, as two arrays. */
static void
list_members(const BwClaim *claims, int count, Datum *order_ids,
			 Datum *order_requests)
{
	int64	   *orders;
	int64	   *requests;
	int			n = 0;

	for (int i = 0; i < count; i++)
		n += claims[i].order_count;
	orders = palloc(sizeof(int64) * Max(n, 1));
	requests = palloc(sizeof(int64) * Max(n, 1));
	n = 0;
	for (int i = 0; i < count; i++)
	{
		for (int j = 0; j < claims[i].order_count; j++)
		{
			orders[n] = claims[i].orders[j]->id;
			requests[n++] = claims[i].request_id;
		}
	}
	*order_ids = bw_store_int64_array(orders, n);
	*order_requests = bw_store_int64_array(requests, n);
}

static void
write_new_requests(Datum server, Datum ordered_by, const char *account_id,
				   const BwClaim *claims, int count, Datum order_ids,
				   Datum order_requests)
{
	int64	   *ids = palloc(sizeof(int64) * Max(count, 1));
	const char **names = palloc(sizeof(char *) * Max(count, 1));
	int			n = 0;
	Datum		v[7];

	for (int i = 0; i < count; i++)
	{
		if (!claims[i].is_new)
			continue;
		ids[n] = claims[i].request_id;
		names[n++] = claims[i].customer_order_id;
	}
	if (n == 0)
		return;
	v[0] = server;
	v[1] = ordered_by;
	v[2] = CStringGetTextDatum(account_id);
	v[3] = bw_store_int64_array(ids, n);
	v[4] = bw_store_text_array(names, n);
	v[5] = order_ids;
	v[6] = order_requests;
	bw_store_run(&make_requests, v, NULL);
}

static Datum
known_requests(const BwClaim *claims, int count)
{
	int64	   *ids = palloc(sizeof(int64) * Max(count, 1));
	int			n = 0;

	for (int i = 0; i < count; i++)
		if (!claims[i].is_new)
			ids[n++] = claims[i].request_id;
	return bw_store_int64_array(ids, n);
}

void
bw_store_claim(const BwGroup *group, const char *account_id, BwClaim *claims,
			   int count, const int64 *spent_numbers, int patience_ms)
{
	Datum		server = CStringGetTextDatum(group->server);
	Datum		ordered_by = CStringGetTextDatum(group->ordered_by);
	int64	   *request_ids = palloc(sizeof(int64) * Max(count, 1));
	Datum		order_ids;
	Datum		order_requests;
	Datum		v[9];

	number_new_requests(claims, count);
	for (int i = 0; i < count; i++)
		request_ids[i] = claims[i].request_id;
	list_members(claims, count, &order_ids, &order_requests);
	write_new_requests(server, ordered_by, account_id, claims, count, order_ids,
					   order_requests);
	v[0] = server;
	v[1] = ordered_by;
	v[2] = order_ids;
	v[3] = order_requests;
	v[4] = bw_store_int64_array(request_ids, count);
	v[5] = Int32GetDatum(patience_ms);
	v[6] = Int32GetDatum((int32) spent_numbers[BW_KIND_ORDER]);
	v[7] = known_requests(claims, count);
	v[8] = Int32GetDatum((int32) spent_numbers[BW_KIND_DISCONNECT]);
	bw_store_run(&claim, v, NULL);
}

void
bw_store_requeue(const int64 *order_ids, int count, TimestampTz due_at)
{
	Datum		v[2];

	v[0] = bw_store_int64_array(order_ids, count);
	v[1] = TimestampTzGetDatum(due_at);
	bw_store_run(&requeue, v, NULL);
}

void
bw_store_make_part(int64 request_id, const int64 *order_ids, int count,
				   bool again)
{
	Datum		v[2] = {Int64GetDatum(request_id)};

	if (count == 0)
		return;
	v[1] = bw_store_int64_array(order_ids, count);
	bw_store_run(again ? &make_part_again : &make_part, v, NULL);
}

void
bw_store_close_request(int64 request_id)
{
	Datum		v[1] = {Int64GetDatum(request_id)};

	bw_store_run(&close_request, v, NULL);
}

void
bw_store_put_off(const BwGroup *group, int64 order_id, TimestampTz due_at)
{
	Datum		v[4] = {CStringGetTextDatum(group->server),
		CStringGetTextDatum(group->ordered_by), Int64GetDatum(order_id),
	TimestampTzGetDatum(due_at)};

	bw_store_run(&put_off, v, NULL);
}

void
bw_store_wait_for(const BwGroup *group, const int64 *order_ids,
				  const int64 *blockers, int count)
{
	Datum		v[4];

	v[0] = CStringGetTextDatum(group->server);
	v[1] = CStringGetTextDatum(group->ordered_by);
	v[2] = bw_store_int64_array(order_ids, count);
	v[3] = bw_store_int64_array(blockers, count);
	bw_store_run(&wait_for, v, NULL);
}

int64 *
bw_store_release_waiting(const int64 *final_ids, int final_count, int *count)
{
	Datum		v[1] = {bw_store_int64_array(final_ids, final_count)};

	/* Hardly ever, and only to begin the other statement takes long. */
	if (bw_store_run(&anyone_waits, v, NULL) == 0)
	{
		*count = 0;
		return NULL;
	}
	return bw_store_ids(bw_store_run(&release_waiting, v, NULL), count);
}

int64 *
bw_store_ended_blockers(int *count)
{
	return bw_store_ids(bw_store_run(&ended_blockers, NULL, NULL), count);
}

static int64 *
take_from_queue(BwStatement *statement, const BwGroup *group,
				const int64 *order_ids, int ids, const char *why, int *count)
{
	Datum		v[4];

	v[0] = CStringGetTextDatum(group->server);
	v[1] = CStringGetTextDatum(group->ordered_by);
	v[2] = bw_store_int64_array(order_ids, ids);
	v[3] = CStringGetTextDatum(why);
	return bw_store_ids(bw_store_run(statement, v, NULL), count);
}

int64 *
bw_store_hold(const BwGroup *group, const int64 *order_ids, int ids,
			  const char *reason, int *count)
{
	return take_from_queue(&hold, group, order_ids, ids, reason, count);
}

BwEnded *
bw_store_reject(const BwGroup *group, const int64 *order_ids, int ids,
				const char *error_text, int *count)
{
	(void) take_from_queue(&reject, group, order_ids, ids, error_text, count);
	return bw_store_ended(*count);
}

BwEnded *
bw_store_ended(uint64 rows)
{
	BwEnded    *ended = palloc(sizeof(BwEnded) * Max(rows, 1));

	for (uint64 i = 0; i < rows; i++)
	{
		ended[i].order_id = bw_store_int64(i, 0);
		if (!bw_order_status_parse(bw_store_text(i, 1), &ended[i].status))
			elog(ERROR, "unrecognized order status");
	}
	return ended;
}

int64 *
bw_store_hold_group(const BwGroup *group, const char *reason, int limit,
					int *count)
{
	Datum		v[3];
	int64	   *ids;

	v[0] = CStringGetTextDatum(group->server);
	v[1] = CStringGetTextDatum(group->ordered_by);
	v[2] = Int32GetDatum(limit);
	ids = bw_store_ids(bw_store_run(&queued_ids, v, NULL), count);
	return bw_store_hold(group, ids, *count, reason, count);
}
