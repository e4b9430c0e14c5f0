/*-------------------------------------------------------------------------
 *
 * store_notifications.c
 *	  Statements on callbacks, and on whose they are.
 *
 * src/store_notifications.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "store_notifications.h"

static BwStatement keep = {
	.text =
	"INSERT INTO bw_notifications (subscription_id, path, peer, content_type,"
	"       user_agent, body, outcome, note, bandwidth_order_id, customer_order_id,"
	"       bandwidth_status, request_id, applied_at)"
	" SELECT NULLIF(t.s, 0), t.p, t.a, t.c, t.u, t.b, t.outcome, t.note, t.o, t.i, t.w,"
	"        NULLIF(t.r, 0), CASE WHEN t.due_at IS NULL THEN clock_timestamp() END"
	"   FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[],"
	"               $5::text[], $6::bytea[], $7::text[], $8::text[], $9::text[],"
	"               $10::text[], $11::text[], $12::bigint[], $13::timestamptz[])"
	"   WITH ORDINALITY AS t(s, p, a, c, u, b, outcome, note, o, i, w, r, due_at, n)"
	"  ORDER BY n"
	" RETURNING id",
	.nargs = 13,
	.argtypes = {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TEXTARRAYOID, BYTEAARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
	TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID}
};

static BwStatement await = {
	.text =
	"INSERT INTO bw_inbox (notification_id, due_at, tries)"
	" SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::int[])",
	.nargs = 3,
	.argtypes = {INT8ARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID}
};

static BwStatement inbox = {
	.text =
	"WITH i AS MATERIALIZED ("
	" SELECT notification_id, tries FROM bw_inbox"
	"  WHERE due_at <= now()"
	"  ORDER BY notification_id"
	"  LIMIT $1"
	" FOR NO KEY UPDATE SKIP LOCKED)"
	"SELECT n.id, n.body, i.tries, n.subscription_id"
	"  FROM i JOIN bw_notifications AS n ON n.id = i.notification_id"
	" ORDER BY n.id",
	.nargs = 1,
	.argtypes = {INT4OID}
};

static BwStatement next_inbox = {
	.text = "SELECT min(due_at) FROM bw_inbox",
	.nargs = 0
};

static BwStatement postpone = {
	.text =
	"INSERT INTO bw_inbox AS i (notification_id, due_at, tries) VALUES ($1, $2, 1)"
	" ON CONFLICT (notification_id) DO UPDATE"
	"    SET due_at = EXCLUDED.due_at, tries = i.tries + 1",
	.nargs = 2,
	.argtypes = {INT8OID, TIMESTAMPTZOID}
};

static BwStatement outcomes = {
	.text =
	"WITH t AS ("
	" SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[],"
	"        $5::text[], $6::text[], $7::bigint[], $8::timestamptz[], $9::int[])"
	"   AS t(id, outcome, note, bandwidth_order_id, customer_order_id,"
	"        bandwidth_status, request_id, due_at, tries)),"
	"n AS ("
	" UPDATE bw_notifications AS n"
	"    SET outcome = t.outcome, note = t.note,"
	"        bandwidth_order_id = t.bandwidth_order_id,"
	"        customer_order_id = t.customer_order_id,"
	"        bandwidth_status = t.bandwidth_status,"
	"        request_id = NULLIF(t.request_id, 0),"
	"        applied_at = CASE WHEN t.due_at IS NULL THEN clock_timestamp() END"
	"   FROM t WHERE n.id = t.id),"
	"d AS ("
	" DELETE FROM bw_inbox AS i USING t"
	"  WHERE i.notification_id = t.id AND t.due_at IS NULL)"
	"INSERT INTO bw_inbox (notification_id, due_at, tries)"
	" SELECT t.id, t.due_at, t.tries FROM t WHERE t.due_at IS NOT NULL"
	" ON CONFLICT (notification_id) DO UPDATE"
	"    SET due_at = EXCLUDED.due_at, tries = EXCLUDED.tries",
	.nargs = 9,
	.argtypes = {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID,
	INT4ARRAYOID}
};

/* By id, which grows with time: no index on the time is needed. */
static BwStatement forget_notifications = {
	.text =
	"DELETE FROM bw_notifications WHERE id IN ("
	" SELECT n.id FROM ("
	"  SELECT id, received_at FROM bw_notifications ORDER BY id LIMIT 1000) AS n"
	"  WHERE n.received_at < now() - $1 * interval '1 min'"
	"    AND NOT EXISTS (SELECT FROM bw_inbox AS i WHERE i.notification_id = n.id))",
	.nargs = 1,
	.argtypes = {INT4OID}
};

