/*-------------------------------------------------------------------------
 *
 * store_requests.c
 *	  Statements of the worker on requests under way and their outcomes.
 *
 * src/store_requests.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "store_requests.h"

static BwRequestRow *read_requests(uint64 rows);

/*
 * What was learnt of the copies before says nothing about this one.  $3: its
 * numbers are counted in the minute of sent_at, as those of a claim are.
 */
static BwStatement send_again = {
	.text =
	"WITH t AS MATERIALIZED (SELECT clock_timestamp() AS at),"
	"r AS ("
	" UPDATE bw_requests SET state = 'sending', attempts = attempts + 1,"
	"        last_sent_at = clock_timestamp()"
	"  WHERE id = $1 RETURNING id, server, kind, members, quantity),"
	"o AS ("
	" UPDATE bw_orders AS o SET sent_at = t.at FROM r, t"
	"  WHERE $3 AND o.id = ANY (r.members) AND o.request_id = r.id),"
	"s AS ("
	" INSERT INTO bw_spending AS s (server, kind, minute, numbers)"
	" SELECT r.server, CASE r.kind WHEN 'disconnect' THEN 'disconnect' ELSE 'order' END,"
	"        date_trunc('minute', t.at), r.quantity"
	"   FROM r, t WHERE $3"
	" ON CONFLICT (server, kind, minute)"
	" DO UPDATE SET numbers = s.numbers + EXCLUDED.numbers)"
	"UPDATE bw_open_requests"
	"   SET step = 'sent', due_at = now() + $2 * interval '1 ms',"
	"       refused_code = NULL, refused_text = NULL, checked_numbers = '{}'"
	" WHERE request_id = $1",
	.nargs = 3,
	.argtypes = {INT8OID, INT4OID, BOOLOID}
};

#define REQUEST_COLUMNS \
	"r.id, r.kind, r.server, r.account_id, r.ordered_by, r.customer_order_id," \
	" r.bandwidth_order_id, r.other_order_ids, r.attempts," \
	" cardinality(r.members), r.quantity, r.first_sent_at, w.step, w.tries," \
	" w.candidates, w.refused_code, w.refused_text, r.shared, w.checked_numbers," \
	" w.adopting "

/*
 * The work list comes first: it is short, the list of requests is not.  Rows
 * that came from another database (logical replication) are always due, and
 * must not fill the laps.
 */
static BwStatement due_requests = {
	.text =
	"WITH w AS MATERIALIZED ("
	" SELECT request_id, step, due_at, tries, candidates, checked_numbers,"
	"        refused_code, refused_text, adopting"
	"   FROM bw_open_requests AS l"
	"  WHERE due_at <= now() AND server <> ALL ($2)"
	"    AND EXISTS (SELECT FROM bw_requests AS r WHERE r.id = l.request_id"
	"                   AND r.home = (SELECT i.home FROM bw_identity AS i))"
	"  ORDER BY due_at"
	"  LIMIT $1"
	" FOR NO KEY UPDATE SKIP LOCKED)"
	"SELECT " REQUEST_COLUMNS
	"  FROM w JOIN bw_requests AS r ON r.id = w.request_id"
	" ORDER BY w.due_at",
	.nargs = 2,
	.argtypes = {INT4OID, TEXTARRAYOID}
};

static BwStatement next_due_request = {
	.text = "SELECT min(due_at) FROM bw_open_requests WHERE due_at > now()",
	.nargs = 0
};

static BwStatement match_requests = {
	.text =
	"SELECT " REQUEST_COLUMNS
	"  FROM bw_requests AS r"
	"  LEFT JOIN bw_open_requests AS w ON w.request_id = r.id"
	" WHERE r.bandwidth_order_id COLLATE \"C\" = ANY ($1)"
	"   AND r.home = (SELECT i.home FROM bw_identity AS i)",
	.nargs = 1,
	.argtypes = {TEXTARRAYOID}
};

