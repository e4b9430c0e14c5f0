/*-------------------------------------------------------------------------
 *
 * timeline.c
 *	  What another timeline may have sent: the account's recent orders tell.
 *
 * After a failover, a recovery to a point in time, or when a copy takes over,
 * an order that waits here may have been sent by the other one.  Nothing of
 * that age goes out before the account's orders since then were listed, a few
 * times with the delays of look-ups, because a list may lag.  What is found is
 * read and bound to the order; it is polled from then on like any other.
 * What was to be sent again is looked up like any request of unknown outcome.
 *
 * An order at Bandwidth is known by its CustomerOrderId: that of a request
 * which waits, or one that this database made for a request which was lost
 * (orders that shared one, or an order by criteria after its search).  What
 * has our mark and fits none was lost with the other timeline: that is written
 * down for a person (bw_lost_orders).
 * The account's disconnects are listed as well where some wait here: each has its
 * request, and so its CustomerOrderId, from the beginning.
 * Sources: "Get orders" and "Get disconnects" of the numbers API.
 *
 * src/timeline.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "guards.h"
#include "numbers.h"
#include "registry.h"
#include "settle.h"
#include "store_guards.h"
#include "store_timeline.h"
#include "timeline.h"
#include "xml_read.h"

#define PAGE_SIZE "1000"
/* More pages are not read: the rest is older than what we look for. */
#define PAGES_MAX 1000
/* After a failure, and when nothing was heard of a search. */
#define RETRY_MS 5000
#define PATIENCE_MS 60000

/* One look through the orders of a server and role. */
typedef struct Look
{
	BwDoubt		doubt;
	BwOrderKind listed;			/* orders first, then disconnects */
	char	   *query;			/* of the next page; NULL: all are read */
	int			pages;
	List	   *sent;			/* BwSent *: to be read */
	int			next;			/* the next one of them */
	bool		reading;		/* an order, not a page, is being read */
	bool		failed;
	int			lost;			/* orders with our mark that carry what no
								 * order here asks for */
	const char *example;		/* one of them */
} Look;

/* The rows of a page that have what is needed of them. */
typedef struct Rows
{
	char	  **ids;
	char	  **customer_ids;
	char	  **statuses;
	int			count;
	int			room;
} Rows;

/* For the transactions. */
typedef struct Step
{
	Look	   *look;
	BwTask	   *task;
	BwList	   *list;
	BwSent	   *sent;
	List	   *moved;
	TimestampTz next_due;
	List	   *tasks;
} Step;

static void start_due(BwWork *work, void *arg);
static void make_look(BwWork *work, void *arg);
static void remember(BwWork *work, Look *look);
static bool is_under_way(const BwWork *work, const BwDoubt *doubt);
static bool ask_next(BwWork *work, BwTask *task);
static void turn_to_disconnects(BwTask *task);
static void take_page(BwWork *work, BwTask *task);
static void take_rows(BwWork *work, void *arg);
static void read_rows(Step *step, Rows *rows);
static void make_room(Rows *rows, int room);
static void take_order(BwWork *work, BwTask *task);
static void read_numbers(const BwTexts *texts, BwSent *sent);
static bool bought_nothing(const BwSent *sent);
static void bind_order(BwWork *work, void *arg);
static void report_lost(const Look *look);
static void conclude(BwWork *work, void *arg);

void
bw_timeline_check(BwWork *work)
{
	int			groups = bw_store_note_timeline();

	if (groups > 0)
		ereport(LOG,
				(errmsg("the database has changed timelines: orders that were not sent yet wait"),
				 errdetail("The other timeline may have sent them, so the recent orders of each account are listed first.")));
}

void
bw_timeline_lap(BwWork *work)
{
	Step		step = {.next_due = DT_NOEND};
	ListCell   *lc;

	if (!bw_work_transaction(work, start_due, &step, "looking for orders that were sent before"))
	{
		foreach(lc, step.tasks)
			bw_task_free(lfirst(lc));
		work->doubts_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
		return;
	}
	work->doubts_at = step.next_due;
	foreach(lc, step.tasks)
	{
		BwTask	   *task = lfirst(lc);

		if (ask_next(work, task))
			remember(work, task->detail);
		else
			bw_task_free(task);
	}
}

