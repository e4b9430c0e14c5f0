/*-------------------------------------------------------------------------
 *
 * store_provisions.c
 *	  Statements on bw_provisions: rows of users' tables that wait for the
 *	  outcome of an order.
 *
 * src/store_provisions.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "store_provisions.h"

static AttrNumber *read_columns(uint64 row, int column);
static BwProvision *read_provision(void);

#define PROVISION_COLUMNS \
	"p.order_id, p.relation, p.key, p.key_columns, p.key_values," \
	" p.number_column, p.status_column, p.error_column, p.e164," \
	" p.number_before, p.tries, o.ordered_by, o.status," \
	" (SELECT n.telephone_number FROM bw_order_numbers AS n" \
	"   WHERE n.order_id = o.id AND n.status = 'COMPLETE' LIMIT 1)," \
	" CASE WHEN o.error_text IS NOT NULL" \
	"      THEN concat_ws(': ', o.error_code, o.error_text) END," \
	" o.write_back_error "

static BwStatement provision = {
	.text =
	"SELECT " PROVISION_COLUMNS
	"  FROM bw_provisions AS p JOIN bw_orders AS o ON o.id = p.order_id"
	" WHERE p.order_id = $1",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement end_provision = {
	.text = "DELETE FROM bw_provisions WHERE order_id = $1",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement row_waits = {
	.text = "SELECT FROM bw_provisions WHERE order_id = $1",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static BwStatement write_back_due = {
	.text = "UPDATE bw_provisions SET due_at = now() WHERE order_id = $1",
	.nargs = 1,
	.argtypes = {INT8OID}
};

/*
 * Whatever a try does to the process that makes it, it is known which tables
 * held one up: theirs come last, however many they are.
 */
static BwStatement next_write_back = {
	.text =
	"WITH next AS MATERIALIZED ("
	" SELECT coalesce("
	"         (SELECT order_id FROM bw_provisions"
	"           WHERE due_at <= now() AND relation NOT IN"
	"                 (SELECT relation FROM bw_provisions WHERE held_up)"
	"           ORDER BY due_at LIMIT 1),"
	"         (SELECT order_id FROM bw_provisions WHERE due_at <= now()"
	"           ORDER BY due_at LIMIT 1)) AS order_id),"
	"p AS ("
	" UPDATE bw_provisions AS p"
	"    SET due_at = now() + $1 * interval '1 ms', tries = p.tries + 1, held_up = true"
	"   FROM next WHERE p.order_id = next.order_id"
	" RETURNING p.*)"
	"SELECT " PROVISION_COLUMNS
	"  FROM p JOIN bw_orders AS o ON o.id = p.order_id",
	.nargs = 1,
	.argtypes = {INT4OID}
};

static BwStatement write_backs_due = {
	.text = "SELECT min(due_at) FROM bw_provisions WHERE due_at IS NOT NULL",
	.nargs = 0
};

static BwStatement written_back = {
	.text =
	"WITH p AS (DELETE FROM bw_provisions WHERE order_id = $1)"
	"UPDATE bw_orders SET write_back_error = $2,"
	"       written_back_at = CASE WHEN $2 IS NULL THEN now() END"
	" WHERE id = $1",
	.nargs = 2,
	.argtypes = {INT8OID, TEXTOID}
};

static BwStatement write_back_failed = {
	.text =
	"WITH p AS (UPDATE bw_provisions SET due_at = $3, held_up = $4 WHERE order_id = $1)"
	"UPDATE bw_orders SET write_back_error = $2"
	" WHERE id = $1 AND write_back_error IS DISTINCT FROM $2",
	.nargs = 4,
	.argtypes = {INT8OID, TEXTOID, TIMESTAMPTZOID, BOOLOID}
};

static BwStatement ordered_rows = {
	.text =
	"SELECT p.order_id, p.relation, p.key_columns, p.key_values"
	"  FROM bw_provisions AS p WHERE p.order_id = ANY ($1)",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID}
};

