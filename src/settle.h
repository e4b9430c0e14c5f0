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
#include "xml_read.h"

struct BwWork;

/* What one order at Bandwidth says of the numbers. */
typedef struct BwAnswer
{
	BwOrderStatus status;
	const BwOrderReply *reply;
} BwAnswer;

/* One thing learnt about one request. */
typedef struct BwSettlement
{
	const BwRequestRow *request;
	BwOrderStatus status;		/* RECEIVED ... FAILED, REJECTED, UNKNOWN,
								 * QUEUED (certainly not executed) */
	const BwAnswer *answers;	/* orders that were read; usually one */
	int			answer_count;	/* 0: nothing more than the status */
	const char *bandwidth_order_id; /* NULL: not learnt */
	const char *const *other_order_ids; /* adopted beside it */
	int			other_count;
	const char *bandwidth_status;	/* their word, NULL: none */
	const char *source;			/* reply, callback, poll, look-up */
	const char *error_code;		/* with REJECTED, UNKNOWN, QUEUED */
	const char *error_text;
	const BwReplyErrors *errors;	/* with REJECTED, NULL: not known */
	const char *message;		/* a callback's */
	const char *warning;
	const char *attention;
	const char *refused_code;	/* a resend was refused by this */
	const char *refused_text;
	const BwMember *members;	/* if they are locked already; NULL: not yet */
	int			member_count;
	TimestampTz due_at;			/* next look at it, unless it is final */
	const char *step;			/* poll, look_up; NULL: closes when final */
} BwSettlement;

/* An order that moved, for NOTIFY and for those who wait. */
typedef struct BwMoved
{
	int64		order_id;
	BwOrderStatus status;
} BwMoved;

extern BwMoved *bw_moved(int64 order_id, BwOrderStatus status);

/*
 * Orders that wait for those of "moved" that have ended may go on, or end as
 * well; returns the longer list.
 */
extern List *bw_release_waiting(List *moved);

/*
 * Apply settlements in the open transaction.  Orders that somebody has locked
 * are left for later: their request stays open and due soon.  Returns a List
 * of BwMoved *, in the current memory context.
 */
extern List *bw_settle(const BwSettlement *items, int count);

/*
 * The same, but if they cannot be recorded together, each by itself: those that
 * fail are logged and marked in "failed", and the others are not held up.
 */
extern List *bw_settle_each(struct BwWork *work, const BwSettlement *items,
							int count, bool *failed);

#endif							/* BW_SETTLE_H */
