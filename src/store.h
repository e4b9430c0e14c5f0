/*-------------------------------------------------------------------------
 *
 * store.h
 *	  The one door to SQL: saved statements, run as the extension's owner.
 *
 * The statements themselves stand in store_orders.c, store_requests.c, ...,
 * one file per group of tables; they need no SPI header.
 *
 * src/store.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_STORE_H
#define BW_STORE_H

#include "bandwidth.h"

#include "datatype/timestamp.h"

#define BW_STATEMENT_MAX_ARGS 40

/*
 * A statement with its saved plan.  Static, one per text.  Our own names are
 * written without schema, which is added (qualify.h); everything else is looked
 * up in pg_catalog only.
 */
typedef struct BwStatement
{
	const char *text;
	int			nargs;
	Oid			argtypes[BW_STATEMENT_MAX_ARGS];
	void	   *plan;			/* saved; NULL: not yet */
	const char *schema;			/* our schema, as the plan was made for it */
} BwStatement;

/* Identity and settings to put back. */
typedef struct BwStoreScope
{
	Oid			user;
	int			security_context;
	int			guc_nest_level;
	MemoryContext caller;		/* where copied results go */
	struct BwStoreScope *outer;
} BwStoreScope;

/*
 * Run what follows as the owner of the tables, with pg_catalog as the search_path.
 * Needs a transaction.  After an error the (sub)transaction's abort puts
 * everything back.
 */
extern void bw_store_enter(BwStoreScope *scope);
extern void bw_store_leave(BwStoreScope *scope);

/*
 * The same with a transaction around, for the worker.  "commit" is durable
 * and may throw like any COMMIT; the owner's identity lasts until it is done,
 * so that deferred triggers do not run as the worker's own user.
 */
extern void bw_store_begin(BwStoreScope *scope);
extern void bw_store_commit(BwStoreScope *scope);

/* After a caught error: end the transaction, back to "cxt". */
extern void bw_store_abort(MemoryContext cxt);

/*
 * SQL: may the order of that row of bw_queue or bw_held have been sent by
 * another timeline (store_timeline.h)?
 */
#define BW_IN_DOUBT(row) \
	"EXISTS (SELECT FROM bw_doubts AS d WHERE d.server = " row ".server" \
	" AND d.ordered_by = " row ".ordered_by AND d.up_to >= " row ".order_id)"

/*
 * SQL of a new CustomerOrderId: database, first order, and a random part.  So
 * one that we do not know tells whether it is ours, and what it was for
 * (store_timeline.c).  At most 40 letters, digits and dashes are allowed.
 */
#define BW_NEW_CUSTOMER_ORDER_ID(home, order_id) \
	"concat_ws('-', left(" home "::text, 8), " order_id \
	", left(gen_random_uuid()::text, 8))"

/*
 * SQL: what an order "o" becomes when nothing more is ordered for it; it may
 * have numbers from an earlier attempt.
 */
#define BW_ENDED_STATUS(otherwise) \
	"CASE WHEN o.completed_quantity > 0 THEN 'PARTIAL' ELSE '" otherwise "' END"

/*
 * SQL, in a statement on bw_orders: is the order's request one for several, a part
 * of a refused one?  They are sent together, by the row of the first one.
 */
#define BW_IN_PART \
	"EXISTS (SELECT FROM bw_requests AS r WHERE r.id = request_id" \
	" AND NOT r.shared AND cardinality(r.members) > 1)"

/*
 * Commit the transaction of a user's CALL, outside of any scope, and begin the
 * next one.  Only where procedures may do so (CallContext.atomic is false).
 */
extern void bw_store_commit_caller(void);

/*
 * Inside a scope: be somebody else for statements on a table that is not ours,
 * until bw_store_act_again().  The settings are the session's own then; what is
 * SET meanwhile is undone.  "flags" are those of SetUserIdAndSecContext(), in
 * addition to SECURITY_LOCAL_USERID_CHANGE.
 */
typedef struct BwActor
{
	Oid			user;
	int			security_context;
	int			guc_nest_level;
} BwActor;

extern void bw_store_act_as(BwActor *before, Oid role, int flags);
extern void bw_store_act_again(const BwActor *before);

/* A statement that is not worth a saved plan; it returns as bw_store_run(). */
extern uint64 bw_store_run_text(const char *text, int nargs, Oid *types,
								Datum *values, const bool *nulls);

/* SET CONSTRAINTS ALL IMMEDIATE, until the end of this transaction. */
extern void bw_store_constraints_immediate(void);

/* From now on until the end of this transaction. */
extern void bw_store_lock_timeout(int ms);

/* This transaction's commit need not be durable when it returns. */
extern void bw_store_commit_lazily(void);

/* Is the extension installed in this database? */
extern bool bw_store_installed(void);

/* Its version; NULL: it is not. */
extern char *bw_store_sql_version(void);

/* May the role drop the extension? */
extern bool bw_store_owns_extension(Oid role);

/*
 * Run a statement; "nulls" may be NULL.  Returns the number of rows, which
 * stay readable by the functions below until the next run.
 */
extern uint64 bw_store_run(BwStatement *statement, const Datum *values,
						   const bool *nulls);

/* The same, read with the newest snapshot whatever the isolation level. */
extern uint64 bw_store_run_latest(BwStatement *statement, const Datum *values,
								  const bool *nulls);

/* Columns of the last result, from 0.  Texts are copied to the caller's cxt. */
extern bool bw_store_is_null(uint64 row, int column);
extern char *bw_store_text(uint64 row, int column); /* NULL: null */
extern int64 bw_store_int64(uint64 row, int column);
extern int32 bw_store_int32(uint64 row, int column);
extern bool bw_store_bool(uint64 row, int column);
extern TimestampTz bw_store_time(uint64 row, int column);	/* null: DT_NOBEGIN */
extern Datum bw_store_datum(uint64 row, int column, bool *isnull);

/* A text[] without nulls as an array of C strings; count 0 if null. */
extern char **bw_store_texts(uint64 row, int column, int *count);
extern bytea *bw_store_bytea(uint64 row, int column);

/* The first column of all rows, in the current memory context. */
extern int64 *bw_store_ids(uint64 rows, int *count);

/* Arrays as arguments; all in the current memory context. */
extern Datum bw_store_int16_array(const int16 *values, int count);
extern Datum bw_store_int64_array(const int64 *values, int count);

/* NULL entries become nulls. */
extern Datum bw_store_text_array(const char *const *values, int count);

/* DT_NOBEGIN entries become nulls. */
extern Datum bw_store_time_array(const TimestampTz *values, int count);

/* Negative entries become nulls. */
extern Datum bw_store_int32_array(const int32 *values, int count);

/*
 * Was the row with this "xmin" (as text) written by this very transaction,
 * which is still open?
 */
extern bool bw_store_is_own_write(const char *xmin);

#endif							/* BW_STORE_H */
