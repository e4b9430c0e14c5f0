/*-------------------------------------------------------------------------
 *
 * provisioner.c
 *	  The process that writes outcomes into rows of users' tables.
 *
 * A user's lock or trigger may hold it up, and nothing else of ours: therefore
 * it is a process of its own, which the worker starts when there is something to
 * write and which leaves when there was nothing for a while.
 *
 * One row per transaction.  A try is counted, and the next one put off, by a
 * commit before it begins: whatever a trigger does to this process, other rows
 * come first next time.  What the user's code must not do:
 *	- take longer than bandwidth.write_back_timeout: it is cancelled, and, if it
 *	  catches that, this process ends;
 *	- run as anybody but the role that ordered: it is a security-restricted
 *	  operation, in which no deferred trigger can be queued for later, when the
 *	  transaction commits with other rights;
 *	- leave settings or advisory locks behind.
 *
 * src/provisioner.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "background.h"
#include "compat.h"
#include "provisioner.h"
#include "store.h"
#include "store_orders.h"
#include "store_provisions.h"
#include "write_back.h"

/* It leaves when nothing was due for so long. */
#define IDLE_MS 30000
/* From "cancel" to the end of the process. */
#define GRACE_MS 5000
/* What failed is tried again after this time, doubled with each try. */
#define BACK_OFF_MIN_MS 1000
#define BACK_OFF_MAX_MS (60 * 60 * 1000)
/* The worker looks whether it still runs this often. */
#define LOOK_AGAIN_MS 5000

typedef void (*Step) (BwProvision *provision);

static BwProvision *claimed = NULL;
static TimestampTz next_due;

static void start(Oid database);
static void end_process(void);
pg_noreturn static void give_up(const char *error);
static bool run(Step step, BwProvision *provision, char **error);
static void claim(BwProvision *provision);
static void write_one(BwProvision *provision);
static void write_row(BwProvision *provision);
static void note_failure(BwProvision *provision);
static char *describe(const ErrorData *error);
static bool wait_for_work(TimestampTz idle_since);
static void start_process(BwWork *work);
static void next_time(BwWork *work, void *arg);

void
bw_provisioner_main(Datum main_arg)
{
	TimestampTz idle_since = GetCurrentTimestamp();
	MemoryContext lap;
	char	   *error;

	start(DatumGetObjectId(main_arg));
	lap = AllocSetContextCreate(TopMemoryContext, "bandwidth provisioner",
								ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		MemoryContextSwitchTo(lap);
		MemoryContextReset(lap);
		CHECK_FOR_INTERRUPTS();
		claimed = NULL;
		next_due = DT_NOEND;
		if (!run(claim, NULL, &error))
			give_up(error);
		if (claimed != NULL)
		{
			write_one(claimed);
			idle_since = GetCurrentTimestamp();
		}
		else if (!wait_for_work(idle_since))
			proc_exit(0);
	}
}

static void
start(Oid database)
{
	bool		serve;
	BwStoreScope scope;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	bw_background_settings();
	RegisterTimeout(USER_TIMEOUT, end_process);
	bw_background_name("bandwidth provisioner");
	StartTransactionCommand();
	serve = bw_store_installed();
	CommitTransactionCommand();
	if (!serve)
		proc_exit(0);
	bw_store_begin(&scope);
	serve = bw_store_has_identity();
	bw_store_commit(&scope);
	if (!serve)
		proc_exit(0);
}

/* A user's code catches its cancellation. */
static void
end_process(void)
{
	die(SIGTERM);
}

/* It cannot even look: the worker starts another one. */
static void
give_up(const char *error)
{
	ereport(LOG,
			(errmsg("could not look for outcomes to be written into rows: %s", error)));
	proc_exit(1);
}

/* In a transaction; false: it failed, "error" says why. */
static bool
run(Step step, BwProvision *provision, char **error)
{
	MemoryContext cxt = CurrentMemoryContext;
	BwStoreScope scope;
	volatile bool done = false;

	PG_TRY();
	{
		bw_store_begin(&scope);
		step(provision);
		bw_store_commit(&scope);
		done = true;
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		disable_timeout(STATEMENT_TIMEOUT, false);
		QueryCancelPending = false;
		MemoryContextSwitchTo(cxt);
		*error = describe(CopyErrorData());
		FlushErrorState();
		bw_store_abort(cxt);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	return done;
}

static char *
describe(const ErrorData *error)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "%s (SQLSTATE %s)", error->message,
					 unpack_sql_state(error->sqlerrcode));
	if (error->detail != NULL)
		appendStringInfo(&text, ". %s", error->detail);
	return text.data;
}

