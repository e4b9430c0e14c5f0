/*-------------------------------------------------------------------------
 *
 * store_orders.c
 *	  Statements on bw_orders and bw_order_numbers that users' calls need.
 *
 * src/store_orders.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "store_orders.h"

static Datum text_or_null(const char *text, bool *isnull);
static Datum copy_datum(uint64 row, int column);
static BwStatement *insert_statement(int parts);
static int	parts_of(const BwNewOrder *order);
static void fill_row(const BwProvision *p, Datum *v, bool *nulls);
pg_noreturn static void raise_fence(void);
static int64 order_with_key(const BwNewOrder *order);
static void refuse_customer_order_id(const BwNewOrder *order);
pg_noreturn static void refuse_foreign(int64 id, const char *hint);

/*
 * An order, its numbers, its place in the queue and, where it cannot share
 * one, its request: one statement, because each further one costs the
 * committers.  So does each table that it names in vain, so there is a statement
 * for each set of parts.  The identity is the fence: a clone of the database
 * finds no row here and inserts nothing.
 */
enum Part
{
	PART_NUMBERS = 1,
	PART_REQUEST = 2,
	PART_HELD = 4,				/* else queued */
	PART_SEARCH = 8,
	PART_ROW = 16,
	PART_ONE_NUMBER = 32		/* with PART_NUMBERS: exactly one */
};

static BwStatement insert_order[64];

#define INSERT_ARGS 37

static const Oid insert_order_types[INSERT_ARGS] = {
	TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT4OID, TEXTOID, TEXTOID, TEXTOID,
	TEXTOID, TEXTOID, JSONBOID, TEXTOID, BOOLOID, BOOLOID, BOOLOID, INT4OID,
	TEXTARRAYOID, TEXTARRAYOID, INT8OID, BOOLOID, OIDOID, INT8OID, TEXTOID,
	TEXTOID, TEXTOID,
	OIDOID, TEXTOID, INT2ARRAYOID, TEXTARRAYOID, INT2OID, INT2OID, INT2OID, BOOLOID, TEXTOID,
	BOOLOID, TEXTOID, TIMESTAMPTZOID
};

static const char insert_self[] =
"WITH self AS ("
" SELECT home, nextval('bw_orders_id_seq') AS id,"
"        CASE WHEN $20 THEN nextval('bw_requests_id_seq') END AS request_id"
"   FROM bw_identity"
"  WHERE database_oid = $21 AND system_identifier = $22 AND instance = $23),";

/* The unique key is what allows a row one open order for each of its numbers. */
static const char insert_row[] =
"p AS ("
" INSERT INTO bw_provisions (order_id, relation, key, key_columns, key_values,"
"        number_column, status_column, error_column, e164, number_before)"
" SELECT id, $26, $27, $28, $29, $30, $31, $32, $33, $34 FROM self"
" ON CONFLICT DO NOTHING RETURNING order_id),";

static const char insert_itself[] =
"o AS ("
" INSERT INTO bw_orders (id, home, kind, server, account_id, ordered_by,"
"        status, quantity, site_id, peer_id, name, customer_order_id,"
"        idempotency_key, tag, criteria, partial_allowed,"
"        back_order_requested, direct, attempts, reservation_ids,"
"        request_id, retry_of, for_table, for_key, for_relation)"
" OVERRIDING SYSTEM VALUE"
" SELECT id, home, $36, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,"
"        $12::jsonb, $13, $14, $15, $16, $17, request_id, $19, $24, $25::jsonb,"
"        $26"
"   FROM self%s"
" ON CONFLICT DO NOTHING"
" RETURNING id, home, request_id)";

static const char insert_numbers[] =
", n AS ("
" INSERT INTO bw_order_numbers (order_id, telephone_number)"
" SELECT o.id, t FROM o, unnest($18::text[]) AS t)";

static const char insert_number[] =
", n AS ("
" INSERT INTO bw_order_numbers (order_id, telephone_number)"
" SELECT o.id, ($18::text[])[1] FROM o)";

