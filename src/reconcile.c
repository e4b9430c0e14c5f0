/*-------------------------------------------------------------------------
 *
 * reconcile.c
 *	  Finds out what became of requests: look-ups, polls, resends.
 *
 * The table bw_open_requests says what to do next with each request, and
 * when.  Nothing depends on having seen an event; each lap can be repeated.
 *
 *	sent	the POST was under way and its outcome was never recorded: unknown
 *	look_up	ask for orders that carry our CustomerOrderId, and for the one
 *			that bw_adopt() named
 *	resend	several look-ups found nothing: send the same request again
 *	poll	ask for the order itself until it is final
 *	detail	the same, where the list of orders did not tell enough
 *	lost	the same, and Bandwidth did not know it the last time: a person may
 *			decide
 *	close	tell Bandwidth to end a back order
 *
 * src/reconcile.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "bulk.h"
#include "close.h"
#include "group.h"
#include "guards.h"
#include "inquiry.h"
#include "reconcile.h"
#include "registry.h"
#include "settle.h"
#include "split.h"
#include "store_guards.h"
#include "submit.h"
#include "xml_read.h"

/* Requests taken up in one lap. */
#define LAP_REQUESTS 300
/* From so many polls on, the list of orders is asked instead. */
#define LIST_FROM 20
/* But not more often than this. */
#define LIST_EVERY_MS 2000
/* A step that failed by an error of ours is tried again after this. */
#define RETRY_MS 10000
/* What needs a person is looked at again after this. */
#define ATTENTION_MS (3600 * 1000)
/* Requests of a paused mapping, or of one that is gone, wait this long. */
#define PAUSED_MS 60000
/* An inquiry that failed half-way goes on after this. */
#define PROGRESS_MS 1000

/* One lap's harvest: tasks to start after the commit. */
typedef struct Lap
{
	List	   *tasks;
	List	   *moved;
	TimestampTz next_due;
	bool		full;			/* there is more that is due already */
} Lap;

/* A server that gets no further call in this lap. */
typedef struct Bar
{
	char	   *server;
	bool		budget_spent;	/* else its sockets are in use */
} Bar;

/* A request, or many, whose task is being made. */
typedef struct Making
{
	const BwRequestRow *request;
	bool		look_up;
	bool		count_numbers;	/* under the limit per day, once more */
	const BwServer *server;		/* that allows to send it again */
	const BwRequestRow *const *requests;	/* for a list */
	int			count;
	BwTask	   *task;
} Making;

/* Tasks whose answers are recorded in one transaction. */
typedef struct Recording
{
	BwTask	  **tasks;
	int			count;
	List	   *moved;
	TimestampTz next_due;
} Recording;

static void take_due(BwWork *work, void *arg);
static void lift_bars(BwWork *work, Lap *lap);
static void bar(BwWork *work, const char *server, bool budget_spent);
static bool is_barred(const BwWork *work, const char *server);
static int	take_page(BwWork *work, Lap *lap);
static void take_many(BwWork *work, Lap *lap, BwRequestRow *requests, int count);
static bool may_be_listed(const BwRequestRow *request);
static void start_bulk(BwWork *work, Lap *lap, const BwRequestRow **requests,
					   int count);
static void put_off_many(Lap *lap, const BwRequestRow **requests, int count,
						 TimestampTz at);
static void make_bulk(BwWork *work, void *arg);
static void take_request(BwWork *work, Lap *lap, const BwRequestRow *request,
						 List **unknown);
static void make_resend(BwWork *work, void *arg);
static void resend(BwWork *work, Lap *lap, const BwRequestRow *request);
static void close_order(BwWork *work, Lap *lap, const BwRequestRow *request);
static bool start_inquiry(BwWork *work, Lap *lap, const BwRequestRow *request,
						  bool look_up);
