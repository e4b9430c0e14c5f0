/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  The worker of one database: one event loop, no threads.
 *
 * What it must survive:
 *	- any of its transactions failing: the part that failed tries again later;
 *	- the port being taken: a warning, and another try every minute;
 *	- DROP DATABASE, ALTER DATABASE ... RENAME, CREATE DATABASE ... TEMPLATE:
 *	  it leaves.  DROP tells it so; the others only show by a lock on the
 *	  database, for which it looks every two seconds;
 *	- DROP EXTENSION: it leaves;
 *	- settings of the database that it cannot work with (background.c).
 *
 * It starts as the bootstrap superuser and does all its work as the owner of
 * the extension's tables (store.c).
 *
 * src/worker.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <malloc.h>

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/async.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "api.h"
#include "background.h"
#include "bulk.h"
#include "claim.h"
#include "close.h"
#include "compat.h"
#include "guards.h"
#include "keeper.h"
#include "keys.h"
#include "listener.h"
#include "port.h"
#include "provisioner.h"
#include "receive.h"
#include "reconcile.h"
#include "registry.h"
#include "search.h"
#include "settle.h"
#include "statistics.h"
#include "store.h"
#include "store_guards.h"
#include "store_notifications.h"
#include "store_orders.h"
#include "store_requests.h"
#include "submit.h"
#include "subscribe.h"
#include "timeline.h"
#include "version.h"
#include "work.h"
#include "worker.h"

/* Work is looked for at least this often, kicks or not. */
#define SAFETY_TIMER_MS 10000
/* How often the lock of a RENAME or TEMPLATE is looked for. */
#define LOCK_PROBE_MS 2000
/* When to come back after leaving for DROP, or for RENAME and TEMPLATE. */
#define AFTER_DROP_MS 10000
#define AFTER_LOCK_MS 1000
/* How long calls under way are heard out before a restart. */
#define FAREWELL_MS 5000
/* Old notifications are looked for this often. */
#define CLEANING_MS 60000
/* A NOTIFY is a hint: it is not worth a longer wait. */
#define NOTIFY_LOCK_TIMEOUT_MS 100
/* Finished calls that share a transaction. */
#define FINISHED_MAX 256
#define MAX_SOCKETS 1000
/* Bytes from which on a buffer is given back to the system when it is freed. */
#define LARGE_BUFFER (128 * 1024)
/* Kept in between: a batch of callbacks would ask for it again and again. */
#define SPARE_MEMORY (512 * 1024)

/* Timers of the loop itself. */
typedef struct Clock
{
	TimestampTz safety_at;
	TimestampTz probe_at;
	TimestampTz cleaning_at;
	TimestampTz farewell_at;	/* DT_NOEND: nobody asked for a restart */
} Clock;

static void start(Oid database);
static void leave(int code, Datum arg);
static void give_memory_back(void);
static void override_planner(void);
static void check_version(BwWork *work);
static void check_identity(BwWork *work, void *arg);
static void prepare(BwWork *work, void *arg);
static void main_loop(BwWork *work);
static void sleep_until_something(BwWork *work, WaitEventSet **set, Clock *clock);
static void say_what_is_awaited(const BwWork *work);
static WaitEventSet *make_wait_set(const BwWork *work);
static TimestampTz next_work_at(const BwWork *work, const Clock *clock);
static long timeout_ms(const BwWork *work, const Clock *clock);
static bool asked_to_leave(BwWork *work, Clock *clock);
static bool may_stay(void);
static void take_finished(BwWork *work);
static void look_who_waits(BwWork *work);
static void look_at(BwWork *work, Clock *clock, int topics);
static void do_what_is_due(BwWork *work, Clock *clock);
static void tell(BwWork *work);
static void forget_old(BwWork *work, void *arg);