static const char insert_request[] =
", r AS ("
" INSERT INTO bw_requests (id, home, kind, server, account_id, ordered_by,"
"        customer_order_id, members, quantity)"
" OVERRIDING SYSTEM VALUE"
" SELECT request_id, home, CASE WHEN $36 = 'disconnect' THEN $36"
"                              WHEN $15 THEN 'direct' ELSE 'explicit' END,"
"        $1, $2, $3, COALESCE($9, " BW_NEW_CUSTOMER_ORDER_ID("home", "id") "),"
"        ARRAY[id], $5"
"   FROM o)";

static const char insert_queued[] =
", q AS ("
" INSERT INTO bw_queue (server, ordered_by, order_id, request_id, quantity,"
"                       search)"
" SELECT $1, $3, id, request_id, $5, $35 FROM o)";

static const char insert_held[] =
", h AS ("
" INSERT INTO bw_held (order_id, server, ordered_by, quantity, reason, due_at)"
" SELECT id, $1, $3, $5, CASE WHEN $37 IS NULL THEN 'approval' ELSE 'release_after' END,"
"        $37 FROM o)";

static const char insert_search[] =
", w AS ("
" INSERT INTO bw_searches (order_id, server, ordered_by, criteria, quantity)"
" SELECT id, $1, $3, $12::jsonb, $5 FROM o)";

static BwStatement identity = {
	.text =
	"SELECT FROM bw_identity"
	" WHERE database_oid = $1 AND system_identifier = $2 AND instance = $3",
	.nargs = 3,
	.argtypes = {OIDOID, INT8OID, TEXTOID}
};

/* SQL: was the order "o" made by another database, which alone would move it? */
#define OPEN_ELSEWHERE \
	"NOT o.is_final AND o.home IS DISTINCT FROM (SELECT i.home FROM bw_identity AS i)"

/*
 * And in what the order differs.  That its numbers are those that were asked for
 * need not be looked at the other way round: there are as many.
 */
static BwStatement order_by_key = {
	.text =
	"SELECT o.id, CASE"
	"        WHEN o.kind <> $4 THEN 'another kind'"
	"        WHEN o.criteria IS DISTINCT FROM $5::jsonb THEN 'other criteria'"
	"        WHEN o.quantity <> $6 THEN 'another quantity'"
	"        WHEN EXISTS (SELECT FROM unnest($7::text[]) AS t"
	"                      WHERE NOT EXISTS (SELECT FROM bw_order_numbers AS n"
	"                                         WHERE n.order_id = o.id"
	"                                           AND n.telephone_number = t"
	"                                           AND n.replaces IS NULL))"
	"        THEN 'other telephone numbers' END, " OPEN_ELSEWHERE
	"  FROM bw_orders AS o"
	" WHERE o.server = $1 AND o.ordered_by = $2 AND o.idempotency_key = $3",
	.nargs = 7,
	.argtypes = {NAMEOID, NAMEOID, TEXTOID, TEXTOID, TEXTOID, INT4OID, TEXTARRAYOID}
};

/* And does it want the same as a new one? */
static BwStatement order_of_row = {
	.text =
	"SELECT o.id, o.server = $4 AND o.site_id IS NOT DISTINCT FROM $5"
	"         AND o.peer_id IS NOT DISTINCT FROM $6 AND o.direct = $7"
	"         AND o.criteria IS NOT DISTINCT FROM $8::jsonb"
	"         AND ($9 IS NULL OR EXISTS (SELECT FROM bw_order_numbers AS n"
	"                                     WHERE n.order_id = o.id AND n.replaces IS NULL"
	"                                       AND n.telephone_number = ($9::text[])[1]))"
	"  FROM bw_provisions AS p JOIN bw_orders AS o ON o.id = p.order_id"
	" WHERE p.relation = $1 AND p.key = $2 AND p.number_column = $3",
	.nargs = 9,
	.argtypes = {OIDOID, TEXTOID, INT2OID, NAMEOID, TEXTOID, TEXTOID, BOOLOID,
	TEXTOID, TEXTARRAYOID}
};