static void make_close(BwWork *work, void *arg);
static void settle_unknown(BwWork *work, Lap *lap, List *unknown);
static void make_inquiry(BwWork *work, void *arg);
static bool is_served(const BwRequestRow *request, const BwServer *server);
static bool has_socket(BwWork *work, Lap *lap, const BwServer *server);
static void put_off(Lap *lap, const BwRequestRow *request);
static void put_off_until(Lap *lap, const BwRequestRow *request, TimestampTz due);
static TimestampTz next_question(const BwWork *work, const BwRequestRow *request);
static int	first_answers(BwTask **tasks, int count);
static bool record_all(BwWork *work, BwTask **tasks, int count, const char *what);
static void record(BwWork *work, void *arg);
static void keep_candidates(BwTask *task);
static TimestampTz keep_progress(BwTask *task, const BwRequestRow *request);
static bool may_end(const BwSettlement *item);
static TimestampTz copies_known_at(const BwRequestRow *request);
static TimestampTz ask_anew(const BwRequestRow *request);
static bool conclude(BwWork *work, BwTask *task, BwSettlement *item);
static bool is_stale(const BwTask *task, const BwRequestRow *request);
static void decline(const BwFound *named, BwSettlement *item);
static BwFound **unbound(const BwRequestRow *request, BwFound **found, int *count);
static int	compare_created(const void *a, const void *b);
static void adopt(BwWork *work, BwFound **found, int count, BwSettlement *item);
static BwOrderStatus combine(BwOrderStatus a, BwOrderStatus b);
static bool is_to_be_split(const BwSettlement *item);
static bool nothing_found(const BwRequestRow *request, BwSettlement *item);

void
bw_reconcile_lap(BwWork *work)
{
	Lap			lap = {.next_due = DT_NOEND};
	bool		waited = work->many_open;
	ListCell   *lc;

	work->many_open = false;
	if (!bw_work_transaction(work, take_due, &lap, "looking after orders"))
	{
		foreach(lc, lap.tasks)
			bw_task_free(lfirst(lc));
		bw_guards_forget(work);
		work->many_open = false;
		work->reconcile_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
														 RETRY_MS);
		return;
	}
	bw_work_moved(work, lap.moved);
	foreach(lc, lap.tasks)
	{
		BwTask	   *task = lfirst(lc);

		if (task->kind == BW_TASK_SUBMIT)
			bw_submit_send(work, task);
		else if (task->kind == BW_TASK_BULK)
			bw_bulk_send(work, task);
		else if (task->kind == BW_TASK_CLOSE)
			bw_close_send(work, task);
		else if (!bw_inquiry_next(work, task))
			bw_task_free(task);
	}
	work->reconcile_at = lap.full ? GetCurrentTimestamp() : lap.next_due;
	/* The sockets that were kept for us are the orders' again. */
	if (waited && !work->many_open && work->crowded)
		work->submit_at = GetCurrentTimestamp();
}

/* A page at a time: a server that may not be asked is passed over in the next. */
static void
take_due(BwWork *work, void *arg)
{
	Lap		   *lap = arg;
	int			barred;
	int			count;

	lift_bars(work, lap);
	do
	{
		barred = list_length(work->barred);
		count = take_page(work, lap);
	} while (count == LAP_REQUESTS && list_length(work->barred) > barred);
}

/* Returns how many were due. */
static int
take_page(BwWork *work, Lap *lap)
{
	const char **barred = palloc(sizeof(char *) * Max(list_length(work->barred), 1));
	int			started = list_length(lap->tasks);
	BwRequestRow *requests;
	TimestampTz next_due;
	List	   *unknown = NIL;
	int			count;
	ListCell   *lc;

	foreach(lc, work->barred)
		barred[foreach_current_index(lc)] = ((Bar *) lfirst(lc))->server;
	requests = bw_store_due_requests(LAP_REQUESTS, barred, list_length(work->barred),
									 &count, &next_due);
	lap->next_due = Min(lap->next_due, next_due);
	take_many(work, lap, requests, count);
	for (int i = 0; i < count; i++)
		if (requests[i].step != NULL)
			take_request(work, lap, &requests[i], &unknown);
	if (unknown != NIL)
	{
		settle_unknown(work, lap, unknown);
		lap->full = true;
	}
	if (count == LAP_REQUESTS && list_length(lap->tasks) - started == count)
		lap->full = true;
	return count;
}

