/*-------------------------------------------------------------------------
 *
 * reconcile.h
 *	  Finds out what became of requests: look-ups and polls.
 *
 * src/reconcile.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_RECONCILE_H
#define BW_RECONCILE_H

#include "work.h"

/* Ask about what is due; sets work->reconcile_at. */
extern void bw_reconcile_lap(BwWork *work);

/* Record answers (BwTask *, of kinds BW_TASK_LOOK_UP and BW_TASK_POLL). */
extern void bw_reconcile_finished(BwWork *work, BwTask **tasks, int count);

#endif							/* BW_RECONCILE_H */