static BwStatement order_by_retry = {
	.text =
	"SELECT o.id, " OPEN_ELSEWHERE
	"  FROM bw_orders AS o WHERE o.retry_of = $1",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement customer_order_id_used = {
	.text =
	"SELECT FROM bw_orders WHERE account_id = $1 AND customer_order_id = $2",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID}
};

/* The numbers that were asked for, not those that were tried in their places. */
static BwStatement rest_of_order = {
	.text =
	"SELECT o.server, o.site_id, o.peer_id, o.name, o.tag, o.criteria,"
	"       o.partial_allowed, o.back_order_requested, o.direct, o.attempts,"
	"       o.reservation_ids,"
	"       CASE WHEN o.criteria IS NULL THEN n.rest ELSE '{}' END,"
	"       CASE WHEN o.criteria IS NULL THEN cardinality(n.rest)"
	"            ELSE o.quantity - COALESCE(o.completed_quantity, 0) END"
	"  FROM bw_orders AS o"
	" CROSS JOIN LATERAL ("
	"  SELECT array_agg(n.telephone_number ORDER BY n.telephone_number) AS rest"
	"    FROM bw_order_numbers AS n"
	"   WHERE n.order_id = o.id AND n.status <> 'COMPLETE' AND n.replaces IS NULL"
	"     AND NOT EXISTS (SELECT FROM bw_order_numbers AS s"
	"                      WHERE s.order_id = o.id AND s.status = 'COMPLETE'"
	"                        AND s.replaces = n.telephone_number)) AS n"
	" WHERE o.id = $1",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement order_lines = {
	.text =
	"SELECT n.telephone_number, o.status"
	"  FROM bw_orders AS o"
	"  LEFT JOIN bw_order_numbers AS n ON n.order_id = o.id"
	" WHERE o.id = $1"
	" ORDER BY n.telephone_number",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement read_order = {
	.text =
	"SELECT o.id, o.kind, o.server, o.account_id, o.ordered_by, o.status,"
	"       o.bandwidth_order_id, o.request_id, o.xmin,"
	"       COALESCE(o.home = (SELECT i.home FROM bw_identity AS i), false),"
	"       o.for_table"
	"  FROM bw_orders AS o"
	" WHERE o.id = $1"
	"   AND ($2 = 0 OR"
	"        EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = o.ordered_by"
	"                   AND pg_has_role($2, r.oid, 'USAGE')))",
	.nargs = 2,
	.argtypes = {INT8OID, OIDOID}
};

/*
 * Only what has its row in the queue or among the held was never claimed; a
 * claim deletes that row, so the two exclude each other by its lock.  What
 * another timeline may have claimed stays as well, and so does an order of which
 * Bandwidth had one attempt already, and one whose request carries others, too.
 * A request that was shared is not its own to close.
 */
static BwStatement cancel_order = {
	.text =
	"WITH o AS ("
	" SELECT id, server, ordered_by FROM bw_orders"
	"  WHERE id = $1 AND status IN ('QUEUED', 'HELD') AND attempts_used = 1"
	"    AND NOT " BW_IN_PART
	"  FOR NO KEY UPDATE),"
	"q AS ("
	" DELETE FROM bw_queue AS q USING o"
	"  WHERE q.server = o.server::text AND q.ordered_by = o.ordered_by::text"
	"    AND q.order_id = o.id AND NOT q.claimed AND NOT " BW_IN_DOUBT("q")
	" RETURNING q.order_id),"
	"h AS ("
	" DELETE FROM bw_held AS h USING o"
	"  WHERE h.order_id = o.id AND NOT " BW_IN_DOUBT("h")
	" RETURNING h.order_id),"
	"u AS ("
	" UPDATE bw_orders SET status = 'CANCELLED', closed_at = now()"
	"  WHERE id IN (SELECT order_id FROM q UNION ALL SELECT order_id FROM h)"
	" RETURNING id, request_id),"
	"r AS ("
	" UPDATE bw_requests SET state = 'closed', closed_at = now()"
	"  WHERE id IN (SELECT request_id FROM u) AND NOT shared),"
	"s AS (DELETE FROM bw_searches WHERE order_id IN (SELECT id FROM u))"
	"INSERT INTO bw_order_events (order_id, status, source)"
	" SELECT id, 'CANCELLED', 'user' FROM u",
	.nargs = 1,
	.argtypes = {INT8OID}
};

/*
 * In a statement of its own, so that the next one sees what whoever had the lock
 * did: it may have moved the order from the held ones to the queue, or back.
 * What was sent is not locked: the worker needs that row more than we do.
 */
static BwStatement lock_unsent = {
	.text =
	"SELECT FROM bw_orders WHERE id = $1 AND status IN ('QUEUED', 'HELD')"
	" FOR NO KEY UPDATE",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement waiting_for = {
	.text = "SELECT bw_waiting_for_what($1)",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement recheck_request = {
	.text =
	"UPDATE bw_open_requests SET due_at = now()"
	" WHERE request_id = $1 AND step <> 'sent'",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement receive = {
	.text =
	"WITH n AS ("
	" INSERT INTO bw_notifications (body, path) VALUES ($1, 'bw_receive')"
	" RETURNING id),"
	"i AS (INSERT INTO bw_inbox (notification_id) SELECT id FROM n)"
	"SELECT id FROM n",
	.nargs = 1,
	.argtypes = {BYTEAOID}
};

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = (text == NULL);
	return text ? CStringGetTextDatum(text) : (Datum) 0;
}

/* The statement for these parts, put together when it is needed first. */
static BwStatement *
insert_statement(int parts)
{
	BwStatement *statement = &insert_order[parts];
	StringInfoData text;

	if (statement->text != NULL)
		return statement;
	initStringInfo(&text);
	appendStringInfoString(&text, insert_self);
	if (parts & PART_ROW)
		appendStringInfoString(&text, insert_row);
	appendStringInfo(&text, insert_itself, parts & PART_ROW ? " JOIN p ON p.order_id = self.id" : "");
	if (parts & PART_NUMBERS)
		appendStringInfoString(&text, parts & PART_ONE_NUMBER ? insert_number : insert_numbers);
	if (parts & PART_REQUEST)
		appendStringInfoString(&text, insert_request);
	appendStringInfoString(&text, parts & PART_HELD ? insert_held : insert_queued);
	if (parts & PART_SEARCH)
		appendStringInfoString(&text, insert_search);
	appendStringInfo(&text, " SELECT o.id, %s FROM self LEFT JOIN o ON true",
					 parts & PART_ROW ? "EXISTS (SELECT FROM p)" : "true");
	statement->nargs = INSERT_ARGS;
	memcpy(statement->argtypes, insert_order_types, sizeof(insert_order_types));
	statement->text = MemoryContextStrdup(TopMemoryContext, text.data);
	return statement;
}

static int
parts_of(const BwNewOrder *order)
{
	return (order->has_numbers ? PART_NUMBERS : 0) |
		(order->has_numbers && order->quantity == 1 ? PART_ONE_NUMBER : 0) |
		(order->own_request ? PART_REQUEST : 0) |
		(order->status == BW_ORDER_HELD ? PART_HELD : 0) |
		(order->criteria != NULL && !order->direct ? PART_SEARCH : 0) |
		(order->for_row != NULL ? PART_ROW : 0);
}

int64
bw_store_insert_order(const BwNewOrder *order, bool *row_waits)
{
	Datum		v[INSERT_ARGS] = {0};
	bool		nulls[INSERT_ARGS] = {false};
	int			parts = parts_of(order);

	v[0] = CStringGetTextDatum(order->server);
	v[1] = CStringGetTextDatum(order->account_id);
	v[2] = CStringGetTextDatum(order->ordered_by);
	v[3] = CStringGetTextDatum(bw_order_status_name(order->status));
	v[4] = Int32GetDatum(order->quantity);
	v[5] = text_or_null(order->site_id, &nulls[5]);
	v[6] = text_or_null(order->peer_id, &nulls[6]);
	v[7] = text_or_null(order->name, &nulls[7]);
	v[8] = text_or_null(order->customer_order_id, &nulls[8]);
	v[9] = text_or_null(order->idempotency_key, &nulls[9]);
	v[10] = order->tag;
	nulls[10] = (order->tag == 0);
	v[11] = text_or_null(order->criteria, &nulls[11]);
	v[12] = BoolGetDatum(order->partial_allowed);
	v[13] = BoolGetDatum(order->back_order_requested);
	v[14] = BoolGetDatum(order->direct);
	v[15] = Int32GetDatum(order->attempts);
	v[16] = order->reservation_ids;
	nulls[16] = (order->reservation_ids == 0);
	v[17] = order->numbers;
	nulls[17] = (order->numbers == 0);
	v[18] = Int64GetDatum(order->retry_of);
	nulls[18] = (order->retry_of == 0);
	v[19] = BoolGetDatum(order->own_request);
	v[20] = ObjectIdGetDatum(MyDatabaseId);
	v[21] = Int64GetDatum((int64) GetSystemIdentifier());
	v[22] = CStringGetTextDatum(bw_instance);
	fill_row(order->for_row, &v[23], &nulls[23]);
	v[34] = BoolGetDatum(parts & PART_SEARCH);
	v[35] = CStringGetTextDatum(bw_order_kind_name(order->kind));
	v[36] = TimestampTzGetDatum(order->held_until);
	nulls[36] = order->held_until == DT_NOEND;

	if (bw_store_run(insert_statement(parts), v, nulls) == 0)
		raise_fence();
	if (row_waits != NULL)
		*row_waits = !bw_store_bool(0, 1);
	return bw_store_int64(0, 0);
}

/* for_table and for_key, and its row of bw_provisions. */
static void
fill_row(const BwProvision *p, Datum *v, bool *nulls)
{
	if (p == NULL)
	{
		memset(nulls, true, 11);
		return;
	}
	v[0] = CStringGetTextDatum(p->table);
	v[1] = CStringGetTextDatum(p->key);
	v[2] = ObjectIdGetDatum(p->row.relation);
	v[3] = CStringGetTextDatum(p->key);
	v[4] = bw_store_int16_array(p->row.key_columns, p->row.key_count);
	v[5] = bw_store_text_array((const char *const *) p->row.key_values, p->row.key_count);
	v[6] = Int16GetDatum(p->number_column);
	v[7] = Int16GetDatum(p->status_column);
	v[8] = Int16GetDatum(p->error_column);
	v[9] = BoolGetDatum(p->e164);
	v[10] = text_or_null(p->number_before, &nulls[10]);
}

int64
bw_store_order_of_row(const BwNewOrder *order, bool *wants_same)
{
	const BwProvision *p = order->for_row;
	Datum		v[9];
	bool		nulls[9] = {false};

	v[0] = ObjectIdGetDatum(p->row.relation);
	v[1] = CStringGetTextDatum(p->key);
	v[2] = Int16GetDatum(p->number_column);
	v[3] = DirectFunctionCall1(namein, CStringGetDatum(order->server));
	v[4] = text_or_null(order->site_id, &nulls[4]);
	v[5] = text_or_null(order->peer_id, &nulls[5]);
	v[6] = BoolGetDatum(order->direct);
	v[7] = text_or_null(order->criteria, &nulls[7]);
	v[8] = order->numbers;
	nulls[8] = order->numbers == 0;
	if (bw_store_run_latest(&order_of_row, v, nulls) == 0)
		return 0;
	*wants_same = bw_store_bool(0, 1);
	return bw_store_int64(0, 0);
}

bool
bw_store_has_identity(void)
{
	Datum		v[3];

	v[0] = ObjectIdGetDatum(MyDatabaseId);
	v[1] = Int64GetDatum((int64) GetSystemIdentifier());
	v[2] = CStringGetTextDatum(bw_instance);
	return bw_store_run(&identity, v, NULL) > 0;
}

void
bw_store_require_identity(void)
{
	if (!bw_store_has_identity())
		raise_fence();
}

static void
raise_fence(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("this database is a copy of the one that its orders belong to"),
			 errdetail("The recorded identity (system identifier, database, bandwidth.instance) is another one."),
			 errhint("If this copy is to order from now on, have a superuser call bw_take_over().")));
}

int64
bw_store_same_order(const BwNewOrder *order)
{
	Datum		v[1] = {Int64GetDatum(order->retry_of)};
	int64		id;

	if (order->retry_of != 0 && bw_store_run_latest(&order_by_retry, v, NULL) > 0)
	{
		id = bw_store_int64(0, 0);
		if (bw_store_bool(0, 1))
			refuse_foreign(id, "If that database does not go on with it, order anew with bw_order().");
		return id;
	}
	if (order->idempotency_key != NULL && (id = order_with_key(order)) != 0)
		return id;
	refuse_customer_order_id(order);
	/* All that is left is the primary key. */
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("sequence \"%s\" is behind table \"%s\"", "bw_orders_id_seq", "bw_orders"),
			 errdetail("The id that it gave is that of another order."),
			 errhint("Have a superuser run SELECT setval('bw_orders_id_seq', max(id)) FROM bw_orders.")));
}