static void
remember(BwWork *work, Look *look)
{
	MemoryContext old = MemoryContextSwitchTo(work->cxt);

	work->looks = lappend(work->looks, look);
	MemoryContextSwitchTo(old);
}

/* It may take longer than we have patience with one that was never begun. */
static bool
is_under_way(const BwWork *work, const BwDoubt *doubt)
{
	ListCell   *lc;

	foreach(lc, work->looks)
	{
		const BwDoubt *other = &((const Look *) lfirst(lc))->doubt;

		if (strcmp(other->server, doubt->server) == 0 &&
			strcmp(other->ordered_by, doubt->ordered_by) == 0)
			return true;
	}
	return false;
}

/* If we never hear of a look, it begins anew when its patience is over. */
static void
start_due(BwWork *work, void *arg)
{
	Step	   *step = arg;
	int			count;
	BwDoubt    *doubts = bw_store_due_doubts(&count, &step->next_due);

	for (int i = 0; i < count; i++)
	{
		Look		look = {.doubt = doubts[i]};
		TimestampTz again_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
														   PATIENCE_MS);

		step->look = &look;
		if (!is_under_way(work, &doubts[i]))
			(void) bw_work_attempt(work, make_look, step, "looking for orders that were sent before");
		bw_store_doubt_later(&doubts[i], again_at, doubts[i].tries);
		step->next_due = Min(step->next_due, again_at);
	}
}

/* Fails where the server or credentials are missing: those orders wait. */
static void
make_look(BwWork *work, void *arg)
{
	Step	   *step = arg;
	BwTask	   *task = bw_task_create(work, BW_TASK_TIMELINE, 0);
	MemoryContext old = MemoryContextSwitchTo(task->cxt);
	Look	   *look = palloc(sizeof(Look));

	*look = *step->look;
	look->doubt.server = pstrdup(look->doubt.server);
	look->doubt.ordered_by = pstrdup(look->doubt.ordered_by);
	look->query = bw_api_dated_query(look->doubt.since, PAGE_SIZE);
	task->detail = look;
	MemoryContextSwitchTo(old);
	bw_task_account(task, look->doubt.server, look->doubt.ordered_by, NULL);
	step->tasks = lappend(step->tasks, task);
}

/* The next page, or the next order; false: nothing is left, or may be asked. */
static bool
ask_next(BwWork *work, BwTask *task)
{
	Look	   *look = task->detail;
	const BwServer *server = task->account.server;
	BwCallSpec	spec = {.class = BW_CLASS_HISTORY,.method = "GET"};
	TimestampTz retry_at;

	if (task->call != NULL)
		bw_call_release(task->call);
	task->call = NULL;
	if (look->failed || (look->query == NULL && look->next == list_length(look->sent)))
		return false;
	if (!bw_registry_budget_take(server->account_id, BW_CLASS_HISTORY,
								 server->requests_per_minute, server->burst, &retry_at))
	{
		look->failed = true;
		return false;
	}
	look->reading = look->query == NULL;
	if (look->reading)
	{
		const BwSent *sent = list_nth(look->sent, look->next);

		spec.path = bw_api_path(&task->account, bw_api_resource(sent->kind),
								sent->bandwidth_order_id);
	}
	else
	{
		spec.path = bw_api_path(&task->account, bw_api_resource(look->listed), NULL);
		spec.query = look->query;
	}
	bw_task_start(work, task, &spec);
	return true;
}

void
bw_timeline_finished(BwWork *work, BwTask *task)
{
	Look	   *look = task->detail;
	Step		step = {.look = look,.next_due = DT_NOEND};

	if (look->reading)
		take_order(work, task);
	else
	{
		take_page(work, task);
		turn_to_disconnects(task);
	}
	if (ask_next(work, task))
		return;
	if (bw_work_transaction(work, conclude, &step, "looking for orders that were sent before"))
		work->doubts_at = Min(work->doubts_at, step.next_due);
	work->looks = list_delete_ptr(work->looks, look);
	bw_task_free(task);
}

