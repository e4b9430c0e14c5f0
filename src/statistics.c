/*-------------------------------------------------------------------------
 *
 * statistics.c
 *	  What was called, how that went, and what the workers are doing.
 *
 * A table of fixed size under one LWLock.  Keys stand apart from the counters,
 * so that finding a slot reads a few kilobytes at most; when the table is full, the
 * slot that was used least recently is taken.  Servers and databases that were dropped
 * lose their slots that way.
 *
 * Texts are kept in ASCII: databases with different encodings share them.
 *
 * src/statistics.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "statistics.h"

/* A server has six classes or so that are used. */
#define MAX_SLOTS 512
/* As many as registry.h has workers. */
#define MAX_DATABASES 64
#define TRANCHE "bandwidth statistics"

const int	bw_latency_bounds_ms[BW_LATENCY_BOUNDS] =
{10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000};

typedef struct Key
{
	Oid			database;		/* InvalidOid: free */
	Oid			server;
	BwEndpointClass class;
} Key;

typedef struct WorkerSlot
{
	Oid			database;		/* InvalidOid: free */
	TimestampTz used_at;
	BwWorkerStatistics statistics;
} WorkerSlot;

typedef struct Table
{
	LWLock	   *lock;
	Key			keys[MAX_SLOTS];
	BwCallStatistics slots[MAX_SLOTS];
	WorkerSlot	workers[MAX_DATABASES];
} Table;

/* In shared memory, or private to the process when not preloaded. */
static Table *table = NULL;

/* Slot of the worker that this process is; -1: it is none. */
static int	my_worker = -1;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static void request_memory(void);
static void attach(void);
static void lock_table(LWLockMode mode);
static void unlock_table(void);
static int	find_slot(Oid server, BwEndpointClass class);
static BwCallStatistics *make_slot(Oid server, BwEndpointClass class);
static void clear(BwCallStatistics *slot);
static void add(BwCallStatistics *slot, const BwCallRecord *record, TimestampTz now);
static void note_for_worker(const BwCallRecord *record, TimestampTz now);
static int	latency_bucket(int64 elapsed_us);
static void copy_error(char *target, const char *error);
static WorkerSlot *worker_slot(Oid database);

void
bw_statistics_init(void)
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
	RequestAddinShmemSpace(sizeof(Table));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

static void
attach(void)
{
	bool		found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	table = ShmemInitStruct(TRANCHE, sizeof(Table), &found);
	if (!found)
	{
		memset(table, 0, sizeof(Table));
		table->lock = &GetNamedLWLockTranche(TRANCHE)->lock;
	}
	LWLockRelease(AddinShmemInitLock);
}

static void
lock_table(LWLockMode mode)
{
	if (table == NULL)
		table = MemoryContextAllocZero(TopMemoryContext, sizeof(Table));
	if (table->lock != NULL)
		LWLockAcquire(table->lock, mode);
}

static void
unlock_table(void)
{
	if (table->lock != NULL)
		LWLockRelease(table->lock);
}

/* --- calls --- */

/* -1: none.  The lock is held. */
static int
find_slot(Oid server, BwEndpointClass class)
{
	for (int i = 0; i < MAX_SLOTS; i++)
	{
		const Key  *key = &table->keys[i];

		if (key->server == server && key->class == class &&
			key->database == MyDatabaseId)
			return i;
	}
	return -1;
}

/* The lock is held, exclusively. */
static BwCallStatistics *
make_slot(Oid server, BwEndpointClass class)
{
	int			i = find_slot(server, class);

	if (i < 0)
	{
		/* Free ones were never used. */
		i = 0;
		for (int other = 1; other < MAX_SLOTS; other++)
			if (table->slots[other].used_at < table->slots[i].used_at)
				i = other;
		table->keys[i] = (Key)
		{
			MyDatabaseId, server, class
		};
		table->slots[i].server = server;
		table->slots[i].class = class;
		clear(&table->slots[i]);
	}
	return &table->slots[i];
}

/* All but whose it is, and when it was used. */
static void
clear(BwCallStatistics *slot)
{
	BwCallStatistics fresh = {.server = slot->server,.class = slot->class,
		.used_at = slot->used_at,.since = GetCurrentTimestamp(),
		.succeeded_at = DT_NOBEGIN,.failed_at = DT_NOBEGIN,
	.retry_at = DT_NOBEGIN};

	*slot = fresh;
}

void
bw_statistics_count(const BwCallRecord *record)
{
	BwCallStatistics *slot;
	TimestampTz now;

	lock_table(LW_EXCLUSIVE);
	slot = make_slot(record->server, record->class);
	now = GetCurrentTimestamp();
	add(slot, record, now);
	if (my_worker >= 0)
		note_for_worker(record, now);
	unlock_table();
}

static void
add(BwCallStatistics *slot, const BwCallRecord *record, TimestampTz now)
{
	slot->used_at = now;
	slot->calls++;
	slot->outcomes[record->outcome]++;
	slot->retries += record->again ? 1 : 0;
	slot->bytes_sent += record->bytes_sent;
	slot->bytes_received += record->bytes_received;
	slot->total_us += record->elapsed_us;
	slot->latency[latency_bucket(record->elapsed_us)]++;
	switch (record->outcome)
	{
		case BW_OUTCOME_DONE:
			slot->succeeded_at = now;
			slot->retry_at = DT_NOBEGIN;
			break;
		case BW_OUTCOME_NOT_FOUND:
			break;
		case BW_OUTCOME_REFUSED:
		case BW_OUTCOME_UNAUTHORIZED:
		case BW_OUTCOME_LATER:
		case BW_OUTCOME_UNKNOWN:
			slot->failed_at = now;
			copy_error(slot->error, record->error);
			break;
	}
}

