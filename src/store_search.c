/*-------------------------------------------------------------------------
 *
 * store_search.c
 *	  Statements on numbers that are to be searched for.
 *
 * src/store_search.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "store_search.h"

/* The work list comes first: each of its rows is then one look into an index. */
static BwStatement search_groups = {
	.text =
	"SELECT s.server, s.ordered_by, o.account_id, s.criteria::text, s.prefix,"
	"       CASE WHEN s.ask IS NULL THEN min(s.place) END,"
	"       least(sum(s.quantity), 5000)::int, s.ask"
	"  FROM (SELECT server, ordered_by, order_id, place, quantity, asks[1] AS ask,"
	"               CASE WHEN asks = '{}' THEN criteria END AS criteria,"
	"               CASE WHEN asks = '{}' AND criteria IS NULL"
	"                    THEN left(place, 6) END AS prefix"
	"          FROM bw_searches OFFSET 0) AS s"
	" CROSS JOIN LATERAL ("
	"  SELECT FROM bw_queue AS q"
	"   WHERE q.server = s.server AND q.ordered_by = s.ordered_by"
	"     AND q.order_id = s.order_id AND q.search AND NOT " BW_IN_DOUBT("q") " OFFSET 0) AS q"
	" CROSS JOIN LATERAL ("
	"  SELECT o.account_id FROM bw_orders AS o"
	"   WHERE o.id = s.order_id AND o.status = 'QUEUED'"
	"     AND o.home = (SELECT i.home FROM bw_identity AS i) OFFSET 0) AS o"
	" WHERE NOT EXISTS (SELECT FROM bw_pauses AS p"
	"                    WHERE p.server = s.server"
	"                      AND p.ordered_by IN ('', s.ordered_by))"
	" GROUP BY s.server, s.ordered_by, o.account_id, s.criteria, s.prefix, s.ask"
	" ORDER BY min(s.order_id)",
	.nargs = 0
};

static BwStatement paused_searches = {
	.text =
	"SELECT DISTINCT s.server, s.ordered_by"
	"  FROM bw_pauses AS p"
	"  JOIN bw_searches AS s ON s.server = p.server AND p.ordered_by IN ('', s.ordered_by)"
	" WHERE p.automatic",
	.nargs = 0
};

/* Rows of a group whose key is $1 to $6. */
#define OF_GROUP(s) \
	s ".server = $1 AND " s ".ordered_by = $2" \
	" AND " s ".asks[1] IS NOT DISTINCT FROM $6" \
	" AND ($6 IS NOT NULL OR " s ".criteria IS NOT DISTINCT FROM $4::jsonb)" \
	" AND ($5 IS NULL OR left(" s ".place, 6) = $5) "

static BwStatement lock_searches = {
	.text =
	"SELECT s.order_id, s.place, s.quantity, s.replaces,"
	"       o.partial_allowed, o.attempts_used"
	"  FROM bw_searches AS s"
	"  JOIN bw_queue AS q ON q.server = s.server AND q.ordered_by = s.ordered_by"
	"                    AND q.order_id = s.order_id AND q.search"
	"  JOIN bw_orders AS o ON o.id = s.order_id"
	" WHERE " OF_GROUP("s")
	"   AND o.account_id = $3 AND o.status = 'QUEUED'"
	" ORDER BY s.order_id, s.place LIMIT 5000"
	" FOR NO KEY UPDATE OF o, q, s SKIP LOCKED",
	.nargs = 6,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}
};

static BwStatement free_numbers = {
	.text =
	"SELECT t.tn, x.wanted, x.had"
	"  FROM unnest($1::text[]) WITH ORDINALITY AS t(tn, n)"
	" CROSS JOIN LATERAL ("
	"  SELECT COALESCE(bool_or(x.status = 'PENDING'"
	"                          AND EXISTS (SELECT FROM bw_orders AS o"
	"                                       WHERE o.id = x.order_id AND NOT o.is_final)),"
	"                  false) AS wanted,"
	"         COALESCE(bool_or(x.order_id = ANY ($2)), false) AS had"
	"    FROM bw_order_numbers AS x"
	"   WHERE x.telephone_number = t.tn OFFSET 0) AS x"
	" ORDER BY t.n",
	.nargs = 2,
	.argtypes = {TEXTARRAYOID, INT8ARRAYOID}
};

