/*-------------------------------------------------------------------------
 *
 * registry.h
 *	  What processes share: who serves which database, whom to wake, rate
 *	  budgets, access tokens.
 *
 * In shared memory when the library is preloaded, else private to the
 * process (then there are no workers, and budgets and tokens are this
 * session's own).  Plain values under one LWLock; nothing throws while it is
 * held.
 *
 * src/registry.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_REGISTRY_H
#define BW_REGISTRY_H

#include "bandwidth.h"

#include "datatype/timestamp.h"

/* Databases served at once, per cluster; more are reported by the launcher. */
#define BW_MAX_WORKERS 64

/* Called from _PG_init() while shared_preload_libraries are loaded. */
extern void bw_registry_init(void);

/* False: not preloaded; no workers. */
extern bool bw_registry_shared(void);

/* --- launcher --- */
extern void bw_registry_launcher_enter(void);

/* Was a rescan asked for since the last call? */
extern bool bw_registry_take_rescan(void);

/* Ask the launcher to look at pg_database again, now. */
extern void bw_registry_rescan(void);

typedef enum BwWorkerState
{
	BW_WORKER_NONE,
	BW_WORKER_STARTING,			/* slot taken, process not yet there */
	BW_WORKER_RUNNING,
	BW_WORKER_LEAVING			/* told to leave */
} BwWorkerState;

/*
 * Take the slot of a database before its worker is registered; false when
 * there is a worker (or one is on its way), no slot is free, or the back-off
 * after failures has not passed.
 */
extern bool bw_registry_worker_reserve(Oid database);

/* Give a reserved slot back: the worker could not be registered. */
extern void bw_registry_worker_abandon(Oid database);

/* Did the last worker of this database fail, or leave for a while only? */
extern bool bw_registry_worker_comes_back(Oid database);

/*
 * Have the worker of a database, or with InvalidOid all of them, leave and
 * come back with the settings that hold then.
 */
extern void bw_registry_restart_worker(Oid database);

/* --- worker --- */
/* Enter the slot; leaves it at exit.  False: somebody serves it already. */
extern bool bw_registry_worker_enter(Oid database);

/* This worker lives and works: its next failure is a first one again. */
extern void bw_registry_worker_healthy(void);

/* About to leave, but not for good: it is started anew after this time. */
extern void bw_registry_worker_come_back(int after_ms);

/* Why a worker was asked to leave. */
typedef enum BwLeave
{
	BW_LEAVE_NOT,
	BW_LEAVE_RESTART,			/* its database's settings changed */
	BW_LEAVE_DATABASE			/* its database is being dropped */
} BwLeave;

extern BwLeave bw_registry_worker_must_leave(void);

/* Was it asked to look whether the extension is still there? */
extern bool bw_registry_worker_take_recheck(void);

/* What there is to be looked at; bits, so that several come together. */
typedef enum BwTopic
{
	BW_TOPIC_QUEUE = 1,			/* orders to be sent */
	BW_TOPIC_REQUESTS = 2,		/* requests to be asked about */
	BW_TOPIC_INBOX = 4,			/* callbacks to be applied */
	BW_TOPIC_SUBSCRIPTIONS = 8,
	BW_TOPIC_IDENTITY = 16,		/* of the database: is it a copy? */
	BW_TOPIC_WRITE_BACKS = 32,	/* outcomes for rows of users' tables */
	BW_TOPIC_HELD = 64,			/* orders that wait for a time, or for room */
	BW_TOPIC_ALL = 111			/* but for the identity */
} BwTopic;

/* Topics that it was asked to look at since the last call. */
extern int	bw_registry_worker_take_topics(void);

extern BwWorkerState bw_registry_worker_state(Oid database, int *pid,
											  TimestampTz *since);

/* The extension was created, changed or dropped there. */
extern void bw_registry_recheck_worker(Oid database);
extern void bw_registry_tell_worker_to_leave(Oid database);

/* Wake this database's worker, for these topics, when this commits. */
extern void bw_registry_wake_at_commit(int topics);

/* --- sessions that wait for an order (bw_wait) --- */
/* Let bw_registry_wake_waiters() set this process's latch. */
extern void bw_registry_wait_begin(void);
extern void bw_registry_wait_end(void);
extern void bw_registry_wake_waiters(void); /* of the worker's database */

/* --- budgets, per account and endpoint class --- */
/*
 * May one more call go out now?  At most "burst" calls in any window of
 * burst / per_minute minutes.  Counts the call if so; else says when.
 */
extern bool bw_registry_budget_take(const char *account_id,
									BwEndpointClass class,
									int per_minute, int burst,
									TimestampTz *retry_at);

/* Calls that could go out now; nothing is counted. */
extern int	bw_registry_budget_left(const char *account_id,
									BwEndpointClass class,
									int per_minute, int burst,
									TimestampTz *retry_at);

/* Bandwidth said 429: nothing of this class before "until". */
extern void bw_registry_budget_block(const char *account_id,
									 BwEndpointClass class,
									 TimestampTz until);

/* --- access tokens --- */
typedef struct BwTokenKey
{
	Oid			database;
	Oid			umid;
	uint8		hash[32];		/* of the credentials: a change means a miss */
} BwTokenKey;

/* A copy of a token that is still good at "now", palloc'd; NULL: none. */
extern char *bw_registry_token_get(const BwTokenKey *key, TimestampTz now);

/* "expires" is when to stop using it.  Zeroes what it replaces. */
extern void bw_registry_token_put(const BwTokenKey *key, const char *token,
								  TimestampTz expires);

/* Forget "token" (Bandwidth refused it), unless another took its place. */
extern void bw_registry_token_drop(const BwTokenKey *key, const char *token);

#endif							/* BW_REGISTRY_H */
