/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  Starts a worker for each database that has the extension.
 *
 * What it must survive:
 *	- a database without the extension: its worker looks, and leaves; it is
 *	  looked at again only when somebody asks for a rescan (CREATE EXTENSION
 *	  does at commit, a rescan timer does every ten minutes);
 *	- a worker that fails at once, again and again: the registry holds its
 *	  slot for a growing time;
 *	- no free background worker: one warning, another try with the timer;
 *	- CREATE DATABASE with a template that has the extension: a rescan, too;
 *	- DROP DATABASE: the worker is told before the command starts waiting for
 *	  it; CREATE and DROP EXTENSION, ALTER DATABASE ... SET: workers come, go
 *	  or restart when the transaction commits, not before.
 * On a standby nothing runs: the launcher is started after recovery.  Nor while
 * pg_upgrade is at work.
 *
 * src/launcher.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "background.h"
#include "compat.h"
#include "launcher.h"
#include "registry.h"

/* pg_database is looked at this often without being asked. */
#define RESCAN_MS (10 * 60 * 1000)
/* Failed workers are tried again this often, at the most. */
#define RETRY_MS 1000
#define LAUNCHER_RESTART_S 5

/* What this transaction's commit asks for. */
static bool rescan_at_commit = false;
static List *restart_at_commit = NIL;	/* databases; InvalidOid: all */

/* Databases whose worker found no extension since the last rescan. */
static List *visited = NIL;

static object_access_hook_type previous_access_hook = NULL;

static void settings_change(Oid database, Oid role);
static void watch_objects(ObjectAccessType access, Oid class, Oid object,
						  int sub, void *arg);
static void at_transaction_end(XactEvent event, void *arg);
static void say_what_is_awaited(bool complete);
static List *list_databases(MemoryContext cxt);
static bool start_workers(void);
static bool start_worker(Oid database);

void
bw_launcher_init(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = LAUNCHER_RESTART_S;
	strlcpy(worker.bgw_library_name, "bandwidth", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "bw_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "bandwidth launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "bandwidth launcher", BGW_MAXLEN);
	/* pg_upgrade wants the cluster for itself. */
	if (!IsBinaryUpgrade)
		RegisterBackgroundWorker(&worker);

	previous_access_hook = object_access_hook;
	object_access_hook = watch_objects;
	RegisterXactCallback(at_transaction_end, NULL);
}

void
bw_launcher_main(Datum main_arg)
{
	static uint32 wait_event = 0;
	TimestampTz rescan_at = 0;
	bool		complete = true;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	bw_background_name("bandwidth launcher");
	bw_registry_launcher_enter();

	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();

		if (bw_registry_take_rescan() || rescan_at <= now)
		{
			list_free(visited);
			visited = NIL;
			rescan_at = TimestampTzPlusMilliseconds(now, RESCAN_MS);
		}
		if (bw_enabled)
			complete = start_workers();
		say_what_is_awaited(complete);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 complete || !bw_enabled ? RESCAN_MS : RETRY_MS,
						 bw_wait_event(&wait_event, "BandwidthLauncherMain"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			rescan_at = 0;
		}
	}
}

static void
say_what_is_awaited(bool complete)
{
	pgstat_report_activity(STATE_IDLE, !bw_enabled ? "waiting for bandwidth.enabled = on"
						   : complete ? "waiting for databases with the extension"
						   : "waiting to start a worker again");
}

/* Databases that can be connected to; templates must stay free of sessions. */
static List *
list_databases(MemoryContext cxt)
{
	List	   *databases = NIL;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old;

		if (!database->datallowconn || database->datistemplate)
			continue;
		old = MemoryContextSwitchTo(cxt);
		databases = lappend_oid(databases, database->oid);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	return databases;
}

/*
 * One worker for each database that was not looked at yet.  False: something
 * could not be started, or a back-off runs; come back soon.
 */
static bool
start_workers(void)
{
	MemoryContext lap = AllocSetContextCreate(TopMemoryContext, "bandwidth launcher",
											  ALLOCSET_SMALL_SIZES);
	List	   *databases = list_databases(lap);
	bool		complete = true;
	ListCell   *lc;

	foreach(lc, databases)
	{
		Oid			database = lfirst_oid(lc);
		int			pid;
		TimestampTz since;

		if (bw_registry_worker_state(database, &pid, &since) == BW_WORKER_RUNNING)
			continue;
		if (list_member_oid(visited, database) &&
			!bw_registry_worker_comes_back(database))
			continue;
		if (start_worker(database))
		{
			MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

			visited = list_append_unique_oid(visited, database);
			MemoryContextSwitchTo(old);
		}
		else
			complete = false;
	}
	MemoryContextDelete(lap);
	return complete;
}

static bool
start_worker(Oid database)
{
	static bool warned = false;

	if (!bw_registry_worker_reserve(database))
		return false;
	if (bw_background_start("worker", "bw_worker_main", database, NULL))
	{
		warned = false;
		return true;
	}
	bw_registry_worker_abandon(database);
	if (!warned)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("could not start a worker for database %u", database),
				 errdetail("All background workers are in use."),
				 errhint("Raise max_worker_processes; starting it is tried again.")));
	warned = true;
	return false;
}

/*
 * ALTER DATABASE or ROLE ... SET: workers run as the bootstrap superuser, so
 * what is set for other roles is nothing to them.
 */
static void
settings_change(Oid database, Oid role)
{
	MemoryContext old;

	if (OidIsValid(role) && role != BOOTSTRAP_SUPERUSERID)
		return;
	old = MemoryContextSwitchTo(TopTransactionContext);
	restart_at_commit = list_append_unique_oid(restart_at_commit, database);
	MemoryContextSwitchTo(old);
}

/*
 * Called in whatever session runs the command, after its permission check.
 */
static void
watch_objects(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	if (previous_access_hook)
		previous_access_hook(access, class, object, sub, arg);

	if (class == DatabaseRelationId && access == OAT_DROP)
		bw_registry_tell_worker_to_leave(object);
	else if (class == DatabaseRelationId && access == OAT_POST_CREATE)
		rescan_at_commit = true;
	else if (class == ExtensionRelationId &&
			 (access == OAT_POST_CREATE || access == OAT_DROP ||
			  access == OAT_POST_ALTER))
		rescan_at_commit = true;
	else if (class == DbRoleSettingRelationId && access == OAT_POST_ALTER)
		settings_change(object, ((ObjectAccessPostAlter *) arg)->auxiliary_id);
	else if (class == ForeignServerRelationId || class == UserMappingRelationId)
		bw_registry_wake_at_commit(BW_TOPIC_ALL);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	ListCell   *lc;

	if (event == XACT_EVENT_COMMIT)
	{
		foreach(lc, restart_at_commit)
			bw_registry_restart_worker(lfirst_oid(lc));
		if (rescan_at_commit)
			bw_registry_recheck_worker(MyDatabaseId);
		if (rescan_at_commit || restart_at_commit != NIL)
			bw_registry_rescan();
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
	{
		rescan_at_commit = false;
		restart_at_commit = NIL;
	}
}