static void
refuse_customer_order_id(const BwNewOrder *order)
{
	Datum		v[2];

	if (order->customer_order_id == NULL)
		return;
	v[0] = CStringGetTextDatum(order->account_id);
	v[1] = CStringGetTextDatum(order->customer_order_id);
	if (bw_store_run_latest(&customer_order_id_used, v, NULL) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("customer_order_id \"%s\" was used by another order",
					order->customer_order_id),
			 errdetail("Account %s has an order with it already.", order->account_id),
			 errhint("Use another one, or leave it out; to order once only, use idempotency_key.")));
}

/*
 * The order with the same idempotency_key, 0: none.  It has to be the same order:
 * whoever uses a key again by mistake must not take another order for his.
 */
static int64
order_with_key(const BwNewOrder *order)
{
	Datum		v[7];
	bool		nulls[7] = {false};
	int64		id;
	char	   *differs;

	v[0] = DirectFunctionCall1(namein, CStringGetDatum(order->server));
	v[1] = DirectFunctionCall1(namein, CStringGetDatum(order->ordered_by));
	v[2] = CStringGetTextDatum(order->idempotency_key);
	v[3] = CStringGetTextDatum(bw_order_kind_name(order->kind));
	v[4] = text_or_null(order->criteria, &nulls[4]);
	v[5] = Int32GetDatum(order->quantity);
	v[6] = order->numbers;
	nulls[6] = (order->numbers == 0);
	if (bw_store_run_latest(&order_by_key, v, nulls) == 0)
		return 0;
	id = bw_store_int64(0, 0);
	differs = bw_store_text(0, 1);
	if (differs != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("idempotency key \"%s\" was used for another order",
						order->idempotency_key),
				 errdetail("Order " INT64_FORMAT " has it, and has %s.", id, differs),
				 errhint("Give each order a key of its own, and repeat a key only with what it was used for first.")));
	if (bw_store_bool(0, 2))
		refuse_foreign(id, "If that database does not go on with it, order anew with another idempotency_key.");
	return id;
}

