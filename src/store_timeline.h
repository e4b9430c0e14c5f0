/*-------------------------------------------------------------------------
 *
 * store_timeline.h
 *	  Statements on orders that were sent by another timeline, maybe.
 *
 * A promoted standby, a database recovered to a point in time and a copy that
 * takes over know less than what was done: an order that is QUEUED here may
 * have been claimed and sent there.  Such orders are in doubt, by server and
 * role, up to the last one that there was; what is ordered later is not.  What
 * is to be sent again may have been, too, and is looked up first.
 *
 * All of them run between bw_store_begin() and bw_store_commit(), or in a
 * user's call.
 *
 * src/store_timeline.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_STORE_TIMELINE_H
#define BW_STORE_TIMELINE_H

#include "bandwidth.h"

#include "order.h"
#include "store.h"

/* The timeline that this server writes. */
extern int	bw_current_timeline(void);

/*
 * Write down the current timeline.  If it was another one, whatever is not
 * sent yet, or not again, is in doubt: returns for how many servers and roles
 * something is not sent yet.
 */
extern int	bw_store_note_timeline(void);

/* Whatever is not sent yet is in doubt. */
extern int	bw_store_doubt_unsent(void);

/* Whatever is to be sent again is looked up first. */
extern void bw_store_doubt_resends(void);

/* Orders of a server and role that may have been sent. */
typedef struct BwDoubt
{
	char	   *server;
	char	   *ordered_by;
	int64		up_to;			/* id of the last one */
	TimestampTz since;			/* when the first one was made */
	int			tries;			/* times that the account was looked through */
	bool		disconnects;	/* some of them give numbers back */
} BwDoubt;

/* Those whose time has come; when the next one's has (DT_NOEND: none). */
extern BwDoubt *bw_store_due_doubts(int *count, TimestampTz *next_due);
extern void bw_store_doubt_later(const BwDoubt *doubt, TimestampTz due_at, int tries);

/* The orders go out now. */
extern void bw_store_end_doubt(const BwDoubt *doubt);

/* An order at Bandwidth that may be that of a doubtful one. */
typedef struct BwSent
{
	BwOrderKind kind;
	char	   *bandwidth_order_id;
	char	   *customer_order_id;
	int64		request_id;		/* that waits, and has its CustomerOrderId; or
								 * 0 */
	int64		order_id;		/* that its CustomerOrderId names; 0: none */
	TimestampTz created;		/* by our clock; DT_NOBEGIN: not known */
	char	  **numbers;		/* that it asks for, ten digits */
	int			number_count;
	int64		quantity;		/* that it asks for by criteria; -1: not said */
	char	   *status;			/* Bandwidth's word; NULL: none */
} BwSent;

/* A row of a list of orders that may be ours. */
typedef struct BwOurs
{
	int			position;		/* in the list */
	int64		request_id;		/* as in BwSent */
	int64		order_id;
} BwOurs;

/*
 * Which rows of a list of orders may be of orders that wait, by their
 * CustomerOrderIds: that of a request, of an order without one, or one that
 * this database made and knows no request of.  Not those that are bound, or lost.
 */
extern BwOurs *bw_store_may_be_ours(const char *account_id,
									const char *const *customer_order_ids,
									const char *const *bandwidth_order_ids, int ids,
									int *count);

/*
 * The unsent orders that it carries are locked, and taken for sent: an error
 * if somebody else has locked one.  Returns their ids; none: it is not ours.
 */
extern int64 *bw_store_bind_sent(const BwDoubt *doubt, const char *account_id,
								 const BwSent *sent, int *count);

/*
 * What it carries beside these orders of ours, none maybe, was lost: write that
 * down.  False: nothing was, or it is known, or another look will tell.
 */
extern bool bw_store_note_lost(const BwDoubt *doubt, const char *account_id,
							   const BwSent *sent, const int64 *ids, int count);

/* How many lost orders an account has. */
extern int64 bw_store_count_lost(const char *account_id);

#endif							/* BW_STORE_TIMELINE_H */
