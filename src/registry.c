/*-------------------------------------------------------------------------
 *
 * registry.c
 *	  What processes share: who serves which database, whom to wake, rate
 *	  budgets, access tokens.
 *
 * Plain values under one LWLock.  Latches of other processes are set while
 * the lock is held and their slot is valid, so that a process that is about
 * to end cannot pull its latch away meanwhile.
 *
 * src/registry.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "budget.h"
#include "registry.h"

#define MAX_WAITERS 1024
#define MAX_BUDGETS 256
#define MAX_TOKENS 64
/* A JWT that lists many accounts; a longer one is fetched anew for each call. */
#define TOKEN_SIZE 8192
#define ACCOUNT_SIZE 32
/* A worker that was registered but never came gives its slot back. */
#define STARTING_PATIENCE_MS 10000
/* Wait after a worker's first failure, doubled up to the second. */
#define BACK_OFF_MIN_MS 1000
#define BACK_OFF_MAX_MS 60000
typedef struct WorkerSlot
{
	Oid			database;		/* InvalidOid: free */
	BwWorkerState state;
	int			pid;
	Latch	   *latch;
	TimestampTz since;			/* of the state */
	TimestampTz not_before;		/* back-off */
	int			failures;
	int			topics;			/* BwTopic bits: look at these */
	bool		recheck;
	BwLeave		leave;
	int			come_back_ms;	/* it leaves, but not for good; -1: for good */
} WorkerSlot;

typedef struct WaiterSlot
{
	Oid			database;
	Latch	   *latch;			/* NULL: free */
} WaiterSlot;

/*
 * Servers over one account may have different limits.  Each limit has a slot,
 * because a budget can be counted in one window only, and every call of the
 * account is counted in all of them.
 */
typedef struct BudgetSlot
{
	char		account_id[ACCOUNT_SIZE];	/* "": free */
	BwEndpointClass class;
	int64		window;			/* us */
	TimestampTz used_at;
	BwBudget	budget;
} BudgetSlot;

typedef struct TokenSlot
{
	BwTokenKey	key;			/* database InvalidOid: free */
	TimestampTz expires;
	TimestampTz used_at;
	char		token[TOKEN_SIZE];
} TokenSlot;

typedef struct Registry
{
	LWLock	   *lock;
	Latch	   *launcher;
	bool		rescan;
	WorkerSlot	workers[BW_MAX_WORKERS];
	WaiterSlot	waiters[MAX_WAITERS];
	BudgetSlot	budgets[MAX_BUDGETS];
	TokenSlot	tokens[MAX_TOKENS];
} Registry;

/* In shared memory, or private to the process when not preloaded. */
static Registry *registry = NULL;
static bool shared = false;

/* This process's places. */
static int	my_worker = -1;
static int	my_waiter = -1;
static int	topics_when_committed = 0;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static void request_memory(void);
static void attach(void);
static Registry *reg(void);
static void lock_registry(void);
static void unlock_registry(void);
static WorkerSlot *worker_slot(Oid database);
static void launcher_leave(int code, Datum arg);
static void worker_leave(int code, Datum arg);
static void waiter_leave(int code, Datum arg);
static void at_transaction_end(XactEvent event, void *arg);
static BudgetSlot *budget_slot(const char *account_id, BwEndpointClass class,
							   int64 window);
static bool budget_is_of(const BudgetSlot *slot, const char *account_id,
						 BwEndpointClass class);
static TokenSlot *token_slot(const BwTokenKey *key);

void
bw_registry_init(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = attach;
}

static void
request_memory(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(sizeof(Registry));
	RequestNamedLWLockTranche("bandwidth", 1);
}

static void
attach(void)
{
	bool		found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	registry = ShmemInitStruct("bandwidth", sizeof(Registry), &found);
	if (!found)
	{
		memset(registry, 0, sizeof(Registry));
		registry->lock = &GetNamedLWLockTranche("bandwidth")->lock;
	}
	LWLockRelease(AddinShmemInitLock);
	shared = true;
}

bool
bw_registry_shared(void)
{
	return shared;
}

static Registry *
reg(void)
{
	if (registry == NULL)
		registry = MemoryContextAllocZero(TopMemoryContext, sizeof(Registry));
	return registry;
}

static void
lock_registry(void)
{
	if (reg()->lock != NULL)
		LWLockAcquire(registry->lock, LW_EXCLUSIVE);
}

static void
unlock_registry(void)
{
	if (registry->lock != NULL)
		LWLockRelease(registry->lock);
}

/* --- launcher --- */

void
bw_registry_launcher_enter(void)
{
	before_shmem_exit(launcher_leave, (Datum) 0);
	lock_registry();
	registry->launcher = MyLatch;
	registry->rescan = true;
	unlock_registry();
}

