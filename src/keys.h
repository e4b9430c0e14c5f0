/*-------------------------------------------------------------------------
 *
 * keys.h
 *	  Credentials that callbacks come with: made, used, ended.
 *
 * src/keys.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_KEYS_H
#define BW_KEYS_H

#include "store_subscriptions.h"
#include "work.h"

/* A pair for one request; it is nowhere in the clear but here and in its body. */
typedef struct BwKeyPair
{
	int64		id;				/* of bw_callback_keys */
	const char *username;		/* NULL: callbacks shall come without */
	const char *password;
} BwKeyPair;

/*
 * Fresh ones, or those that the mapping gives.  Their hash is stored by the
 * caller's transaction, which must commit before they leave.
 */
extern void bw_keys_make(const BwSubscriptionRow *row, const BwCredentials *given,
						 BwKeyPair *pair);

/* Does the newest one hold what the mapping gives, if that gives any? */
extern bool bw_keys_are_current(const BwSubscriptionRow *row,
								const BwCredentials *given, const BwKey *newest);

/* End those whose successor came with a callback. */
extern void bw_keys_note_used(BwWork *work);

/* End those whose time is over; needs a transaction. */
extern void bw_keys_end_old(BwWork *work);

#endif							/* BW_KEYS_H */
