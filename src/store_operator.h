/*-------------------------------------------------------------------------
 *
 * store_operator.h
 *	  Statements of the operators' levers.
 *
 * Each returns whether the order was in the state that it is for.  An order of
 * unknown outcome is not while its request is being sent again, nor once an order
 * at Bandwidth is known to be its own, unless Bandwidth does not know that one any
 * more.  Orders that share a request share what is decided.
 *
 * src/store_operator.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_STORE_OPERATOR_H
#define BW_STORE_OPERATOR_H

#include "store.h"

/*
 * This copy is the database of its orders from now on.  What waits to be sent is
 * cancelled (discard) or, where the original may have sent it, looked up.
 */
extern void bw_store_take_over(bool discard, const char *by);

/* HELD for approval: into the queue. */
extern bool bw_store_approve(int64 order_id);

/*
 * UNKNOWN or lost: send its request again (not while one is to be adopted), or
 * call it FAILED.
 */
extern bool bw_store_resend(int64 order_id, int64 request_id);
extern bool bw_store_give_up(int64 order_id, int64 request_id, const char *by);

/* UNKNOWN or lost: it is that order at Bandwidth, if that asks for the same. */
extern bool bw_store_adopt(int64 order_id, int64 request_id,
						   const char *bandwidth_order_id);

/* Does that order at Bandwidth belong to another request, or may it? */
extern bool bw_store_is_bound(const char *bandwidth_order_id, int64 request_id);

/* Have the back order of this request closed. */
extern bool bw_store_close_order(int64 request_id);

/* Roles whose unsent orders may have been sent before (store_timeline.h). */
extern int	bw_store_count_doubts(const char *server);

/* Orders that a person has to decide about. */
extern int64 bw_store_count_attention(const char *server);

/* Orders that wait to be sent, and those that Bandwidth may have. */
extern void bw_store_count_open(int64 *unsent, int64 *under_way);

/* The version that CREATE EXTENSION would install; NULL: none. */
extern char *bw_store_default_version(void);

#endif							/* BW_STORE_OPERATOR_H */