static void
launcher_leave(int code, Datum arg)
{
	lock_registry();
	registry->launcher = NULL;
	unlock_registry();
}

bool
bw_registry_take_rescan(void)
{
	bool		asked;

	lock_registry();
	asked = registry->rescan;
	registry->rescan = false;
	unlock_registry();
	return asked;
}

void
bw_registry_rescan(void)
{
	lock_registry();
	registry->rescan = true;
	for (int i = 0; i < BW_MAX_WORKERS; i++)
		registry->workers[i].not_before = 0;
	if (registry->launcher != NULL)
		SetLatch(registry->launcher);
	unlock_registry();
}

/* The slot of a database, NULL: none.  The lock is held. */
static WorkerSlot *
worker_slot(Oid database)
{
	for (int i = 0; i < BW_MAX_WORKERS; i++)
		if (registry->workers[i].database == database)
			return &registry->workers[i];
	return NULL;
}

bool
bw_registry_worker_reserve(Oid database)
{
	TimestampTz now = GetCurrentTimestamp();
	WorkerSlot *slot;
	bool		mine = false;

	lock_registry();
	slot = worker_slot(database);

	/*
	 * One that another database's worker is to come back to is the last
	 * choice.
	 */
	if (slot == NULL)
		slot = worker_slot(InvalidOid);
	for (int i = 0; slot == NULL && i < BW_MAX_WORKERS; i++)
		if (registry->workers[i].state == BW_WORKER_NONE)
			slot = &registry->workers[i];
	if (slot != NULL && slot->database != database)
		memset(slot, 0, sizeof(WorkerSlot));
	if (slot != NULL &&
		(slot->state == BW_WORKER_NONE ||
		 (slot->state == BW_WORKER_STARTING &&
		  TimestampDifferenceExceeds(slot->since, now, STARTING_PATIENCE_MS))) &&
		slot->not_before <= now)
	{
		slot->database = database;
		slot->state = BW_WORKER_STARTING;
		slot->since = now;
		slot->topics = 0;
		slot->recheck = false;
		slot->leave = BW_LEAVE_NOT;
		slot->come_back_ms = -1;
		mine = true;
	}
	unlock_registry();
	return mine;
}

void
bw_registry_worker_abandon(Oid database)
{
	WorkerSlot *slot;

	lock_registry();
	slot = worker_slot(database);
	if (slot != NULL && slot->state == BW_WORKER_STARTING)
		memset(slot, 0, sizeof(WorkerSlot));
	unlock_registry();
}

bool
bw_registry_worker_comes_back(Oid database)
{
	WorkerSlot *slot;
	bool		comes_back;

	lock_registry();
	slot = worker_slot(database);
	comes_back = slot != NULL && slot->state != BW_WORKER_RUNNING;
	unlock_registry();
	return comes_back;
}

void
bw_registry_restart_worker(Oid database)
{
	lock_registry();
	for (int i = 0; i < BW_MAX_WORKERS; i++)
	{
		WorkerSlot *slot = &registry->workers[i];

		if (slot->state != BW_WORKER_RUNNING ||
			(OidIsValid(database) && slot->database != database))
			continue;
		slot->leave = BW_LEAVE_RESTART;
		SetLatch(slot->latch);
	}
	unlock_registry();
}

/* --- worker --- */

bool
bw_registry_worker_enter(Oid database)
{
	WorkerSlot *slot;

	before_shmem_exit(worker_leave, (Datum) 0);
	lock_registry();
	slot = worker_slot(database);
	if (slot != NULL && slot->state == BW_WORKER_STARTING)
	{
		my_worker = slot - registry->workers;
		slot->state = BW_WORKER_RUNNING;
		slot->pid = MyProcPid;
		slot->latch = MyLatch;
		slot->since = GetCurrentTimestamp();
	}
	unlock_registry();
	return my_worker >= 0;
}

/*
 * A worker that failed keeps the slot for its back-off; the launcher comes
 * back by its own timer.
 */
static void
worker_leave(int code, Datum arg)
{
	WorkerSlot *slot;

	if (my_worker < 0)
		return;
	lock_registry();
	slot = &registry->workers[my_worker];
	slot->state = BW_WORKER_NONE;
	slot->latch = NULL;
	slot->pid = 0;
	if (code != 0 || slot->come_back_ms >= 0)
	{
		int64		wait_ms = slot->come_back_ms >= 0 ? slot->come_back_ms
		: (int64) BACK_OFF_MIN_MS << Min(slot->failures, 6);

		/* Leaving because somebody wants it is no failure. */
		if (slot->come_back_ms < 0)
			slot->failures++;
		slot->not_before =
			TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
										Min(wait_ms, BACK_OFF_MAX_MS));
	}
	else
		memset(slot, 0, sizeof(WorkerSlot));
	if (registry->launcher != NULL)
		SetLatch(registry->launcher);
	unlock_registry();
	my_worker = -1;
}

