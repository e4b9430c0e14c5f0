/*-------------------------------------------------------------------------
 *
 * guards.c
 *	  What holds orders back: pauses, and the limits per day.
 *
 * A limit per day counts what was claimed in the last 24 hours, minute by
 * minute, in a table; orders and disconnects have one each.  The worker is the only one who claims, so it may keep
 * the sum in memory; it reads it anew each minute and after each failure.
 *
 * src/guards.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/acl.h"
#include "utils/timestamp.h"

#include "guards.h"
#include "settle.h"
#include "store_guards.h"
#include "store_queue.h"

/* The sum is good for this long: then old minutes have left the window. */
#define SUM_GOOD_MS 60000
/* Orders that are released in one transaction. */
#define RELEASE_BATCH 1000

typedef struct Spending
{
	char	   *server;
	BwOrderKind kind;
	int64		numbers;		/* of the last 24 hours */
	TimestampTz read_at;		/* DT_NOBEGIN: not yet */
} Spending;

static Spending *spending(BwWork *work, const char *server, BwOrderKind kind);
static int	limit_of(const BwServer *server, BwOrderKind kind);
static void release(BwWork *work, void *arg);
static List *release_ended_blockers(BwWork *work);
static List *release_where_room(BwWork *work, const BwServer *server, BwOrderKind kind);
static List *queued_again(const int64 *ids, int count);

bool
bw_guards_paused(const char *server_name, const char *ordered_by)
{
	int			count;
	BwPause    *pauses = bw_store_pauses(server_name, ordered_by, &count);
	BwServer   *server = count > 0 ? bw_config_server_if_exists(server_name) : NULL;
	bool		paused = false;

	for (int i = 0; i < count; i++)
	{
		const char *now = NULL;

		if (pauses[i].automatic && server != NULL)
		{
			Oid			role = pauses[i].ordered_by[0] != '\0'
			? get_role_oid(ordered_by, true) : InvalidOid;

			now = bw_config_fingerprint(server, OidIsValid(role)
										? bw_config_credentials(server, role) : NULL);
		}
		if (now != NULL && strcmp(now, pauses[i].fingerprint) != 0)
			(void) bw_store_resume(server_name, pauses[i].ordered_by);
		else
			paused = true;
	}
	return paused;
}

void
bw_guards_pause(const BwAccount *account, const char *ordered_by,
				const char *error_code, const char *reason)
{
	BwPause		pause = {.automatic = true,.error_code = error_code};

	pause.server = account->server->name;
	pause.ordered_by = ordered_by ? unconstify(char *, ordered_by) : "";
	pause.reason = unconstify(char *, reason);
	pause.fingerprint = bw_config_fingerprint(account->server, ordered_by
											  ? account->credentials : NULL);
	bw_store_pause(&pause);
	ereport(WARNING,
			(errmsg("orders of server \"%s\"%s%s%s are paused: %s",
					pause.server, ordered_by ? " by role \"" : "",
					ordered_by ? ordered_by : "", ordered_by ? "\"" : "", reason),
			 errhint("The pause ends with ALTER SERVER, ALTER USER MAPPING, or bw_resume().")));
}

static Spending *
spending(BwWork *work, const char *server, BwOrderKind kind)
{
	Spending   *s;
	MemoryContext old;
	ListCell   *lc;

	foreach(lc, work->spending)
	{
		s = lfirst(lc);
		if (strcmp(s->server, server) == 0 && s->kind == kind)
			return s;
	}
	old = MemoryContextSwitchTo(work->cxt);
	s = palloc0(sizeof(Spending));
	s->server = pstrdup(server);
	s->kind = kind;
	s->read_at = DT_NOBEGIN;
	work->spending = lappend(work->spending, s);
	MemoryContextSwitchTo(old);
	return s;
}

int64
bw_guards_room(BwWork *work, const BwServer *server, BwOrderKind kind)
{
	Spending   *s = spending(work, server->name, kind);
	TimestampTz now = GetCurrentTimestamp();

	if (work->spending_changed)
		bw_guards_forget(work);
	if (s->read_at == DT_NOBEGIN ||
		TimestampDifferenceExceeds(s->read_at, now, SUM_GOOD_MS))
	{
		s->numbers = bw_store_spent(server->name, kind);
		s->read_at = now;
	}
	return Max(limit_of(server, kind) - s->numbers, 0);
}

static int
limit_of(const BwServer *server, BwOrderKind kind)
{
	return kind == BW_KIND_DISCONNECT ? server->max_disconnects_per_day
		: server->max_numbers_per_day;
}

const char *
bw_guards_limit_name(BwOrderKind kind)
{
	return kind == BW_KIND_DISCONNECT ? "disconnects per day" : "day limit";
}

void
bw_guards_spent(BwWork *work, const char *server, BwOrderKind kind, int numbers)
{
	spending(work, server, kind)->numbers += numbers;
}

int
bw_guards_give_back(BwWork *work, const char *server, BwOrderKind kind,
					int64 request_id, int numbers)
{
	/* The sum is made anew: the transaction may fail yet. */
	spending(work, server, kind)->read_at = DT_NOBEGIN;
	return bw_store_give_back(server, kind, request_id, numbers);
}

void
bw_guards_forget(BwWork *work)
{
	ListCell   *lc;

	foreach(lc, work->spending)
		((Spending *) lfirst(lc))->read_at = DT_NOBEGIN;
	work->spending_changed = false;
}

void
bw_guards_lap(BwWork *work)
{
	List	   *moved = NIL;

	work->held_at = DT_NOEND;
	if (bw_work_transaction(work, release, &moved, "releasing held orders"))
	{
		if (moved != NIL)
			work->submit_at = GetCurrentTimestamp();
		bw_work_moved(work, moved);
	}
	else
		bw_guards_forget(work);
}

static void
release(BwWork *work, void *arg)
{
	List	  **moved = arg;
	int64	   *ids;
	int			count;
	ListCell   *lc;

	*moved = release_ended_blockers(work);
	ids = bw_store_release_due(RELEASE_BATCH, &count);
	work->held_at = bw_store_next_release();
	*moved = list_concat(*moved, queued_again(ids, count));
	foreach(lc, bw_config_server_names())
	{
		BwServer   *server = bw_config_server_if_exists(lfirst(lc));

		if (server == NULL)
			continue;
		for (int kind = 0; kind < BW_ORDER_KIND_COUNT; kind++)
			*moved = list_concat(*moved, release_where_room(work, server, kind));
	}
}

/* Whoever ended them may not have told: bw_resolve(), for one. */
static List *
release_ended_blockers(BwWork *work)
{
	List	   *moved = NIL;
	int			count;
	int64	   *ended = bw_store_ended_blockers(&count);

	for (int i = 0; i < count; i++)
		moved = lappend(moved, bw_moved(ended[i], BW_ORDER_FAILED));
	if (count > 0)
		work->submit_at = GetCurrentTimestamp();
	return list_copy_tail(bw_release_waiting(moved), count);
}

static List *
release_where_room(BwWork *work, const BwServer *server, BwOrderKind kind)
{
	int64		room = bw_guards_room(work, server, kind);
	int64	   *ids;
	int			count;

	if (room == 0)
		return NIL;
	ids = bw_store_release_held(server->name, bw_guards_limit_name(kind),
								limit_of(server, kind), room, &count);
	return queued_again(ids, count);
}

static List *
queued_again(const int64 *ids, int count)
{
	List	   *moved = NIL;

	for (int i = 0; i < count; i++)
		moved = lappend(moved, bw_moved(ids[i], BW_ORDER_QUEUED));
	return moved;
}