/* It came with a dump: nothing here ever sends it, so it is no answer. */
static void
refuse_foreign(int64 id, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("it was ordered already, by order " INT64_FORMAT " of another database", id),
			 errdetail("The order's row came here by replication or with a dump; only the database that made it sends it."),
			 errhint("%s", hint)));
}

BwNewOrder *
bw_store_rest_of_order(int64 id)
{
	BwNewOrder *order = palloc0(sizeof(BwNewOrder));
	Datum		v[1] = {Int64GetDatum(id)};
	int			count;
	char	  **numbers;

	bw_store_run(&rest_of_order, v, NULL);
	order->retry_of = id;
	order->held_until = DT_NOEND;
	order->server = bw_store_text(0, 0);
	order->site_id = bw_store_text(0, 1);
	order->peer_id = bw_store_text(0, 2);
	order->name = bw_store_text(0, 3);
	order->tag = copy_datum(0, 4);
	order->criteria = bw_store_text(0, 5);
	order->partial_allowed = bw_store_bool(0, 6);
	order->back_order_requested = bw_store_bool(0, 7);
	order->direct = bw_store_bool(0, 8);
	order->attempts = bw_store_int32(0, 9);
	order->reservation_ids = copy_datum(0, 10);
	numbers = bw_store_texts(0, 11, &count);
	order->has_numbers = count > 0;
	order->numbers = bw_store_text_array((const char *const *) numbers, count);
	order->quantity = bw_store_int32(0, 12);
	order->own_request = order->direct ||
		(order->criteria == NULL &&
		 (count > 1 || order->name != NULL || order->reservation_ids != 0));
	return order;
}