void
bw_registry_worker_healthy(void)
{
	lock_registry();
	registry->workers[my_worker].failures = 0;
	unlock_registry();
}

void
bw_registry_worker_come_back(int after_ms)
{
	lock_registry();
	registry->workers[my_worker].come_back_ms = after_ms;
	unlock_registry();
}

BwLeave
bw_registry_worker_must_leave(void)
{
	return registry->workers[my_worker].leave;
}

bool
bw_registry_worker_take_recheck(void)
{
	bool		asked;

	lock_registry();
	asked = registry->workers[my_worker].recheck;
	registry->workers[my_worker].recheck = false;
	unlock_registry();
	return asked;
}

int
bw_registry_worker_take_topics(void)
{
	int			topics;

	lock_registry();
	topics = registry->workers[my_worker].topics;
	registry->workers[my_worker].topics = 0;
	unlock_registry();
	return topics;
}

BwWorkerState
bw_registry_worker_state(Oid database, int *pid, TimestampTz *since)
{
	BwWorkerState state = BW_WORKER_NONE;
	WorkerSlot *slot;

	lock_registry();
	slot = worker_slot(database);
	if (slot != NULL)
	{
		state = slot->leave != BW_LEAVE_NOT ? BW_WORKER_LEAVING : slot->state;
		*pid = slot->pid;
		*since = slot->since;
	}
	unlock_registry();
	return state;
}

static void
poke(Oid database, int topics, bool recheck, BwLeave leave)
{
	WorkerSlot *slot;

	if (!shared)
		return;
	lock_registry();
	slot = worker_slot(database);
	if (slot != NULL)
	{
		slot->topics |= topics;
		slot->recheck = slot->recheck || recheck;
		if (leave != BW_LEAVE_NOT)
			slot->leave = leave;
		if (slot->latch != NULL)
			SetLatch(slot->latch);
	}
	unlock_registry();
}

void
bw_registry_recheck_worker(Oid database)
{
	poke(database, BW_TOPIC_ALL, true, BW_LEAVE_NOT);
}

void
bw_registry_tell_worker_to_leave(Oid database)
{
	poke(database, 0, false, BW_LEAVE_DATABASE);
}

void
bw_registry_wake_at_commit(int topics)
{
	static bool registered = false;

	if (!shared)
		return;
	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		registered = true;
	}
	topics_when_committed |= topics;
}

/* At XACT_EVENT_COMMIT the rows are visible already. */
static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			if (topics_when_committed != 0)
				poke(MyDatabaseId, topics_when_committed, false, BW_LEAVE_NOT);
			topics_when_committed = 0;
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			topics_when_committed = 0;
			break;
		default:
			break;
	}
}

/* --- sessions that wait --- */

void
bw_registry_wait_begin(void)
{
	static bool registered = false;

	if (!shared)
		return;
	if (!registered)
	{
		before_shmem_exit(waiter_leave, (Datum) 0);
		registered = true;
	}
	lock_registry();
	for (int i = 0; i < MAX_WAITERS && my_waiter < 0; i++)
	{
		if (registry->waiters[i].latch != NULL)
			continue;
		registry->waiters[i].latch = MyLatch;
		registry->waiters[i].database = MyDatabaseId;
		my_waiter = i;
	}
	unlock_registry();
}

void
bw_registry_wait_end(void)
{
	if (my_waiter < 0)
		return;
	lock_registry();
	registry->waiters[my_waiter].latch = NULL;
	my_waiter = -1;
	unlock_registry();
}

static void
waiter_leave(int code, Datum arg)
{
	bw_registry_wait_end();
}

void
bw_registry_wake_waiters(void)
{
	lock_registry();
	for (int i = 0; i < MAX_WAITERS; i++)
		if (registry->waiters[i].latch != NULL &&
			registry->waiters[i].database == MyDatabaseId)
			SetLatch(registry->waiters[i].latch);
	unlock_registry();
}

/* --- budgets --- */

