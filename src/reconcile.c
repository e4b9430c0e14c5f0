/*-------------------------------------------------------------------------
 *
 * reconcile.c
 *	  Finds out what became of requests: look-ups and polls.
 *
 * The table bw_open_requests says what to do next with each request, and
 * when.  Nothing depends on having seen an event; each lap can be repeated.
 *
 *	sent	the POST was under way and its outcome was never recorded: unknown
 *	look_up	ask Bandwidth's list of orders for our CustomerOrderId
 *	resend	several look-ups found nothing: send the same request again
 *	poll	ask for the order itself until it is final
 *
 * src/reconcile.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "reconcile.h"
#include "registry.h"
#include "settle.h"
#include "submit.h"
#include "xml.h"

/* Requests taken up in one lap. */
#define LAP_REQUESTS 200
/* A step that failed by an error of ours is tried again after this. */
#define RETRY_MS 10000
/* Rows per page of the list of orders; ours are few. */
#define LIST_PAGE_SIZE "100"

/* One lap's harvest: tasks to start after the commit. */
typedef struct Lap
{
	List	   *tasks;
	List	   *moved;
	TimestampTz next_due;
	bool		full;			/* there is more that is due already */
} Lap;

static void take_due(BwWork *work, void *arg);
static void take_request(BwWork *work, Lap *lap, const BwRequestRow *request,
						 List **unknown);
static bool start_question(BwWork *work, Lap *lap, const BwRequestRow *request,
						   BwTaskKind kind);
static TimestampTz next_question(const BwWork *work, const BwRequestRow *request);
static void send_question(BwWork *work, BwTask *task);
static void record(BwWork *work, void *arg);
static bool settle_poll(BwWork *work, BwTask *task, BwSettlement *item);
static bool settle_look_up(BwTask *task, BwSettlement *item);
static void nothing_found(const BwRequestRow *request, BwSettlement *item);
static char *find_in_list(const BwHttpReply *http, const char *customer_order_id,
						  bool *readable);

/* What a question in flight must remember. */
typedef struct Question
{
	char	   *customer_order_id;
	char	   *bandwidth_order_id;
} Question;

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
		else
			send_question(work, task);
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
		lap->moved = bw_settle(items, list_length(unknown));
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
		lap->tasks = lappend(lap->tasks, bw_submit_again(work, request));
	else
	{
		bool		look_up = strcmp(request->step, "look_up") == 0 ||
		request->bandwidth_order_id == NULL;
		TimestampTz due = next_question(work, request);

		if (!start_question(work, lap, request,
							look_up ? BW_TASK_LOOK_UP : BW_TASK_POLL))
			return;
		bw_store_schedule(&request->id, look_up ? "look_up" : "poll", &due, 1);
		lap->next_due = Min(lap->next_due, due);
	}
}

/*
 * False: no budget, and then lap->next_due is when there is; or no free
 * socket, and then the next answer brings us back.
 */
static bool
start_question(BwWork *work, Lap *lap, const BwRequestRow *request,
			   BwTaskKind kind)
{
	BwTask	   *task = bw_task_create(work, kind, request->id);
	Question   *question = MemoryContextAlloc(task->cxt, sizeof(Question));
	const BwServer *server;
	TimestampTz retry_at;

	bw_task_account(task, request->server, request->ordered_by);
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
	question->customer_order_id =
		MemoryContextStrdup(task->cxt, request->customer_order_id);
	question->bandwidth_order_id = kind == BW_TASK_POLL
		? MemoryContextStrdup(task->cxt, request->bandwidth_order_id) : NULL;
	task->detail = question;
	task->source = kind == BW_TASK_POLL ? "poll" : "look-up";
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

static void
send_question(BwWork *work, BwTask *task)
{
	Question   *question = task->detail;
	BwCallSpec	spec = {.class = BW_CLASS_HISTORY,.method = "GET"};
	StringInfoData query;

	initStringInfo(&query);
	spec.path = bw_api_path(&task->account, "orders", question->bandwidth_order_id);
	if (task->kind == BW_TASK_LOOK_UP)
	{
		bw_api_append(&query, "page", "1");
		bw_api_append(&query, "size", LIST_PAGE_SIZE);
		bw_api_append(&query, "customerOrderId", question->customer_order_id);
		spec.query = query.data;
	}
	bw_task_start(work, task, &spec);
}

/* Tasks whose answers are recorded in one transaction. */
typedef struct Recording
{
	BwTask	  **tasks;
	int			count;
	List	   *moved;
} Recording;

void
bw_reconcile_finished(BwWork *work, BwTask **tasks, int count)
{
	Recording	all = {.tasks = tasks,.count = count};

	if (bw_work_transaction(work, record, &all, "recording answers"))
		bw_work_moved(work, all.moved);
	else
	{
		for (int i = 0; i < count; i++)
		{
			Recording	one = {.tasks = &tasks[i],.count = 1};

			CHECK_FOR_INTERRUPTS();
			if (bw_work_transaction(work, record, &one, "recording an answer"))
				bw_work_moved(work, one.moved);
		}
	}
	work->reconcile_at = GetCurrentTimestamp();
	for (int i = 0; i < count; i++)
		bw_task_free(tasks[i]);
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
			item->request = &requests[j];
			item->source = task->source;
			if (task->kind == BW_TASK_POLL ? settle_poll(work, task, item)
				: settle_look_up(task, item))
				n++;
		}
	}
	recording->moved = bw_settle(items, n);
	for (int i = 0; i < n; i++)
		bw_xml_free_order(unconstify(BwOrderReply *, items[i].reply));
}

