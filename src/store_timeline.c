/*-------------------------------------------------------------------------
 *
 * store_timeline.c
 *	  Statements on orders that were sent by another timeline, maybe.
 *
 * src/store_timeline.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "store_timeline.h"

/* Who ordered lately is looked after even if nothing waits. */
#define RECENT_ORDERS "1000"

/* Clocks differ, and dates of replies are cut to the second. */
#define CLOCK_GRACE "interval '10 s'"

/* True if it was another one.  The first timeline of a cluster follows none. */
static BwStatement note_timeline = {
	.text =
	"UPDATE bw_identity AS i"
	"   SET timeline = $1,"
	"       requests_before = CASE WHEN COALESCE(old.timeline, 1) = $1 THEN old.requests_before"
	"                         ELSE COALESCE((SELECT max(r.id) FROM bw_requests AS r), 0) END"
	"  FROM bw_identity AS old"
	" WHERE i.timeline IS DISTINCT FROM $1"
	" RETURNING COALESCE(old.timeline, 1) <> $1",
	.nargs = 1,
	.argtypes = {INT4OID}
};

static BwStatement doubt_unsent = {
	.text =
	"WITH o AS ("
	" SELECT order_id AS id, true AS unsent FROM bw_queue"
	" UNION ALL SELECT order_id, true FROM bw_held"
	" UNION ALL (SELECT id, false FROM bw_orders ORDER BY id DESC LIMIT " RECENT_ORDERS "))"
	"INSERT INTO bw_doubts AS d (server, ordered_by, up_to, since)"
	" SELECT b.server, b.ordered_by, max(b.id),"
	"        COALESCE(min(b.created_at) FILTER (WHERE o.unsent), max(b.created_at))"
	"   FROM o JOIN bw_orders AS b ON b.id = o.id"
	"  WHERE b.home = (SELECT i.home FROM bw_identity AS i)"
	"  GROUP BY b.server, b.ordered_by"
	" ON CONFLICT (server, ordered_by)"
	" DO UPDATE SET up_to = EXCLUDED.up_to, due_at = now(), tries = 0,"
	"               since = least(d.since, EXCLUDED.since)",
	.nargs = 0
};

/*
 * The other timeline may have sent it: it is asked about as if it was sent once
 * more, and what was learnt before that is forgotten.
 */
static BwStatement doubt_resends = {
	.text =
	"UPDATE bw_open_requests AS w"
	"   SET step = 'look_up', due_at = now(), tries = 0,"
	"       refused_code = NULL, refused_text = NULL, checked_numbers = '{}'"
	"  FROM bw_requests AS r"
	" WHERE w.step = 'resend' AND r.id = w.request_id"
	"   AND r.home = (SELECT i.home FROM bw_identity AS i)",
	.nargs = 0
};

static BwStatement due_doubts = {
	.text =
	"SELECT d.server, d.ordered_by, d.up_to, d.since, d.tries, d.due_at <= now(), d.due_at,"
	"       EXISTS (SELECT FROM (SELECT server, ordered_by, order_id FROM bw_queue"
	"                            UNION ALL SELECT server, ordered_by, order_id FROM bw_held) AS w"
	"                 JOIN bw_orders AS o ON o.id = w.order_id AND o.kind = 'disconnect'"
	"                WHERE w.server = d.server AND w.ordered_by = d.ordered_by)"
	"  FROM bw_doubts AS d",
	.nargs = 0
};

static BwStatement doubt_later = {
	.text =
	"UPDATE bw_doubts SET due_at = $3, tries = $4"
	" WHERE server = $1 AND ordered_by = $2",
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, TIMESTAMPTZOID, INT4OID}
};

static BwStatement end_doubt = {
	.text = "DELETE FROM bw_doubts WHERE server = $1 AND ordered_by = $2",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID}
};

/*
 * What the ids that we make look like says BW_NEW_CUSTOMER_ORDER_ID.  The attempts
 * of an order share an id of the user's own; what is bound, or noted as lost, was
 * found before.
 */