/* The reply to their POST, with the order's id, was not heard yet. */
static BwStatement match_unheard = {
	.text =
	"SELECT " REQUEST_COLUMNS
	"  FROM bw_requests AS r"
	"  LEFT JOIN bw_open_requests AS w ON w.request_id = r.id"
	" WHERE r.customer_order_id COLLATE \"C\" = ANY ($1) AND r.bandwidth_order_id IS NULL"
	"   AND r.home = (SELECT i.home FROM bw_identity AS i)",
	.nargs = 1,
	.argtypes = {TEXTARRAYOID}
};

static BwStatement requests_by_id = {
	.text =
	"SELECT " REQUEST_COLUMNS
	"  FROM bw_requests AS r"
	"  LEFT JOIN bw_open_requests AS w ON w.request_id = r.id"
	" WHERE r.id = ANY ($1)",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID}
};

static BwStatement forget_sends = {
	.text = "UPDATE bw_open_requests SET due_at = now() WHERE step = 'sent'",
	.nargs = 0
};

static BwStatement schedule = {
	.text =
	"UPDATE bw_open_requests AS w SET due_at = s.due_at, step = $3,"
	"       tries = CASE WHEN w.step = $3 THEN w.tries + 1 ELSE 0 END"
	"  FROM unnest($1::bigint[], $2::timestamptz[]) AS s(request_id, due_at)"
	" WHERE w.request_id = s.request_id",
	.nargs = 3,
	.argtypes = {INT8ARRAYOID, TIMESTAMPTZARRAYOID, TEXTOID}
};

static BwStatement read_each = {
	.text =
	"UPDATE bw_open_requests AS w SET due_at = s.due_at, step = 'detail',"
	"       tries = CASE WHEN w.step = 'detail' THEN w.tries + 1 ELSE 0 END"
	"  FROM unnest($1::bigint[], $2::timestamptz[]) AS s(request_id, due_at)"
	" WHERE w.request_id = s.request_id AND w.step IN ('poll', 'detail')",
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, TIMESTAMPTZARRAYOID}
};

static BwStatement ask_now = {
	.text =
	"UPDATE bw_open_requests"
	"   SET due_at = CASE WHEN step = 'sent' THEN due_at ELSE $2 END,"
	"       candidates = CASE WHEN $3 IS NULL OR $3 = ANY (candidates)"
	"                    THEN candidates ELSE candidates || $3 END"
	" WHERE request_id = $1",
	.nargs = 3,
	.argtypes = {INT8OID, TIMESTAMPTZOID, TEXTOID}
};

static BwStatement progress = {
	.text =
	"UPDATE bw_open_requests"
	"   SET candidates = ARRAY(SELECT DISTINCT c FROM unnest(candidates || $2) AS c"
	"                           WHERE c <> ALL ($3)),"
	"       checked_numbers = $4, due_at = least(due_at, $5)"
	" WHERE request_id = $1",
	.nargs = 5,
	.argtypes = {INT8OID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID}
};

static BwStatement request_numbers = {
	.text =
	"SELECT array_agg(n.telephone_number)"
	"  FROM bw_requests AS r"
	"  JOIN bw_orders AS o ON o.id = ANY (r.members) AND o.request_id = r.id"
	"  JOIN bw_order_numbers AS n ON n.order_id = o.id AND n.attempt = o.attempts_used"
	" WHERE r.id = $1",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement bound_elsewhere = {
	.text =
	"SELECT array_agg(b.id)"
	"  FROM unnest($2::text[]) AS b(id)"
	" WHERE EXISTS (SELECT FROM bw_requests AS r"
	"                WHERE r.bandwidth_order_id COLLATE \"C\" = b.id AND r.id <> $1)",
	.nargs = 2,
	.argtypes = {INT8OID, TEXTARRAYOID}
};

/*
 * Another timeline may have sent more for an order than we know of, if it sent
 * its request; a number of ours beside that would be one too many.
 */
static BwStatement lock_members = {
	.text =
	"SELECT r.id, o.id, o.status, o.quantity, o.direct,"
	"       (SELECT array_agg(n.telephone_number ORDER BY n.telephone_number)"
	"          FROM bw_order_numbers AS n"
	"         WHERE n.order_id = o.id AND n.attempt = o.attempts_used"
	"           AND o.request_id = r.id),"
	"       o.partial_allowed, o.request_id IS DISTINCT FROM r.id,"
	"       o.attempts_used < o.attempts AND NOT o.direct AND o.kind = 'order'"
	"       AND r.id > (SELECT i.requests_before FROM bw_identity AS i),"
	"       CASE WHEN o.attempts_used > 1 THEN o.completed_quantity ELSE 0 END"
	"  FROM bw_requests AS r"
	"  JOIN bw_orders AS o ON o.id = ANY (r.members)"
	" WHERE r.id = ANY ($1)"
	" ORDER BY r.id, o.id"
	" FOR NO KEY UPDATE OF o SKIP LOCKED",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID}
};

