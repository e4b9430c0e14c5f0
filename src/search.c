/*-------------------------------------------------------------------------
 *
 * search.c
 *	  Finds numbers for orders by criteria.
 *
 * An order by criteria is searched first and then sent for exact numbers, so
 * that sending it again is harmless: Bandwidth's own search-and-order types
 * would buy again.  A number that another open order wants is left to that one.
 *
 * src/search.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "registry.h"
#include "request.h"
#include "search.h"
#include "settle.h"
#include "store_queue.h"
#include "xml.h"

/* Searches under way at the same time. */
#define SEARCHES_MAX 8
/* A search that was lost, refused or not answered is made again after this. */
#define RETRY_MS 5000

/* What a search must remember. */
typedef struct Search
{
	BwSearchRow row;
	char	  **numbers;
	int			count;
	bool		readable;
} Search;

typedef struct Lap
{
	List	   *tasks;
	TimestampTz next_due;
} Lap;

/* A search whose task is being made. */
typedef struct Making
{
	const BwSearchRow *row;
	BwTask	   *task;
} Making;

/* A finished task, and what it moves. */
typedef struct Recording
{
	BwTask	   *task;
	List	   *moved;
} Recording;

static void take_due(BwWork *work, void *arg);
static void make_search(BwWork *work, void *arg);
static void send_search(BwWork *work, BwTask *task);
static void take_numbers(BwTask *task);
static bool is_wanted(const Search *search, const BwRow *row, BwNumber *number);
static void record(BwWork *work, void *arg);

void
bw_search_lap(BwWork *work)
{
	Lap			lap = {.next_due = DT_NOEND};
	ListCell   *lc;

	if (!bw_work_transaction(work, take_due, &lap, "searching for numbers"))
		lap.next_due = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
	else
		foreach(lc, lap.tasks)
			send_search(work, lfirst(lc));
	work->search_at = lap.next_due;
}

static void
take_due(BwWork *work, void *arg)
{
	Lap		   *lap = arg;
	int			count;
	BwSearchRow *rows = bw_store_due_searches(SEARCHES_MAX, &count, &lap->next_due);

	for (int i = 0; i < count; i++)
	{
		const BwServer *server = bw_config_server_if_exists(rows[i].server);
		Making		making = {.row = &rows[i]};
		TimestampTz again_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);

		if (server != NULL && strcmp(server->account_id, rows[i].account_id) == 0 &&
			bw_registry_budget_take(server->account_id, BW_CLASS_SEARCH,
									server->requests_per_minute, server->burst,
									&again_at) &&
			bw_work_attempt(work, make_search, &making, "searching for numbers"))
		{
			lap->tasks = lappend(lap->tasks, making.task);
			again_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												   server->connect_timeout_ms +
												   server->request_timeout_ms + RETRY_MS);
		}
		bw_store_search_later(rows[i].order_id, again_at);
		lap->next_due = Min(lap->next_due, again_at);
	}
}

static void
make_search(BwWork *work, void *arg)
{
	Making	   *making = arg;
	const BwSearchRow *row = making->row;
	BwTask	   *task = bw_task_create(work, BW_TASK_SEARCH, row->order_id);
	Search	   *search = MemoryContextAllocZero(task->cxt, sizeof(Search));

	task->detail = search;
	search->row.order_id = row->order_id;
	search->row.quantity = row->quantity;
	search->row.partial_allowed = row->partial_allowed;
	search->row.max_tier = row->max_tier;
	search->row.query = MemoryContextStrdup(task->cxt, row->query);
	bw_task_account(task, row->server, row->ordered_by);
	making->task = task;
}

static void
send_search(BwWork *work, BwTask *task)
{
	BwCallSpec	spec = {.class = BW_CLASS_SEARCH,.method = "GET"};

	spec.path = bw_api_path(&task->account, "availableNumbers", NULL);
	spec.query = ((Search *) task->detail)->row.query;
	bw_task_start(work, task, &spec);
}

void
bw_search_finished(BwWork *work, BwTask *task)
{
	Recording	recording = {.task = task};

	take_numbers(task);
	if (bw_work_transaction(work, record, &recording, "recording a search"))
	{
		bw_work_moved(work, recording.moved);
		work->submit_at = work->search_at = GetCurrentTimestamp();
	}
	bw_task_free(task);
}

static void
take_numbers(BwTask *task)
{
	Search	   *search = task->detail;
	const BwOutcome *outcome = bw_call_outcome(task->call);
	BwList	   *list;
	BwRow		row;
	BwNext		next;
	BwNumber	number;

	if (outcome->kind != BW_OUTCOME_DONE)
		return;
	list = bw_xml_list_open(BW_LIST_AVAILABLE_NUMBERS, outcome->reply->body,
							outcome->reply->body_len);
	search->numbers = MemoryContextAlloc(task->cxt, sizeof(char *) * BW_QUANTITY_MAX);
	while (list != NULL && (next = bw_xml_list_next(list, &row)) == BW_NEXT_ROW)
		if (search->count < BW_QUANTITY_MAX && is_wanted(search, &row, &number))
			search->numbers[search->count++] =
				MemoryContextStrdup(task->cxt, number.digits);
	search->readable = list != NULL && next == BW_NEXT_END;
	bw_xml_list_close(list);
}

static bool
is_wanted(const Search *search, const BwRow *row, BwNumber *number)
{
	const char *tier = row->field[BW_FIELD_TIER];
	BwProblem	problem;

	if (row->field[BW_FIELD_NUMBER] == NULL ||
		!bw_number_parse(row->field[BW_FIELD_NUMBER], number, &problem))
		return false;
	return search->row.max_tier < 0 ||
		(tier != NULL && atoi(tier) <= search->row.max_tier);
}

/* Numbers, and a place in the queue; or the end of the order; or again later. */
static void
record(BwWork *work, void *arg)
{
	Recording  *recording = arg;
	Search	   *search = recording->task->detail;
	const BwOutcome *outcome = bw_call_outcome(recording->task->call);
	int			assigned = 0;

	/* Cancelled, or about to be: take_due() said when to search again. */
	if (!bw_store_lock_search(search->row.order_id))
		return;
	if (outcome->kind == BW_OUTCOME_REFUSED &&
		bw_order_error_class(outcome->code) != BW_ERROR_UNKNOWN)
	{
		bw_store_refuse_search(search->row.order_id, outcome->code, outcome->text);
		recording->moved = list_make1(bw_moved(search->row.order_id, BW_ORDER_REJECTED));
		return;
	}
	if (!search->readable)
	{
		bw_store_search_later(search->row.order_id,
							  TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS));
		return;
	}
	assigned = bw_store_assign(search->row.order_id,
							   (const char *const *) search->numbers, search->count,
							   search->row.quantity, search->row.partial_allowed);
	if (assigned > 0)
		return;
	bw_store_refuse_search(search->row.order_id, "5018",
						   psprintf("only %d of %d telephone numbers are available",
									-assigned, search->row.quantity));
	recording->moved = list_make1(bw_moved(search->row.order_id, BW_ORDER_REJECTED));
}