/* What Bandwidth was asked for once, and refused to do for now, is not CANCELLED. */
static BwStatement cancel_rowless = {
	.text =
	"WITH g AS (SELECT * FROM unnest($1::bigint[], $2::text[]) AS g(order_id, why)),"
	"o AS ("
	" UPDATE bw_orders AS o"
	"    SET status = CASE WHEN attempts_used = 1 AND sent_at IS NULL THEN 'CANCELLED'"
	"                 ELSE " BW_ENDED_STATUS("FAILED") " END,"
	"        failed_quantity = CASE WHEN attempts_used > 1 OR sent_at IS NOT NULL"
	"                          THEN quantity - COALESCE(completed_quantity, 0) END,"
	"        write_back_error = g.why, closed_at = clock_timestamp()"
	"   FROM g WHERE o.id = g.order_id AND o.status = 'QUEUED'"
	" RETURNING o.id, o.server, o.ordered_by, o.status, o.request_id, g.why),"
	"p AS (DELETE FROM bw_provisions AS p USING o WHERE p.order_id = o.id),"
	"n AS ("
	" UPDATE bw_order_numbers AS n SET status = 'FAILED'"
	"   FROM o WHERE n.order_id = o.id AND n.status = 'PENDING' AND o.status <> 'CANCELLED'),"
	"q AS ("
	" DELETE FROM bw_queue AS q USING o"
	"  WHERE q.server = o.server::text AND q.ordered_by = o.ordered_by::text"
	"    AND q.order_id = o.id),"
	"r AS ("
	" UPDATE bw_requests AS r SET state = 'closed', closed_at = clock_timestamp()"
	"   FROM o WHERE r.id = o.request_id),"
	"e AS ("
	" INSERT INTO bw_order_events (order_id, status, source, detail)"
	" SELECT id, status, 'worker', why FROM o)"
	"SELECT id, status FROM o",
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, TEXTARRAYOID}
};

/*
 * What was last bought or given back under this number?  A table is the same if
 * its oid is, or that of the partitioned table above it; names are compared where
 * that table is gone, or was another database's.
 */
static BwStatement bought = {
	.text =
	"SELECT i.pruned_before > '-infinity', b.id, b.same_table, b.same_key, b.key_values"
	"  FROM bw_identity AS i"
	"  LEFT JOIN LATERAL ("
	"   SELECT o.id, o.kind = 'order' AND CASE"
	"           WHEN o.for_table IS NULL THEN false"
	"           WHEN o.home = i.home"
	"            AND EXISTS (SELECT FROM pg_class AS c WHERE c.oid = o.for_relation)"
	"           THEN COALESCE(pg_partition_root(o.for_relation), o.for_relation)"
	"              = COALESCE(pg_partition_root($2), $2)"
	"           ELSE o.for_table = $1 END AS same_table,"
	"          o.for_key = $3::jsonb AS same_key,"
	"          (SELECT CASE WHEN bool_and(o.for_key ? k.name)"
	"                       THEN array_agg(o.for_key ->> k.name ORDER BY k.n) END"
	"             FROM unnest($4::text[]) WITH ORDINALITY AS k(name, n)) AS key_values"
	"     FROM bw_order_numbers AS n JOIN bw_orders AS o ON o.id = n.order_id"
	"    WHERE n.telephone_number = $5 AND n.status = 'COMPLETE'"
	"    ORDER BY o.id DESC LIMIT 1) AS b ON true",
	.nargs = 5,
	.argtypes = {TEXTOID, OIDOID, TEXTOID, TEXTARRAYOID, TEXTOID}
};

static AttrNumber *
read_columns(uint64 row, int column)
{
	bool		isnull;
	ArrayType  *array = DatumGetArrayTypeP(bw_store_datum(row, column, &isnull));
	Datum	   *items;
	AttrNumber *columns;
	int			count;

	deconstruct_array(array, INT2OID, sizeof(int16), true, TYPALIGN_SHORT,
					  &items, NULL, &count);
	columns = palloc(sizeof(AttrNumber) * Max(count, 1));
	for (int i = 0; i < count; i++)
		columns[i] = DatumGetInt16(items[i]);
	return columns;
}

static AttrNumber
read_column(uint64 row, int column)
{
	bool		isnull;

	return DatumGetInt16(bw_store_datum(row, column, &isnull));
}

/* The first row of the last result. */
static BwProvision *
read_provision(void)
{
	BwProvision *p = palloc0(sizeof(BwProvision));
	bool		isnull;

	p->order_id = bw_store_int64(0, 0);
	p->row.relation = DatumGetObjectId(bw_store_datum(0, 1, &isnull));
	p->key = bw_store_text(0, 2);
	p->row.key_columns = read_columns(0, 3);
	p->row.key_values = bw_store_texts(0, 4, &p->row.key_count);
	p->number_column = read_column(0, 5);
	p->status_column = read_column(0, 6);
	p->error_column = read_column(0, 7);
	p->e164 = bw_store_bool(0, 8);
	p->number_before = bw_store_text(0, 9);
	p->tries = bw_store_int32(0, 10);
	p->ordered_by = bw_store_text(0, 11);
	if (!bw_order_status_parse(bw_store_text(0, 12), &p->status))
		elog(ERROR, "unrecognized order status");
	p->number = bw_store_text(0, 13);
	p->error = bw_store_text(0, 14);
	p->write_back_error = bw_store_text(0, 15);
	return p;
}