static BwStatement may_be_ours = {
	.text =
	"WITH t AS ("
	" SELECT c, b, n::int AS n, split_part(c, '-', 1)"
	"                           = (SELECT left(i.home::text, 8) FROM bw_identity AS i) AS made_here"
	"   FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS t(c, b, n))"
	"SELECT DISTINCT ON (t.n) t.n, CASE WHEN r.state = 'new' THEN r.id END,"
	"       COALESCE(o.id, CASE WHEN made_here"
	"                      THEN substring(t.c, '-([0-9]{1,18})-')::bigint END)"
	"  FROM t"
	"  LEFT JOIN bw_requests AS r ON r.account_id = $1 AND r.customer_order_id COLLATE \"C\" = t.c"
	"  LEFT JOIN bw_orders AS o ON o.account_id = $1 AND o.customer_order_id = t.c"
	" WHERE (r.state = 'new'"
	"        OR r.id IS NULL AND (made_here OR o.status IN ('QUEUED', 'HELD'))"
	"        OR o.status IN ('QUEUED', 'HELD') AND o.attempts_used > 1)"
	"   AND NOT EXISTS (SELECT FROM bw_requests AS x"
	"                    WHERE x.bandwidth_order_id COLLATE \"C\" = t.b)"
	"   AND NOT EXISTS (SELECT FROM bw_lost_orders AS l"
	"                    WHERE l.account_id = $1 AND l.bandwidth_order_id = t.b)"
	" ORDER BY t.n, r.state <> 'new'",
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTARRAYOID, TEXTARRAYOID}
};

/* The numbers that an order asks for in its present attempt, as "n". */
#define NOW_WANTED(o) "n.order_id = " o ".id AND n.attempt = " o ".attempts_used"

/*
 * The members of a request of this server and role that waits, if it asks for
 * the same.  Requests of others in the account are found by their own look.
 */
static BwStatement members_of_request = {
	.text =
	"SELECT o.id FROM bw_requests AS r JOIN bw_orders AS o ON o.id = ANY (r.members)"
	" WHERE r.id = $1 AND r.state = 'new' AND o.status IN ('QUEUED', 'HELD')"
	"   AND r.server = $5 AND r.ordered_by = $6"
	"   AND r.created_at <= COALESCE($2 + " CLOCK_GRACE ", 'infinity')"
	"   AND CASE r.kind"
	"       WHEN 'direct' THEN cardinality($3) = 0 AND $4 IN (-1, r.quantity)"
	"       ELSE cardinality($3) = 0 OR $3 ="
	"            (SELECT array_agg(n.telephone_number ORDER BY n.telephone_number)"
	"               FROM bw_orders AS m JOIN bw_order_numbers AS n ON " NOW_WANTED("m")
	"              WHERE m.id = ANY (r.members))"
	"       END"
	" ORDER BY o.id FOR NO KEY UPDATE OF o NOWAIT",
	.nargs = 6,
	.argtypes = {INT8OID, TIMESTAMPTZOID, TEXTARRAYOID, INT8OID, NAMEOID, NAMEOID}
};

/*
 * Without a request: orders for one of the numbers, which shared one, or the
 * order ($6) that was given these numbers by a search: what it searches for, and
 * what it has besides.  What was sent before they were made ($7) was sent by others,
 * which were lost.
 */
