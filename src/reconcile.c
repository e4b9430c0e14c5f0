/*-------------------------------------------------------------------------
 *
 * reconcile.c
 *	  Finds out what became of requests: look-ups, polls, resends.
 *
 * The table bw_open_requests says what to do next with each request, and
 * when.  Nothing depends on having seen an event; each lap can be repeated.
 *
 *	sent	the POST was under way and its outcome was never recorded: unknown
 *	look_up	ask for orders that carry our CustomerOrderId
 *	resend	several look-ups found nothing: send the same request again
 *	poll	ask for the order itself until it is final
 *	close	tell Bandwidth to end a back order
 *
 * src/reconcile.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "close.h"
#include "guards.h"
#include "inquiry.h"
#include "reconcile.h"
#include "registry.h"
#include "settle.h"
#include "submit.h"
#include "xml.h"

/* Requests taken up in one lap. */
#define LAP_REQUESTS 200
/* A step that failed by an error of ours is tried again after this. */
#define RETRY_MS 10000
/* What needs a person is looked at again after this. */
#define ATTENTION_MS (3600 * 1000)
/* Requests of a paused mapping, or of one that is gone, wait this long. */
#define PAUSED_MS 60000

/* One lap's harvest: tasks to start after the commit. */
typedef struct Lap
{
	List	   *tasks;
	List	   *moved;
	TimestampTz next_due;
	bool		full;			/* there is more that is due already */
} Lap;

/* Tasks whose answers are recorded in one transaction. */
typedef struct Recording
{
	BwTask	  **tasks;
	int			count;
	List	   *moved;
	TimestampTz next_due;
} Recording;

static void take_due(BwWork *work, void *arg);
static void take_request(BwWork *work, Lap *lap, const BwRequestRow *request,
						 List **unknown);
static void resend(BwWork *work, Lap *lap, const BwRequestRow *request);
static void close_order(BwWork *work, Lap *lap, const BwRequestRow *request);
static bool start_inquiry(BwWork *work, Lap *lap, const BwRequestRow *request,
						  bool look_up);
static List *settle_unknown(List *unknown);
static TimestampTz next_question(const BwWork *work, const BwRequestRow *request);
static bool record_all(BwWork *work, BwTask **tasks, int count);
static void record(BwWork *work, void *arg);
static void keep_progress(BwTask *task);
static bool conclude(BwWork *work, BwTask *task, BwSettlement *item);
static BwFound **unbound(const BwRequestRow *request, BwFound **found, int *count);
static int	compare_created(const void *a, const void *b);
static void adopt(BwWork *work, BwFound **found, int count, BwSettlement *item);
static BwOrderStatus combine(BwOrderStatus a, BwOrderStatus b);
static bool nothing_found(const BwRequestRow *request, BwSettlement *item);

void
bw_reconcile_lap(BwWork *work)
{
	Lap			lap = {.next_due = DT_NOEND};
	ListCell   *lc;

	if (!bw_work_transaction(work, take_due, &lap, "looking after orders"))
	{
		foreach(lc, lap.tasks)
			bw_task_free(lfirst(lc));
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
		else if (task->kind == BW_TASK_CLOSE)
			bw_close_send(work, task);
		else if (!bw_inquiry_next(work, task))
			bw_task_free(task);
	}
	work->reconcile_at = lap.full ? GetCurrentTimestamp() : lap.next_due;
}

static void
take_due(BwWork *work, void *arg)
{
	Lap		   *lap = arg;
	BwRequestRow *requests;
	List	   *unknown = NIL;
	int			count;

	requests = bw_store_due_requests(LAP_REQUESTS, &count, &lap->next_due);
	for (int i = 0; i < count; i++)
		take_request(work, lap, &requests[i], &unknown);
	if (unknown != NIL)
	{
		lap->moved = settle_unknown(unknown);
		lap->full = true;
	}
	if (count == LAP_REQUESTS && list_length(lap->tasks) == count)
		lap->full = true;
}

static void
take_request(BwWork *work, Lap *lap, const BwRequestRow *request,
			 List **unknown)
{
	if (strcmp(request->step, "sent") == 0)
		*unknown = lappend(*unknown, unconstify(BwRequestRow *, request));
	else if (strcmp(request->step, "resend") == 0)
		resend(work, lap, request);
	else if (strcmp(request->step, "close") == 0)
		close_order(work, lap, request);
	else
	{
		bool		look_up = strcmp(request->step, "look_up") == 0 ||
		request->bandwidth_order_id == NULL;
		TimestampTz due = next_question(work, request);

		if (!start_inquiry(work, lap, request, look_up))
			return;
		bw_store_schedule(&request->id, look_up ? "look_up" : "poll", &due, 1);
		lap->next_due = Min(lap->next_due, due);
	}
}

/* The same request once more, unless its server or mapping is paused. */
static void
resend(BwWork *work, Lap *lap, const BwRequestRow *request)
{
	TimestampTz due = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PAUSED_MS);

	if (bw_guards_paused(request->server, request->ordered_by))
	{
		bw_store_schedule(&request->id, "resend", &due, 1);
		lap->next_due = Min(lap->next_due, due);
	}
	else
		lap->tasks = lappend(lap->tasks, bw_submit_again(work, request));
}

/* The PUT is scheduled again, in case we never hear of it. */
static void
close_order(BwWork *work, Lap *lap, const BwRequestRow *request)
{
	TimestampTz due = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PAUSED_MS);

	lap->tasks = lappend(lap->tasks, bw_close_create(work, request));
	bw_store_schedule(&request->id, "close", &due, 1);
	lap->next_due = Min(lap->next_due, due);
}