static BwStatement give_numbers = {
	.text =
	"WITH g AS ("
	" SELECT * FROM unnest($1::bigint[], $2::text[], $3::int[], $4::text[])"
	"   AS g(order_id, tn, attempt, replaces)),"
	"e AS ("
	" INSERT INTO bw_order_events (order_id, status, source, detail)"
	" SELECT order_id, 'QUEUED', 'worker', format('%s instead of %s', tn, replaces)"
	"   FROM g WHERE replaces IS NOT NULL)"
	"INSERT INTO bw_order_numbers (order_id, telephone_number, attempt, replaces)"
	" SELECT order_id, tn, attempt, replaces FROM g",
	.nargs = 4,
	.argtypes = {INT8ARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID}
};

static BwStatement search_steps = {
	.text =
	"WITH c AS ("
	" SELECT * FROM unnest($1::bigint[], $2::text[], $3::int[], $4::int[])"
	"   AS c(order_id, place, given, next)),"
	"d AS ("
	" DELETE FROM bw_searches AS s USING c"
	"  WHERE s.order_id = c.order_id AND s.place = c.place AND c.next = 0)"
	"UPDATE bw_searches AS s"
	"   SET quantity = s.quantity - c.given, replaces = s.replaces[c.given + 1:],"
	"       criteria = CASE WHEN c.next = 1 THEN s.criteria END"
	"  FROM c"
	" WHERE s.order_id = c.order_id AND s.place = c.place"
	"   AND (c.next = 2 OR c.next = 1 AND c.given > 0)",
	.nargs = 4,
	.argtypes = {INT8ARRAYOID, TEXTARRAYOID, INT4ARRAYOID, INT4ARRAYOID}
};

static BwStatement widen = {
	.text =
	"UPDATE bw_searches AS s"
	"   SET criteria = jsonb_build_object('area_code', left(s.place, 3),"
	"                  'rate_center', $7::text, 'state', $8::text, 'lca', false)"
	" WHERE s.ctid = ANY (ARRAY("
	"  SELECT l.ctid FROM bw_searches AS l"
	"   WHERE " OF_GROUP("l") " AND $3 = (SELECT o.account_id FROM bw_orders AS o"
	"                                      WHERE o.id = l.order_id)"
	"  FOR NO KEY UPDATE SKIP LOCKED))",
	.nargs = 8,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}
};

static BwStatement asked = {
	.text =
	"WITH c AS (SELECT * FROM unnest($1::bigint[], $2::text[]) AS c(order_id, place)),"
	"o AS ("
	" UPDATE bw_orders AS o SET error_text = $5 FROM c WHERE $4 AND o.id = c.order_id),"
	"n AS ("
	" UPDATE bw_order_numbers AS n SET error_text = $5"
	"   FROM c WHERE $4 AND n.order_id = c.order_id AND n.telephone_number = $3),"
	"d AS ("
	" DELETE FROM bw_searches AS s USING c"
	"  WHERE $4 AND s.order_id = c.order_id AND s.place = c.place AND s.quantity = 1)"
	"UPDATE bw_searches AS s"
	"   SET asks = s.asks[2:], quantity = s.quantity - $4::int,"
	"       replaces = CASE WHEN $4 THEN array_remove(s.replaces, $3) ELSE s.replaces END"
	"  FROM c"
	" WHERE s.order_id = c.order_id AND s.place = c.place AND NOT ($4 AND s.quantity = 1)",
	.nargs = 5,
	.argtypes = {INT8ARRAYOID, TEXTARRAYOID, TEXTOID, BOOLOID, TEXTOID}
};