/* A varlena of the last result, for later; 0: null. */
static Datum
copy_datum(uint64 row, int column)
{
	bool		isnull;
	Datum		value = bw_store_datum(row, column, &isnull);

	return isnull ? (Datum) 0 : PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
}

BwOrderLine *
bw_store_order_lines(int64 order_id, int *count)
{
	Datum		v[1] = {Int64GetDatum(order_id)};
	BwOrderLine *lines;

	*count = (int) bw_store_run(&order_lines, v, NULL);
	lines = palloc(sizeof(BwOrderLine) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		lines[i].telephone_number = bw_store_text(i, 0);
		lines[i].status = bw_store_text(i, 1);
	}
	return lines;
}

BwOrderRow *
bw_store_order(int64 id, Oid role)
{
	Datum		v[2] = {Int64GetDatum(id)};
	BwOrderRow *row = palloc0(sizeof(BwOrderRow));

	/* Whose role was dropped may be nobody's but a superuser's. */
	v[1] = ObjectIdGetDatum(superuser_arg(role) ? InvalidOid : role);
	if (bw_store_run_latest(&read_order, v, NULL) == 0 &&
		bw_store_run(&read_order, v, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("order " INT64_FORMAT " does not exist", id),
				 errhint("bw_orders lists the orders of your role.")));
	row->id = id;
	row->kind = bw_order_kind_parse(bw_store_text(0, 1));
	row->server = bw_store_text(0, 2);
	row->account_id = bw_store_text(0, 3);
	row->ordered_by = bw_store_text(0, 4);
	if (!bw_order_status_parse(bw_store_text(0, 5), &row->status))
		elog(ERROR, "unrecognized order status");
	row->bandwidth_order_id = bw_store_text(0, 6);
	row->request_id = bw_store_int64(0, 7);
	row->own_write = bw_store_is_own_write(bw_store_text(0, 8));
	row->own_home = bw_store_bool(0, 9);
	row->for_table = bw_store_text(0, 10);
	return row;
}