/* The next row, and its try counted, whatever becomes of it. */
static void
claim(BwProvision *provision)
{
	bw_store_commit_lazily();
	claimed = bw_store_next_write_back(bw_write_back_timeout_ms + GRACE_MS, &next_due);
}

static void
write_one(BwProvision *provision)
{
	TimestampTz began = GetCurrentTimestamp();
	char	   *error = NULL;
	bool		done;

	pgstat_report_activity(STATE_RUNNING, "writing the outcome of an order into its row");
	enable_timeout_after(STATEMENT_TIMEOUT, bw_write_back_timeout_ms);
	enable_timeout_after(USER_TIMEOUT, bw_write_back_timeout_ms + GRACE_MS);
	done = run(write_row, provision, &error);
	disable_timeout(USER_TIMEOUT, false);
	disable_timeout(STATEMENT_TIMEOUT, false);
	/* It may have come after the commit. */
	QueryCancelPending = false;
	LockReleaseSession(USER_LOCKMETHOD);
	provision->held_up = TimestampDifferenceExceeds(began, GetCurrentTimestamp(),
													bw_write_back_timeout_ms / 10);
	if (!done)
	{
		if (provision->write_back_error == NULL ||
			strcmp(provision->write_back_error, error) != 0)
			ereport(LOG,
					(errmsg("could not write the outcome of order " INT64_FORMAT " into its row: %s",
							provision->order_id, error),
					 errhint("Put right what the error names: the row is tried again, later and later, and bw_open_orders says when.")));
		provision->write_back_error = error;
		(void) run(note_failure, provision, &error);
	}
	pgstat_report_stat(false);
}

static void
write_row(BwProvision *provision)
{
	bw_store_constraints_immediate();
	bw_write_back(provision, InvalidOid);
}

static void
note_failure(BwProvision *provision)
{
	int64		wait_ms = Min((int64) BACK_OFF_MIN_MS << Min(provision->tries - 1, 16),
							  BACK_OFF_MAX_MS);

	bw_store_write_back_failed(provision->order_id, provision->write_back_error,
							   TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait_ms),
							   provision->held_up);
}

/* False: there was nothing to do for a long time. */
static bool
wait_for_work(TimestampTz idle_since)
{
	static uint32 wait_event = 0;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz until = TimestampTzPlusMilliseconds(idle_since, IDLE_MS);

	if (until <= now)
		return false;
	pgstat_report_activity(STATE_IDLE, "waiting for outcomes of orders");
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 TimestampDifferenceMilliseconds(now, Max(now, Min(until, next_due))),
					 bw_wait_event(&wait_event, "BandwidthProvisionerMain"));
	ResetLatch(MyLatch);
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	return true;
}

void
bw_provisioner_lap(BwWork *work)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz due = DT_NOEND;
	pid_t		pid;

	if (!bw_work_transaction(work, next_time, &due, "looking for outcomes to be written"))
		due = bw_work_back_off(0);
	work->write_backs_at = due;
	if (due > now)
		return;
	work->write_backs_at = TimestampTzPlusMilliseconds(now, LOOK_AGAIN_MS);
	if (work->provisioner == NULL ||
		GetBackgroundWorkerPid(work->provisioner, &pid) == BGWH_STOPPED)
		start_process(work);
	else if (GetBackgroundWorkerPid(work->provisioner, &pid) == BGWH_STARTED)
	{
		PGPROC	   *proc = BackendPidGetProc(pid);

		if (proc != NULL)
			SetLatch(&proc->procLatch);
	}
}

static void
next_time(BwWork *work, void *arg)
{
	*(TimestampTz *) arg = bw_store_write_backs_due();
}

static void
start_process(BwWork *work)
{
	static bool warned = false;
	MemoryContext old = MemoryContextSwitchTo(work->cxt);
	bool		started;

	if (work->provisioner != NULL)
		pfree(work->provisioner);
	work->provisioner = NULL;
	started = bw_background_start("provisioner", "bw_provisioner_main", MyDatabaseId,
								  &work->provisioner);
	MemoryContextSwitchTo(old);
	if (!started && !warned)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("could not start the process that writes numbers into rows"),
				 errdetail("All background workers are in use."),
				 errhint("Raise max_worker_processes; starting it is tried again.")));
	warned = !started;
}

void
bw_provisioner_stop(BwWork *work)
{
	if (work->provisioner != NULL)
		TerminateBackgroundWorker(work->provisioner);
}
