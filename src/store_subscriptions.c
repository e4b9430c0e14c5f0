/*-------------------------------------------------------------------------
 *
 * store_subscriptions.c
 *	  Statements on subscriptions and the credentials of their callbacks.
 *
 * src/store_subscriptions.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "store_subscriptions.h"

/* Rows that are this database's own. */
#define OUR_HOME "(SELECT i.home FROM bw_identity AS i)"
/* How long old credentials are honoured when the new ones are not used. */
#define KEYS_RETIRE_AFTER "interval '1 h'"
/* The servers of keep(), and what they want. */
#define KEPT_SERVERS \
	"unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[])" \
	" AS t(server, account_id, owner, url, version)"
#define KEPT_TYPES {TEXTOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, \
	TEXTARRAYOID, TEXTARRAYOID}

static BwStatement subscribe = {
	.text =
	"WITH s AS ("
	" INSERT INTO bw_subscriptions (home, server, account_id, subscribed_by,"
	"        order_type, event_type, bandwidth_order_id, url, email, digest,"
	"        expiry, number_format, public_key, credentials, pinned)"
	" SELECT i.home, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14"
	"   FROM bw_identity AS i RETURNING id),"
	"w AS ("
	" INSERT INTO bw_subscription_work (subscription_id) SELECT id FROM s)"
	"SELECT id FROM s",
	.nargs = 14,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
	TEXTOID, TEXTOID, INT8OID, TEXTOID, TEXTOID, TEXTOID, BOOLOID}
};

/* The same arguments. */
static BwStatement change_kept = {
	.text =
	"WITH s AS ("
	" UPDATE bw_subscriptions"
	"    SET expiry = $10, number_format = $11, public_key = $12, credentials = $13,"
	"        pinned = $14"
	"  WHERE kept AND wanted AND home = " OUR_HOME
	"    AND server = $1 AND account_id = $2 AND order_type = $4 AND url = $7"
	"    AND $3 IS NOT NULL AND $5 IS NULL AND $6 IS NULL AND $8 IS NULL AND $9 IS NULL"
	" RETURNING id),"
	"w AS ("
	" INSERT INTO bw_subscription_work (subscription_id, rotate) SELECT id, true FROM s"
	" ON CONFLICT (subscription_id) DO UPDATE"
	"    SET due_at = '-infinity', tries = 0, rotate = true)"
	"SELECT id FROM s",
	.nargs = 14,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
	TEXTOID, TEXTOID, INT8OID, TEXTOID, TEXTOID, TEXTOID, BOOLOID}
};

