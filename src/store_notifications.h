/*-------------------------------------------------------------------------
 *
 * store_notifications.h
 *	  Statements on callbacks, and on whose they are.
 *
 * src/store_notifications.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_STORE_NOTIFICATIONS_H
#define BW_STORE_NOTIFICATIONS_H

#include "bandwidth.h"

#include "listener.h"
#include "store.h"

/* A callback as it came, and what became of it. */
typedef struct BwIncoming
{
	int64		id;				/* of bw_notifications */
	int64		subscription_id;	/* 0: none */
	const char *path;
	const char *peer;
	const char *content_type;
	const char *user_agent;
	const char *body;
	size_t		body_len;
	bool		authenticated;	/* it came with a subscription's credentials */
	int			tries;			/* how often it was looked at before */

	const char *outcome;		/* stored, applied, confirming, orphan,
								 * malformed, ignored */
	const char *note;
	const char *bandwidth_order_id;
	const char *customer_order_id;
	const char *bandwidth_status;
	int64		request_id;
	bool		later;			/* stays in the inbox */
	TimestampTz due_at;
} BwIncoming;

/*
 * Store callbacks, raw and with what became of each, into the inbox where that
 * is not the end; fills in their ids.
 */
extern void bw_store_keep(BwIncoming *items, int count);

/* Take from the inbox what is due. */
extern BwIncoming *bw_store_inbox(int limit, int *count, TimestampTz *next_due);

/* Into the inbox, or once more: it could not be applied. */
extern void bw_store_postpone(int64 notification_id, TimestampTz due_at);

/* The same for those that were stored before. */
extern void bw_store_outcomes(const BwIncoming *items, int count);

/* Delete a small batch of notifications that are older than "minutes". */
extern void bw_store_forget_notifications(int minutes);

/* Whose callbacks come: credentials, and what they may speak for. */
extern BwListenerKey *bw_store_keys(int *count);

/* For whom callbacks with a subscription's credentials may speak. */
typedef struct BwCaller
{
	int64		subscription_id;	/* bw_subscriptions.id */
	char	   *account_id;
	char	   *bandwidth_subscription_id;	/* NULL: not known yet */
} BwCaller;

extern BwCaller *bw_store_callers(int *count);

#endif							/* BW_STORE_NOTIFICATIONS_H */
