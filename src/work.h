/*-------------------------------------------------------------------------
 *
 * work.h
 *	  What the parts of the worker share: its engine, its tasks, its clock.
 *
 * src/work.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_WORK_H
#define BW_WORK_H

#include "bandwidth.h"

#include "api.h"
#include "listener.h"
#include "nodes/pg_list.h"
#include "store_requests.h"

/* What a call under way is for; its result goes to the part that began it. */
typedef enum BwTaskKind
{
	BW_TASK_SEARCH,				/* GET /availableNumbers */
	BW_TASK_SUBMIT,				/* POST /orders */
	BW_TASK_INQUIRY,			/* GET /orders, /orders/{id}, /tns/{tn} */
	BW_TASK_BULK,				/* GET /orders, for many requests */
	BW_TASK_CLOSE,				/* PUT /orders/{id} */
	BW_TASK_TIMELINE,			/* GET /orders, /orders/{id}: sent before? */
	BW_TASK_SUBSCRIPTION		/* /subscriptions, /subscriptions/{id} */
} BwTaskKind;

typedef struct BwTask
{
	BwTaskKind	kind;
	MemoryContext cxt;			/* everything of this task */
	BwAccount	account;
	BwCall	   *call;
	int64		id;				/* of the request or subscription */
	int			attempts;		/* of the request, this one included */
	const char *source;			/* of the event that it will cause */
	void	   *detail;			/* the part's own */
} BwTask;

typedef struct BwWork
{
	MemoryContext cxt;			/* lives as long as the worker */
	MemoryContext lap;			/* reset after each lap */
	BwApi	   *api;
	BwListener *listener;		/* NULL: port closed */
	MemoryContext port_cxt;		/* of the listener and its settings */
	char	   *port;			/* settings that it was opened with */
	TimestampTz port_at;		/* when to try to open it */
	bool		many_open;		/* questions, and what is sent again, wait
								 * until calls are finished */
	bool		crowded;		/* orders wait until calls in flight are
								 * finished */

	/* When each part wants its next turn; waking us sets them to now. */
	TimestampTz submit_at;
	TimestampTz held_at;
	TimestampTz search_at;
	TimestampTz reconcile_at;
	TimestampTz inbox_at;
	TimestampTz subscriptions_at;
	TimestampTz doubts_at;
	TimestampTz write_backs_at;

	List	   *searches;		/* Search *: what is searched for */
	TimestampTz look_at;		/* not before, for what is to be searched for */
	List	   *barred;			/* Bar *: servers that may not be asked for
								 * now */
	List	   *groups;			/* BwGroupState *: back-off, coalescing */
	struct BwGroupState *last_group;	/* that had something to send */
	List	   *spending;		/* Spending *: numbers of the last 24 hours */
	bool		spending_changed;	/* numbers were given back: add up anew */
	bool		waiting;		/* orders may wait for others to end */
	List	   *moved;			/* BwMoved * committed, not yet told; in cxt */
	int			error_code;		/* of the last transaction that failed */
	char	  **said;			/* what its error was the last time, in cxt:
								 * it is logged when it is another one; NULL:
								 * always */
	bool		fenced;			/* this database is a copy */
	bool		outdated;		/* its tables are newer than the library */
	bool		notify_fails;	/* the last time that we tried */
	struct BwCaller *callers;	/* whose callbacks come; in callers_cxt */
	int			caller_count;
	MemoryContext callers_cxt;
	bool		callbacks_come; /* a callback was believed since start */
	List	   *looks;			/* at the orders of accounts, under way; see
								 * timeline.c */
	List	   *subscribing;	/* BwTask *: one call for each subscription */
	struct BackgroundWorkerHandle *provisioner; /* NULL: none was started */
	int			check_interval_s;	/* of the last comparison; 0: none yet */
	bool		keys_changed;	/* credentials of callbacks: load them anew */
	bool		certificate_changed;	/* look at what pins it */
} BwWork;

/* A task with a memory context of its own, which outlives the lap once it is started. */
extern BwTask *bw_task_create(BwWork *work, BwTaskKind kind, int64 id);

/*
 * Read server and credentials into the task; throws as config.h does, and if the
 * server has another account (NULL: any will do).  Whoever knows the account has
 * read the server before, and it may have been altered since.
 */
extern void bw_task_account(BwTask *task, const char *server, const char *role,
							const char *account_id);
extern void bw_task_start(BwWork *work, BwTask *task, const BwCallSpec *spec);
extern void bw_task_free(BwTask *task);

/* The request of each task, as it is now; NULL: there is none any more. */
extern BwRequestRow **bw_task_requests(BwTask **tasks, int count);

/* Remember moved orders (List of BwMoved *) until they are told about. */
extern void bw_work_moved(BwWork *work, List *moved);

/* The n-th delay, in ms, of a list of seconds; the last one repeats. */
extern int64 bw_work_delay_ms(const char *delays, int n, int64 beyond_ms);

/* When to try again what failed by an error of ours so many times before. */
extern TimestampTz bw_work_back_off(int tries);

/*
 * Run "step" in a transaction, or in a subtransaction of the one that is open;
 * an error is logged and false returned.  Whoever tries again and again sets
 * work->said, before a transaction or in it.  Not logged where "what" is NULL: for
 * steps with many items, which are done one by one if they fail together.
 */
typedef void (*BwStep) (BwWork *work, void *arg);
extern bool bw_work_attempt(BwWork *work, BwStep step, void *arg,
							const char *what);
extern bool bw_work_transaction(BwWork *work, BwStep step, void *arg,
								const char *what);

#endif							/* BW_WORK_H */