static BwStatement is_kept = {
	.text =
	"SELECT FROM bw_subscriptions"
	" WHERE id = $1 AND kept AND wanted AND home = " OUR_HOME,
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement unsubscribe = {
	.text =
	"WITH s AS ("
	" UPDATE bw_subscriptions SET wanted = false"
	"  WHERE id = $1 AND state <> 'REMOVED'"
	"    AND EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = subscribed_by"
	"                   AND pg_has_role($2, r.oid, 'USAGE'))"
	" RETURNING id)"
	"INSERT INTO bw_subscription_work (subscription_id) SELECT id FROM s"
	" ON CONFLICT (subscription_id) DO UPDATE"
	"    SET due_at = '-infinity', tries = 0",
	.nargs = 2,
	.argtypes = {INT8OID, OIDOID}
};

static BwStatement rotate = {
	.text =
	"WITH s AS ("
	" UPDATE bw_subscriptions"
	"    SET state = CASE state WHEN 'CONTESTED' THEN 'QUEUED' ELSE state END"
	"  WHERE server = $1 AND wanted AND url IS NOT NULL AND credentials <> 'none'"
	"    AND state <> 'REMOVED' AND home = " OUR_HOME
	" RETURNING id)"
	"INSERT INTO bw_subscription_work (subscription_id, rotate)"
	" SELECT id, true FROM s"
	" ON CONFLICT (subscription_id) DO UPDATE"
	"    SET due_at = '-infinity', tries = 0, rotate = true, stranger_at = NULL",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

static BwStatement count_subscriptions = {
	.text =
	"SELECT count(*) FILTER (WHERE state = 'ACTIVE')::int,"
	"       count(*) FILTER (WHERE state = 'FAILED' AND wanted)::int"
	"  FROM bw_subscriptions WHERE server = $1 AND home = " OUR_HOME,
	.nargs = 1,
	.argtypes = {TEXTOID}
};

static BwStatement problem = {
	.text =
	"SELECT kind, problem FROM bw_subscription_problems()"
	" WHERE server = $1"
	" ORDER BY array_position('{contested,failed,failing,unchecked,waiting}', kind) LIMIT 1",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

static BwStatement keep_no_more = {
	.text =
	"WITH s AS ("
	" UPDATE bw_subscriptions AS s SET wanted = false"
	"  WHERE s.kept AND s.wanted AND s.order_type = $1 AND s.home = " OUR_HOME
	"    AND NOT EXISTS (SELECT FROM " KEPT_SERVERS
	"                     WHERE t.server = s.server AND t.account_id = s.account_id"
	"                       AND t.url = s.url)"
	" RETURNING s.id)"
	"INSERT INTO bw_subscription_work (subscription_id) SELECT id FROM s"
	" ON CONFLICT (subscription_id) DO UPDATE SET due_at = '-infinity', tries = 0",
	.nargs = 6,
	.argtypes = KEPT_TYPES
};

/* One that was asked for is as good as one of the worker's own. */
static BwStatement keep_explicit = {
	.text =
	"UPDATE bw_subscriptions SET kept = true"
	" WHERE id IN ("
	"  SELECT min(s.id) FROM bw_subscriptions AS s JOIN " KEPT_SERVERS
	"      ON t.server = s.server AND t.account_id = s.account_id AND t.url = s.url"
	"   WHERE s.wanted AND s.order_type = $1 AND s.bandwidth_order_id IS NULL"
	"     AND s.state <> 'REMOVED' AND s.home = " OUR_HOME
	"   GROUP BY s.server HAVING NOT bool_or(s.kept))",
	.nargs = 6,
	.argtypes = KEPT_TYPES
};

static BwStatement keep_new = {
	.text =
	"INSERT INTO bw_subscriptions (home, server, account_id, subscribed_by,"
	"       order_type, url, expiry, credentials, kept)"
	" SELECT " OUR_HOME ", t.server, t.account_id, t.owner, $1, t.url, 3153600000,"
	"        'generated', true"
	"   FROM " KEPT_SERVERS
	"  WHERE NOT EXISTS (SELECT FROM bw_subscriptions AS s"
	"                     WHERE s.kept AND s.wanted AND s.server = t.server"
	"                       AND s.order_type = $1 AND s.home = " OUR_HOME ")",
	.nargs = 6,
	.argtypes = KEPT_TYPES
};

static BwStatement keep_owner = {
	.text =
	"UPDATE bw_subscriptions AS s SET subscribed_by = t.owner"
	"  FROM " KEPT_SERVERS
	" WHERE s.kept AND s.wanted AND s.order_type = $1 AND s.home = " OUR_HOME
	"   AND s.server = t.server AND s.subscribed_by <> t.owner",
	.nargs = 6,
	.argtypes = KEPT_TYPES
};

/* New ones, and those whose server was altered: what was contested begins anew. */
static BwStatement keep_altered = {
	.text =
	"WITH s AS ("
	" SELECT s.id, t.version FROM bw_subscriptions AS s JOIN " KEPT_SERVERS
	"     ON t.server = s.server"
	"   LEFT JOIN bw_subscription_work AS w ON w.subscription_id = s.id"
	"  WHERE s.kept AND s.wanted AND s.order_type = $1 AND s.home = " OUR_HOME
	"    AND w.version IS DISTINCT FROM t.version),"
	"c AS ("
	" UPDATE bw_subscriptions AS o SET state = 'QUEUED' FROM s"
	"  WHERE o.id = s.id AND o.state = 'CONTESTED')"
	"INSERT INTO bw_subscription_work (subscription_id, version)"
	" SELECT id, version FROM s"
	" ON CONFLICT (subscription_id) DO UPDATE"
	"    SET due_at = '-infinity', tries = 0, version = EXCLUDED.version,"
	"        stranger_at = NULL",
	.nargs = 6,
	.argtypes = KEPT_TYPES
};

static BwStatement check_now = {
	.text =
	"UPDATE bw_subscription_work SET due_at = '-infinity' WHERE due_at < 'infinity'",
	.nargs = 0
};

static BwStatement check_pinned = {
	.text =
	"INSERT INTO bw_subscription_work (subscription_id)"
	" SELECT s.id FROM bw_subscriptions AS s"
	"  WHERE s.pinned AND s.wanted AND s.state IN ('QUEUED', 'ACTIVE', 'FAILED')"
	"    AND s.home = " OUR_HOME
	" ON CONFLICT (subscription_id) DO UPDATE SET due_at = '-infinity', tries = 0",
	.nargs = 0
};

/* One that takes the place of another waits until that is removed. */
static BwStatement take_subscriptions = {
	.text =
	"WITH w AS MATERIALIZED ("
	" SELECT subscription_id AS id, due_at FROM bw_subscription_work AS l"
	"  WHERE due_at <= now() AND subscription_id <> ALL ($1)"
	"    AND EXISTS (SELECT FROM bw_subscriptions AS s WHERE s.id = l.subscription_id"
	"                   AND s.home = " OUR_HOME
	"                   AND NOT (s.wanted AND EXISTS ("
	"                    SELECT FROM bw_subscriptions AS o"
	"                      JOIN bw_subscription_work AS p ON p.subscription_id = o.id"
	"                     WHERE NOT o.wanted AND o.home = s.home"
	"                       AND o.account_id = s.account_id"
	"                       AND COALESCE(o.url, o.email) = COALESCE(s.url, s.email))))"
	"  ORDER BY due_at"
	"  LIMIT $2"
	" FOR NO KEY UPDATE SKIP LOCKED),"
	"u AS ("
	" UPDATE bw_subscription_work AS u SET due_at = $3, tries = u.tries + 1"
	"   FROM w WHERE u.subscription_id = w.id"
	" RETURNING u.*, w.due_at AS was_due_at)"
	"SELECT s.id, s.server, s.account_id, s.order_type, s.event_type,"
	"       s.bandwidth_order_id, s.url, s.email, s.digest, s.expiry,"
	"       s.number_format, s.public_key, s.credentials, s.kept, s.wanted, s.state,"
	"       s.bandwidth_subscription_id, s.bandwidth_status, s.error_text,"
	"       concat('bandwidth-', left(s.home::text, 8), '-'),"
	"       u.tries, u.rotate, u.stranger_at, s.pinned"
	"  FROM u JOIN bw_subscriptions AS s ON s.id = u.subscription_id"
	" ORDER BY u.was_due_at, s.id",
	.nargs = 3,
	.argtypes = {INT8ARRAYOID, INT4OID, TIMESTAMPTZOID}
};

static BwStatement other_ids = {
	.text =
	"SELECT array_agg(o.bandwidth_subscription_id) FROM bw_subscriptions AS o"
	" WHERE o.id <> $1 AND o.state <> 'REMOVED' AND o.home = " OUR_HOME
	"   AND o.bandwidth_subscription_id IS NOT NULL",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement next_subscription = {
	.text = "SELECT min(due_at) FROM bw_subscription_work WHERE due_at > now()",
	.nargs = 0
};

static BwStatement subscription_later = {
	.text =
	"UPDATE bw_subscription_work SET due_at = $3"
	" WHERE subscription_id = $1 AND due_at = $2",
	.nargs = 3,
	.argtypes = {INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};

static BwStatement subscription_done = {
	.text =
	"UPDATE bw_subscription_work SET due_at = $3, tries = 0, rotate = false"
	" WHERE subscription_id = $1 AND due_at = $2",
	.nargs = 3,
	.argtypes = {INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};

static BwStatement subscription_end = {
	.text = "DELETE FROM bw_subscription_work WHERE subscription_id = $1 AND due_at = $2",
	.nargs = 2,
	.argtypes = {INT8OID, TIMESTAMPTZOID}
};

static BwStatement subscription_state = {
	.text =
	"WITH k AS ("
	" DELETE FROM bw_callback_keys WHERE $2 = 'REMOVED' AND subscription_id = $1)"
	"UPDATE bw_subscriptions"
	"   SET state = COALESCE($2, state), bandwidth_subscription_id = $3,"
	"       bandwidth_status = $4, username = COALESCE($5, username),"
	"       public_key = COALESCE($6, public_key), error_code = $7, error_text = $8,"
	"       expires_at = $9, checked_at = now()"
	" WHERE id = $1",
	.nargs = 9,
	.argtypes = {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
	TEXTOID, TIMESTAMPTZOID}
};

static BwStatement subscription_trouble = {
	.text = "UPDATE bw_subscriptions SET error_code = $2, error_text = $3 WHERE id = $1",
	.nargs = 3,
	.argtypes = {INT8OID, TEXTOID, TEXTOID}
};

static BwStatement note_stranger = {
	.text = "UPDATE bw_subscription_work SET stranger_at = now() WHERE subscription_id = $1",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement add_key = {
	.text =
	"INSERT INTO bw_callback_keys (subscription_id, path, username, salt, hash)"
	" VALUES ($1, $2, $3, $4, $5) RETURNING id",
	.nargs = 5,
	.argtypes = {INT8OID, TEXTOID, TEXTOID, BYTEAOID, BYTEAOID}
};

static BwStatement subscription_keys = {
	.text =
	"SELECT id, username, salt, hash FROM bw_callback_keys"
	" WHERE subscription_id = $1 ORDER BY id DESC",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement drop_key = {
	.text = "DELETE FROM bw_callback_keys WHERE id = $1",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement retire_keys_before = {
	.text =
	"UPDATE bw_callback_keys AS o SET retire_at = now() + " KEYS_RETIRE_AFTER
	"  FROM bw_callback_keys AS k"
	" WHERE k.id = $1 AND o.subscription_id = k.subscription_id AND o.id < k.id"
	"   AND o.retire_at IS NULL",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement end_keys_before = {
	.text =
	"DELETE FROM bw_callback_keys AS o USING bw_callback_keys AS k"
	" WHERE k.id = $1 AND o.subscription_id = k.subscription_id AND o.id < k.id",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement end_keys = {
	.text = "DELETE FROM bw_callback_keys WHERE retire_at <= now()",
	.nargs = 0
};

int64
bw_store_subscribe(const BwNewSubscription *s)
{
	const char *texts[] = {s->server, s->account_id, s->subscribed_by,
		s->order_type, s->event_type, s->bandwidth_order_id, s->url, s->email,
	s->digest, NULL, s->number_format, s->public_key, s->credentials};
	Datum		v[14];
	bool		nulls[14];

	for (int i = 0; i < (int) lengthof(texts); i++)
	{
		nulls[i] = (texts[i] == NULL);
		v[i] = texts[i] ? CStringGetTextDatum(texts[i]) : (Datum) 0;
	}
	v[9] = Int64GetDatum(s->expiry);
	nulls[9] = (s->email != NULL);
	v[13] = BoolGetDatum(s->pinned);
	nulls[13] = false;
	if (bw_store_run(&change_kept, v, nulls) == 0)
		bw_store_run(&subscribe, v, nulls);
	return bw_store_int64(0, 0);
}

bool
bw_store_is_kept(int64 id)
{
	Datum		v[1] = {Int64GetDatum(id)};

	return bw_store_run(&is_kept, v, NULL) > 0;
}

bool
bw_store_unsubscribe(int64 id, Oid role)
{
	Datum		v[2] = {Int64GetDatum(id), ObjectIdGetDatum(role)};

	return bw_store_run(&unsubscribe, v, NULL) > 0;
}

int
bw_store_rotate(const char *server)
{
	Datum		v[1] = {CStringGetTextDatum(server)};

	return (int) bw_store_run(&rotate, v, NULL);
}

void
bw_store_count_subscriptions(const char *server, int *active, int *failed)
{
	Datum		v[1] = {CStringGetTextDatum(server)};

	bw_store_run(&count_subscriptions, v, NULL);
	*active = bw_store_int32(0, 0);
	*failed = bw_store_int32(0, 1);
}

bool
bw_store_subscription_problem(const char *server, char **kind, char **what)
{
	Datum		v[1] = {CStringGetTextDatum(server)};

	if (bw_store_run(&problem, v, NULL) == 0)
		return false;
	*kind = bw_store_text(0, 0);
	*what = bw_store_text(0, 1);
	return true;
}

void
bw_store_keep_subscriptions(const char *order_type, const BwKept *kept, int count)
{
	static BwStatement *const steps[] = {&keep_no_more, &keep_explicit, &keep_new,
	&keep_owner, &keep_altered};
	const char **texts[5];
	Datum		v[6] = {CStringGetTextDatum(order_type)};

	for (int t = 0; t < (int) lengthof(texts); t++)
		texts[t] = palloc(sizeof(char *) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		texts[0][i] = kept[i].server;
		texts[1][i] = kept[i].account_id;
		texts[2][i] = kept[i].owner;
		texts[3][i] = kept[i].url;
		texts[4][i] = kept[i].version;
	}
	for (int t = 0; t < (int) lengthof(texts); t++)
		v[t + 1] = bw_store_text_array(texts[t], count);
	for (int i = 0; i < (count > 0 ? (int) lengthof(steps) : 1); i++)
		bw_store_run(steps[i], v, NULL);
}

void
bw_store_check_subscriptions(void)
{
	bw_store_run(&check_now, NULL, NULL);
}

bool
bw_store_check_pinned(void)
{
	return bw_store_run(&check_pinned, NULL, NULL) > 0;
}

static void
read_row(uint64 i, BwSubscriptionRow *s)
{
	s->id = bw_store_int64(i, 0);
	s->server = bw_store_text(i, 1);
	s->account_id = bw_store_text(i, 2);
	s->order_type = bw_store_text(i, 3);
	s->event_type = bw_store_text(i, 4);
	s->bandwidth_order_id = bw_store_text(i, 5);
	s->url = bw_store_text(i, 6);
	s->email = bw_store_text(i, 7);
	s->digest = bw_store_text(i, 8);
	s->expiry = bw_store_is_null(i, 9) ? 0 : bw_store_int64(i, 9);
	s->number_format = bw_store_text(i, 10);
	s->public_key = bw_store_text(i, 11);
	s->credentials = bw_store_text(i, 12);
	s->kept = bw_store_bool(i, 13);
	s->wanted = bw_store_bool(i, 14);
	s->state = bw_store_text(i, 15);
	s->bandwidth_subscription_id = bw_store_text(i, 16);
	s->bandwidth_status = bw_store_text(i, 17);
	s->error_text = bw_store_text(i, 18);
	s->mark = bw_store_text(i, 19);
	s->tries = bw_store_int32(i, 20);
	s->rotate = bw_store_bool(i, 21);
	s->stranger_at = bw_store_time(i, 22);
	s->pinned = bw_store_bool(i, 23);
}

BwSubscriptionRow *
bw_store_take_subscriptions(const int64 *busy, int busy_count, int limit,
							TimestampTz token, int *count)
{
	Datum		v[3] = {bw_store_int64_array(busy, busy_count), Int32GetDatum(limit),
	TimestampTzGetDatum(token)};
	BwSubscriptionRow *rows;

	*count = (int) bw_store_run(&take_subscriptions, v, NULL);
	rows = palloc0(sizeof(BwSubscriptionRow) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		read_row(i, &rows[i]);
		rows[i].token = token;
	}
	return rows;
}

char **
bw_store_other_subscription_ids(int64 id, int *count)
{
	Datum		v[1] = {Int64GetDatum(id)};

	bw_store_run(&other_ids, v, NULL);
	return bw_store_texts(0, 0, count);
}

TimestampTz
bw_store_next_subscription(void)
{
	bw_store_run(&next_subscription, NULL, NULL);
	return bw_store_is_null(0, 0) ? DT_NOEND : bw_store_time(0, 0);
}

void
bw_store_subscription_later(const BwSubscriptionRow *row, TimestampTz due_at)
{
	Datum		v[3] = {Int64GetDatum(row->id), TimestampTzGetDatum(row->token),
	TimestampTzGetDatum(due_at)};

	bw_store_run(&subscription_later, v, NULL);
}

void
bw_store_subscription_done(const BwSubscriptionRow *row, TimestampTz due_at)
{
	Datum		v[3] = {Int64GetDatum(row->id), TimestampTzGetDatum(row->token),
	TimestampTzGetDatum(due_at)};

	bw_store_run(row->kept && row->wanted ? &subscription_done : &subscription_end, v, NULL);
}

void
bw_store_subscription_state(int64 id, const BwSubscriptionState *state)
{
	const char *texts[] = {state->state, state->bandwidth_subscription_id,
		state->bandwidth_status, state->username, state->public_key,
	state->error_code, state->error_text};
	Datum		v[9] = {Int64GetDatum(id)};
	bool		nulls[9] = {false};

	for (int i = 0; i < (int) lengthof(texts); i++)
	{
		nulls[i + 1] = (texts[i] == NULL);
		v[i + 1] = texts[i] ? CStringGetTextDatum(texts[i]) : (Datum) 0;
	}
	v[8] = TimestampTzGetDatum(state->expires_at);
	nulls[8] = (state->expires_at == DT_NOEND);
	bw_store_run(&subscription_state, v, nulls);
}

void
bw_store_subscription_trouble(int64 id, const char *error_code, const char *error_text)
{
	Datum		v[3] = {Int64GetDatum(id)};
	bool		nulls[3] = {false, error_code == NULL, false};

	v[1] = error_code ? CStringGetTextDatum(error_code) : (Datum) 0;
	v[2] = CStringGetTextDatum(error_text);
	bw_store_run(&subscription_trouble, v, nulls);
}

void
bw_store_note_stranger(int64 id)
{
	Datum		v[1] = {Int64GetDatum(id)};

	bw_store_run(&note_stranger, v, NULL);
}

static Datum
bytea_of(const void *data, size_t len)
{
	bytea	   *value = palloc(VARHDRSZ + len);

	SET_VARSIZE(value, VARHDRSZ + len);
	memcpy(VARDATA(value), data, len);
	return PointerGetDatum(value);
}

void
bw_store_add_key(int64 subscription_id, const char *path, BwKey *key)
{
	bool		none = key->username == NULL;
	Datum		v[5];
	bool		nulls[5] = {false, false, none, none, none};

	v[0] = Int64GetDatum(subscription_id);
	v[1] = CStringGetTextDatum(path);
	v[2] = none ? (Datum) 0 : CStringGetTextDatum(key->username);
	v[3] = bytea_of(key->salt, BW_LISTENER_SALT_LEN);
	v[4] = bytea_of(key->hash, BW_LISTENER_HASH_LEN);
	bw_store_run(&add_key, v, nulls);
	key->id = bw_store_int64(0, 0);
}

BwKey *
bw_store_subscription_keys(int64 subscription_id, int *count)
{
	Datum		v[1] = {Int64GetDatum(subscription_id)};
	BwKey	   *keys;

	*count = (int) bw_store_run(&subscription_keys, v, NULL);
	keys = palloc0(sizeof(BwKey) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		keys[i].id = bw_store_int64(i, 0);
		keys[i].username = bw_store_text(i, 1);
		if (keys[i].username == NULL)
			continue;
		memcpy(keys[i].salt, VARDATA_ANY(bw_store_bytea(i, 2)), BW_LISTENER_SALT_LEN);
		memcpy(keys[i].hash, VARDATA_ANY(bw_store_bytea(i, 3)), BW_LISTENER_HASH_LEN);
	}
	return keys;
}

static uint64
run_on_key(BwStatement *statement, int64 id)
{
	Datum		v[1] = {Int64GetDatum(id)};

	return bw_store_run(statement, v, NULL);
}

void
bw_store_drop_key(int64 id)
{
	run_on_key(&drop_key, id);
}

void
bw_store_retire_keys_before(int64 id)
{
	run_on_key(&retire_keys_before, id);
}

void
bw_store_end_keys_before(int64 id)
{
	run_on_key(&end_keys_before, id);
}

int
bw_store_end_keys(void)
{
	return (int) bw_store_run(&end_keys, NULL, NULL);
}
