/*-------------------------------------------------------------------------
 *
 * bulk.c
 *	  Asks about many orders at once: Bandwidth's list of orders.
 *
 * A row of the list has the order's state and how many numbers were delivered,
 * but not which.  So it settles an order that is COMPLETE with all of its
 * numbers, and one that is still running; every other one is read by itself.
 * Source: "Get orders" of the numbers API.
 *
 * src/bulk.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "bulk.h"
#include "order.h"
#include "registry.h"
#include "settle.h"
#include "xml_read.h"

/* Rows per page, and pages of one task: orders of others are in the list. */
#define PAGE_SIZE "1000"
#define PAGES_MAX 10
#define ID_SIZE 64

/* One request that is asked about. */
typedef struct Asked
{
	char		bandwidth_order_id[ID_SIZE];	/* key */
	int64		request_id;
	int			quantity;
	bool		complete;		/* with all of its numbers */
	bool		running;
} Asked;

typedef struct Bulk
{
	HTAB	   *asked;
	char	   *query;			/* of the next page */
	int			pages;
} Bulk;

static char *first_query(const BwRequestRow *const *requests, int count);
static bool take_page(BwTask *task);
static void take_row(Bulk *bulk, const BwRow *row);
static void record(BwWork *work, void *arg);

/* A finished task, and what it moves. */
typedef struct Recording
{
	BwTask	   *task;
	List	   *moved;
} Recording;

static void settle(BwWork *work, Recording *recording, const BwSettlement *items,
				   int count);