/* All orders are read.  What was given back may have been lost as well. */
static void
turn_to_disconnects(BwTask *task)
{
	Look	   *look = task->detail;

	if (look->query != NULL || look->listed == BW_KIND_DISCONNECT ||
		!(look->doubt.disconnects || task->account.server->allow_disconnect))
		return;
	look->listed = BW_KIND_DISCONNECT;
	look->pages = 0;
	look->query = MemoryContextStrdup(task->cxt,
									  bw_api_dated_query(look->doubt.since, PAGE_SIZE));
}

static void
take_page(BwWork *work, BwTask *task)
{
	Look	   *look = task->detail;
	const BwOutcome *outcome = bw_call_outcome(task->call);
	const BwHttpReply *http = outcome->reply;
	Step		step = {.look = look,.task = task};
	const char *next = NULL;

	look->query = NULL;
	if (outcome->status == 204)
		return;
	if ((outcome->kind == BW_OUTCOME_DONE || outcome->kind == BW_OUTCOME_NOT_FOUND) &&
		http->body_len > 0)
		step.list = bw_xml_list_open(BW_LIST_ORDERS, http->body, http->body_len);
	if (step.list == NULL)
	{
		look->failed = true;
		return;
	}
	if (!bw_work_transaction(work, take_rows, &step, "reading a list of orders"))
		look->failed = true;
	else
		next = bw_xml_list_next_query(step.list);
	if (next != NULL && ++look->pages < PAGES_MAX)
		look->query = MemoryContextStrdup(task->cxt, next);
	bw_xml_list_close(step.list);
}

/* Of a page's rows, remember those that may be ours. */
static void
take_rows(BwWork *work, void *arg)
{
	Step	   *step = arg;
	Rows		rows = {0};
	BwOurs	   *ours;
	int			count;
	MemoryContext old;

	read_rows(step, &rows);
	ours = bw_store_may_be_ours(step->task->account.server->account_id,
								(const char *const *) rows.customer_ids,
								(const char *const *) rows.ids, rows.count, &count);
	old = MemoryContextSwitchTo(step->task->cxt);
	for (int i = 0; i < count; i++)
	{
		int			n = ours[i].position;
		BwSent	   *sent = palloc0(sizeof(BwSent));

		sent->kind = step->look->listed;
		sent->bandwidth_order_id = pstrdup(rows.ids[n]);
		sent->customer_order_id = pstrdup(rows.customer_ids[n]);
		sent->status = rows.statuses[n] ? pstrdup(rows.statuses[n]) : NULL;
		sent->request_id = ours[i].request_id;
		sent->order_id = ours[i].order_id;
		if (!bought_nothing(sent))
			step->look->sent = lappend(step->look->sent, sent);
	}
	MemoryContextSwitchTo(old);
}

static void
read_rows(Step *step, Rows *rows)
{
	BwRow		row;
	BwNext		next;

	make_room(rows, atoi(PAGE_SIZE));
	while ((next = bw_xml_list_next(step->list, &row)) == BW_NEXT_ROW)
	{
		const char *status = row.field[BW_FIELD_STATUS];

		if (row.field[BW_FIELD_ID] == NULL || row.field[BW_FIELD_CUSTOMER_ORDER_ID] == NULL)
			continue;
		/* Bandwidth may know a size of its own. */
		if (rows->count == rows->room)
			make_room(rows, rows->room * 2);
		rows->ids[rows->count] = pstrdup(row.field[BW_FIELD_ID]);
		rows->customer_ids[rows->count] = pstrdup(row.field[BW_FIELD_CUSTOMER_ORDER_ID]);
		rows->statuses[rows->count++] = status ? pstrdup(status) : NULL;
	}
	if (next != BW_NEXT_END)
		step->look->failed = true;
}

static char **
grown(char **texts, int room)
{
	Size		size = sizeof(char *) * room;

	return texts == NULL ? palloc(size) : repalloc(texts, size);
}

static void
make_room(Rows *rows, int room)
{
	rows->ids = grown(rows->ids, room);
	rows->customer_ids = grown(rows->customer_ids, room);
	rows->statuses = grown(rows->statuses, room);
	rows->room = room;
}

