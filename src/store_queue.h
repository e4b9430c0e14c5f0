/*-------------------------------------------------------------------------
 *
 * store_queue.h
 *	  Statements on what waits to be sent.
 *
 * All of them run between bw_store_begin() and bw_store_commit(), or in a
 * user's call, and work on sets.  Those that move orders return the ids of
 * the moved ones.
 *
 * src/store_queue.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_STORE_QUEUE_H
#define BW_STORE_QUEUE_H

#include "bandwidth.h"

#include "order.h"
#include "store.h"

/* Orders of one server and role that can be sent. */
typedef struct BwGroup
{
	char	   *server;
	char	   *ordered_by;
} BwGroup;

/*
 * The next group with something in the queue after the given one, which it
 * becomes ("" is before the first); "more" says whether others follow it.
 */
extern bool bw_store_next_group(BwGroup *group, bool *more);

/* What of an order goes into a request. */
typedef struct BwOrderData
{
	int64		id;
	int64		request_id;		/* 0: may share one */
	char	   *request_customer_order_id;	/* NULL: may share one */
	BwOrderKind kind;
	int			quantity;
	char	   *site_id;
	char	   *peer_id;
	char	   *name;
	bool		partial_allowed;
	bool		back_order_requested;
	bool		direct;
	char	   *criteria;		/* of a direct order; or, of one that may
								 * share a request, how its numbers were
								 * found; or NULL */
	char	  **numbers;
	int			number_count;
	char	  **reservation_ids;
	int			reservation_count;
	int			member_count;	/* of its request */
	bool		approved;		/* bw_approve(), or claimed once before */
	bool		paused;			/* its group is, see bw_store_pauses() */
	int64		blocked_by;		/* order under way for its number, 0: none */
} BwOrderData;

typedef enum BwPick
{
	BW_PICK_OWN = 0,			/* orders with a request of their own */
	BW_PICK_ANY = 1,
	BW_PICK_SHARED = 2			/* orders that may share one */
} BwPick;

/* Lock up to "limit" queued orders of a group, oldest first. */
extern BwOrderData *bw_store_pick_orders(const BwGroup *group,
										 const char *account_id, BwPick which,
										 int limit, int *count);

/* The members of one request, for sending it again. */
extern BwOrderData *bw_store_request_orders(int64 request_id, int *count);

/* One POST about to be sent. */
typedef struct BwClaim
{
	int64		request_id;		/* 0: filled in by bw_store_claim() */
	bool		is_new;			/* the request does not exist yet */
	char	   *customer_order_id;
	BwOrderData **orders;
	int			order_count;
} BwClaim;

/*
 * Write down that these requests are being sent: orders become SENDING, their
 * queue rows go.  "spent" counts the numbers of each kind of order for its limit
 * per day.  "patience_ms" is when the outcome counts as unknown if nothing else was
 * recorded by then.
 */
extern void bw_store_claim(const BwGroup *group, const char *account_id,
						   BwClaim *claims, int count, const int64 *spent,
						   int patience_ms);

/* Back into the queue; "own" orders keep their request. */
extern void bw_store_requeue(const int64 *order_ids, int count,
							 TimestampTz due_at);

/*
 * A request of its own for some of the orders of a refused one: queued, or, if
 * the refused one was sent more than once, to be sent again.
 */
extern void bw_store_make_part(int64 request_id, const int64 *order_ids,
							   int count, bool again);
extern void bw_store_close_request(int64 request_id);

/* Leave an order of a group in the queue until then. */
extern void bw_store_put_off(const BwGroup *group, int64 order_id,
							 TimestampTz due_at);

/* These orders of a group wait until the others have ended. */
extern void bw_store_wait_for(const BwGroup *group, const int64 *order_ids,
							  const int64 *blockers, int count);

/* What waited for them may go on; returned are those that became REJECTED. */
extern int64 *bw_store_release_waiting(const int64 *final_ids, int final_count,
									   int *count);

/* Orders that have ended while others still wait for them. */
extern int64 *bw_store_ended_blockers(int *count);

/* Orders that have ended, with what they are now. */
typedef struct BwEnded
{
	int64		order_id;
	BwOrderStatus status;
} BwEnded;

/* From the last result: ids and states. */
extern BwEnded *bw_store_ended(uint64 rows);

/* From the queue to REJECTED, or PARTIAL if some of it is there. */
extern BwEnded *bw_store_reject(const BwGroup *group, const int64 *order_ids,
								int ids, const char *error_text, int *count);

/* From the queue to HELD, for a reason of bw_held. */
extern int64 *bw_store_hold(const BwGroup *group, const int64 *order_ids,
							int ids, const char *reason, int *count);
extern int64 *bw_store_hold_group(const BwGroup *group, const char *reason,
								  int limit, int *count);

#endif							/* BW_STORE_QUEUE_H */
