/*-------------------------------------------------------------------------
 *
 * settle.h
 *	  What an answer about a request means for each order that it carries.
 *
 * A request may carry many orders (coalescing); each ends by the outcome of
 * its own numbers.  Replies, look-ups, polls and callbacks all come here, so
 * that there is one place that moves orders.
 *
 * src/settle.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_SETTLE_H
#define BW_SETTLE_H

#include "bandwidth.h"

#include "nodes/pg_list.h"
#include "order.h"
#include "store_requests.h"
#include "xml.h"

/* One thing learnt about one request. */
typedef struct BwSettlement
{
	const BwRequestRow *request;
	BwOrderStatus status;		/* RECEIVED ... FAILED, REJECTED, UNKNOWN,
								 * QUEUED (certainly not executed) */
	const BwOrderReply *reply;	/* NULL: nothing more than the status */
	const char *bandwidth_order_id; /* NULL: not learnt */
	const char *bandwidth_status;	/* their word, NULL: none */
	const char *source;			/* reply, callback, poll, look-up */
	const char *error_code;		/* with REJECTED, UNKNOWN, QUEUED */
	const char *error_text;
	const char *message;		/* a callback's */
	const char *warning;
	const char *attention;
	TimestampTz due_at;			/* next look at it, unless it is final */
	const char *step;			/* poll, look_up; NULL: closes when final */
} BwSettlement;

/* An order that moved, for NOTIFY and for those who wait. */
typedef struct BwMoved
{
	int64		order_id;
	BwOrderStatus status;
} BwMoved;

/*
 * Apply settlements in the open transaction.  Orders that somebody has locked
 * are left for later: their request stays open and due soon.  Returns a List
 * of BwMoved *, in the current memory context.
 */
extern List *bw_settle(const BwSettlement *items, int count);

#endif							/* BW_SETTLE_H */