static BwStatement change_orders = {
	.text =
	"WITH c AS ("
	" SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[],"
	"        $5::text[], $6::text[], $7::int[], $8::int[], $9::text[],"
	"        $10::text[], $11::text[], $12::text[], $13::text[], $14::text[])"
	"   AS c(order_id, status, source, detail, bandwidth_order_id,"
	"        bandwidth_status, completed, failed, error_code, error_text,"
	"        message, summary, warning, attention)),"
	"o AS ("
	" UPDATE bw_orders AS o"
	"    SET status = c.status,"
	"        bandwidth_order_id = COALESCE(c.bandwidth_order_id, o.bandwidth_order_id),"
	"        bandwidth_status = COALESCE(c.bandwidth_status, o.bandwidth_status),"
	"        completed_quantity = COALESCE(c.completed, o.completed_quantity),"
	"        failed_quantity = COALESCE(c.failed, o.failed_quantity),"
	"        error_code = NULLIF(COALESCE(c.error_code, o.error_code), ''),"
	"        error_text = NULLIF(COALESCE(c.error_text, o.error_text), ''),"
	"        message = COALESCE(c.message, o.message),"
	"        summary = COALESCE(c.summary, o.summary),"
	"        warning = COALESCE(c.warning, o.warning),"
	"        attention = NULLIF(COALESCE(c.attention, o.attention), ''),"
	"        received_at = CASE WHEN c.bandwidth_order_id IS NULL THEN o.received_at"
	"                      ELSE COALESCE(o.received_at, clock_timestamp()) END,"
	"        closed_at = CASE WHEN c.status IN ('COMPLETE', 'PARTIAL', 'FAILED',"
	"                                           'REJECTED', 'CANCELLED')"
	"                    THEN clock_timestamp() END"
	"   FROM c WHERE o.id = c.order_id)"
	"INSERT INTO bw_order_events (order_id, status, source, detail)"
	" SELECT order_id, status, source, detail FROM c WHERE source IS NOT NULL",
	.nargs = 14,
	.argtypes = {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID,
	TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}
};

static BwStatement change_numbers = {
	.text =
	"UPDATE bw_order_numbers AS n"
	"   SET status = c.status, error_code = c.error_code, error_text = c.error_text"
	"  FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[])"
	"    AS c(order_id, telephone_number, status, error_code, error_text)"
	" WHERE n.order_id = c.order_id AND n.telephone_number = c.telephone_number"
	"   AND n.status = 'PENDING'",
	.nargs = 5,
	.argtypes = {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
	TEXTARRAYOID}
};

/* A number that is not there yet was found by Bandwidth: a direct order's. */
static BwStatement add_numbers = {
	.text =
	"INSERT INTO bw_order_numbers"
	"       (order_id, telephone_number, status, error_code, error_text)"
	" SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[],"
	"                      $5::text[])"
	" ON CONFLICT (order_id, telephone_number) DO NOTHING",
	.nargs = 5,
	.argtypes = {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
	TEXTARRAYOID}
};

/*
 * One that a person closed meanwhile stays closed.  A back order that is to be
 * ended stays so, whatever it is known to be doing yet: only the reply to the
 * call that ends it (bw_store_schedule) leads further.
 */