static BwStatement members_by_numbers = {
	.text =
	"WITH c AS ("
	" SELECT o.id, o.attempts_used, o.direct, o.partial_allowed, r.id AS request,"
	"        n.count AS numbers, s.count AS searched,"
	"        CASE WHEN s.count > 0 THEN s.count + n.count"
	"             WHEN o.criteria IS NOT NULL THEN o.quantity END AS wanted"
	"   FROM bw_orders AS o LEFT JOIN bw_requests AS r ON r.id = o.request_id"
	"  CROSS JOIN LATERAL ("
	"   SELECT count(*)::int AS count FROM bw_order_numbers AS n"
	"    WHERE " NOW_WANTED("o") ") AS n"
	"  CROSS JOIN LATERAL ("
	"   SELECT COALESCE(sum(s.quantity), 0)::int AS count FROM bw_searches AS s"
	"    WHERE s.order_id = o.id) AS s"
	"  WHERE (o.id = $6 OR"
	"         o.id IN (SELECT n.order_id FROM bw_order_numbers AS n"
	"                   WHERE n.telephone_number = ANY ($4)))"
	"    AND o.server = $1 AND o.ordered_by = $2 AND o.account_id = $3"
	"    AND o.id <= $5 AND o.status IN ('QUEUED', 'HELD')"
	"    AND o.created_at <= COALESCE($7 + " CLOCK_GRACE ", 'infinity')),"
	"m AS ("
	" SELECT min(c.id) AS id FROM c JOIN bw_order_numbers AS n ON " NOW_WANTED("c")
	"  WHERE c.numbers = 1 AND c.searched = 0 AND n.telephone_number = ANY ($4)"
	"  GROUP BY n.telephone_number"
	" UNION "
	" SELECT c.id FROM c"
	"  WHERE c.id = $6 AND NOT c.direct AND c.request IS NULL"
	"    AND cardinality($4) BETWEEN CASE WHEN c.partial_allowed THEN 1 ELSE c.wanted END"
	"                            AND c.wanted)"
	"SELECT o.id FROM bw_orders AS o WHERE o.id IN (SELECT m.id FROM m)"
	" ORDER BY o.id FOR NO KEY UPDATE OF o NOWAIT",
	.nargs = 7,
	.argtypes = {NAMEOID, NAMEOID, TEXTOID, TEXTARRAYOID, INT8OID, INT8OID,
	TIMESTAMPTZOID}
};

/*
 * $1: the orders; $2: their request, null if it has to be made; $3, $4: the
 * ids of the order at Bandwidth and of ours; $5: when it was made; $6: its
 * numbers; $7, $8: the group.
 *
 * An order has its number already, unless its search is not over here: then it
 * was given all that are there.  One that may have been sent in other attempts as
 * well tries no more numbers (requests_before).
 *
 * A request that waits may have been split there: what is found is taken out
 * of it, and its other orders wait on their own.
 */