BwTask *
bw_bulk_create(BwWork *work, const BwRequestRow *const *requests, int count)
{
	BwTask	   *task = bw_task_create(work, BW_TASK_BULK, 0);
	Bulk	   *bulk = MemoryContextAllocZero(task->cxt, sizeof(Bulk));
	HASHCTL		info = {.keysize = ID_SIZE,.entrysize = sizeof(Asked),
	.hcxt = task->cxt};

	task->detail = bulk;
	bulk->asked = hash_create("bandwidth bulk", count, &info,
							  HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	for (int i = 0; i < count; i++)
	{
		bool		found;
		Asked	   *asked = hash_search(bulk->asked, requests[i]->bandwidth_order_id,
										HASH_ENTER, &found);

		asked->request_id = requests[i]->id;
		asked->quantity = requests[i]->quantity;
		asked->complete = asked->running = false;
	}
	bulk->query = MemoryContextStrdup(task->cxt, first_query(requests, count));
	bw_task_account(task, requests[0]->server, requests[0]->ordered_by,
					requests[0]->account_id);
	return task;
}

static char *
first_query(const BwRequestRow *const *requests, int count)
{
	TimestampTz oldest = GetCurrentTimestamp();

	for (int i = 0; i < count; i++)
		oldest = Min(oldest, requests[i]->first_sent_at);
	return bw_api_dated_query(oldest, PAGE_SIZE);
}

void
bw_bulk_send(BwWork *work, BwTask *task)
{
	Bulk	   *bulk = task->detail;
	BwCallSpec	spec = {.class = BW_CLASS_HISTORY,.method = "GET"};

	spec.path = bw_api_path(&task->account, "orders", NULL);
	spec.query = bulk->query;
	bulk->pages++;
	bw_task_start(work, task, &spec);
}

void
bw_bulk_finished(BwWork *work, BwTask *task)
{
	Recording	recording = {.task = task};
	const BwServer *server = task->account.server;
	TimestampTz retry_at;

	if (take_page(task) && ((Bulk *) task->detail)->pages < PAGES_MAX &&
		bw_registry_budget_take(server->account_id, BW_CLASS_HISTORY,
								server->requests_per_minute, server->burst,
								&retry_at))
	{
		bw_call_release(task->call);
		bw_bulk_send(work, task);
		return;
	}
	if (bw_work_transaction(work, record, &recording, "recording a list of orders"))
		bw_work_moved(work, recording.moved);
	work->reconcile_at = GetCurrentTimestamp();
	bw_task_free(task);
}

/* False: there is no next page. */
static bool
take_page(BwTask *task)
{
	Bulk	   *bulk = task->detail;
	const BwOutcome *outcome = bw_call_outcome(task->call);
	const char *next_query = NULL;
	BwList	   *list;
	BwRow		row;
	BwNext		next;

	if (outcome->kind != BW_OUTCOME_DONE || outcome->reply->body_len == 0)
		return false;
	list = bw_xml_list_open(BW_LIST_ORDERS, outcome->reply->body,
							outcome->reply->body_len);
	if (list == NULL)
		return false;
	while ((next = bw_xml_list_next(list, &row)) == BW_NEXT_ROW)
		take_row(bulk, &row);
	if (next == BW_NEXT_END)
		next_query = bw_xml_list_next_query(list);
	if (next_query != NULL)
		bulk->query = MemoryContextStrdup(task->cxt, next_query);
	bw_xml_list_close(list);
	return next_query != NULL;
}

static void
take_row(Bulk *bulk, const BwRow *row)
{
	const char *id = row->field[BW_FIELD_ID];
	const char *count = row->field[BW_FIELD_COUNT];
	BwOrderStatus status;
	Asked	   *asked;

	if (id == NULL || strlen(id) >= ID_SIZE)
		return;
	asked = hash_search(bulk->asked, id, HASH_FIND, NULL);
	if (asked == NULL ||
		!bw_order_status_from_bandwidth(row->field[BW_FIELD_STATUS], &status))
		return;
	asked->running = status == BW_ORDER_RECEIVED;
	asked->complete = status == BW_ORDER_COMPLETE && count != NULL &&
		atoi(count) == asked->quantity;
}

static void
record(BwWork *work, void *arg)
{
	Recording  *recording = arg;
	Bulk	   *bulk = recording->task->detail;
	int			room = (int) hash_get_num_entries(bulk->asked);
	int64	   *complete = palloc(sizeof(int64) * room);
	int64	   *detail = palloc(sizeof(int64) * room);
	TimestampTz *now = palloc(sizeof(TimestampTz) * room);
	BwSettlement *items = palloc0(sizeof(BwSettlement) * room);
	int			complete_count = 0;
	int			detail_count = 0;
	int			count;
	BwRequestRow *requests;
	HASH_SEQ_STATUS scan;
	Asked	   *asked;

	hash_seq_init(&scan, bulk->asked);
	while ((asked = hash_seq_search(&scan)) != NULL)
	{
		if (asked->complete)
			complete[complete_count++] = asked->request_id;
		else if (!asked->running)
		{
			now[detail_count] = GetCurrentTimestamp();
			detail[detail_count++] = asked->request_id;
		}
	}
	/* Not in the list, or an outcome that needs the numbers: read each. */
	if (detail_count > 0)
		bw_store_read_each(detail, now, detail_count);
	requests = bw_store_requests(complete, complete_count, &count);
	for (int i = 0; i < count; i++)
	{
		BwSettlement *item = &items[i];

		item->request = &requests[i];
		item->status = BW_ORDER_COMPLETE;
		item->bandwidth_order_id = requests[i].bandwidth_order_id;
		item->bandwidth_status = "COMPLETE";
		item->source = "poll";
		item->step = "detail";
		item->due_at = GetCurrentTimestamp();
	}
	settle(work, recording, items, count);
}

/* Those that cannot be recorded are read by themselves, later. */
static void
settle(BwWork *work, Recording *recording, const BwSettlement *items, int count)
{
	bool	   *failed = palloc(sizeof(bool) * Max(count, 1));

	recording->moved = bw_settle_each(work, items, count, failed);
	for (int i = 0; i < count; i++)
	{
		TimestampTz due = bw_work_back_off(items[i].request->tries);

		if (failed[i])
			bw_store_read_each(&items[i].request->id, &due, 1);
	}
}