static BwStatement change_requests = {
	.text =
	"WITH c AS ("
	" SELECT *, executed = 0 AS not_executed"
	"   FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[],"
	"                      $5::timestamptz[], $6::int[], $7::text[], $8::text[],"
	"                      $9::int[])"
	"   AS t(request_id, state, bandwidth_order_id, step, due_at, tries,"
	"        refused_code, refused_text, executed)),"
	"r AS ("
	" UPDATE bw_requests AS r"
	"    SET state = CASE WHEN r.state = 'closed' THEN r.state ELSE c.state END,"
	"        attempts = CASE WHEN c.not_executed THEN r.attempts - 1"
	"                   ELSE r.attempts END,"
	"        bandwidth_order_id = COALESCE(c.bandwidth_order_id, r.bandwidth_order_id),"
	"        closed_at = CASE WHEN r.state = 'closed' THEN r.closed_at"
	"                    WHEN c.state = 'closed' THEN clock_timestamp() END"
	"   FROM c WHERE r.id = c.request_id),"
	"w AS ("
	" UPDATE bw_open_requests AS w"
	"    SET step = CASE WHEN w.step = 'close' THEN w.step ELSE c.step END,"
	"        due_at = CASE WHEN w.step = 'close' THEN w.due_at ELSE c.due_at END,"
	"        tries = CASE WHEN w.step = 'close' THEN w.tries ELSE c.tries END,"
	"        adopting = NULL,"
	"        refused_code = COALESCE(c.refused_code, w.refused_code),"
	"        refused_text = COALESCE(c.refused_text, w.refused_text)"
	"   FROM c WHERE w.request_id = c.request_id AND c.step IS NOT NULL)"
	"DELETE FROM bw_open_requests AS w USING c"
	" WHERE w.request_id = c.request_id AND c.step IS NULL",
	.nargs = 9,
	.argtypes = {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
	TIMESTAMPTZARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID}
};

static BwStatement adopt_others = {
	.text = "UPDATE bw_requests SET other_order_ids = $2 WHERE id = $1",
	.nargs = 2,
	.argtypes = {INT8OID, TEXTARRAYOID}
};

void
bw_store_send_again(int64 request_id, int patience_ms, bool count)
{
	Datum		v[3] = {Int64GetDatum(request_id), Int32GetDatum(patience_ms),
	BoolGetDatum(count)};

	bw_store_run(&send_again, v, NULL);
}

static BwRequestRow *
read_requests(uint64 rows)
{
	BwRequestRow *requests = palloc0(sizeof(BwRequestRow) * Max(rows, 1));

	for (uint64 i = 0; i < rows; i++)
	{
		BwRequestRow *r = &requests[i];

		r->id = bw_store_int64(i, 0);
		r->kind = bw_store_text(i, 1);
		r->server = bw_store_text(i, 2);
		r->account_id = bw_store_text(i, 3);
		r->ordered_by = bw_store_text(i, 4);
		r->customer_order_id = bw_store_text(i, 5);
		r->bandwidth_order_id = bw_store_text(i, 6);
		r->other_order_ids = bw_store_texts(i, 7, &r->other_count);
		r->attempts = bw_store_int32(i, 8);
		r->member_count = bw_store_int32(i, 9);
		r->quantity = bw_store_int32(i, 10);
		r->first_sent_at = bw_store_time(i, 11);
		r->step = bw_store_text(i, 12);
		r->tries = bw_store_int32(i, 13);
		r->candidates = bw_store_texts(i, 14, &r->candidate_count);
		r->refused_code = bw_store_text(i, 15);
		r->refused_text = bw_store_text(i, 16);
		r->shared = bw_store_bool(i, 17);
		r->checked_numbers = bw_store_texts(i, 18, &r->checked_count);
		r->adopting = bw_store_text(i, 19);
	}
	return requests;
}