/* Who cannot share a request gets his own now, as bw_order() would make it. */
static BwStatement found = {
	.text =
	"WITH f AS ("
	" SELECT o.*, n.count FROM bw_orders AS o"
	"  CROSS JOIN LATERAL ("
	"   SELECT count(*)::int FROM bw_order_numbers AS n"
	"    WHERE n.order_id = o.id AND n.status = 'PENDING' OFFSET 0) AS n"
	"  WHERE o.id = ANY ($1) AND n.count > 0"
	"    AND NOT EXISTS (SELECT FROM bw_searches AS s WHERE s.order_id = o.id)),"
	"r AS ("
	" INSERT INTO bw_requests (home, kind, server, account_id, ordered_by,"
	"        customer_order_id, members, quantity)"
	" SELECT home, 'explicit', server, account_id, ordered_by,"
	"        COALESCE(customer_order_id, " BW_NEW_CUSTOMER_ORDER_ID("home", "id") "),"
	"        ARRAY[id], count"
	"   FROM f"
	"  WHERE count > 1 OR name IS NOT NULL OR customer_order_id IS NOT NULL"
	" RETURNING id, members[1] AS order_id),"
	"o AS ("
	" UPDATE bw_orders AS o SET request_id = r.id FROM r WHERE o.id = r.order_id)"
	"UPDATE bw_queue AS q"
	"   SET search = false, request_id = r.id, quantity = f.count, criteria = $2::jsonb"
	"  FROM f LEFT JOIN r ON r.order_id = f.id"
	" WHERE q.server = f.server::text AND q.ordered_by = f.ordered_by::text"
	"   AND q.order_id = f.id",
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, TEXTOID}
};

/*
 * An order that Bandwidth never saw is REJECTED.  Another one keeps the error
 * that made it look further.
 */
static BwStatement end_searches = {
	.text =
	"WITH t AS ("
	" SELECT DISTINCT ON (t.order_id) t.order_id, t.text"
	"   FROM unnest($1::bigint[], $2::text[], $4::int[]) AS t(order_id, text, certain)"
	"  WHERE t.certain = 1"
	"     OR NOT EXISTS (SELECT FROM bw_searches AS s WHERE s.order_id = t.order_id)"
	"        AND NOT EXISTS (SELECT FROM bw_order_numbers AS n"
	"                         WHERE n.order_id = t.order_id AND n.status = 'PENDING')"
	"  ORDER BY t.order_id, t.certain DESC),"
	"o AS ("
	" UPDATE bw_orders AS o"
	"    SET status = CASE WHEN attempts_used = 1 THEN 'REJECTED'"
	"                 ELSE " BW_ENDED_STATUS("FAILED") " END,"
	"        error_code = CASE WHEN attempts_used = 1 THEN $3"
	"                     ELSE COALESCE(error_code, $3) END,"
	"        error_text = CASE WHEN attempts_used = 1 THEN t.text"
	"                     ELSE COALESCE(error_text, t.text) END,"
	"        completed_quantity = COALESCE(completed_quantity, 0),"
	"        failed_quantity = quantity - COALESCE(completed_quantity, 0),"
	"        closed_at = clock_timestamp()"
	"   FROM t WHERE o.id = t.order_id AND o.status = 'QUEUED'"
	" RETURNING o.id, o.server, o.ordered_by, o.status, t.text),"
	"s AS (DELETE FROM bw_searches AS s USING o WHERE s.order_id = o.id),"
	"q AS ("
	" DELETE FROM bw_queue AS q USING o"
	"  WHERE q.server = o.server::text AND q.ordered_by = o.ordered_by::text"
	"    AND q.order_id = o.id),"
	"n AS ("
	" UPDATE bw_order_numbers AS n"
	"    SET status = 'FAILED', error_code = $3, error_text = o.text"
	"   FROM o WHERE n.order_id = o.id AND n.status = 'PENDING'),"
	"e AS ("
	" INSERT INTO bw_order_events (order_id, status, source, detail)"
	" SELECT id, status, 'reply', text FROM o)"
	"SELECT id, status FROM o",
	.nargs = 4,
	.argtypes = {INT8ARRAYOID, TEXTARRAYOID, TEXTOID, INT4ARRAYOID}
};

/*
 * $1 to $3: orders, sources and details of their events; $4, $5: the numbers
 * that were taken.  A number in place of another one names the one that the
 * user asked for first.  Numbers that still are PENDING were not ordered only
 * because others of the order were taken: they stay, for the next attempt.
 * The next attempt counts them all anew: they leave the minute of this one.
 *
 * By the user's own criteria, else by the number: the same NPA-NXX or, where
 * there is none, the same kind of toll-free numbers.  A number that the user named
 * may be taken because the account has it: that is asked first.
 */
