/*-------------------------------------------------------------------------
 *
 * timeline.h
 *	  What another timeline may have sent: the account's recent orders tell.
 *
 * src/timeline.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_TIMELINE_H
#define BW_TIMELINE_H

#include "bandwidth.h"

#include "work.h"

/* At the start of a worker, in its transaction: has the timeline changed? */
extern void bw_timeline_check(BwWork *work);

/* List the recent orders of accounts whose unsent orders are in doubt. */
extern void bw_timeline_lap(BwWork *work);
extern void bw_timeline_finished(BwWork *work, BwTask *task);

#endif							/* BW_TIMELINE_H */