BwRequestRow *
bw_store_due_requests(int limit, const char *const *barred, int barred_count,
					  int *count, TimestampTz *next_due)
{
	Datum		v[2] = {Int32GetDatum(limit), bw_store_text_array(barred, barred_count)};
	BwRequestRow *requests;

	*count = (int) bw_store_run(&due_requests, v, NULL);
	requests = read_requests(*count);
	bw_store_run(&next_due_request, NULL, NULL);
	*next_due = bw_store_is_null(0, 0) ? DT_NOEND : bw_store_time(0, 0);
	return requests;
}

BwRequestRow *
bw_store_match_requests(const char *const *bandwidth_ids,
						const char *const *customer_ids, int ids, int *count,
						int *matches)
{
	const char **unheard = palloc(sizeof(char *) * Max(ids, 1));
	Datum		v[1] = {bw_store_text_array(bandwidth_ids, ids)};
	BwRequestRow *requests;
	int			known;
	int			n = 0;

	known = *count = (int) bw_store_run(&match_requests, v, NULL);
	requests = read_requests(known);
	for (int i = 0; i < ids; i++)
	{
		matches[i] = -1;
		for (int j = 0; j < known && bandwidth_ids[i] && matches[i] < 0; j++)
			if (strcmp(requests[j].bandwidth_order_id, bandwidth_ids[i]) == 0)
				matches[i] = j;
		if (matches[i] < 0 && customer_ids[i] != NULL)
			unheard[n++] = customer_ids[i];
	}
	if (n == 0)
		return requests;
	v[0] = bw_store_text_array(unheard, n);
	n = (int) bw_store_run(&match_unheard, v, NULL);
	*count = known + n;
	requests = repalloc(requests, sizeof(BwRequestRow) * Max(*count, 1));
	memcpy(requests + known, read_requests(n), sizeof(BwRequestRow) * n);
	for (int i = 0; i < ids; i++)
		for (int j = known; j < *count && customer_ids[i] && matches[i] < 0; j++)
			if (strcmp(requests[j].customer_order_id, customer_ids[i]) == 0)
				matches[i] = j;
	return requests;
}

BwRequestRow *
bw_store_requests(const int64 *ids, int ids_count, int *count)
{
	Datum		v[1] = {bw_store_int64_array(ids, ids_count)};

	*count = (int) bw_store_run(&requests_by_id, v, NULL);
	return read_requests(*count);
}

void
bw_store_forget_sends(void)
{
	bw_store_run(&forget_sends, NULL, NULL);
}

void
bw_store_schedule(const int64 *request_ids, const char *step,
				  const TimestampTz *due, int count)
{
	Datum		v[3];

	v[0] = bw_store_int64_array(request_ids, count);
	v[1] = bw_store_time_array(due, count);
	v[2] = CStringGetTextDatum(step);
	bw_store_run(&schedule, v, NULL);
}

void
bw_store_read_each(const int64 *request_ids, const TimestampTz *due, int count)
{
	Datum		v[2];

	v[0] = bw_store_int64_array(request_ids, count);
	v[1] = bw_store_time_array(due, count);
	bw_store_run(&read_each, v, NULL);
}

void
bw_store_ask_now(int64 request_id, const char *candidate, TimestampTz now)
{
	Datum		v[3] = {Int64GetDatum(request_id), TimestampTzGetDatum(now)};
	bool		nulls[3] = {false};

	nulls[2] = candidate == NULL;
	if (candidate != NULL)
		v[2] = CStringGetTextDatum(candidate);
	bw_store_run(&ask_now, v, nulls);
}

char **
bw_store_request_numbers(int64 request_id, int *count)
{
	Datum		v[1] = {Int64GetDatum(request_id)};

	bw_store_run(&request_numbers, v, NULL);
	return bw_store_texts(0, 0, count);
}

char **
bw_store_bound_elsewhere(int64 request_id, const char *const *ids,
						 int ids_count, int *count)
{
	Datum		v[2] = {Int64GetDatum(request_id), bw_store_text_array(ids, ids_count)};

	bw_store_run(&bound_elsewhere, v, NULL);
	return bw_store_texts(0, 0, count);
}