static BwStatement substitute = {
	.text =
	"WITH o AS ("
	" UPDATE bw_orders AS o"
	"    SET status = 'QUEUED', attempts_used = o.attempts_used + 1,"
	"        request_id = NULL, attention = NULL,"
	"        completed_quantity = (SELECT count(*) FROM bw_order_numbers AS n"
	"                               WHERE n.order_id = o.id AND n.status = 'COMPLETE')"
	"   FROM unnest($1::bigint[]) AS c(order_id) WHERE o.id = c.order_id"
	" RETURNING o.id, o.server, o.ordered_by, o.criteria, o.attempts_used, o.attempts,"
	"           o.sent_at),"
	"t AS ("
	" SELECT n.order_id, n.telephone_number AS tn,"
	"        COALESCE(n.replaces, n.telephone_number) AS root, n.replaces IS NULL AS named,"
	"        CASE WHEN o.criteria IS NULL THEN left(n.telephone_number, 6) END AS prefix"
	"   FROM unnest($4::bigint[], $5::text[]) AS t(order_id, tn)"
	"   JOIN bw_order_numbers AS n ON n.order_id = t.order_id AND n.telephone_number = t.tn"
	"   JOIN o ON o.id = t.order_id),"
	"k AS ("
	" UPDATE bw_order_numbers AS n SET attempt = o.attempts_used"
	"   FROM o WHERE n.order_id = o.id AND n.status = 'PENDING'"
	" RETURNING n.order_id),"
	"s AS ("
	" INSERT INTO bw_searches (order_id, server, ordered_by, place, criteria,"
	"                          quantity, replaces, asks)"
	" SELECT o.id, o.server, o.ordered_by, COALESCE(t.place, ''),"
	"        CASE WHEN t.prefix IS NULL THEN o.criteria"
	"             WHEN t.prefix ~ '^8(00|33|44|55|66|77|88)' THEN"
	"                  jsonb_build_object('toll_free_wildcard_pattern', left(t.prefix, 2) || '*')"
	"             ELSE jsonb_build_object('npanxx', t.prefix, 'lca', false) END,"
	"        t.count, t.roots, COALESCE(t.asks, '{}')"
	"   FROM (SELECT order_id, prefix, CASE WHEN prefix IS NOT NULL THEN min(tn) END AS place,"
	"                count(*) AS count, array_agg(root ORDER BY tn) AS roots,"
	"                array_agg(tn ORDER BY tn)"
	"                  FILTER (WHERE named AND prefix IS NOT NULL) AS asks"
	"           FROM t GROUP BY order_id, prefix) AS t"
	"   JOIN o ON o.id = t.order_id"
	" RETURNING order_id, quantity),"
	"b AS ("
	" SELECT order_id, sum(quantity)::int AS quantity"
	"   FROM (SELECT order_id, quantity FROM s UNION ALL SELECT order_id, 1 FROM k) AS b"
	"  GROUP BY order_id),"
	"q AS ("
	" INSERT INTO bw_queue (server, ordered_by, order_id, quantity, approved, claimed, search)"
	" SELECT o.server, o.ordered_by, o.id, b.quantity, true, true, true"
	"   FROM o JOIN b ON b.order_id = o.id),"
	"p AS ("
	" UPDATE bw_spending AS s SET numbers = greatest(s.numbers - b.numbers, 0)"
	"   FROM (SELECT o.server::text AS server, date_trunc('minute', o.sent_at) AS minute,"
	"                sum(b.quantity) AS numbers"
	"           FROM o JOIN b ON b.order_id = o.id GROUP BY 1, 2) AS b"
	"  WHERE s.server = b.server AND s.kind = 'order' AND s.minute = b.minute)"
	"INSERT INTO bw_order_events (order_id, status, source, detail)"
	" SELECT o.id, 'QUEUED', c.source,"
	"        format('%s; attempt %s of %s', c.detail, o.attempts_used, o.attempts)"
	"   FROM unnest($1::bigint[], $2::text[], $3::text[]) AS c(order_id, source, detail)"
	"   JOIN o ON o.id = c.order_id",
	.nargs = 5,
	.argtypes = {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID, TEXTARRAYOID}
};