/* Those of the last lap, as far as there are calls left again. */
static void
lift_bars(BwWork *work, Lap *lap)
{
	TimestampTz retry_at;
	ListCell   *lc;

	foreach(lc, work->barred)
	{
		Bar		   *b = lfirst(lc);
		const BwServer *server = bw_config_server_if_exists(b->server);

		if (b->budget_spent && server != NULL &&
			bw_registry_budget_left(server->account_id, BW_CLASS_HISTORY,
									server->requests_per_minute, server->burst,
									&retry_at) <= 0)
		{
			lap->next_due = Min(lap->next_due, retry_at);
			continue;
		}
		work->barred = foreach_delete_current(work->barred, lc);
		pfree(b->server);
		pfree(b);
	}
}

static void
bar(BwWork *work, const char *server, bool budget_spent)
{
	MemoryContext old = MemoryContextSwitchTo(work->cxt);
	Bar		   *b = palloc(sizeof(Bar));

	b->server = pstrdup(server);
	b->budget_spent = budget_spent;
	work->barred = lappend(work->barred, b);
	MemoryContextSwitchTo(old);
}

static bool
is_barred(const BwWork *work, const char *server)
{
	ListCell   *lc;

	foreach(lc, work->barred)
		if (strcmp(((Bar *) lfirst(lc))->server, server) == 0)
		return true;
	return false;
}

/*
 * Where many polls are due, the list of orders answers most of them in one
 * call.  What is taken here loses its step, and is left alone by the rest.
 */
static void
take_many(BwWork *work, Lap *lap, BwRequestRow *requests, int count)
{
	for (int i = 0; i < count; i++)
	{
		const BwRequestRow **same;
		int			n = 0;

		if (!may_be_listed(&requests[i]))
			continue;
		same = palloc(sizeof(BwRequestRow *) * count);
		for (int j = i; j < count; j++)
			if (may_be_listed(&requests[j]) &&
				strcmp(requests[j].server, requests[i].server) == 0 &&
				strcmp(requests[j].ordered_by, requests[i].ordered_by) == 0)
				same[n++] = &requests[j];
		if (n >= LIST_FROM)
			start_bulk(work, lap, same, n);
	}
}

/* Explicit numbers, sent once: the list can tell all about it. */
static bool
may_be_listed(const BwRequestRow *request)
{
	return request->step != NULL && strcmp(request->step, "poll") == 0 &&
		request->bandwidth_order_id != NULL && request->attempts == 1 &&
		strcmp(request->kind, "explicit") == 0;
}

static void
start_bulk(BwWork *work, Lap *lap, const BwRequestRow **requests, int count)
{
	const BwServer *server = bw_config_server_if_exists(requests[0]->server);
	BwGroupState *state = bw_group_state(work, requests[0]->server,
										 requests[0]->ordered_by);
	Making		making = {.requests = requests,.count = count};
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz again_at = TimestampTzPlusMilliseconds(state->listed_at, LIST_EVERY_MS);

	if (server == NULL || strcmp(server->account_id, requests[0]->account_id) != 0)
		return;
	/* Those that come due meanwhile go with them. */
	if (again_at > now)
		put_off_many(lap, requests, count, again_at);
	else if (!bw_work_attempt(work, make_bulk, &making, "asking about many orders"))
		put_off_many(lap, requests, count, TimestampTzPlusMilliseconds(now, PAUSED_MS));
	else if (!bw_registry_budget_take(server->account_id, BW_CLASS_HISTORY,
									  server->requests_per_minute, server->burst,
									  &again_at))
	{
		bw_task_free(making.task);
		put_off_many(lap, requests, count, again_at);
	}
	else
	{
		lap->tasks = lappend(lap->tasks, making.task);
		put_off_many(lap, requests, count, next_question(work, requests[0]));
		state->listed_at = now;
	}
}

/* All of them are looked at again then, and not in this lap. */
static void
put_off_many(Lap *lap, const BwRequestRow **requests, int count, TimestampTz at)
{
	int64	   *ids = palloc(sizeof(int64) * count);
	TimestampTz *due = palloc(sizeof(TimestampTz) * count);

	for (int i = 0; i < count; i++)
	{
		ids[i] = requests[i]->id;
		due[i] = at;
		unconstify(BwRequestRow *, requests[i])->step = NULL;
	}
	bw_store_schedule(ids, "poll", due, count);
	lap->next_due = Min(lap->next_due, at);
}