static BwStatement bind_sent = {
	.text =
	"WITH o AS ("
	" SELECT o.*, NOT EXISTS (SELECT FROM bw_searches AS s WHERE s.order_id = o.id)"
	"             AND EXISTS"
	"        (SELECT FROM bw_order_numbers AS n"
	"          WHERE " NOW_WANTED("o") " AND n.telephone_number = ANY ($6)) AS by_number"
	"   FROM bw_orders AS o WHERE o.id = ANY ($1)),"
	"n AS ("
	" INSERT INTO bw_order_numbers (order_id, telephone_number, attempt)"
	" SELECT o.id, t, o.attempts_used FROM o, unnest($6::text[]) AS t"
	"  WHERE NOT o.by_number AND NOT o.direct AND o.request_id IS NULL"
	" ON CONFLICT DO NOTHING),"
	"made AS ("
	" INSERT INTO bw_requests (home, kind, server, account_id, ordered_by,"
	"        customer_order_id, members, quantity, shared, state, attempts,"
	"        bandwidth_order_id, first_sent_at, last_sent_at)"
	" SELECT o.home, 'explicit', o.server, o.account_id, o.ordered_by, $4, $1,"
	"        CASE WHEN o.by_number THEN cardinality($1) ELSE cardinality($6) END,"
	"        o.by_number, 'open', 1, $3, $5, $5"
	"   FROM o WHERE $2 IS NULL ORDER BY o.id LIMIT 1"
	" RETURNING id),"
	"known AS ("
	" UPDATE bw_requests SET state = 'open', attempts = 1, bandwidth_order_id = $3,"
	"        first_sent_at = $5, last_sent_at = $5"
	"  WHERE id = $2 RETURNING id),"
	"r AS (SELECT id FROM made UNION ALL SELECT id FROM known),"
	"i AS ("
	" UPDATE bw_identity SET requests_before = greatest(requests_before, made.id)"
	"   FROM made),"
	"s AS (DELETE FROM bw_searches WHERE order_id = ANY ($1)),"
	"old AS ("
	" UPDATE bw_requests SET state = 'closed', closed_at = clock_timestamp()"
	"  WHERE $2 IS NULL AND state <> 'closed' AND id IN (SELECT request_id FROM o)"
	" RETURNING members),"
	"b AS ("
	" INSERT INTO bw_queue (server, ordered_by, order_id, quantity, approved, claimed)"
	" SELECT m.server, m.ordered_by, m.id, m.quantity, true, true"
	"   FROM old JOIN bw_orders AS m ON m.id = ANY (old.members)"
	"  WHERE m.id <> ALL ($1) AND m.status = 'QUEUED'"
	" ON CONFLICT (server, ordered_by, order_id)"
	" DO UPDATE SET request_id = NULL, quantity = EXCLUDED.quantity),"
	"q AS ("
	" DELETE FROM bw_queue"
	"  WHERE server = $7 AND ordered_by = $8 AND order_id = ANY ($1)),"
	"h AS (DELETE FROM bw_held WHERE order_id = ANY ($1)),"
	"e AS ("
	" INSERT INTO bw_order_events (order_id, status, source, detail)"
	" SELECT o.id, 'RECEIVED', 'look-up',"
	"        format('found as order %s, which was sent before the database changed hands', $3)"
	"   FROM o),"
	"w AS ("
	" INSERT INTO bw_open_requests (request_id, server, step, due_at)"
	" SELECT r.id, $7, 'poll', now() FROM r)"
	"UPDATE bw_orders SET status = 'RECEIVED', request_id = r.id,"
	"       bandwidth_order_id = $3, sent_at = $5, received_at = clock_timestamp()"
	"  FROM r WHERE bw_orders.id = ANY ($1) RETURNING bw_orders.quantity",
	.nargs = 8,
	.argtypes = {INT8ARRAYOID, INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID,
	TEXTARRAYOID, TEXTOID, TEXTOID}
};

/*
 * $1, $2: the group; $3: the account; $4, $5: the ids of the order at Bandwidth
 * and of ours; $6: the order that names; $7: its numbers; $8: when it was made;
 * $9: its state; $10: the orders of ours that it carries; $11: its kind.
 *
 * Only what has our mark: an id of a user's own may come from anywhere.  Orders
 * of another group that wait may be what it carries, as that group's look will
 * find, or has found meanwhile; and what was pruned here was not lost.
 */
static BwStatement note_lost = {
	.text =
	"INSERT INTO bw_lost_orders (account_id, bandwidth_order_id, home, kind, server,"
	"       customer_order_id, bandwidth_status, telephone_numbers, created_at)"
	" SELECT $3, $4, i.home, $11, $1, $5, $9, t.lost, $8"
	"   FROM bw_identity AS i,"
	"        (SELECT ARRAY(SELECT unnest($7) EXCEPT"
	"                      SELECT n.telephone_number FROM bw_order_numbers AS n"
	"                       WHERE n.order_id = ANY ($10) ORDER BY 1) AS lost) AS t"
	"  WHERE split_part($5, '-', 1) = left(i.home::text, 8)"
	"    AND (t.lost <> '{}' OR $10 = '{}')"
	"    AND COALESCE($8, 'infinity') >= i.pruned_before"
	"    AND ($10 <> '{}' OR NOT EXISTS (SELECT FROM bw_requests AS r"
	"                                     WHERE r.bandwidth_order_id COLLATE \"C\" = $4))"
	"    AND NOT EXISTS"
	"        (SELECT FROM bw_doubts AS d"
	"           JOIN bw_orders AS o ON o.server = d.server AND o.ordered_by = d.ordered_by"
	"          WHERE (d.server, d.ordered_by) <> ($1, $2)"
	"            AND o.id <= d.up_to AND o.status IN ('QUEUED', 'HELD')"
	"            AND (o.id = $6 OR o.id IN (SELECT n.order_id FROM bw_order_numbers AS n"
	"                                        WHERE n.telephone_number = ANY (t.lost))))"
	" ON CONFLICT DO NOTHING",
	.nargs = 11,
	.argtypes = {NAMEOID, NAMEOID, TEXTOID, TEXTOID, TEXTOID, INT8OID,
	TEXTARRAYOID, TIMESTAMPTZOID, TEXTOID, INT8ARRAYOID, TEXTOID}
};