BwSearchGroup *
bw_store_search_groups(int *count)
{
	BwSearchGroup *groups;

	*count = (int) bw_store_run(&search_groups, NULL, NULL);
	groups = palloc0(sizeof(BwSearchGroup) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		groups[i].server = bw_store_text(i, 0);
		groups[i].ordered_by = bw_store_text(i, 1);
		groups[i].account_id = bw_store_text(i, 2);
		groups[i].criteria = bw_store_text(i, 3);
		groups[i].prefix = bw_store_text(i, 4);
		groups[i].number = bw_store_text(i, 5);
		groups[i].quantity = bw_store_int32(i, 6);
		groups[i].asks = bw_store_text(i, 7);
	}
	return groups;
}

BwGroup *
bw_store_paused_searches(int *count)
{
	BwGroup    *groups;

	*count = (int) bw_store_run(&paused_searches, NULL, NULL);
	groups = palloc(sizeof(BwGroup) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		groups[i].server = bw_store_text(i, 0);
		groups[i].ordered_by = bw_store_text(i, 1);
	}
	return groups;
}

static void
group_key(const BwSearchGroup *group, Datum *v, bool *nulls)
{
	v[0] = CStringGetTextDatum(group->server);
	v[1] = CStringGetTextDatum(group->ordered_by);
	v[2] = CStringGetTextDatum(group->account_id);
	nulls[3] = group->criteria == NULL;
	if (!nulls[3])
		v[3] = CStringGetTextDatum(group->criteria);
	nulls[4] = group->prefix == NULL;
	if (!nulls[4])
		v[4] = CStringGetTextDatum(group->prefix);
	nulls[5] = group->asks == NULL;
	if (!nulls[5])
		v[5] = CStringGetTextDatum(group->asks);
}

BwSearchRow *
bw_store_lock_searches(const BwSearchGroup *group, int *count)
{
	BwSearchRow *rows;
	Datum		v[6];
	bool		nulls[6] = {false};

	group_key(group, v, nulls);
	*count = (int) bw_store_run(&lock_searches, v, nulls);
	rows = palloc0(sizeof(BwSearchRow) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		rows[i].order_id = bw_store_int64(i, 0);
		rows[i].place = bw_store_text(i, 1);
		rows[i].quantity = bw_store_int32(i, 2);
		rows[i].replaces = bw_store_texts(i, 3, &rows[i].replaces_count);
		rows[i].partial_allowed = bw_store_bool(i, 4);
		rows[i].attempt = bw_store_int32(i, 5);
	}
	return rows;
}

char **
bw_store_free_numbers(const char *const *numbers, int count,
					  const int64 *order_ids, int orders,
					  int *free_count, int *wanted)
{
	char	  **free_ones = palloc(sizeof(char *) * Max(count, 1));
	Datum		v[2] = {bw_store_text_array(numbers, count),
	bw_store_int64_array(order_ids, orders)};
	uint64		rows = bw_store_run(&free_numbers, v, NULL);

	*free_count = *wanted = 0;
	for (uint64 i = 0; i < rows; i++)
	{
		if (bw_store_bool(i, 1))
			(*wanted)++;
		else if (!bw_store_bool(i, 2))
			free_ones[(*free_count)++] = bw_store_text(i, 0);
	}
	return free_ones;
}

void
bw_store_give_numbers(const BwFoundNumber *numbers, int count)
{
	int64	   *ids = palloc(sizeof(int64) * Max(count, 1));
	const char **texts = palloc(sizeof(char *) * Max(count, 1));
	int32	   *attempts = palloc(sizeof(int32) * Max(count, 1));
	const char **replaces = palloc(sizeof(char *) * Max(count, 1));
	Datum		v[4];

	if (count == 0)
		return;
	for (int i = 0; i < count; i++)
	{
		ids[i] = numbers[i].order_id;
		texts[i] = numbers[i].telephone_number;
		attempts[i] = numbers[i].attempt;
		replaces[i] = numbers[i].replaces;
	}
	v[0] = bw_store_int64_array(ids, count);
	v[1] = bw_store_text_array(texts, count);
	v[2] = bw_store_int32_array(attempts, count);
	v[3] = bw_store_text_array(replaces, count);
	bw_store_run(&give_numbers, v, NULL);
}