static void
make_bulk(BwWork *work, void *arg)
{
	Making	   *making = arg;

	making->task = bw_bulk_create(work, making->requests, making->count);
}

static void
take_request(BwWork *work, Lap *lap, const BwRequestRow *request,
			 List **unknown)
{
	if (strcmp(request->step, "sent") == 0)
		*unknown = lappend(*unknown, unconstify(BwRequestRow *, request));
	else if (strcmp(request->step, "resend") == 0)
		resend(work, lap, request);
	else if (strcmp(request->step, "close") == 0 && request->bandwidth_order_id != NULL)
		close_order(work, lap, request);
	else
	{
		bool		look_up = strcmp(request->step, "look_up") == 0 ||
		request->bandwidth_order_id == NULL;
		TimestampTz due = next_question(work, request);

		if (!start_inquiry(work, lap, request, look_up))
			return;
		bw_store_schedule(&request->id, look_up ? "look_up" : request->step, &due, 1);
		lap->next_due = Min(lap->next_due, due);
	}
}

/*
 * The same request once more, unless its server or mapping is paused.  What was
 * counted a day ago counts no more: it needs room as new orders do.
 */
static void
resend(BwWork *work, Lap *lap, const BwRequestRow *request)
{
	const BwServer *server = bw_config_server_if_exists(request->server);
	Making		making = {.request = request,.server = server};
	bool		disconnect = strcmp(request->kind, "disconnect") == 0;
	BwEndpointClass class = disconnect ? BW_CLASS_DISCONNECT : BW_CLASS_ORDER;
	TimestampTz retry_at;

	making.count_numbers = !bw_store_counts_yet(request->id);
	if (!is_served(request, server) || server->ordering == BW_ORDERING_OFF ||
		(disconnect && !server->allow_disconnect))
		put_off(lap, request);
	else if (!has_socket(work, lap, server))
		return;
	else if (making.count_numbers &&
			 request->quantity > bw_guards_room(work, server, disconnect
												? BW_KIND_DISCONNECT : BW_KIND_ORDER))
		put_off(lap, request);
	else if (bw_registry_budget_left(server->account_id, class,
									 server->requests_per_minute, server->burst,
									 &retry_at) <= 0)
		put_off_until(lap, request, retry_at);
	else if (bw_work_attempt(work, make_resend, &making, "sending a request again") &&
			 making.task != NULL)
	{
		lap->tasks = lappend(lap->tasks, making.task);
		(void) bw_registry_budget_take(server->account_id, class,
									   server->requests_per_minute, server->burst,
									   &retry_at);
	}
	else
		put_off(lap, request);
}

/* No task: it is paused, altered, or somebody has locked one of its orders. */
static void
make_resend(BwWork *work, void *arg)
{
	Making	   *making = arg;
	const BwRequestRow *request = making->request;
	int			locked = request->member_count;

	if (bw_guards_paused(request->server, request->ordered_by) ||
		!bw_config_server_is_current(making->server))
		return;
	if (making->count_numbers)
		(void) bw_store_lock_members(&request->id, 1, &locked);
	if (locked == request->member_count)
		making->task = bw_submit_again(work, request, making->count_numbers);
}

/*
 * The PUT is scheduled again, in case we never hear of it.  To another account it
 * is not sent: that does not know the order, and the answer would be the end of it.
 */
static void
close_order(BwWork *work, Lap *lap, const BwRequestRow *request)
{
	Making		making = {.request = request};
	const BwServer *server = bw_config_server_if_exists(request->server);

	if (is_served(request, server) &&
		bw_work_attempt(work, make_close, &making, "closing a back order"))
		lap->tasks = lappend(lap->tasks, making.task);
	put_off(lap, request);
}

static void
make_close(BwWork *work, void *arg)
{
	Making	   *making = arg;

	making->task = bw_close_create(work, making->request);
}

