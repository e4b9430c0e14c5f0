/*-------------------------------------------------------------------------
 *
 * store_subscriptions.h
 *	  Statements on subscriptions and the credentials of their callbacks.
 *
 * src/store_subscriptions.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_STORE_SUBSCRIPTIONS_H
#define BW_STORE_SUBSCRIPTIONS_H

#include "bandwidth.h"

#include "listener.h"
#include "store.h"

/* --- what users ask for --- */
typedef struct BwNewSubscription
{
	const char *server;
	const char *account_id;
	const char *subscribed_by;
	const char *order_type;
	const char *event_type;
	const char *bandwidth_order_id;
	const char *url;
	const char *email;
	const char *digest;
	int64		expiry;
	const char *number_format;
	const char *public_key;
	bool		pinned;
	const char *credentials;
} BwNewSubscription;

/*
 * One with the target of a subscription that is kept for the server is not a
 * second one: it says how the kept one shall look.
 */
extern int64 bw_store_subscribe(const BwNewSubscription *subscription);

/* Is it kept for a server that has the option callback_url? */
extern bool bw_store_is_kept(int64 id);

/* False: there is no such subscription that "role" may end. */
extern bool bw_store_unsubscribe(int64 id, Oid role);

/* Fresh credentials for the server's subscriptions; how many there are. */
extern int	bw_store_rotate(const char *server);

extern void bw_store_count_subscriptions(const char *server, int *active,
										 int *failed);

/* The worst that is wrong with those of the server; false: nothing is. */
extern bool bw_store_subscription_problem(const char *server, char **kind,
										  char **problem);

/* --- what servers ask for --- */

/* A server with the option callback_url. */
typedef struct BwKept
{
	const char *server;
	const char *account_id;
	const char *owner;
	const char *url;
	const char *version;		/* of the server and its owner's mapping */
} BwKept;

/*
 * Have a subscription of this type for each of them and for no others.  What
 * belongs to a server that was altered is looked at now.
 */
extern void bw_store_keep_subscriptions(const char *order_type,
										const BwKept *kept, int count);

/* Look at every subscription now, but for those that are contested. */
extern void bw_store_check_subscriptions(void);

/* Those that pin our certificate; false: there are none. */
extern bool bw_store_check_pinned(void);

/* --- what the worker does --- */
typedef struct BwSubscriptionRow
{
	int64		id;
	char	   *server;
	char	   *account_id;
	char	   *order_type;
	char	   *event_type;
	char	   *bandwidth_order_id;
	char	   *url;
	char	   *email;
	char	   *digest;
	int64		expiry;
	char	   *number_format;
	char	   *public_key;		/* of one that is pinned: what Bandwidth has */
	bool		pinned;			/* public_key is our own certificate */
	char	   *credentials;	/* generated, mapping, none */
	bool		kept;
	bool		wanted;
	char	   *state;
	char	   *bandwidth_subscription_id;
	char	   *bandwidth_status;
	char	   *error_text;
	char	   *mark;			/* how user names of this database begin */
	int			tries;
	bool		rotate;			/* fresh credentials are asked for */
	TimestampTz stranger_at;	/* of another hand's work; DT_NOBEGIN: none */
	TimestampTz token;			/* what due_at was set to when it was taken */
} BwSubscriptionRow;

/* What is due now, but for "busy"; taken, so that it is not due before "token". */
extern BwSubscriptionRow *bw_store_take_subscriptions(const int64 *busy, int busy_count,
													  int limit, TimestampTz token,
													  int *count);
extern TimestampTz bw_store_next_subscription(void);

/* Bandwidth's ids of this database's subscriptions but for this one. */
extern char **bw_store_other_subscription_ids(int64 id, int *count);

/*
 * When to look next.  Whoever changed what is wanted in the meantime has made
 * it due at once, and that stands.
 */
extern void bw_store_subscription_later(const BwSubscriptionRow *row,
										TimestampTz due_at);

/* The same, and all that was asked for is done.  DT_NOEND: only if asked. */
extern void bw_store_subscription_done(const BwSubscriptionRow *row,
									   TimestampTz due_at);

/* What is known of a subscription now; NULL texts are nulls. */
typedef struct BwSubscriptionState
{
	const char *state;			/* NULL: as before */
	const char *bandwidth_subscription_id;
	const char *bandwidth_status;
	const char *username;		/* NULL: as before */
	const char *public_key;		/* NULL: as before */
	const char *error_code;
	const char *error_text;
	TimestampTz expires_at;		/* DT_NOEND: not in this life */
} BwSubscriptionState;

extern void bw_store_subscription_state(int64 id, const BwSubscriptionState *state);

/* Only what went wrong. */
extern void bw_store_subscription_trouble(int64 id, const char *error_code,
										  const char *error_text);

/* Another hand was at work on our URL. */
extern void bw_store_note_stranger(int64 id);

/* --- credentials of callbacks --- */
typedef struct BwKey
{
	int64		id;
	char	   *username;		/* NULL: without credentials */
	uint8		salt[BW_LISTENER_SALT_LEN];
	uint8		hash[BW_LISTENER_HASH_LEN];
} BwKey;

/* A new pair; the hash of the pair is all that is kept. */
extern void bw_store_add_key(int64 subscription_id, const char *path, BwKey *key);

/* All of a subscription, the newest first. */
extern BwKey *bw_store_subscription_keys(int64 subscription_id, int *count);

/* It certainly never reached Bandwidth. */
extern void bw_store_drop_key(int64 id);

/* Bandwidth has this one: those before it are good for an hour more. */
extern void bw_store_retire_keys_before(int64 id);

/* Bandwidth uses this one: those before it are good no more. */
extern void bw_store_end_keys_before(int64 id);

/* Delete those whose time is over; how many there were. */
extern int	bw_store_end_keys(void);

#endif							/* BW_STORE_SUBSCRIPTIONS_H */