void
bw_store_progress(int64 request_id, const BwProgress *learnt, TimestampTz due_at)
{
	Datum		v[5] = {Int64GetDatum(request_id)};

	v[1] = bw_store_text_array(learnt->candidates, learnt->candidate_count);
	v[2] = bw_store_text_array(learnt->others, learnt->other_count);
	v[3] = bw_store_text_array(learnt->checked, learnt->checked_count);
	v[4] = TimestampTzGetDatum(due_at);
	bw_store_run(&progress, v, NULL);
}

BwMember *
bw_store_lock_members(const int64 *request_ids, int ids, int *count)
{
	Datum		v[1] = {bw_store_int64_array(request_ids, ids)};
	BwMember   *members;

	*count = (int) bw_store_run(&lock_members, v, NULL);
	members = palloc0(sizeof(BwMember) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		BwMember   *m = &members[i];

		m->request_id = bw_store_int64(i, 0);
		m->order_id = bw_store_int64(i, 1);
		if (!bw_order_status_parse(bw_store_text(i, 2), &m->status))
			elog(ERROR, "unrecognized order status");
		m->quantity = bw_store_int32(i, 3);
		m->direct = bw_store_bool(i, 4);
		m->numbers = bw_store_texts(i, 5, &m->number_count);
		m->partial_allowed = bw_store_bool(i, 6);
		m->left = bw_store_bool(i, 7);
		m->may_substitute = bw_store_bool(i, 8);
		m->completed_before = bw_store_int32(i, 9);
	}
	return members;
}

const BwMember *
bw_members_of(const BwMember *members, int count, int64 request_id, int *part)
{
	int			first = 0;
	int			end = count;

	while (first < end)
	{
		int			middle = first + (end - first) / 2;

		if (members[middle].request_id < request_id)
			first = middle + 1;
		else
			end = middle;
	}
	while (end < count && members[end].request_id == request_id)
		end++;
	*part = end - first;
	return members + first;
}

void
bw_store_change_orders(const BwOrderChange *changes, int count)
{
	enum
	{
		STATUS, SOURCE, DETAIL, BANDWIDTH_ID, BANDWIDTH_STATUS, ERROR_CODE,
		ERROR_TEXT, MESSAGE, SUMMARY, WARNING_TEXT, ATTENTION, TEXTS
	};
	const char **texts[TEXTS];
	int64	   *ids = palloc(sizeof(int64) * Max(count, 1));
	int32	   *completed = palloc(sizeof(int32) * Max(count, 1));
	int32	   *failed = palloc(sizeof(int32) * Max(count, 1));
	Datum		v[14];

	if (count == 0)
		return;
	for (int t = 0; t < TEXTS; t++)
		texts[t] = palloc(sizeof(char *) * count);
	for (int i = 0; i < count; i++)
	{
		const BwOrderChange *c = &changes[i];

		ids[i] = c->order_id;
		texts[STATUS][i] = bw_order_status_name(c->status);
		texts[SOURCE][i] = c->moved ? c->source : NULL;
		texts[DETAIL][i] = c->detail;
		texts[BANDWIDTH_ID][i] = c->bandwidth_order_id;
		texts[BANDWIDTH_STATUS][i] = c->bandwidth_status;
		texts[ERROR_CODE][i] = c->error_code;
		texts[ERROR_TEXT][i] = c->error_text;
		texts[MESSAGE][i] = c->message;
		texts[SUMMARY][i] = c->summary;
		texts[WARNING_TEXT][i] = c->warning;
		texts[ATTENTION][i] = c->attention;
		completed[i] = c->completed_quantity;
		failed[i] = c->failed_quantity;
	}
	v[0] = bw_store_int64_array(ids, count);
	v[1] = bw_store_text_array(texts[STATUS], count);
	v[2] = bw_store_text_array(texts[SOURCE], count);
	v[3] = bw_store_text_array(texts[DETAIL], count);
	v[4] = bw_store_text_array(texts[BANDWIDTH_ID], count);
	v[5] = bw_store_text_array(texts[BANDWIDTH_STATUS], count);
	v[6] = bw_store_int32_array(completed, count);
	v[7] = bw_store_int32_array(failed, count);
	v[8] = bw_store_text_array(texts[ERROR_CODE], count);
	v[9] = bw_store_text_array(texts[ERROR_TEXT], count);
	v[10] = bw_store_text_array(texts[MESSAGE], count);
	v[11] = bw_store_text_array(texts[SUMMARY], count);
	v[12] = bw_store_text_array(texts[WARNING_TEXT], count);
	v[13] = bw_store_text_array(texts[ATTENTION], count);
	bw_store_run(&change_orders, v, NULL);
}

