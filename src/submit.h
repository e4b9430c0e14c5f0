/*-------------------------------------------------------------------------
 *
 * submit.h
 *	  POST an order, and record how that went.
 *
 * src/submit.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_SUBMIT_H
#define BW_SUBMIT_H

#include "store_queue.h"
#include "store_requests.h"
#include "work.h"

/* How long the outcome of a POST may take to be recorded. */
extern int	bw_submit_patience_ms(const BwServer *server);

/*
 * Inside the claim's transaction; bw_submit_send() after it.  An error if the
 * server was altered since, and has another account than the claim.
 */
extern BwTask *bw_submit_prepare(BwWork *work, const BwGroup *group,
								 const char *account_id, const BwClaim *claim);

/* Record how POSTs ended (BwTask *, all of kind BW_TASK_SUBMIT). */
extern void bw_submit_finished(BwWork *work, BwTask **tasks, int count);

/*
 * Prepare to send a request of unknown outcome again: the same body with the
 * same CustomerOrderId.  Inside a transaction; bw_submit_send() after it.
 * "count_numbers": under the limit per day, because they count no more.
 */
extern BwTask *bw_submit_again(BwWork *work, const BwRequestRow *request,
							   bool count_numbers);
extern void bw_submit_send(BwWork *work, BwTask *task);

/* The body that a request was sent with, palloc'd. */
extern char *bw_submit_body(const BwRequestRow *request);

#endif							/* BW_SUBMIT_H */
