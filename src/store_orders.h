/*-------------------------------------------------------------------------
 *
 * store_orders.h
 *	  Statements on bw_orders and bw_order_numbers that users' calls need.
 *
 * All of them run between bw_store_enter() and bw_store_leave().
 *
 * src/store_orders.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_STORE_ORDERS_H
#define BW_STORE_ORDERS_H

#include "bandwidth.h"

#include "order.h"
#include "store.h"
#include "store_provisions.h"

/* A row to be; NULL texts are nulls. */
typedef struct BwNewOrder
{
	const char *server;
	const char *account_id;
	const char *ordered_by;
	BwOrderKind kind;
	BwOrderStatus status;		/* QUEUED or HELD */
	TimestampTz held_until;		/* HELD, and queued by itself then; DT_NOEND:
								 * waits for bw_approve() */
	int			quantity;
	const char *site_id;
	const char *peer_id;
	const char *name;
	const char *customer_order_id;
	const char *idempotency_key;
	Datum		tag;			/* jsonb, 0: null */
	const char *criteria;		/* jsonb as text */
	bool		partial_allowed;
	bool		back_order_requested;
	bool		direct;
	int			attempts;
	Datum		reservation_ids;	/* text[], 0: null */
	bool		has_numbers;
	Datum		numbers;		/* text[]; 0: null */
	bool		own_request;	/* cannot be coalesced */
	int64		retry_of;		/* 0: none */
	const BwProvision *for_row; /* NULL: for no row of a table */
} BwNewOrder;

/*
 * Insert an order with its numbers, and its place in the queue.  Returns its
 * id; 0: bw_store_same_order() knows why not.  Raises 55000 while the database
 * is fenced.  "row_waits" (may be NULL): not inserted because the row that it is
 * for waits for an order already.
 */
extern int64 bw_store_insert_order(const BwNewOrder *order, bool *row_waits);

/*
 * Id of the order with the same idempotency_key or retry_of.  The key was used
 * for something else: 22023.  The order is one of another database, and open:
 * 55000.  There is none: 23505, the customer_order_id was used, or the sequence of
 * ids is behind.
 */
extern int64 bw_store_same_order(const BwNewOrder *order);

/*
 * Id of the order that the row waits for already, 0: it does not.  Does that one
 * want the same: the same number or criteria, from the same server, at the same
 * place?
 */
extern int64 bw_store_order_of_row(const BwNewOrder *order, bool *wants_same);

/* What an order that has ended did not get, as an order to insert. */
extern BwNewOrder *bw_store_rest_of_order(int64 id);

/* Numbers of an order with their status, for the result of bw_order(). */
typedef struct BwOrderLine
{
	char	   *telephone_number;	/* NULL: an order by criteria */
	char	   *status;			/* of the order */
} BwOrderLine;

extern BwOrderLine *bw_store_order_lines(int64 order_id, int *count);

/* What functions that take an order's id need to know of it. */
typedef struct BwOrderRow
{
	int64		id;
	BwOrderKind kind;
	char	   *server;
	char	   *account_id;
	char	   *ordered_by;
	BwOrderStatus status;
	char	   *bandwidth_order_id; /* NULL: none yet */
	int64		request_id;		/* 0: none yet */
	char	   *for_table;		/* NULL: made for no row */
	bool		own_write;		/* inserted or changed by this transaction */
	bool		own_home;		/* made by this database */
} BwOrderRow;

/* What an order waits for, in words; NULL: nothing. */
extern char *bw_store_waiting_for(int64 id);

/*
 * Is this database the one that its orders belong to, not a copy of it?  The
 * second raises 55000 if not.
 */
extern bool bw_store_has_identity(void);
extern void bw_store_require_identity(void);

/*
 * Read an order that "role" (InvalidOid: anybody) may see; raises 42704 if there is none.  Always
 * sees the newest committed state.
 */
extern BwOrderRow *bw_store_order(int64 id, Oid role);

/*
 * The same, for those who change it: raises 55000 in a copy of the database,
 * and for a row that another database made.
 */
extern BwOrderRow *bw_store_own_order(int64 id, Oid role);

/*
 * Lock an order that waits in the queue or is held, before anything else of it:
 * whoever moves it does so, and two who took another order might wait for each
 * other.  False: there is none.
 */
extern bool bw_store_lock_unsent(int64 id);

/* Cancel if it was never claimed; false: too late. */
extern bool bw_store_cancel_order(int64 id);

/* Have the worker look at the order's request now; false: none is open. */
extern bool bw_store_recheck(int64 request_id);

/* Keep a callback for the worker; returns bw_notifications.id. */
extern int64 bw_store_receive(bytea *body);

#endif							/* BW_STORE_ORDERS_H */