/* False: nothing was learnt; the schedule goes on. */
static bool
settle_poll(BwWork *work, BwTask *task, BwSettlement *item)
{
	const BwOutcome *outcome = bw_call_outcome(task->call);
	Question   *question = task->detail;
	BwXmlProblem problem;
	BwOrderReply *reply;

	if (outcome->kind != BW_OUTCOME_DONE)
		return false;
	reply = bw_xml_decode_order(outcome->reply->body, outcome->reply->body_len,
								&problem);
	if (reply == NULL || reply->status == NULL)
	{
		bw_xml_free_order(reply);
		return false;
	}
	item->reply = reply;
	item->bandwidth_order_id = question->bandwidth_order_id;
	item->bandwidth_status = reply->status;
	item->step = "poll";
	item->due_at = next_question(work, item->request);
	if (!bw_order_status_from_bandwidth(reply->status, &item->status))
	{
		item->status = BW_ORDER_RECEIVED;
		item->warning = psprintf("unrecognized status \"%s\"", reply->status);
	}
	return true;
}

static bool
settle_look_up(BwTask *task, BwSettlement *item)
{
	const BwOutcome *outcome = bw_call_outcome(task->call);
	Question   *question = task->detail;
	bool		readable = false;
	char	   *id = NULL;

	/*
	 * "None" only by 204, a list, or a 404 whose body is XML: a proxy's 404
	 * or a wrong path must not look like one.
	 */
	if (outcome->kind == BW_OUTCOME_DONE || outcome->kind == BW_OUTCOME_NOT_FOUND)
		id = find_in_list(outcome->reply, question->customer_order_id, &readable);
	if (outcome->status == 204)
		readable = true;
	if (!readable)
		return false;
	if (id == NULL)
	{
		nothing_found(item->request, item);
		return true;
	}
	item->status = BW_ORDER_RECEIVED;
	item->bandwidth_order_id = id;
	item->step = "poll";
	item->due_at = GetCurrentTimestamp();
	return true;
}

/* Asked often enough?  Then the same request goes out again. */
static void
nothing_found(const BwRequestRow *request, BwSettlement *item)
{
	bool		enough = bw_work_delay_ms(bw_look_up_delays, request->tries, -1) < 0;

	item->status = BW_ORDER_UNKNOWN;
	item->step = enough ? "resend" : "look_up";
	item->due_at = enough ? GetCurrentTimestamp()
		: TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									  bw_work_delay_ms(bw_look_up_delays,
													   request->tries, 60000));
	if (enough && strcmp(request->kind, "direct") == 0)
	{
		item->step = "look_up";
		item->due_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), 3600 * 1000);
		item->attention = "Bandwidth's list shows no order for this request: decide with bw_resolve() or bw_adopt()";
	}
}

/* Id of the oldest order in the list that carries our CustomerOrderId. */
static char *
find_in_list(const BwHttpReply *http, const char *customer_order_id,
			 bool *readable)
{
	BwList	   *list = bw_xml_list_open(BW_LIST_ORDERS, http->body, http->body_len);
	char	   *id = NULL;
	char	   *oldest = NULL;
	BwRow		row;
	BwNext		next;

	if (list == NULL)
		return NULL;
	while ((next = bw_xml_list_next(list, &row)) == BW_NEXT_ROW)
	{
		const char *date = row.field[BW_FIELD_DATE];

		/* The filter may have been ignored: compare each row. */
		if (row.field[BW_FIELD_ID] == NULL ||
			row.field[BW_FIELD_CUSTOMER_ORDER_ID] == NULL ||
			strcmp(row.field[BW_FIELD_CUSTOMER_ORDER_ID], customer_order_id) != 0)
			continue;
		if (id == NULL || (date && oldest && strcmp(date, oldest) < 0))
		{
			id = pstrdup(row.field[BW_FIELD_ID]);
			oldest = date ? pstrdup(date) : NULL;
		}
	}
	*readable = (next == BW_NEXT_END && http->body_len > 0);
	bw_xml_list_close(list);
	return id;
}