BwProvision *
bw_store_provision(int64 order_id)
{
	Datum		v[1] = {Int64GetDatum(order_id)};

	return bw_store_run(&provision, v, NULL) > 0 ? read_provision() : NULL;
}

void
bw_store_end_provision(int64 order_id)
{
	Datum		v[1] = {Int64GetDatum(order_id)};

	bw_store_run(&end_provision, v, NULL);
}

bool
bw_store_row_waits(int64 order_id)
{
	Datum		v[1] = {Int64GetDatum(order_id)};

	return bw_store_run_latest(&row_waits, v, NULL) > 0;
}

void
bw_store_write_back_due(int64 order_id)
{
	Datum		v[1] = {Int64GetDatum(order_id)};

	bw_store_run(&write_back_due, v, NULL);
}

BwProvision *
bw_store_next_write_back(int patience_ms, TimestampTz *next_due)
{
	Datum		v[1] = {Int32GetDatum(patience_ms)};

	if (bw_store_run(&next_write_back, v, NULL) > 0)
		return read_provision();
	*next_due = bw_store_write_backs_due();
	return NULL;
}

TimestampTz
bw_store_write_backs_due(void)
{
	bw_store_run(&write_backs_due, NULL, NULL);
	return bw_store_is_null(0, 0) ? DT_NOEND : bw_store_time(0, 0);
}

void
bw_store_written_back(int64 order_id, const char *why_not)
{
	Datum		v[2] = {Int64GetDatum(order_id)};
	bool		nulls[2] = {false, why_not == NULL};

	if (why_not != NULL)
		v[1] = CStringGetTextDatum(why_not);
	bw_store_run(&written_back, v, nulls);
}

void
bw_store_write_back_failed(int64 order_id, const char *error, TimestampTz again_at,
						   bool held_up)
{
	Datum		v[4] = {Int64GetDatum(order_id), CStringGetTextDatum(error),
	TimestampTzGetDatum(again_at), BoolGetDatum(held_up)};

	bw_store_run(&write_back_failed, v, NULL);
}

void
bw_store_bought(const BwProvision *p, const char *number, BwBought *result)
{
	const char **names = palloc(sizeof(char *) * p->row.key_count);
	Datum		v[5];

	for (int i = 0; i < p->row.key_count; i++)
		names[i] = get_attname(p->row.relation, p->row.key_columns[i], false);
	v[0] = CStringGetTextDatum(p->table);
	v[1] = ObjectIdGetDatum(p->row.relation);
	v[2] = CStringGetTextDatum(p->key);
	v[3] = bw_store_text_array(names, p->row.key_count);
	v[4] = CStringGetTextDatum(number);
	memset(result, 0, sizeof(BwBought));
	if (bw_store_run(&bought, v, NULL) == 0)
		return;
	result->is_known = !bw_store_is_null(0, 1);
	result->was_pruned = !result->is_known && bw_store_bool(0, 0);
	if (!result->is_known || !bw_store_bool(0, 2))
		return;
	result->order_id = bw_store_int64(0, 1);
	result->same_row = bw_store_bool(0, 3);
	result->row = p->row;
	result->row.key_values = bw_store_texts(0, 4, &result->row.key_count);
}

BwOrderedRow *
bw_store_ordered_rows(const int64 *order_ids, int orders, int *count)
{
	Datum		v[1] = {bw_store_int64_array(order_ids, orders)};
	BwOrderedRow *rows;
	bool		isnull;

	*count = (int) bw_store_run(&ordered_rows, v, NULL);
	rows = palloc0(sizeof(BwOrderedRow) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		rows[i].order_id = bw_store_int64(i, 0);
		rows[i].row.relation = DatumGetObjectId(bw_store_datum(i, 1, &isnull));
		rows[i].row.key_columns = read_columns(i, 2);
		rows[i].row.key_values = bw_store_texts(i, 3, &rows[i].row.key_count);
	}
	return rows;
}

BwEnded *
bw_store_cancel_rowless(const BwOrderedRow *rows, int rows_count, int *count)
{
	int64	   *ids = palloc(sizeof(int64) * Max(rows_count, 1));
	const char **why = palloc(sizeof(char *) * Max(rows_count, 1));
	Datum		v[2];
	int			n = 0;

	for (int i = 0; i < rows_count; i++)
	{
		if (rows[i].why_gone == NULL)
			continue;
		ids[n] = rows[i].order_id;
		why[n++] = rows[i].why_gone;
	}
	v[0] = bw_store_int64_array(ids, n);
	v[1] = bw_store_text_array(why, n);
	*count = n == 0 ? 0 : (int) bw_store_run(&cancel_rowless, v, NULL);
	return bw_store_ended(*count);
}
