/*-------------------------------------------------------------------------
 *
 * store_test.c
 *	  Statements that play an outcome which nobody sent.
 *
 * src/store_test.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "store_orders.h"
#include "store_test.h"

#define PLAYED "'played by bw_test_outcome()'"

/* As cancel_order does: what has its row in the queue was never claimed. */
static BwStatement play_outcome = {
	.text =
	"WITH o AS ("
	" SELECT id, server, ordered_by, quantity, criteria, request_id,"
	"        CASE $2 WHEN 'COMPLETE' THEN quantity WHEN 'PARTIAL' THEN quantity - 1"
	"                ELSE 0 END AS completed"
	"   FROM bw_orders"
	"  WHERE id = $1 AND status IN ('QUEUED', 'HELD') AND attempts_used = 1"
	"    AND ($2 <> 'PARTIAL' OR quantity > 1) AND NOT " BW_IN_PART
	"  FOR NO KEY UPDATE),"
	"q AS ("
	" DELETE FROM bw_queue AS q USING o"
	"  WHERE q.server = o.server::text AND q.ordered_by = o.ordered_by::text"
	"    AND q.order_id = o.id AND NOT q.claimed"
	" RETURNING q.order_id),"
	"h AS (DELETE FROM bw_held AS h USING o WHERE h.order_id = o.id RETURNING h.order_id),"
	"m AS ("
	" SELECT o.* FROM o"
	"   JOIN (SELECT order_id FROM q UNION ALL SELECT order_id FROM h) AS t"
	"     ON t.order_id = o.id),"
	"r AS ("
	" SELECT n.telephone_number, m.completed,"
	"        row_number() OVER (ORDER BY n.telephone_number) AS rank"
	"   FROM bw_order_numbers AS n JOIN m ON m.id = n.order_id),"
	"n AS ("
	" UPDATE bw_order_numbers AS n"
	"    SET status = CASE WHEN r.rank <= r.completed THEN 'COMPLETE' ELSE 'FAILED' END,"
	"        error_code = CASE WHEN r.rank > r.completed THEN $3 END,"
	"        error_text = CASE WHEN r.rank > r.completed THEN " PLAYED " END"
	"   FROM r WHERE n.order_id = $1 AND n.telephone_number = r.telephone_number),"
	"i AS ("
	" INSERT INTO bw_order_numbers (order_id, telephone_number, status)"
	" SELECT id, '555' || (2000000 + (CASE WHEN g = 1 THEN id"
	"                                      ELSE nextval('bw_orders_id_seq') END) % 8000000),"
	"        'COMPLETE'"
	"   FROM m, generate_series(1, completed) AS g"
	"  WHERE criteria IS NOT NULL),"
	"s AS (DELETE FROM bw_searches WHERE order_id IN (SELECT id FROM m)),"
	"c AS ("
	" UPDATE bw_requests SET state = 'closed', closed_at = now()"
	"  WHERE id IN (SELECT request_id FROM m) AND NOT shared),"
	"u AS ("
	" UPDATE bw_orders AS o"
	"    SET status = $2, completed_quantity = m.completed,"
	"        failed_quantity = m.quantity - m.completed,"
	"        error_code = CASE WHEN m.completed < m.quantity THEN $3 END,"
	"        error_text = CASE WHEN m.completed < m.quantity THEN " PLAYED " END,"
	"        closed_at = now()"
	"   FROM m WHERE o.id = m.id RETURNING o.id)"
	"INSERT INTO bw_order_events (order_id, status, source, detail)"
	" SELECT id, $2, 'user', " PLAYED " FROM u",
	.nargs = 3,
	.argtypes = {INT8OID, TEXTOID, TEXTOID}
};

bool
bw_store_play_outcome(int64 order_id, BwOrderStatus status, const char *error_code)
{
	Datum		v[3] = {Int64GetDatum(order_id),
	CStringGetTextDatum(bw_order_status_name(status))};
	bool		nulls[3] = {false, false, error_code == NULL};

	if (error_code != NULL)
		v[2] = CStringGetTextDatum(error_code);
	return bw_store_lock_unsent(order_id) &&
		bw_store_run(&play_outcome, v, nulls) > 0;
}
