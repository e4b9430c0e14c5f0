/*-------------------------------------------------------------------------
 *
 * store_provisions.h
 *	  Statements on bw_provisions: rows of users' tables that wait for the
 *	  outcome of an order.
 *
 * src/store_provisions.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_STORE_PROVISIONS_H
#define BW_STORE_PROVISIONS_H

#include "store.h"

#include "order.h"
#include "store_queue.h"
#include "store_rows.h"

/* Why an outcome is not written, where another row has the key now. */
#define BW_ROW_REPLACED "the row was replaced by another one with the same primary key"

typedef struct BwProvision
{
	int64		order_id;
	BwRowRef	row;
	const char *table;			/* its name, qualified; only of a new one */
	char	   *key;			/* the primary key as a JSON object */
	AttrNumber	number_column;
	AttrNumber	status_column;	/* 0: none, as the next one */
	AttrNumber	error_column;
	bool		e164;			/* +15405514342, not 5405514342 */
	char	   *number_before;	/* what the row said; NULL: null */
	bool		is_new;			/* of a new one: the row was inserted */
	/* of its order, when that has ended */
	char	   *ordered_by;
	BwOrderStatus status;
	char	   *number;			/* NULL: none was bought */
	char	   *error;
	char	   *write_back_error;	/* of the try before; NULL: none */
	int			tries;
	bool		held_up;		/* the last one took long */
} BwProvision;

/* That of an order, NULL: it is for no row, or was written back. */
extern BwProvision *bw_store_provision(int64 order_id);
extern void bw_store_end_provision(int64 order_id);

/* Does the row wait for it still, whatever the isolation level? */
extern bool bw_store_row_waits(int64 order_id);

/* The order has ended: its outcome can be written. */
extern void bw_store_write_back_due(int64 order_id);

/*
 * The next outcome to be written, and its try counted: it is not due again
 * before "patience_ms" have passed.  NULL: none is due, see next_due.
 */
extern BwProvision *bw_store_next_write_back(int patience_ms, TimestampTz *next_due);

/* Is one due?  When is the next one, DT_NOEND: none waits. */
extern TimestampTz bw_store_write_backs_due(void);

/* Written, or not to be written for this reason. */
extern void bw_store_written_back(int64 order_id, const char *why_not);

/* To be tried again; "held_up": it took so long that others come first. */
extern void bw_store_write_back_failed(int64 order_id, const char *error,
									   TimestampTz again_at, bool held_up);

/* The row that an order is for. */
typedef struct BwOrderedRow
{
	int64		order_id;
	BwRowRef	row;
	const char *why_gone;		/* NULL: it is there */
} BwOrderedRow;

/* Those of these orders that are for rows; they may be none. */
extern BwOrderedRow *bw_store_ordered_rows(const int64 *order_ids, int orders, int *count);

/*
 * Queued orders whose rows are gone, as "why_gone" says: CANCELLED or, if Bandwidth
 * had an earlier attempt, FAILED.  They have been locked.
 */
extern BwEnded *bw_store_cancel_rowless(const BwOrderedRow *rows, int rows_count, int *count);

/* What our orders say about a number that a new row came with. */
typedef struct BwBought
{
	bool		is_known;		/* it was bought, or given back */
	bool		was_pruned;		/* it is not, but old orders were deleted */
	int64		order_id;		/* that bought it for a row of the same table;
								 * 0: none did */
	bool		same_row;		/* for the row with the same primary key */
	BwRowRef	row;			/* for this one; key_count 0: its table had
								 * another key */
} BwBought;

extern void bw_store_bought(const BwProvision *provision, const char *number,
							BwBought *result);

#endif							/* BW_STORE_PROVISIONS_H */