void
bw_worker_main(Datum main_arg)
{
	Oid			database = DatumGetObjectId(main_arg);
	BwWork	   *work;

	start(database);
	work = MemoryContextAllocZero(TopMemoryContext, sizeof(BwWork));
	work->cxt = AllocSetContextCreate(TopMemoryContext, "bandwidth worker",
									  ALLOCSET_DEFAULT_SIZES);
	work->lap = AllocSetContextCreate(work->cxt, "bandwidth lap",
									  ALLOCSET_DEFAULT_SIZES);
	work->api = bw_api_create(work->cxt, MAX_SOCKETS);
	work->keys_changed = true;
	work->waiting = true;
	before_shmem_exit(leave, PointerGetDatum(work));
	MemoryContextSwitchTo(work->lap);
	/* Else the launcher starts the next one after a while. */
	if (!bw_work_transaction(work, prepare, NULL, "starting"))
		proc_exit(1);
	main_loop(work);
	proc_exit(0);
}

/* Before the slot is given back: the next worker wants the port at once. */
static void
leave(int code, Datum arg)
{
	BwWork	   *work = (BwWork *) DatumGetPointer(arg);

	if (work->listener != NULL)
		bw_listener_leave_port(work->listener);
	bw_provisioner_stop(work);
}

static void
start(Oid database)
{
	bool		installed;

	give_memory_back();
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	if (!bw_registry_worker_enter(database))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	bw_background_settings();
	override_planner();
	StartTransactionCommand();
	installed = bw_store_installed();
	CommitTransactionCommand();
	if (!installed)
		proc_exit(0);
	bw_background_name("bandwidth worker");
	bw_statistics_worker_enter();
}

/*
 * A list of a thousand orders is half a megabyte.  By itself glibc would keep
 * such buffers once one was freed; we live long, so they go back.
 */
static void
give_memory_back(void)
{
#ifdef M_MMAP_THRESHOLD
	mallopt(M_MMAP_THRESHOLD, LARGE_BUFFER);
	mallopt(M_TRIM_THRESHOLD, SPARE_MEMORY);
#endif
}