/* The outcomes of these sends were never recorded. */
static void
settle_unknown(BwWork *work, Lap *lap, List *unknown)
{
	int			count = list_length(unknown);
	BwSettlement *items = palloc0(sizeof(BwSettlement) * count);
	bool	   *failed = palloc(sizeof(bool) * count);
	ListCell   *lc;

	foreach(lc, unknown)
	{
		BwSettlement *item = &items[foreach_current_index(lc)];

		item->request = lfirst(lc);
		item->status = BW_ORDER_UNKNOWN;
		item->source = "worker";
		item->error_text = "the outcome of the request was not recorded";
		item->step = "look_up";
		item->due_at = GetCurrentTimestamp();
	}
	lap->moved = list_concat(lap->moved, bw_settle_each(work, items, count, failed));
	for (int i = 0; i < count; i++)
	{
		TimestampTz due = bw_work_back_off(items[i].request->tries);

		if (failed[i])
			bw_store_schedule(&items[i].request->id, "sent", &due, 1);
	}
}

/*
 * False: its server is gone or changed, or there is no budget, and then
 * lap->next_due says when to come again; or no free socket, and then the next
 * answer brings us back.
 */
static bool
start_inquiry(BwWork *work, Lap *lap, const BwRequestRow *request, bool look_up)
{
	BwServer   *server = bw_config_server_if_exists(request->server);
	Making		making = {.request = request,.look_up = look_up};
	TimestampTz retry_at;

	if (!is_served(request, server))
	{
		put_off(lap, request);
		return false;
	}
	if (!has_socket(work, lap, server))
		return false;
	if (!bw_work_attempt(work, make_inquiry, &making, "asking about an order"))
	{
		put_off(lap, request);
		return false;
	}
	/* Only now: who may not ask at all takes no call from others. */
	if (!bw_registry_budget_take(server->account_id, BW_CLASS_HISTORY,
								 server->requests_per_minute, server->burst,
								 &retry_at))
	{
		bw_task_free(making.task);
		lap->next_due = Min(lap->next_due, retry_at);
		bar(work, server->name, true);
		return false;
	}
	lap->tasks = lappend(lap->tasks, making.task);
	return true;
}

/* Fails where credentials are missing or cannot be read: that request waits. */
static void
make_inquiry(BwWork *work, void *arg)
{
	Making	   *making = arg;
	const BwRequestRow *request = making->request;
	char	   *sent = request->adopting != NULL ? bw_submit_body(request) : NULL;
	char	  **numbers = NULL;
	int			count = 0;

	if (making->look_up || request->attempts > 1)
		numbers = bw_store_request_numbers(request->id, &count);
	making->task = bw_inquiry_create(work, request, making->look_up, numbers,
									 count, sent);
}

/* Is its server still there, and for the account that the request was sent to? */
static bool
is_served(const BwRequestRow *request, const BwServer *server)
{
	return server != NULL && strcmp(server->account_id, request->account_id) == 0;
}

/* May the server get one more call?  If not, it gets none in this lap. */
static bool
has_socket(BwWork *work, Lap *lap, const BwServer *server)
{
	int			calls = bw_api_in_flight_of(work->api, server->serverid);
	ListCell   *lc;

	if (is_barred(work, server->name))
		return false;
	foreach(lc, lap->tasks)
		if (((BwTask *) lfirst(lc))->account.server->serverid == server->serverid)
		calls++;
	if (calls < server->max_in_flight)
		return true;
	work->many_open = true;
	bar(work, server->name, false);
	return false;
}

static void
put_off(Lap *lap, const BwRequestRow *request)
{
	put_off_until(lap, request,
				  TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PAUSED_MS));
}

static void
put_off_until(Lap *lap, const BwRequestRow *request, TimestampTz due)
{
	bw_store_schedule(&request->id, request->step, &due, 1);
	lap->next_due = Min(lap->next_due, due);
}

/* When to ask again if this question brings nothing. */
static TimestampTz
next_question(const BwWork *work, const BwRequestRow *request)
{
	int64		wait_ms;

	if (strcmp(request->step, "look_up") == 0)
		wait_ms = bw_work_delay_ms(bw_look_up_delays, request->tries + 1, 60000);
	else
		wait_ms = bw_work_delay_ms(bw_poll_schedule, request->tries + 1,
								   1000 * (work->callbacks_come
										   ? bw_poll_interval_callbacks_s
										   : bw_poll_interval_s));
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait_ms);
}