void
bw_store_search_steps(const BwSearchStep *steps, int count)
{
	int64	   *ids = palloc(sizeof(int64) * Max(count, 1));
	const char **places = palloc(sizeof(char *) * Max(count, 1));
	int32	   *given = palloc(sizeof(int32) * Max(count, 1));
	int32	   *next = palloc(sizeof(int32) * Max(count, 1));
	Datum		v[4];

	if (count == 0)
		return;
	for (int i = 0; i < count; i++)
	{
		ids[i] = steps[i].order_id;
		places[i] = steps[i].place;
		given[i] = steps[i].given;
		next[i] = steps[i].next;
	}
	v[0] = bw_store_int64_array(ids, count);
	v[1] = bw_store_text_array(places, count);
	v[2] = bw_store_int32_array(given, count);
	v[3] = bw_store_int32_array(next, count);
	bw_store_run(&search_steps, v, NULL);
}

void
bw_store_widen(const BwSearchGroup *group, const char *rate_center,
			   const char *state)
{
	Datum		v[8];
	bool		nulls[8] = {false};

	group_key(group, v, nulls);
	v[6] = CStringGetTextDatum(rate_center);
	v[7] = CStringGetTextDatum(state);
	bw_store_run(&widen, v, nulls);
}

void
bw_store_asked(const BwSearchRow *rows, int count, const char *number, bool ours,
			   const char *text)
{
	int64	   *ids = palloc(sizeof(int64) * Max(count, 1));
	const char **places = palloc(sizeof(char *) * Max(count, 1));
	Datum		v[5];

	for (int i = 0; i < count; i++)
	{
		ids[i] = rows[i].order_id;
		places[i] = rows[i].place;
	}
	v[0] = bw_store_int64_array(ids, count);
	v[1] = bw_store_text_array(places, count);
	v[2] = CStringGetTextDatum(number);
	v[3] = BoolGetDatum(ours);
	v[4] = CStringGetTextDatum(text);
	if (count > 0)
		bw_store_run(&asked, v, NULL);
}

void
bw_store_found(const BwSearchEnd *orders, int count, const char *criteria)
{
	int64	   *ids = palloc(sizeof(int64) * Max(count, 1));
	Datum		v[2];
	bool		nulls[2] = {false};

	for (int i = 0; i < count; i++)
		ids[i] = orders[i].order_id;
	v[0] = bw_store_int64_array(ids, count);
	nulls[1] = criteria == NULL;
	if (criteria != NULL)
		v[1] = CStringGetTextDatum(criteria);
	if (count > 0)
		bw_store_run(&found, v, nulls);
}

BwEnded *
bw_store_end_searches(const BwSearchEnd *orders, int orders_count,
					  const char *code, int *count)
{
	int64	   *ids = palloc(sizeof(int64) * Max(orders_count, 1));
	const char **texts = palloc(sizeof(char *) * Max(orders_count, 1));
	int32	   *certain = palloc(sizeof(int32) * Max(orders_count, 1));
	Datum		v[4];
	int			n = 0;

	for (int i = 0; i < orders_count; i++)
	{
		/* Those that got what they wanted need not be looked at. */
		if (orders[i].text == NULL)
			continue;
		ids[n] = orders[i].order_id;
		texts[n] = orders[i].text;
		certain[n++] = orders[i].certain ? 1 : 0;
	}
	v[0] = bw_store_int64_array(ids, n);
	v[1] = bw_store_text_array(texts, n);
	v[2] = CStringGetTextDatum(code);
	v[3] = bw_store_int32_array(certain, n);
	*count = n == 0 ? 0 : (int) bw_store_run(&end_searches, v, NULL);
	return bw_store_ended(*count);
}

void
bw_store_substitute(const int64 *order_ids, const char *const *sources,
					const char *const *details, int orders,
					const BwTakenNumber *taken, int count)
{
	int64	   *ids = palloc(sizeof(int64) * Max(count, 1));
	const char **numbers = palloc(sizeof(char *) * Max(count, 1));
	Datum		v[5];

	if (orders == 0)
		return;
	for (int i = 0; i < count; i++)
	{
		ids[i] = taken[i].order_id;
		numbers[i] = taken[i].telephone_number;
	}
	v[0] = bw_store_int64_array(order_ids, orders);
	v[1] = bw_store_text_array(sources, orders);
	v[2] = bw_store_text_array(details, orders);
	v[3] = bw_store_int64_array(ids, count);
	v[4] = bw_store_text_array(numbers, count);
	bw_store_run(&substitute, v, NULL);
}