/* Our tables fill and empty faster than statistics follow. */
static void
override_planner(void)
{
	static const char *const settings[][2] = {
		{"plan_cache_mode", "force_generic_plan"},
		{"enable_seqscan", "off"},
		{"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"},
		{"jit", "off"},
	};

	for (int i = 0; i < (int) lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * Tables that a newer release has altered are not ours to work on: somebody
 * updated the extension, and the server still has the old library.
 */
static void
check_version(BwWork *work)
{
	char	   *version = bw_store_sql_version();
	bool		outdated = version != NULL && bw_version_is_newer(version, BW_SQL_VERSION);

	if (outdated && !work->outdated)
		ereport(WARNING,
				(errmsg("the extension has version %s, the library serves versions up to %s: nothing is sent",
						version, BW_SQL_VERSION),
				 errhint("Install the library of that version, and restart the server.")));
	work->outdated = outdated;
}

/*
 * A copy of a database orders nothing, and touches no subscription, until a
 * person decides that it shall (bw_take_over).
 */
static void
check_identity(BwWork *work, void *arg)
{
	bool		fenced;

	check_version(work);
	if (work->outdated)
		return;
	fenced = !bw_store_has_identity();

	if (fenced && !work->fenced)
		ereport(WARNING,
				(errmsg("this database is a copy of the one that its orders belong to: nothing is sent"),
				 errhint("If this copy is to order from now on, have a superuser call bw_take_over().")));
	work->fenced = fenced;
}

/*
 * What was being sent when a worker ended before has an unknown outcome; what
 * it was searching for, nobody searches for; what another timeline may have
 * sent is in doubt.
 */
static void
prepare(BwWork *work, void *arg)
{
	check_identity(work, NULL);
	if (work->outdated || work->fenced)
		return;
	bw_store_forget_sends();
	bw_timeline_check(work);
}

static void
main_loop(BwWork *work)
{
	WaitEventSet *set = NULL;
	Clock		clock;
	bool		reload;

	clock.safety_at = clock.probe_at = GetCurrentTimestamp();
	clock.cleaning_at = TimestampTzPlusMilliseconds(clock.safety_at, CLEANING_MS);
	clock.farewell_at = DT_NOEND;
	for (;;)
	{
		MemoryContextSwitchTo(work->lap);
		MemoryContextReset(work->lap);
		sleep_until_something(work, &set, &clock);
		CHECK_FOR_INTERRUPTS();
		reload = ConfigReloadPending;
		if (reload)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		if (asked_to_leave(work, &clock) || !bw_enabled)
			return;
		/* Somebody dropped the extension, or updated it. */
		if (bw_registry_worker_take_recheck())
			clock.probe_at = clock.safety_at = GetCurrentTimestamp();
		if (clock.probe_at <= GetCurrentTimestamp())
		{
			if (!may_stay())
				return;
			clock.probe_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
														 LOCK_PROBE_MS);
		}
		look_at(work, &clock, bw_registry_worker_take_topics());
		if (bw_port_keep(work, reload) && set != NULL)
		{
			FreeWaitEventSet(set);
			set = NULL;
		}
		do_what_is_due(work, &clock);
		tell(work);
		pgstat_report_stat(false);
	}
}

static void
sleep_until_something(BwWork *work, WaitEventSet **set, Clock *clock)
{
	static uint32 wait_event = 0;
	WaitEvent	events[4];

	if (*set == NULL)
		*set = make_wait_set(work);
	bw_statistics_worker_sleeps(bw_api_in_flight(work->api),
								work->listener ? bw_listen_port : 0,
								next_work_at(work, clock));
	say_what_is_awaited(work);
	(void) WaitEventSetWait(*set, timeout_ms(work, clock), events,
							lengthof(events),
							bw_wait_event(&wait_event, "BandwidthWorkerMain"));
	ResetLatch(MyLatch);
	pgstat_report_activity(STATE_RUNNING, "working on orders");
}

static void
say_what_is_awaited(const BwWork *work)
{
	int			calls = bw_api_in_flight(work->api);
	char		text[64];

	if (calls > 0)
		snprintf(text, sizeof(text), "waiting for %d replies", calls);
	else
		strlcpy(text, work->fenced ? "waiting for bw_take_over()" : "waiting for work",
				sizeof(text));
	pgstat_report_activity(STATE_IDLE, text);
}

static WaitEventSet *
make_wait_set(const BwWork *work)
{
	WaitEventSet *set = bw_create_wait_event_set(TopMemoryContext, 4);

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(set, WL_SOCKET_READABLE, bw_api_fd(work->api), NULL, NULL);
	if (work->listener != NULL)
		AddWaitEventToSet(set, WL_SOCKET_READABLE,
						  bw_listener_fd(work->listener), NULL, NULL);
	return set;
}

/* When one of the parts wants its turn; other things may wake us before. */
static TimestampTz
next_work_at(const BwWork *work, const Clock *clock)
{
	TimestampTz at = clock->safety_at;

	at = Min(at, work->submit_at);
	at = Min(at, work->held_at);
	at = Min(at, work->search_at);
	at = Min(at, work->reconcile_at);
	at = Min(at, work->inbox_at);
	at = Min(at, work->subscriptions_at);
	at = Min(at, work->doubts_at);
	return Min(at, work->write_backs_at);
}

static void
sooner(long *timeout, TimestampTz at)
{
	TimestampTz now = GetCurrentTimestamp();
	long		ms;

	if (at == DT_NOEND)
		return;
	/* The difference to '-infinity' would be the longest there is. */
	ms = at <= now ? 0 : TimestampDifferenceMilliseconds(now, at);
	*timeout = Min(*timeout, ms);
}

static long
timeout_ms(const BwWork *work, const Clock *clock)
{
	long		timeout = SAFETY_TIMER_MS;
	long		other;

	sooner(&timeout, clock->probe_at);
	sooner(&timeout, clock->farewell_at);
	sooner(&timeout, next_work_at(work, clock));
	other = bw_api_timeout_ms(work->api);
	if (other >= 0)
		timeout = Min(timeout, other);
	other = work->listener ? bw_listener_timeout_ms(work->listener) : -1;
	if (other >= 0)
		timeout = Min(timeout, other);
	return timeout;
}

/*
 * Before a restart, calls under way are heard out for a while: leaving at once
 * would make the outcome of each an unknown one.
 */
static bool
asked_to_leave(BwWork *work, Clock *clock)
{
	TimestampTz now = GetCurrentTimestamp();

	switch (bw_registry_worker_must_leave())
	{
		case BW_LEAVE_NOT:
			return false;
		case BW_LEAVE_RESTART:
			if (clock->farewell_at == DT_NOEND)
				clock->farewell_at = TimestampTzPlusMilliseconds(now, FAREWELL_MS);
			if (bw_api_in_flight(work->api) > 0 && clock->farewell_at > now)
				return false;
			bw_registry_worker_come_back(0);
			return true;
		case BW_LEAVE_DATABASE:
			/* DROP DATABASE may fail yet. */
			bw_registry_worker_come_back(AFTER_DROP_MS);
			return true;
	}
	return false;
}

/*
 * RENAME and TEMPLATE lock the database before they wait for its sessions to
 * leave; whoever cannot share that lock is being waited for.
 */
static bool
may_stay(void)
{
	MemoryContext lap = CurrentMemoryContext;
	LOCKTAG		tag;
	bool		installed = false;
	bool		locked;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
	StartTransactionCommand();
	locked = LockAcquire(&tag, RowExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
	if (locked)
		installed = bw_store_installed();
	else
		bw_registry_worker_come_back(AFTER_LOCK_MS);
	CommitTransactionCommand();
	/* A commit leaves TopMemoryContext current, which nobody empties. */
	MemoryContextSwitchTo(lap);
	return locked && installed;
}

/* The parts of these topics are due now. */
static void
look_at(BwWork *work, Clock *clock, int topics)
{
	TimestampTz now = GetCurrentTimestamp();

	if (topics & BW_TOPIC_IDENTITY)
		clock->safety_at = now;

	if (topics & BW_TOPIC_QUEUE)
		work->submit_at = work->search_at = now;
	if (topics & BW_TOPIC_HELD)
		work->held_at = now;
	if (topics & BW_TOPIC_REQUESTS)
		work->reconcile_at = now;
	if (topics & BW_TOPIC_INBOX)
		work->inbox_at = now;
	if (topics & BW_TOPIC_SUBSCRIPTIONS)
		work->subscriptions_at = now;
	if (topics & BW_TOPIC_WRITE_BACKS)
		work->write_backs_at = now;
}

/* Nothing new is begun. */
static void
rest(BwWork *work)
{
	work->submit_at = work->search_at = work->reconcile_at = DT_NOEND;
	work->inbox_at = work->subscriptions_at = work->doubts_at = DT_NOEND;
	work->write_backs_at = work->held_at = DT_NOEND;
}

/*
 * Nobody takes the replies to calls under way, and they would keep us awake: a
 * worker that begins anew finds the outcomes unknown.
 */
static void
leave_calls(BwWork *work)
{
	if (bw_api_in_flight(work->api) == 0)
		return;
	bw_registry_worker_come_back(0);
	proc_exit(0);
}

/* What somebody waits for first: orders on their way out. */
static void
do_what_is_due(BwWork *work, Clock *clock)
{
	TimestampTz now = GetCurrentTimestamp();

	if (clock->safety_at <= now)
	{
		clock->safety_at = TimestampTzPlusMilliseconds(now, SAFETY_TIMER_MS);
		look_at(work, clock, BW_TOPIC_ALL);
		work->doubts_at = now;
		(void) bw_work_transaction(work, check_identity, NULL, "checking the identity");
	}
	if (work->outdated || work->fenced)
	{
		leave_calls(work);
		work->check_interval_s = 0;
		rest(work);
		return;
	}
	if (clock->farewell_at != DT_NOEND)
		rest(work);
	if (work->held_at <= now)
		bw_guards_lap(work);
	if (work->submit_at <= now)
		bw_claim_lap(work);
	if (work->search_at <= now)
		bw_search_lap(work);
	bw_port_run(work);
	bw_keys_note_used(work);
	bw_api_run(work->api);
	take_finished(work);
	if (clock->farewell_at != DT_NOEND)
		return;
	if (work->inbox_at <= now)
		bw_receive_inbox(work);
	if (work->reconcile_at <= now)
		bw_reconcile_lap(work);
	if (work->subscriptions_at <= now)
	{
		bw_keeper_lap(work);
		bw_subscribe_lap(work);
	}
	if (work->doubts_at <= now)
		bw_timeline_lap(work);
	if (work->write_backs_at <= now)
		bw_provisioner_lap(work);
	if (clock->cleaning_at <= now)
	{
		clock->cleaning_at = TimestampTzPlusMilliseconds(now, CLEANING_MS);
		(void) bw_work_transaction(work, forget_old, NULL, "deleting what is out of date");
		/* Whoever lived this long does not fail again and again. */
		bw_registry_worker_healthy();
	}
}

/* Hand finished calls to the part that began them. */
static void
take_finished(BwWork *work)
{
	BwTask	   *submitted[FINISHED_MAX];
	BwTask	   *asked[FINISHED_MAX];
	int			submits = 0;
	int			questions = 0;
	bool		any = false;
	BwCall	   *call;

	while (submits < FINISHED_MAX && questions < FINISHED_MAX &&
		   (call = bw_api_take_finished(work->api)) != NULL)
	{
		BwTask	   *task = bw_call_arg(call);

		any = true;
		switch (task->kind)
		{
			case BW_TASK_SUBMIT:
				submitted[submits++] = task;
				break;
			case BW_TASK_INQUIRY:
				asked[questions++] = task;
				break;
			case BW_TASK_SEARCH:
				bw_search_finished(work, task);
				break;
			case BW_TASK_BULK:
				bw_bulk_finished(work, task);
				break;
			case BW_TASK_CLOSE:
				bw_close_finished(work, task);
				break;
			case BW_TASK_TIMELINE:
				bw_timeline_finished(work, task);
				break;
			case BW_TASK_SUBSCRIPTION:
				bw_subscribe_finished(work, task);
				break;
		}
	}
	if (submits > 0)
		bw_submit_finished(work, submitted, submits);
	if (questions > 0)
		bw_reconcile_finished(work, asked, questions);
	if (any)
		look_who_waits(work);
}

/* Sockets have become free. */
static void
look_who_waits(BwWork *work)
{
	TimestampTz now = GetCurrentTimestamp();

	if (work->crowded)
		work->submit_at = now;
	if (work->many_open)
		work->reconcile_at = now;
}

static void
notify_all(BwWork *work, void *arg)
{
	ListCell   *lc;

	/* Who commits with a NOTIFY, and waits for a standby, locks out others. */
	bw_store_lock_timeout(NOTIFY_LOCK_TIMEOUT_MS);
	/* The change itself is durable already. */
	bw_store_commit_lazily();
	foreach(lc, work->moved)
	{
		BwMoved    *moved = lfirst(lc);

		Async_Notify("bw_orders",
					 psprintf("{\"id\": " INT64_FORMAT ", \"status\": \"%s\"}",
							  moved->order_id, bw_order_status_name(moved->status)));
	}
}

/*
 * Tell sessions that wait, and listeners.  NOTIFY comes after the change and
 * in a transaction of its own: a full queue, or a lock that is not to be had
 * soon, costs the hint and not the change.  That is said once.
 */
static void
tell(BwWork *work)
{
	if (work->moved == NIL)
		return;
	bw_registry_wake_waiters();
	if (bw_notify)
		work->notify_fails = !bw_work_transaction(work, notify_all, NULL,
												  work->notify_fails ? NULL : "notifying");
	list_free_deep(work->moved);
	work->moved = NIL;
}

static void
forget_old(BwWork *work, void *arg)
{
	bw_store_forget_notifications(bw_notification_retention_min);
	bw_store_forget_spending();
}