/* Go on with those that have more to ask; record the others. */
void
bw_reconcile_finished(BwWork *work, BwTask **tasks, int count)
{
	BwTask	  **done = palloc(sizeof(BwTask *) * count);
	int			done_count = 0;

	for (int i = 0; i < count; i++)
	{
		bw_inquiry_take(tasks[i]);
		if (!bw_inquiry_next(work, tasks[i]))
			done[done_count++] = tasks[i];
	}
	for (int first = 0, n = 0; first < done_count; first += n)
	{
		n = first_answers(done + first, done_count - first);

		/*
		 * If one of them is bad: each on its own, so that only that one
		 * waits.
		 */
		if (n > 1 && record_all(work, done + first, n, NULL))
			continue;
		for (int i = first; i < first + n; i++)
		{
			CHECK_FOR_INTERRUPTS();
			(void) record_all(work, &done[i], 1,
							  psprintf("recording an answer about request " INT64_FORMAT,
									   done[i]->id));
		}
	}
	for (int i = 0; i < done_count; i++)
		bw_task_free(done[i]);
}

/*
 * Put the first answer about each request to the front, and count them.  When
 * answers are slow, the next question is on its way before the last one is
 * answered; the second answer is judged by what the first one changed.
 */
static int
first_answers(BwTask **tasks, int count)
{
	int			n = 0;

	for (int i = 0; i < count; i++)
	{
		BwTask	   *task = tasks[i];
		bool		first = true;

		for (int j = 0; j < n && first; j++)
			first = tasks[j]->id != task->id;
		if (!first)
			continue;
		memmove(&tasks[n + 1], &tasks[n], sizeof(BwTask *) * (i - n));
		tasks[n++] = task;
	}
	return n;
}

static bool
record_all(BwWork *work, BwTask **tasks, int count, const char *what)
{
	Recording	recording = {.tasks = tasks,.count = count,.next_due = DT_NOEND};

	if (count == 0)
		return true;
	if (!bw_work_transaction(work, record, &recording, what))
		return false;
	bw_work_moved(work, recording.moved);
	work->reconcile_at = Min(work->reconcile_at, recording.next_due);
	return true;
}

static void
record(BwWork *work, void *arg)
{
	Recording  *recording = arg;
	BwSettlement *items = palloc(sizeof(BwSettlement) * recording->count);
	BwRequestRow **requests = bw_task_requests(recording->tasks, recording->count);
	int			n = 0;

	for (int i = 0; i < recording->count; i++)
	{
		BwTask	   *task = recording->tasks[i];
		BwSettlement *item = &items[n];

		/* It may have been settled by a callback meanwhile. */
		if (requests[i] == NULL || requests[i]->step == NULL)
			continue;
		if (bw_inquiry_is_outdated(task, requests[i]))
		{
			keep_candidates(task);
			continue;
		}
		memset(item, 0, sizeof(BwSettlement));
		item->request = requests[i];
		item->source = task->source;
		if (!bw_inquiry_is_complete(task))
			recording->next_due = Min(recording->next_due,
									  keep_progress(task, requests[i]));
		if (!conclude(work, task, item))
			continue;
		if (!may_end(item))
		{
			recording->next_due = Min(recording->next_due, ask_anew(requests[i]));
			continue;
		}
		if (is_to_be_split(item))
		{
			bw_split_copy(requests[i]);
			recording->next_due = GetCurrentTimestamp();
			continue;
		}
		if (!bw_order_is_final(item->status))
			recording->next_due = Min(recording->next_due, item->due_at);
		n++;
	}
	recording->moved = bw_settle(items, n);
}

/*
 * A call of the inquiry failed.  What was found so far is not asked again, and
 * the rest soon, if there was anything: the schedule of polls is for orders
 * that Bandwidth works on, and grows too long for this.
 */
static TimestampTz
keep_progress(BwTask *task, const BwRequestRow *request)
{
	BwProgress	learnt;
	bool		progress;
	TimestampTz due;

	bw_inquiry_progress(task, &learnt);
	if (GetCurrentTimestamp() < copies_known_at(request))
		learnt.checked_count = 0;
	progress = learnt.other_count > 0 || learnt.checked_count > request->checked_count ||
		learnt.candidate_count > request->candidate_count;
	due = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), progress ? PROGRESS_MS
									  : 1000 * (int64) bw_poll_interval_s);
	bw_store_progress(task->id, &learnt, due);
	return due;
}