static BwStatement count_lost = {
	.text =
	"SELECT count(*) FROM bw_lost_orders AS l"
	" WHERE l.account_id = $1 AND l.home = (SELECT i.home FROM bw_identity AS i)",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

int
bw_current_timeline(void)
{
	return (int) GetWALInsertionTimeLine();
}

int
bw_store_note_timeline(void)
{
	Datum		v[1] = {Int32GetDatum(bw_current_timeline())};

	if (bw_store_run(&note_timeline, v, NULL) == 0 || !bw_store_bool(0, 0))
		return 0;
	bw_store_doubt_resends();
	return bw_store_doubt_unsent();
}

void
bw_store_doubt_resends(void)
{
	bw_store_run(&doubt_resends, NULL, NULL);
}

int
bw_store_doubt_unsent(void)
{
	return (int) bw_store_run(&doubt_unsent, NULL, NULL);
}

BwDoubt *
bw_store_due_doubts(int *count, TimestampTz *next_due)
{
	uint64		rows = bw_store_run(&due_doubts, NULL, NULL);
	BwDoubt    *doubts = palloc0(sizeof(BwDoubt) * Max(rows, 1));

	*count = 0;
	*next_due = DT_NOEND;
	for (uint64 i = 0; i < rows; i++)
	{
		BwDoubt    *doubt = &doubts[*count];

		if (!bw_store_bool(i, 5))
		{
			*next_due = Min(*next_due, bw_store_time(i, 6));
			continue;
		}
		doubt->server = bw_store_text(i, 0);
		doubt->ordered_by = bw_store_text(i, 1);
		doubt->up_to = bw_store_int64(i, 2);
		doubt->since = bw_store_time(i, 3);
		doubt->tries = bw_store_int32(i, 4);
		doubt->disconnects = bw_store_bool(i, 7);
		(*count)++;
	}
	return doubts;
}

void
bw_store_doubt_later(const BwDoubt *doubt, TimestampTz due_at, int tries)
{
	Datum		v[4];

	v[0] = CStringGetTextDatum(doubt->server);
	v[1] = CStringGetTextDatum(doubt->ordered_by);
	v[2] = TimestampTzGetDatum(due_at);
	v[3] = Int32GetDatum(tries);
	bw_store_run(&doubt_later, v, NULL);
}

void
bw_store_end_doubt(const BwDoubt *doubt)
{
	Datum		v[2] = {CStringGetTextDatum(doubt->server),
	CStringGetTextDatum(doubt->ordered_by)};

	bw_store_run(&end_doubt, v, NULL);
}

BwOurs *
bw_store_may_be_ours(const char *account_id, const char *const *customer_order_ids,
					 const char *const *bandwidth_order_ids, int ids, int *count)
{
	Datum		v[3] = {CStringGetTextDatum(account_id),
		bw_store_text_array(customer_order_ids, ids),
	bw_store_text_array(bandwidth_order_ids, ids)};
	uint64		rows = bw_store_run(&may_be_ours, v, NULL);
	BwOurs	   *ours = palloc(sizeof(BwOurs) * Max(rows, 1));

	*count = (int) rows;
	for (uint64 i = 0; i < rows; i++)
	{
		ours[i].position = bw_store_int32(i, 0) - 1;
		ours[i].request_id = bw_store_is_null(i, 1) ? 0 : bw_store_int64(i, 1);
		ours[i].order_id = bw_store_is_null(i, 2) ? 0 : bw_store_int64(i, 2);
	}
	return ours;
}

static int64 *
lock_members(const BwDoubt *doubt, const char *account_id, const BwSent *sent,
			 Datum numbers, int *count)
{
	uint64		rows;
	int64	   *ids;
	Datum		server = DirectFunctionCall1(namein, CStringGetDatum(doubt->server));
	Datum		role = DirectFunctionCall1(namein, CStringGetDatum(doubt->ordered_by));
	Datum		v[7];
	bool		nulls[7] = {false};

	if (sent->request_id != 0)
	{
		v[0] = Int64GetDatum(sent->request_id);
		v[1] = TimestampTzGetDatum(sent->created);
		nulls[1] = sent->created == DT_NOBEGIN;
		v[2] = numbers;
		v[3] = Int64GetDatum(sent->quantity);
		v[4] = server;
		v[5] = role;
		rows = bw_store_run(&members_of_request, v, nulls);
	}
	else if (sent->kind == BW_KIND_DISCONNECT)
		rows = 0;				/* each of ours has its request */
	else
	{
		v[0] = server;
		v[1] = role;
		v[2] = CStringGetTextDatum(account_id);
		v[3] = numbers;
		v[4] = Int64GetDatum(doubt->up_to);
		v[5] = Int64GetDatum(sent->order_id);
		v[6] = TimestampTzGetDatum(sent->created);
		nulls[6] = sent->created == DT_NOBEGIN;
		rows = bw_store_run(&members_by_numbers, v, nulls);
	}
	ids = palloc(sizeof(int64) * Max(rows, 1));
	for (uint64 i = 0; i < rows; i++)
		ids[i] = bw_store_int64(i, 0);
	*count = (int) rows;
	return ids;
}

int64 *
bw_store_bind_sent(const BwDoubt *doubt, const char *account_id,
				   const BwSent *sent, int *count)
{
	Datum		numbers = bw_store_text_array((const char *const *) sent->numbers,
											  sent->number_count);
	int64	   *ids = lock_members(doubt, account_id, sent, numbers, count);
	Datum		v[8];
	bool		nulls[8] = {false};

	if (*count == 0)
		return ids;
	v[0] = bw_store_int64_array(ids, *count);
	v[1] = Int64GetDatum(sent->request_id);
	nulls[1] = sent->request_id == 0;
	v[2] = CStringGetTextDatum(sent->bandwidth_order_id);
	v[3] = CStringGetTextDatum(sent->customer_order_id);
	v[4] = TimestampTzGetDatum(sent->created == DT_NOBEGIN
							   ? GetCurrentTimestamp() : sent->created);
	v[5] = numbers;
	v[6] = CStringGetTextDatum(doubt->server);
	v[7] = CStringGetTextDatum(doubt->ordered_by);
	bw_store_run(&bind_sent, v, nulls);
	return ids;
}

bool
bw_store_note_lost(const BwDoubt *doubt, const char *account_id, const BwSent *sent,
				   const int64 *ids, int count)
{
	Datum		v[11];
	bool		nulls[11] = {false};

	v[0] = DirectFunctionCall1(namein, CStringGetDatum(doubt->server));
	v[1] = DirectFunctionCall1(namein, CStringGetDatum(doubt->ordered_by));
	v[2] = CStringGetTextDatum(account_id);
	v[3] = CStringGetTextDatum(sent->bandwidth_order_id);
	v[4] = CStringGetTextDatum(sent->customer_order_id);
	v[5] = Int64GetDatum(sent->order_id);
	v[6] = bw_store_text_array((const char *const *) sent->numbers, sent->number_count);
	v[7] = TimestampTzGetDatum(sent->created);
	nulls[7] = sent->created == DT_NOBEGIN;
	nulls[8] = sent->status == NULL;
	if (!nulls[8])
		v[8] = CStringGetTextDatum(sent->status);
	v[9] = bw_store_int64_array(ids, count);
	v[10] = CStringGetTextDatum(bw_order_kind_name(sent->kind));
	return bw_store_run(&note_lost, v, nulls) > 0;
}

int64
bw_store_count_lost(const char *account_id)
{
	Datum		v[1] = {CStringGetTextDatum(account_id)};

	bw_store_run(&count_lost, v, NULL);
	return bw_store_int64(0, 0);
}