/* The outcomes of these sends were never recorded. */
static List *
settle_unknown(List *unknown)
{
	BwSettlement *items = palloc0(sizeof(BwSettlement) * list_length(unknown));
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
	return bw_settle(items, list_length(unknown));
}

/*
 * False: no budget, and then lap->next_due is when there is; or no free
 * socket, and then the next answer brings us back.
 */
static bool
start_inquiry(BwWork *work, Lap *lap, const BwRequestRow *request, bool look_up)
{
	BwTask	   *task;
	char	  **numbers = NULL;
	int			number_count = 0;
	const BwServer *server;
	TimestampTz retry_at;

	if (look_up || request->attempts > 1)
		numbers = bw_store_request_numbers(request->id, &number_count);
	task = bw_inquiry_create(work, request, look_up, numbers, number_count);
	server = task->account.server;
	if (bw_api_in_flight(work->api) + list_length(lap->tasks) >= server->max_in_flight)
	{
		bw_task_free(task);
		return false;
	}
	if (!bw_registry_budget_take(server->account_id, BW_CLASS_HISTORY,
								 server->requests_per_minute, server->burst,
								 &retry_at))
	{
		bw_task_free(task);
		lap->next_due = Min(lap->next_due, retry_at);
		return false;
	}
	lap->tasks = lappend(lap->tasks, task);
	return true;
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
	/* If one of them is bad: each on its own, so that only that one waits. */
	if (!record_all(work, done, done_count))
	{
		for (int i = 0; i < done_count; i++)
		{
			CHECK_FOR_INTERRUPTS();
			(void) record_all(work, &done[i], 1);
		}
	}
	for (int i = 0; i < done_count; i++)
		bw_task_free(done[i]);
}

static bool
record_all(BwWork *work, BwTask **tasks, int count)
{
	Recording	recording = {.tasks = tasks,.count = count,.next_due = DT_NOEND};

	if (count == 0)
		return true;
	if (!bw_work_transaction(work, record, &recording, "recording answers"))
		return false;
	bw_work_moved(work, recording.moved);
	work->reconcile_at = Min(work->reconcile_at, recording.next_due);
	return true;
}

static void
record(BwWork *work, void *arg)
{
	Recording  *recording = arg;
	int64	   *ids = palloc(sizeof(int64) * recording->count);
	BwSettlement *items = palloc0(sizeof(BwSettlement) * recording->count);
	BwRequestRow *requests;
	int			request_count;
	int			n = 0;

	for (int i = 0; i < recording->count; i++)
		ids[i] = recording->tasks[i]->id;
	requests = bw_store_requests(ids, recording->count, &request_count);
	for (int i = 0; i < recording->count; i++)
	{
		BwTask	   *task = recording->tasks[i];

		for (int j = 0; j < request_count; j++)
		{
			BwSettlement *item = &items[n];

			/* It may have been settled by a callback meanwhile. */
			if (requests[j].id != task->id || requests[j].step == NULL)
				continue;
			memset(item, 0, sizeof(BwSettlement));
			item->request = &requests[j];
			item->source = task->source;
			if (!bw_inquiry_is_complete(task))
				keep_progress(task);
			if (!conclude(work, task, item))
				continue;
			if (!bw_order_is_final(item->status))
				recording->next_due = Min(recording->next_due, item->due_at);
			n++;
		}
	}
	recording->moved = bw_settle(items, n);
}

/* What was found so far is not asked again. */
static void
keep_progress(BwTask *task)
{
	char	  **candidates;
	char	  **checked;
	int			candidate_count;
	int			checked_count;

	bw_inquiry_progress(task, &candidates, &candidate_count, &checked,
						&checked_count);
	if (candidate_count + checked_count > 0)
		bw_store_progress(task->id, (const char *const *) candidates,
						  candidate_count, (const char *const *) checked,
						  checked_count);
}

/* What an inquiry means; false: nothing was learnt, the schedule goes on. */
static bool
conclude(BwWork *work, BwTask *task, BwSettlement *item)
{
	int			count;
	BwFound   **found = bw_inquiry_matches(task, &count);

	found = unbound(item->request, found, &count);
	if (count > 0 && bw_inquiry_is_complete(task))
	{
		adopt(work, found, count, item);
		return true;
	}
	if (item->request->bandwidth_order_id != NULL)
	{
		/* Bandwidth gave us this id, and now does not know it. */
		item->status = BW_ORDER_RECEIVED;
		item->step = "poll";
		item->due_at = next_question(work, item->request);
		item->attention = "Bandwidth does not know this order any more";
		return bw_inquiry_is_complete(task);
	}
	return bw_inquiry_found_nothing(task) && nothing_found(item->request, item);
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

/*
 * There is no such order.  A refused resend then means what it said; else,
 * asked often enough, the same request goes out again.
 */
static bool
nothing_found(const BwRequestRow *request, BwSettlement *item)
{
	int64		wait_ms = bw_work_delay_ms(bw_look_up_delays, request->tries, -1);

	item->status = BW_ORDER_UNKNOWN;
	item->step = "look_up";
	if (request->refused_code != NULL)
	{
		item->status = BW_ORDER_REJECTED;
		item->error_code = request->refused_code;
		item->error_text = request->refused_text;
		return true;
	}
	if (wait_ms < 0 && strcmp(request->kind, "direct") == 0)
	{
		wait_ms = ATTENTION_MS;
		item->attention = "Bandwidth shows no order for this request: decide with bw_resolve() or bw_adopt()";
	}
	else if (wait_ms < 0)
	{
		wait_ms = 0;
		item->step = "resend";
	}
	item->due_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait_ms);
	return true;
}