/*
 * The request was sent again meanwhile: what is known of the copies before is not
 * all.  It is read once more with what the new one became.
 */
static void
keep_candidates(BwTask *task)
{
	BwProgress	learnt;

	bw_inquiry_progress(task, &learnt);
	learnt.checked_count = 0;
	bw_store_progress(task->id, &learnt, DT_NOEND);
}

/*
 * A request that was sent again does not end without its numbers while a copy
 * that was lost may be unknown even to those who were asked.
 */
static bool
may_end(const BwSettlement *item)
{
	return item->request->attempts < 2 || !bw_order_is_final(item->status) ||
		item->status == BW_ORDER_COMPLETE ||
		GetCurrentTimestamp() >= copies_known_at(item->request);
}

/*
 * From then on what Bandwidth does not know was not executed: as long as it is
 * asked before a request is sent again by itself.
 */
static TimestampTz
copies_known_at(const BwRequestRow *request)
{
	TimestampTz at = request->first_sent_at;
	int64		wait_ms;

	for (int i = 0; (wait_ms = bw_work_delay_ms(bw_look_up_delays, i, -1)) >= 0; i++)
		at = TimestampTzPlusMilliseconds(at, wait_ms);
	return at;
}

/* By then, if not before; about each number, too. */
static TimestampTz
ask_anew(const BwRequestRow *request)
{
	BwProgress	nothing = {0};
	TimestampTz due = copies_known_at(request);

	bw_store_progress(request->id, &nothing, due);
	return due;
}

/* What an inquiry means; false: nothing was learnt, the schedule goes on. */
static bool
conclude(BwWork *work, BwTask *task, BwSettlement *item)
{
	int			count;
	BwFound   **found = bw_inquiry_matches(task, &count);

	if (is_stale(task, item->request))
		return false;
	found = unbound(item->request, found, &count);
	if (count > 0 && bw_inquiry_is_complete(task))
	{
		adopt(work, found, count, item);
		return true;
	}
	if (item->request->adopting != NULL)
	{
		decline(bw_inquiry_named(task), item);
		return bw_inquiry_is_complete(task);
	}
	if (item->request->bandwidth_order_id != NULL)
	{
		/* Bandwidth gave us this id, and now does not know it. */
		item->status = BW_ORDER_RECEIVED;
		item->step = "lost";
		item->due_at = next_question(work, item->request);
		item->attention = "Bandwidth does not know this order any more: decide with bw_resolve() or bw_adopt()";
		return bw_inquiry_is_complete(task);
	}
	/* "None" is old news of a request that was sent, or is to be, since then. */
	return strcmp(item->request->step, "look_up") == 0 &&
		bw_inquiry_found_nothing(task) && nothing_found(item->request, item);
}

/* Was another order named since it was asked about, or none any more? */
static bool
is_stale(const BwTask *task, const BwRequestRow *request)
{
	const BwFound *named = bw_inquiry_named(task);

	if (named == NULL || request->adopting == NULL)
		return named != NULL || request->adopting != NULL;
	return strcmp(named->id, request->adopting) != 0;
}

/* What bw_adopt() named is not the request's order: a person decides anew. */
static void
decline(const BwFound *named, BwSettlement *item)
{
	const char *why = named->gone ? "Bandwidth does not know it"
	: named->difference != NULL ? named->difference
	: "it belongs to another request";

	item->status = BW_ORDER_UNKNOWN;
	item->step = "look_up";
	item->attention = psprintf("order %s is not this one (%s): decide with bw_resolve() or bw_adopt()",
							   named->id, why);
	item->due_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ATTENTION_MS);
}

/* Without those that belong to other requests, oldest first. */
static BwFound **
unbound(const BwRequestRow *request, BwFound **found, int *count)
{
	const char **ids = palloc(sizeof(char *) * Max(*count, 1));
	BwFound   **kept = palloc(sizeof(BwFound *) * Max(*count, 1));
	char	  **taken;
	int			taken_count;
	int			n = 0;

	for (int i = 0; i < *count; i++)
		ids[i] = found[i]->id;
	taken = *count == 0 ? NULL
		: bw_store_bound_elsewhere(request->id, ids, *count, &taken_count);
	for (int i = 0; i < *count; i++)
	{
		bool		free_order = true;

		for (int j = 0; j < taken_count; j++)
			if (strcmp(taken[j], found[i]->id) == 0)
				free_order = false;
		if (free_order)
			kept[n++] = found[i];
	}
	qsort(kept, n, sizeof(BwFound *), compare_created);
	*count = n;
	return kept;
}