static BwStatement keys = {
	.text =
	"SELECT k.subscription_id, k.path, k.salt, k.hash, k.id,"
	"       EXISTS (SELECT FROM bw_callback_keys AS o"
	"                WHERE o.subscription_id = k.subscription_id AND o.id < k.id)"
	"  FROM bw_callback_keys AS k"
	"  JOIN bw_subscriptions AS s ON s.id = k.subscription_id"
	" WHERE (k.retire_at IS NULL OR k.retire_at > now())"
	"   AND s.home = (SELECT i.home FROM bw_identity AS i)"
	" ORDER BY k.id",
	.nargs = 0
};

static BwStatement callers = {
	.text =
	"SELECT DISTINCT s.id, s.account_id, s.bandwidth_subscription_id"
	"  FROM bw_callback_keys AS k"
	"  JOIN bw_subscriptions AS s ON s.id = k.subscription_id"
	" WHERE s.home = (SELECT i.home FROM bw_identity AS i)",
	.nargs = 0
};

static Datum
bytea_of(const void *data, size_t len)
{
	bytea	   *value = palloc(VARHDRSZ + len);

	SET_VARSIZE(value, VARHDRSZ + len);
	memcpy(VARDATA(value), data, len);
	return PointerGetDatum(value);
}

/* What became of each, as seven arrays. */
static void
outcome_arrays(const BwIncoming *items, int count, Datum *v)
{
	enum
	{
		OUTCOME, NOTE, ORDER_ID, CUSTOMER_ID, STATUS, TEXTS
	};
	const char **texts[TEXTS];
	int64	   *requests = palloc(sizeof(int64) * Max(count, 1));
	TimestampTz *due = palloc(sizeof(TimestampTz) * Max(count, 1));

	for (int t = 0; t < TEXTS; t++)
		texts[t] = palloc(sizeof(char *) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		texts[OUTCOME][i] = items[i].outcome;
		texts[NOTE][i] = items[i].note;
		texts[ORDER_ID][i] = items[i].bandwidth_order_id;
		texts[CUSTOMER_ID][i] = items[i].customer_order_id;
		texts[STATUS][i] = items[i].bandwidth_status;
		requests[i] = items[i].request_id;
		due[i] = items[i].later ? items[i].due_at : DT_NOBEGIN;
	}
	for (int t = 0; t < TEXTS; t++)
		v[t] = bw_store_text_array(texts[t], count);
	v[TEXTS] = bw_store_int64_array(requests, count);
	v[TEXTS + 1] = bw_store_time_array(due, count);
}

static void
keep_in_inbox(const BwIncoming *items, int count)
{
	int64	   *ids = palloc(sizeof(int64) * count);
	TimestampTz *due = palloc(sizeof(TimestampTz) * count);
	int32	   *tries = palloc(sizeof(int32) * count);
	int			n = 0;
	Datum		v[3];

	for (int i = 0; i < count; i++)
	{
		if (!items[i].later)
			continue;
		ids[n] = items[i].id;
		due[n] = items[i].due_at;
		tries[n++] = items[i].tries;
	}
	if (n == 0)
		return;
	v[0] = bw_store_int64_array(ids, n);
	v[1] = bw_store_time_array(due, n);
	v[2] = bw_store_int32_array(tries, n);
	bw_store_run(&await, v, NULL);
}

