/*-------------------------------------------------------------------------
 *
 * receive.h
 *	  Callbacks: keep them, believe what can be believed, answer.
 *
 * src/receive.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_RECEIVE_H
#define BW_RECEIVE_H

#include "work.h"

/* Store, apply and answer what the listener has parked. */
extern void bw_receive_parked(BwWork *work);

/* Apply what was stored before; sets work->inbox_at. */
extern void bw_receive_inbox(BwWork *work);

#endif							/* BW_RECEIVE_H */
