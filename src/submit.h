/*-------------------------------------------------------------------------
 *
 * submit.h
 *	  From the queue to Bandwidth: claim, send, record.
 *
 * src/submit.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_SUBMIT_H
#define BW_SUBMIT_H

#include "work.h"

#include "store_requests.h"

/* Claim what is due and send it; sets work->submit_at. */
extern void bw_submit_lap(BwWork *work);

/* Record how POSTs ended (BwTask *, all of kind BW_TASK_SUBMIT). */
extern void bw_submit_finished(BwWork *work, BwTask **tasks, int count);

/*
 * Prepare to send a request of unknown outcome again: the same body with the
 * same CustomerOrderId.  Inside a transaction; bw_submit_send() after it.
 */
extern BwTask *bw_submit_again(BwWork *work, const BwRequestRow *request);
extern void bw_submit_send(BwWork *work, BwTask *task);

#endif							/* BW_SUBMIT_H */
