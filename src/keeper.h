/*-------------------------------------------------------------------------
 *
 * keeper.h
 *	  Which subscriptions there shall be, because servers have a callback_url.
 *
 * src/keeper.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_KEEPER_H
#define BW_KEEPER_H

#include "work.h"

/* Compare servers with bw_subscriptions; for bw_subscribe_lap() to act on. */
extern void bw_keeper_lap(BwWork *work);

#endif							/* BW_KEEPER_H */
