/*-------------------------------------------------------------------------
 *
 * background.c
 *	  Settings for processes that no user started.
 *
 * ALTER DATABASE ... SET and postgresql.conf are for sessions of users.  Some of
 * it would make commits of ours a lie, or let our transactions fail.
 *
 * src/background.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/guc.h"

#include "background.h"

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