/* The slot of an account, class and limit, made if need be.  The lock is held. */
static BudgetSlot *
budget_slot(const char *account_id, BwEndpointClass class, int64 window)
{
	BudgetSlot *oldest = &registry->budgets[0];
	int64		blocked_until = 0;

	for (int i = 0; i < MAX_BUDGETS; i++)
	{
		BudgetSlot *slot = &registry->budgets[i];

		if (budget_is_of(slot, account_id, class))
		{
			if (slot->window == window)
				return slot;
			blocked_until = Max(blocked_until, slot->budget.blocked_until);
		}
		if (slot->used_at < oldest->used_at)
			oldest = slot;
	}
	memset(oldest, 0, sizeof(BudgetSlot));
	strlcpy(oldest->account_id, account_id, ACCOUNT_SIZE);
	oldest->class = class;
	oldest->window = window;
	oldest->budget.blocked_until = blocked_until;
	return oldest;
}

static bool
budget_is_of(const BudgetSlot *slot, const char *account_id, BwEndpointClass class)
{
	return slot->class == class && strcmp(slot->account_id, account_id) == 0;
}

static int64
window_of(int per_minute, int burst)
{
	return (int64) burst * 60 * 1000000 / per_minute;
}

int
bw_registry_budget_left(const char *account_id, BwEndpointClass class,
						int per_minute, int burst, TimestampTz *retry_at)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		window = window_of(per_minute, burst);
	int			left;

	lock_registry();
	left = bw_budget_left(&budget_slot(account_id, class, window)->budget, now,
						  window, burst, retry_at);
	unlock_registry();
	return left;
}

bool
bw_registry_budget_take(const char *account_id, BwEndpointClass class,
						int per_minute, int burst, TimestampTz *retry_at)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		window = window_of(per_minute, burst);
	BudgetSlot *slot;
	bool		allowed;

	lock_registry();
	slot = budget_slot(account_id, class, window);
	slot->used_at = now;
	allowed = bw_budget_left(&slot->budget, now, window, burst, retry_at) > 0;
	for (int i = 0; allowed && i < MAX_BUDGETS; i++)
	{
		slot = &registry->budgets[i];
		if (budget_is_of(slot, account_id, class))
			bw_budget_count(&slot->budget, now, slot->window);
	}
	unlock_registry();
	return allowed;
}

void
bw_registry_budget_block(const char *account_id, BwEndpointClass class,
						 TimestampTz until)
{
	bool		found = false;

	lock_registry();
	for (int i = 0; i < MAX_BUDGETS; i++)
	{
		BudgetSlot *slot = &registry->budgets[i];

		if (!budget_is_of(slot, account_id, class))
			continue;
		slot->budget.blocked_until = until;
		found = true;
	}
	/* Whoever counts first inherits it. */
	if (!found)
		budget_slot(account_id, class, 0)->budget.blocked_until = until;
	unlock_registry();
}

/* --- access tokens --- */

static TokenSlot *
token_slot(const BwTokenKey *key)
{
	for (int i = 0; i < MAX_TOKENS; i++)
		if (memcmp(&registry->tokens[i].key, key, sizeof(BwTokenKey)) == 0)
			return &registry->tokens[i];
	return NULL;
}

char *
bw_registry_token_get(const BwTokenKey *key, TimestampTz now)
{
	char	   *copy = palloc(TOKEN_SIZE);
	TokenSlot  *slot;

	copy[0] = '\0';
	lock_registry();
	slot = token_slot(key);
	if (slot != NULL && slot->expires > now)
	{
		slot->used_at = now;
		strlcpy(copy, slot->token, TOKEN_SIZE);
	}
	unlock_registry();
	if (copy[0] != '\0')
		return copy;
	pfree(copy);
	return NULL;
}

void
bw_registry_token_put(const BwTokenKey *key, const char *token,
					  TimestampTz expires)
{
	TokenSlot  *slot;

	if (strlen(token) >= TOKEN_SIZE)
		return;
	lock_registry();
	slot = token_slot(key);
	for (int i = 0; slot == NULL && i < MAX_TOKENS; i++)
	{
		/* The same mapping with other credentials: those are gone. */
		TokenSlot  *other = &registry->tokens[i];

		if (other->key.database == key->database && other->key.umid == key->umid)
			slot = other;
	}
	if (slot == NULL)
	{
		slot = &registry->tokens[0];
		for (int i = 1; i < MAX_TOKENS; i++)
			if (registry->tokens[i].used_at < slot->used_at)
				slot = &registry->tokens[i];
	}
	explicit_bzero(slot, sizeof(TokenSlot));
	slot->key = *key;
	slot->expires = expires;
	slot->used_at = GetCurrentTimestamp();
	strlcpy(slot->token, token, TOKEN_SIZE);
	unlock_registry();
}

void
bw_registry_token_drop(const BwTokenKey *key, const char *token)
{
	TokenSlot  *slot;

	lock_registry();
	slot = token_slot(key);
	if (slot != NULL && strcmp(slot->token, token) == 0)
		explicit_bzero(slot, sizeof(TokenSlot));
	unlock_registry();
}
