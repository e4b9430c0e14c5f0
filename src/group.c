/*-------------------------------------------------------------------------
 *
 * group.c
 *	  What the worker remembers of a server and role: back-off, coalescing.
 *
 * src/group.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "group.h"

/* First and longest wait of a group after a failure. */
#define BACK_OFF_MIN_MS 1000
#define BACK_OFF_MAX_MS 60000

BwGroupState *
bw_group_state(BwWork *work, const char *server, const char *ordered_by)
{
	BwGroupState *state;
	MemoryContext old;
	ListCell   *lc;

	foreach(lc, work->groups)
	{
		state = lfirst(lc);
		if (strcmp(state->server, server) == 0 &&
			strcmp(state->ordered_by, ordered_by) == 0)
			return state;
	}
	old = MemoryContextSwitchTo(work->cxt);
	state = palloc0(sizeof(BwGroupState));
	state->server = pstrdup(server);
	state->ordered_by = pstrdup(ordered_by);
	state->not_before = DT_NOBEGIN;
	work->groups = lappend(work->groups, state);
	MemoryContextSwitchTo(old);
	return state;
}

TimestampTz
bw_group_back_off(BwGroupState *state)
{
	int64		wait_ms = Min((int64) BACK_OFF_MIN_MS << Min(state->failures, 6),
							  BACK_OFF_MAX_MS);

	state->failures++;
	/* Not all groups at once: three quarters of it, and up to as much again. */
	wait_ms = wait_ms * 3 / 4 +
		(int64) (pg_prng_double(&pg_global_prng_state) * wait_ms / 2);
	state->not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait_ms);
	return state->not_before;
}
