/*-------------------------------------------------------------------------
 *
 * work.c
 *	  What the parts of the worker share: tasks and guarded transactions.
 *
 * src/work.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "settle.h"
#include "statistics.h"
#include "store.h"
#include "work.h"

#define MAX_DELAYS 32
/* What fails is tried again after this, doubled each time, up to that. */
#define BACK_OFF_MIN_MS 1000
#define BACK_OFF_MAX_MS 300000

BwTask *
bw_task_create(BwWork *work, BwTaskKind kind, int64 id)
{
	/* One that cannot be made, or is not started, goes with the lap. */
	MemoryContext cxt = AllocSetContextCreate(work->lap, "bandwidth task",
											  ALLOCSET_SMALL_SIZES);
	BwTask	   *task = MemoryContextAllocZero(cxt, sizeof(BwTask));

	task->kind = kind;
	task->cxt = cxt;
	task->id = id;
	return task;
}

void
bw_task_account(BwTask *task, const char *server, const char *role,
				const char *account_id)
{
	MemoryContext old = MemoryContextSwitchTo(task->cxt);
	Oid			roleid;

	task->account.server = bw_config_server(server);
	if (account_id != NULL && strcmp(task->account.server->account_id, account_id) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("server \"%s\" is for account %s now, not for %s", server,
						task->account.server->account_id, account_id)));
	roleid = role ? get_role_oid(role, true) : task->account.server->owner;
	if (!OidIsValid(roleid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" does not exist", role)));
	bw_config_check_usage(task->account.server, roleid);
	task->account.credentials =
		bw_config_require_credentials(task->account.server, roleid);
	MemoryContextSwitchTo(old);
}

void
bw_task_start(BwWork *work, BwTask *task, const BwCallSpec *spec)
{
	MemoryContextSetParent(task->cxt, work->cxt);
	task->call = bw_api_start(work->api, task->cxt, &task->account, spec, task);
}

void
bw_task_free(BwTask *task)
{
	MemoryContextDelete(task->cxt);
}

BwRequestRow **
bw_task_requests(BwTask **tasks, int count)
{
	BwRequestRow **found = palloc0(sizeof(BwRequestRow *) * Max(count, 1));
	int64	   *ids = palloc(sizeof(int64) * Max(count, 1));
	BwRequestRow *requests;
	int			request_count;

	for (int i = 0; i < count; i++)
		ids[i] = tasks[i]->id;
	requests = bw_store_requests(ids, count, &request_count);
	for (int i = 0; i < count; i++)
		for (int j = 0; j < request_count && found[i] == NULL; j++)
			if (requests[j].id == tasks[i]->id)
				found[i] = &requests[j];
	return found;
}

void
bw_work_moved(BwWork *work, List *moved)
{
	MemoryContext old = MemoryContextSwitchTo(work->cxt);
	ListCell   *lc;

	foreach(lc, moved)
	{
		BwMoved    *copy = palloc(sizeof(BwMoved));

		*copy = *(BwMoved *) lfirst(lc);
		work->moved = lappend(work->moved, copy);
		/* Orders for the same numbers may have waited for it. */
		if ((work->waiting && bw_order_is_final(copy->status)) ||
			copy->status == BW_ORDER_QUEUED)
			work->submit_at = GetCurrentTimestamp();
		/* Some of its numbers were not to be had. */
		if (copy->status == BW_ORDER_QUEUED)
		{
			work->search_at = work->submit_at;
			work->spending_changed = true;
		}
	}
	MemoryContextSwitchTo(old);
}

int64
bw_work_delay_ms(const char *delays, int n, int64 beyond_ms)
{
	double		seconds[MAX_DELAYS];
	int			count = bw_parse_delays(delays, seconds, MAX_DELAYS);

	return n < count ? (int64) (seconds[n] * 1000) : beyond_ms;
}

TimestampTz
bw_work_back_off(int tries)
{
	int64		wait_ms = Min((int64) BACK_OFF_MIN_MS << Min(Max(tries, 0), 16),
							  BACK_OFF_MAX_MS);

	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait_ms);
}

/* Remember what the error was; false: it is the same again. */
static bool
is_news(BwWork *work, const char *message)
{
	char	   *before = *work->said;

	if (message != NULL && before != NULL && strcmp(before, message) == 0)
		return false;
	*work->said = message ? MemoryContextStrdup(work->cxt, message) : NULL;
	if (before != NULL)
		pfree(before);
	return true;
}

/* In a PG_CATCH block. */
static void
report(BwWork *work, const char *what)
{
	if (what != NULL)
	{
		ErrorData  *error = CopyErrorData();

		if (work->said == NULL || is_news(work, error->message))
		{
			errcontext("%s", what);
			EmitErrorReport();
		}
		bw_statistics_worker_failed(psprintf("%s: %s", what, error->message));
		FreeErrorData(error);
	}
	FlushErrorState();
}

bool
bw_work_transaction(BwWork *work, BwStep step, void *arg, const char *what)
{
	MemoryContext cxt = CurrentMemoryContext;
	BwStoreScope scope;
	volatile bool done = false;

	PG_TRY();
	{
		bw_store_begin(&scope);
		step(work, arg);
		bw_store_commit(&scope);
		done = true;
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(cxt);
		work->error_code = geterrcode();
		report(work, what);
		bw_store_abort(cxt);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	if (done && work->said != NULL)
		(void) is_news(work, NULL);
	work->said = NULL;
	return done;
}

bool
bw_work_attempt(BwWork *work, BwStep step, void *arg, const char *what)
{
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		step(work, arg);
		ReleaseCurrentSubTransaction();
		done = true;
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(cxt);
		report(work, what);
		RollbackAndReleaseCurrentSubTransaction();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	CurrentResourceOwner = owner;
	return done;
}