BwOrderRow *
bw_store_own_order(int64 id, Oid role)
{
	BwOrderRow *row;

	bw_store_require_identity();
	row = bw_store_order(id, role);
	if (!row->own_home)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("order " INT64_FORMAT " belongs to another database", id),
				 errdetail("Its row came here by replication or with a dump; only the database that made it moves it."),
				 errhint("Call the function there.")));
	return row;
}

bool
bw_store_lock_unsent(int64 id)
{
	Datum		v[1] = {Int64GetDatum(id)};

	return bw_store_run(&lock_unsent, v, NULL) > 0;
}

bool
bw_store_cancel_order(int64 id)
{
	Datum		v[1] = {Int64GetDatum(id)};

	if (!bw_store_lock_unsent(id))
		return false;
	return bw_store_run(&cancel_order, v, NULL) > 0;
}

char *
bw_store_waiting_for(int64 id)
{
	Datum		v[1] = {Int64GetDatum(id)};

	bw_store_run(&waiting_for, v, NULL);
	return bw_store_text(0, 0);
}

bool
bw_store_recheck(int64 request_id)
{
	Datum		v[1] = {Int64GetDatum(request_id)};

	return bw_store_run(&recheck_request, v, NULL) > 0;
}

int64
bw_store_receive(bytea *body)
{
	Datum		v[1] = {PointerGetDatum(body)};

	bw_store_run(&receive, v, NULL);
	return bw_store_int64(0, 0);
}
