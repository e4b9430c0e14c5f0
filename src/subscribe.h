/*-------------------------------------------------------------------------
 *
 * subscribe.h
 *	  Makes Bandwidth's subscriptions what bw_subscriptions says.
 *
 * src/subscribe.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_SUBSCRIBE_H
#define BW_SUBSCRIBE_H

#include "work.h"

/* Work on what is due; sets work->subscriptions_at. */
extern void bw_subscribe_lap(BwWork *work);

/* Take an answer in and go on; frees the task, or uses it for the next step. */
extern void bw_subscribe_finished(BwWork *work, BwTask *task);

#endif							/* BW_SUBSCRIBE_H */