void
bw_store_keep(BwIncoming *items, int count)
{
	int64	   *subscriptions = palloc(sizeof(int64) * count);
	const char **paths = palloc(sizeof(char *) * count);
	const char **peers = palloc(sizeof(char *) * count);
	const char **types = palloc(sizeof(char *) * count);
	const char **agents = palloc(sizeof(char *) * count);
	Datum	   *bodies = palloc(sizeof(Datum) * count);
	Datum		v[13];

	for (int i = 0; i < count; i++)
	{
		subscriptions[i] = items[i].subscription_id;
		paths[i] = items[i].path;
		peers[i] = items[i].peer;
		types[i] = items[i].content_type;
		agents[i] = items[i].user_agent;
		bodies[i] = bytea_of(items[i].body, items[i].body_len);
	}
	v[0] = bw_store_int64_array(subscriptions, count);
	v[1] = bw_store_text_array(paths, count);
	v[2] = bw_store_text_array(peers, count);
	v[3] = bw_store_text_array(types, count);
	v[4] = bw_store_text_array(agents, count);
	v[5] = PointerGetDatum(construct_array(bodies, count, BYTEAOID, -1, false,
										   TYPALIGN_INT));
	outcome_arrays(items, count, &v[6]);
	bw_store_run(&keep, v, NULL);
	for (int i = 0; i < count; i++)
		items[i].id = bw_store_int64(i, 0);
	keep_in_inbox(items, count);
}

BwIncoming *
bw_store_inbox(int limit, int *count, TimestampTz *next_due)
{
	Datum		v[1] = {Int32GetDatum(limit)};
	BwIncoming *items;

	*count = (int) bw_store_run(&inbox, v, NULL);
	items = palloc0(sizeof(BwIncoming) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		bytea	   *body = bw_store_bytea(i, 1);

		items[i].id = bw_store_int64(i, 0);
		items[i].body = VARDATA_ANY(body);
		items[i].body_len = VARSIZE_ANY_EXHDR(body);
		items[i].tries = bw_store_int32(i, 2);
		items[i].subscription_id = bw_store_is_null(i, 3) ? 0 : bw_store_int64(i, 3);
	}
	bw_store_run(&next_inbox, NULL, NULL);
	*next_due = bw_store_is_null(0, 0) ? DT_NOEND : bw_store_time(0, 0);
	return items;
}

void
bw_store_postpone(int64 notification_id, TimestampTz due_at)
{
	Datum		v[2] = {Int64GetDatum(notification_id), TimestampTzGetDatum(due_at)};

	bw_store_run(&postpone, v, NULL);
}

void
bw_store_outcomes(const BwIncoming *items, int count)
{
	int64	   *ids = palloc(sizeof(int64) * Max(count, 1));
	int32	   *tries = palloc(sizeof(int32) * Max(count, 1));
	Datum		v[9];

	for (int i = 0; i < count; i++)
	{
		ids[i] = items[i].id;
		tries[i] = items[i].tries;
	}
	v[0] = bw_store_int64_array(ids, count);
	outcome_arrays(items, count, &v[1]);
	v[8] = bw_store_int32_array(tries, count);
	bw_store_run(&outcomes, v, NULL);
}

void
bw_store_forget_notifications(int minutes)
{
	Datum		v[1] = {Int32GetDatum(minutes)};

	bw_store_run(&forget_notifications, v, NULL);
}

BwListenerKey *
bw_store_keys(int *count)
{
	BwListenerKey *list;

	*count = (int) bw_store_run(&keys, NULL, NULL);
	list = palloc0(sizeof(BwListenerKey) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		bytea	   *salt = bw_store_bytea(i, 2);
		bytea	   *hash = bw_store_bytea(i, 3);

		list[i].id = bw_store_int64(i, 0);
		strlcpy(list[i].path, bw_store_text(i, 1), sizeof(list[i].path));
		list[i].has_credentials = (hash != NULL);
		list[i].watched = bw_store_bool(i, 5) ? bw_store_int64(i, 4) : 0;
		if (hash == NULL)
			continue;
		memcpy(list[i].salt, VARDATA_ANY(salt), BW_LISTENER_SALT_LEN);
		memcpy(list[i].hash, VARDATA_ANY(hash), BW_LISTENER_HASH_LEN);
	}
	return list;
}

BwCaller *
bw_store_callers(int *count)
{
	BwCaller   *list;

	*count = (int) bw_store_run(&callers, NULL, NULL);
	list = palloc(sizeof(BwCaller) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		list[i].subscription_id = bw_store_int64(i, 0);
		list[i].account_id = bw_store_text(i, 1);
		list[i].bandwidth_subscription_id = bw_store_text(i, 2);
	}
	return list;
}