void
bw_store_change_numbers(const BwNumberChange *changes, int count)
{
	int64	   *ids = palloc(sizeof(int64) * Max(count, 1));
	const char **numbers = palloc(sizeof(char *) * Max(count, 1));
	const char **statuses = palloc(sizeof(char *) * Max(count, 1));
	const char **codes = palloc(sizeof(char *) * Max(count, 1));
	const char **errors = palloc(sizeof(char *) * Max(count, 1));
	Datum		v[5];

	if (count == 0)
		return;
	for (int i = 0; i < count; i++)
	{
		ids[i] = changes[i].order_id;
		numbers[i] = changes[i].telephone_number;
		statuses[i] = changes[i].status;
		codes[i] = changes[i].error_code;
		errors[i] = changes[i].error_text;
	}
	v[0] = bw_store_int64_array(ids, count);
	v[1] = bw_store_text_array(numbers, count);
	v[2] = bw_store_text_array(statuses, count);
	v[3] = bw_store_text_array(codes, count);
	v[4] = bw_store_text_array(errors, count);
	if (bw_store_run(&change_numbers, v, NULL) < count)
		bw_store_run(&add_numbers, v, NULL);
}

void
bw_store_change_requests(const BwRequestChange *changes, int count)
{
	enum
	{
		STATE, BANDWIDTH_ID, STEP, REFUSED_CODE, REFUSED_TEXT, TEXTS
	};
	const char **texts[TEXTS];
	int64	   *ids = palloc(sizeof(int64) * Max(count, 1));
	TimestampTz *due = palloc(sizeof(TimestampTz) * Max(count, 1));
	int32	   *tries = palloc(sizeof(int32) * Max(count, 1));
	int32	   *executed = palloc(sizeof(int32) * Max(count, 1));
	Datum		v[9];

	if (count == 0)
		return;
	for (int t = 0; t < TEXTS; t++)
		texts[t] = palloc(sizeof(char *) * count);
	for (int i = 0; i < count; i++)
	{
		ids[i] = changes[i].request_id;
		texts[STATE][i] = changes[i].state;
		texts[BANDWIDTH_ID][i] = changes[i].bandwidth_order_id;
		texts[STEP][i] = changes[i].step;
		texts[REFUSED_CODE][i] = changes[i].refused_code;
		texts[REFUSED_TEXT][i] = changes[i].refused_text;
		due[i] = changes[i].due_at;
		tries[i] = changes[i].tries;
		executed[i] = changes[i].not_executed ? 0 : 1;
	}
	v[0] = bw_store_int64_array(ids, count);
	v[1] = bw_store_text_array(texts[STATE], count);
	v[2] = bw_store_text_array(texts[BANDWIDTH_ID], count);
	v[3] = bw_store_text_array(texts[STEP], count);
	v[4] = bw_store_time_array(due, count);
	v[5] = bw_store_int32_array(tries, count);
	v[6] = bw_store_text_array(texts[REFUSED_CODE], count);
	v[7] = bw_store_text_array(texts[REFUSED_TEXT], count);
	v[8] = bw_store_int32_array(executed, count);
	bw_store_run(&change_requests, v, NULL);
	for (int i = 0; i < count; i++)
	{
		Datum		other[2] = {Int64GetDatum(ids[i])};

		if (changes[i].other_count == 0)
			continue;
		other[1] = bw_store_text_array(changes[i].other_order_ids,
									   changes[i].other_count);
		bw_store_run(&adopt_others, other, NULL);
	}
}