/* A refusal is an answer, about something that the worker was asked to do. */
static void
note_for_worker(const BwCallRecord *record, TimestampTz now)
{
	BwWorkerStatistics *statistics = &table->workers[my_worker].statistics;

	switch (record->outcome)
	{
		case BW_OUTCOME_DONE:
			statistics->succeeded_at = now;
			break;
		case BW_OUTCOME_REFUSED:
		case BW_OUTCOME_NOT_FOUND:
			break;
		case BW_OUTCOME_UNAUTHORIZED:
		case BW_OUTCOME_LATER:
		case BW_OUTCOME_UNKNOWN:
			statistics->failed_at = now;
			copy_error(statistics->error, record->error);
			break;
	}
}

static int
latency_bucket(int64 elapsed_us)
{
	int			i = 0;

	while (i < BW_LATENCY_BOUNDS &&
		   elapsed_us > (int64) bw_latency_bounds_ms[i] * 1000)
		i++;
	return i;
}

/* As PostgreSQL does with application_name: what is no ASCII becomes "?". */
static void
copy_error(char *target, const char *error)
{
	strlcpy(target, error, BW_ERROR_SIZE);
	for (char *p = target; *p != '\0'; p++)
		if (*p < 32 || *p > 126)
			*p = '?';
}

void
bw_statistics_retry_at(Oid server, BwEndpointClass class, TimestampTz at)
{
	lock_table(LW_EXCLUSIVE);
	make_slot(server, class)->retry_at = at;
	unlock_table();
}

bool
bw_statistics_next(int *position, BwCallStatistics *copy)
{
	bool		found = false;

	lock_table(LW_SHARED);
	for (; *position < MAX_SLOTS && !found; (*position)++)
	{
		found = table->keys[*position].database == MyDatabaseId;
		if (found)
			*copy = table->slots[*position];
	}
	unlock_table();
	return found;
}

bool
bw_statistics_of(Oid server, BwEndpointClass class, BwCallStatistics *copy)
{
	int			i;

	lock_table(LW_SHARED);
	i = find_slot(server, class);
	if (i >= 0)
		*copy = table->slots[i];
	unlock_table();
	return i >= 0;
}

void
bw_statistics_reset(Oid server)
{
	WorkerSlot *worker;

	lock_table(LW_EXCLUSIVE);
	for (int i = 0; i < MAX_SLOTS; i++)
		if (table->keys[i].database == MyDatabaseId &&
			(!OidIsValid(server) || table->keys[i].server == server))
			clear(&table->slots[i]);
	worker = worker_slot(MyDatabaseId);
	if (!OidIsValid(server) && worker != NULL)
	{
		worker->statistics.succeeded_at = worker->statistics.failed_at = DT_NOBEGIN;
		worker->statistics.error[0] = '\0';
	}
	unlock_table();
}

/* --- workers --- */

/* NULL: none.  The lock is held. */
static WorkerSlot *
worker_slot(Oid database)
{
	for (int i = 0; i < MAX_DATABASES; i++)
		if (table->workers[i].database == database)
			return &table->workers[i];
	return NULL;
}

/* What the worker before it saw stays. */
void
bw_statistics_worker_enter(void)
{
	WorkerSlot *slot;

	lock_table(LW_EXCLUSIVE);
	slot = worker_slot(MyDatabaseId);
	if (slot == NULL)
	{
		slot = &table->workers[0];
		for (int i = 1; i < MAX_DATABASES; i++)
			if (table->workers[i].used_at < slot->used_at)
				slot = &table->workers[i];
		memset(slot, 0, sizeof(WorkerSlot));
		slot->database = MyDatabaseId;
		slot->statistics.succeeded_at = slot->statistics.failed_at = DT_NOBEGIN;
	}
	slot->used_at = GetCurrentTimestamp();
	slot->statistics.next_wake_at = DT_NOBEGIN;
	slot->statistics.in_flight = slot->statistics.port = 0;
	my_worker = slot - table->workers;
	unlock_table();
}

void
bw_statistics_worker_sleeps(int in_flight, int port, TimestampTz next_wake_at)
{
	WorkerSlot *slot = &table->workers[my_worker];

	lock_table(LW_EXCLUSIVE);
	slot->used_at = GetCurrentTimestamp();
	slot->statistics.in_flight = in_flight;
	slot->statistics.port = port;
	slot->statistics.next_wake_at = next_wake_at;
	unlock_table();
}

void
bw_statistics_worker_failed(const char *error)
{
	BwWorkerStatistics *statistics;

	if (my_worker < 0)
		return;
	statistics = &table->workers[my_worker].statistics;
	lock_table(LW_EXCLUSIVE);
	statistics->failed_at = GetCurrentTimestamp();
	copy_error(statistics->error, error);
	unlock_table();
}

bool
bw_statistics_worker(BwWorkerStatistics *copy)
{
	WorkerSlot *slot;

	lock_table(LW_SHARED);
	slot = worker_slot(MyDatabaseId);
	if (slot != NULL)
		*copy = slot->statistics;
	unlock_table();
	return slot != NULL;
}