static int
compare_created(const void *a, const void *b)
{
	const BwFound *x = *(BwFound *const *) a;
	const BwFound *y = *(BwFound *const *) b;

	/* What is bound stays the first. */
	if (x->bound != y->bound)
		return x->bound ? -1 : 1;
	return x->created < y->created ? -1 : x->created > y->created ? 1 : 0;
}

/* The orders are the request's: take over what they say. */
static void
adopt(BwWork *work, BwFound **found, int count, BwSettlement *item)
{
	BwAnswer   *answers = palloc0(sizeof(BwAnswer) * count);
	const char **others = palloc(sizeof(char *) * count);

	for (int i = 0; i < count; i++)
	{
		const char *word = found[i]->reply->status;

		answers[i].reply = found[i]->reply;
		if (!bw_order_status_from_bandwidth(word, &answers[i].status))
		{
			answers[i].status = BW_ORDER_RECEIVED;
			item->warning = psprintf("unrecognized status \"%s\"", word);
		}
		item->status = i == 0 ? answers[i].status
			: combine(item->status, answers[i].status);
		if (i > 0)
			others[i - 1] = found[i]->id;
	}
	if (count > 1)
		item->warning = psprintf("Bandwidth has %d orders for this request", count);
	item->answers = answers;
	item->answer_count = count;
	item->bandwidth_order_id = found[0]->id;
	item->other_order_ids = others;
	item->other_count = count - 1;
	item->bandwidth_status = found[0]->reply->status;
	item->step = "poll";
	item->attention = "";
	item->due_at = next_question(work, item->request);
	/* The first poll of an order that was just found comes at once. */
	if (!bw_order_is_final(item->status) && item->request->bandwidth_order_id == NULL)
		item->due_at =
			TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
										bw_work_delay_ms(bw_poll_schedule, 0, 1000));
}

/* Two orders of one request: open while one is, else the better outcome. */
static BwOrderStatus
combine(BwOrderStatus a, BwOrderStatus b)
{
	static const BwOrderStatus by_weight[] = {
		BW_ORDER_RECEIVED, BW_ORDER_BACKORDERED, BW_ORDER_COMPLETE, BW_ORDER_PARTIAL
	};

	for (int i = 0; i < (int) lengthof(by_weight); i++)
		if (a == by_weight[i] || b == by_weight[i])
			return by_weight[i];
	return BW_ORDER_FAILED;
}

/* A refused copy that no lost one explains: some of its numbers are bad. */
static bool
is_to_be_split(const BwSettlement *item)
{
	return item->status == BW_ORDER_REJECTED &&
		bw_may_split(item->request, item->error_code);
}

/*
 * There is no such order.  A refused copy then means what it said, unless a
 * direct order bought numbers that nobody can ask about.  Else, asked often
 * enough, the same request goes out again.
 */
static bool
nothing_found(const BwRequestRow *request, BwSettlement *item)
{
	int64		wait_ms = bw_work_delay_ms(bw_look_up_delays, request->tries, -1);
	bool		direct = strcmp(request->kind, "direct") == 0;

	item->status = BW_ORDER_UNKNOWN;
	item->step = "look_up";
	if (request->refused_code != NULL && (!direct || request->attempts < 2))
	{
		item->status = BW_ORDER_REJECTED;
		item->error_code = request->refused_code;
		item->error_text = request->refused_text;
		return true;
	}
	if (wait_ms < 0 && direct)
	{
		wait_ms = ATTENTION_MS;
		item->attention = request->refused_code == NULL
			? "Bandwidth shows no order for this request: decide with bw_resolve() or bw_adopt()"
			: psprintf("Bandwidth refused the copy (%s: %s) and shows no order for this request: decide with bw_resolve() or bw_adopt()",
					   request->refused_code, request->refused_text);
	}
	else if (wait_ms < 0)
	{
		wait_ms = 0;
		item->step = "resend";
	}
	item->due_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait_ms);
	return true;
}
