/*-------------------------------------------------------------------------
 *
 * background.c
 *	  Processes that no user started: how they start, and with what settings.
 *
 * ALTER DATABASE ... SET and postgresql.conf are for sessions of users.  Some of
 * it would make commits of ours a lie, or let our transactions fail.
 *
 * src/background.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "background.h"

bool
bw_background_start(const char *kind, const char *function, Oid database,
					BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "bandwidth", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, function, BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "bandwidth %s for database %u", kind, database);
	snprintf(worker.bgw_type, BGW_MAXLEN, "bandwidth %s", kind);
	return RegisterDynamicBackgroundWorker(&worker, handle);
}

void
bw_background_name(const char *name)
{
	SetConfigOption("application_name", name, PGC_USERSET, PGC_S_OVERRIDE);
}

void
bw_background_settings(void)
{
	static const char *const settings[][2] = {
		{"default_transaction_read_only", "off"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_deferrable", "off"},
		{"statement_timeout", "0"},
		{"lock_timeout", "1s"},

		/*
		 * Of two that wait for each other we give way: a user's is one
		 * second.
		 */
		{"deadlock_timeout", "100ms"},
		{"idle_in_transaction_session_timeout", "0"},
		{"row_security", "on"},
		{"session_replication_role", "origin"},
		{"client_min_messages", "warning"},
	};

	for (int i = 0; i < (int) lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	/* "Claimed" and "stored" must be true after a crash. */
	if (synchronous_commit == SYNCHRONOUS_COMMIT_OFF)
		SetConfigOption("synchronous_commit", "local", PGC_SUSET, PGC_S_OVERRIDE);
}
