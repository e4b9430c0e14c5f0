/*-------------------------------------------------------------------------
 *
 * claim.h
 *	  Which queued orders go out now, and in which requests.
 *
 * src/claim.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_CLAIM_H
#define BW_CLAIM_H

#include "work.h"

/* Claim what is due and send it; sets work->submit_at. */
extern void bw_claim_lap(BwWork *work);

#endif							/* BW_CLAIM_H */