static void
take_order(BwWork *work, BwTask *task)
{
	Look	   *look = task->detail;
	const BwOutcome *outcome = bw_call_outcome(task->call);
	Step		step = {.look = look,.task = task};
	BwOrderReply *reply = NULL;
	BwXmlProblem problem;

	step.sent = list_nth(look->sent, look->next++);
	if (outcome->kind == BW_OUTCOME_NOT_FOUND)
		return;
	if (outcome->kind == BW_OUTCOME_DONE)
		reply = bw_xml_decode_order(outcome->reply->body, outcome->reply->body_len,
									&problem);
	if (reply == NULL)
	{
		look->failed = true;
		return;
	}
	step.sent->created = bw_api_our_time(reply->created, outcome->reply);
	step.sent->quantity = reply->quantity;
	if (reply->status != NULL)
		step.sent->status = MemoryContextStrdup(task->cxt, reply->status);
	/* The echo of a failed order may have lost its list. */
	read_numbers(reply->requested.count > 0 || step.sent->request_id != 0
				 ? &reply->requested : &reply->completed, step.sent);
	bw_xml_free_order(reply);
	if (!bw_work_transaction(work, bind_order, &step, "adopting an order that was sent before"))
		look->failed = true;
	bw_work_moved(work, step.moved);
}

/* Sorted, as ten digits. */
static void
read_numbers(const BwTexts *texts, BwSent *sent)
{
	BwNumberSet set;

	(void) bw_numbers_read(&set, texts, palloc(bw_numbers_size(texts)));
	sent->numbers = palloc(sizeof(char *) * Max(set.count, 1));
	for (int i = 0; i < set.count; i++)
		sent->numbers[i] = set.items[i].digits;
	sent->number_count = set.count;
}

/*
 * Then it is nobody's: the order that it was for was sent once more, and is that one,
 * or waits, and goes out.
 */
static bool
bought_nothing(const BwSent *sent)
{
	BwOrderStatus status;

	return sent->request_id == 0 && sent->kind == BW_KIND_ORDER &&
		bw_order_status_from_bandwidth(sent->status, &status) &&
		status == BW_ORDER_FAILED;
}

static void
bind_order(BwWork *work, void *arg)
{
	Step	   *step = arg;
	Look	   *look = step->look;
	const BwServer *server = step->task->account.server;
	int			count;
	int64	   *ids;

	if (bought_nothing(step->sent))
		return;
	ids = bw_store_bind_sent(&look->doubt, server->account_id, step->sent, &count);
	for (int i = 0; i < count; i++)
		step->moved = lappend(step->moved, bw_moved(ids[i], BW_ORDER_RECEIVED));
	if (count > 0)
	{
		bw_store_spend(server->name, step->sent->kind, Max(step->sent->number_count, count));
		bw_guards_forget(work);
		work->reconcile_at = GetCurrentTimestamp();
	}
	if (step->sent->request_id == 0 &&
		bw_store_note_lost(&look->doubt, server->account_id, step->sent, ids, count))
	{
		/* Nobody has it, but it counts. */
		if (count == 0)
			bw_store_spend(server->name, step->sent->kind,
						   Max(step->sent->number_count, Max(step->sent->quantity, 0)));
		bw_guards_forget(work);
		look->lost++;
		look->example = step->sent->bandwidth_order_id;
	}
}

/* Those of earlier looks have their rows already. */
static void
report_lost(const Look *look)
{
	if (look->lost > 0)
		ereport(WARNING,
				(errmsg("Bandwidth has %d orders of this database that it does not know, for example %s",
						look->lost, look->example),
				 errdetail("They were sent before the database changed timelines; the rows of their orders were lost with the other one."),
				 errhint("See bw_lost_orders: the account has their numbers, or has given them back.")));
}

/* Look again after a delay; after the last one the rest goes out. */
static void
conclude(BwWork *work, void *arg)
{
	Step	   *step = arg;
	Look	   *look = step->look;
	TimestampTz now = GetCurrentTimestamp();
	int64		wait_ms;

	report_lost(look);
	wait_ms = look->failed ? RETRY_MS
		: bw_work_delay_ms(bw_look_up_delays, look->doubt.tries, -1);
	if (wait_ms >= 0)
	{
		step->next_due = TimestampTzPlusMilliseconds(now, wait_ms);
		bw_store_doubt_later(&look->doubt, step->next_due,
							 look->doubt.tries + (look->failed ? 0 : 1));
		return;
	}
	bw_store_end_doubt(&look->doubt);
	work->submit_at = work->search_at = now;
}
