/*-------------------------------------------------------------------------
 *
 * submit.c
 *	  POST an order or a disconnect, and record how that went.
 *
 * The claim is committed before the POST leaves, and no transaction is open
 * while it is on its way.  Whatever kills us in between leaves a request that
 * is marked as sent: its outcome then is unknown, and reconcile.c asks
 * Bandwidth for it by the CustomerOrderId that was committed with the claim.
 *
 * src/submit.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "criteria.h"
#include "echo.h"
#include "encoding.h"
#include "group.h"
#include "guards.h"
#include "registry.h"
#include "settle.h"
#include "split.h"
#include "statistics.h"
#include "submit.h"
#include "xml_read.h"
#include "xml_write.h"

/*
 * A request whose outcome was not recorded by then is looked up: a call may be a
 * POST that is answered 401, a token, and the POST again, and each takes its time.
 */
#define TRANSFERS_MAX 3
#define PATIENCE_EXTRA_MS 5000

/* What a POST must remember, beside its account. */
typedef struct Submission
{
	BwOrderKind kind;
	char	   *body;
	bool		own_place;		/* site and peer are the server's own */
	int			quantity;
	bool		errors_read;
	BwReplyErrors errors;		/* of a refusal; freed with the task */
	MemoryContextCallback guard;
} Submission;

/* Tasks whose outcomes are recorded in one transaction. */
typedef struct Recording
{
	BwTask	  **tasks;
	int			count;
	List	   *moved;
	TimestampTz next_due;
	bool		requeued;
} Recording;

static BwTask *make_task(BwWork *work, int64 request_id, const char *server,
						 const char *ordered_by, const char *account_id,
						 const char *customer_order_id, BwOrderData **orders,
						 int count);
static bool is_own_place(const BwServer *server, const BwOrderData *order);
static char *request_body(const char *customer_order_id, BwOrderData **orders,
						  int count);
static char *order_body(const char *customer_order_id, BwOrderData **orders,
						int count, const char *const *numbers, int number_count);
static bool record_all(BwWork *work, BwTask **tasks, int count, const char *what);
static void record(BwWork *work, void *arg);
static void split(Recording *recording, BwTask *task, const BwRequestRow *request);
static void note_outcome(BwWork *work, Recording *recording, BwTask *task,
						 const BwSettlement *item);
static bool is_to_be_split(BwTask *task, const BwRequestRow *request);
static void settle_outcome(BwWork *work, BwTask *task,
						   const BwRequestRow *request, BwSettlement *item);
static bool settle_refusal(BwTask *task, const BwRequestRow *request,
						   BwSettlement *item);
static BwOrderStatus not_executed(const BwRequestRow *request);
static void lock_all_or_doubt(BwSettlement *item);
static TimestampTz look_up_at(void);
static const BwReplyErrors *refusal_errors(BwTask *task);
static void settle_reply(BwTask *task, BwSettlement *item);
static void keep_first(const BwRequestRow *request, BwSettlement *item);

int
bw_submit_patience_ms(const BwServer *server)
{
	return TRANSFERS_MAX * (server->connect_timeout_ms + server->request_timeout_ms) +
		PATIENCE_EXTRA_MS;
}

BwTask *
bw_submit_prepare(BwWork *work, const BwGroup *group, const char *account_id,
				  const BwClaim *claim)
{
	BwTask	   *task = make_task(work, claim->request_id, group->server,
								 group->ordered_by, account_id,
								 claim->customer_order_id, claim->orders,
								 claim->order_count);

	task->attempts = 1;
	return task;
}

static BwTask *
make_task(BwWork *work, int64 request_id, const char *server,
		  const char *ordered_by, const char *account_id,
		  const char *customer_order_id, BwOrderData **orders, int count)
{
	BwTask	   *task = bw_task_create(work, BW_TASK_SUBMIT, request_id);
	Submission *submission = MemoryContextAllocZero(task->cxt, sizeof(Submission));

	bw_task_account(task, server, ordered_by, account_id);
	task->source = "reply";
	task->detail = submission;
	submission->kind = orders[0]->kind;
	submission->own_place = is_own_place(task->account.server, orders[0]);
	for (int i = 0; i < count; i++)
		submission->quantity += orders[i]->quantity;
	submission->body = MemoryContextStrdup(task->cxt,
										   request_body(customer_order_id, orders,
														count));
	return task;
}

/* Then an error about them is the server's, not the order's. */
static bool
is_own_place(const BwServer *server, const BwOrderData *order)
{
	return bw_same_text(server->site_id, order->site_id) &&
		bw_same_text(server->peer_id, order->peer_id);
}

/*
 * Bandwidth's own search-and-order types ("Order types").  EnableLCA is true
 * by default, and then buys in the neighbourhood: it is sent wherever it can be.
 */
static void
add_criteria(BwOrderBody *body, const BwOrderData *order)
{
	BwCriteria	criteria;
	const BwSearch *search = &criteria.search;

	bw_criteria_from_json(order->criteria, &criteria);
	bw_criteria_to_utf8(&criteria.search);
	body->type = bw_criteria_order_type(search);
	body->quantity = order->quantity;
	body->area_code = search->area_code;
	body->npanxx = search->npanxx;
	body->npanxxx = search->npanxxx;
	body->rate_center = search->rate_center;
	body->city = search->city;
	body->state = search->state;
	body->zip = search->zip;
	body->lata = search->lata;
	body->local_vanity = search->local_vanity;
	body->toll_free_vanity = search->toll_free_vanity;
	body->toll_free_wildcard_pattern = search->toll_free_wildcard_pattern;
	if (search->local_vanity != NULL)
		body->ends_in = search->ends_in == 1;
	if (bw_criteria_has_lca(search))
		body->enable_lca = search->lca == 1;
}

/*
 * The POST's body, from what never changes of a request and its orders: the
 * same request sent again is the same to the byte.
 */
static char *
request_body(const char *customer_order_id, BwOrderData **orders, int count)
{
	BwDisconnectBody disconnect = {.customer_order_id = customer_order_id};
	const char **numbers;
	int			number_count = 0;
	char	   *xml;
	char	   *copy;

	for (int i = 0; i < count; i++)
		number_count += orders[i]->number_count;
	numbers = palloc(sizeof(char *) * Max(number_count, 1));
	number_count = 0;
	for (int i = 0; i < count; i++)
		for (int j = 0; j < orders[i]->number_count; j++)
			numbers[number_count++] = orders[i]->numbers[j];
	disconnect.numbers = numbers;
	disconnect.number_count = number_count;
	xml = orders[0]->kind == BW_KIND_DISCONNECT ? bw_xml_encode_disconnect(&disconnect)
		: order_body(customer_order_id, orders, count, numbers, number_count);
	if (xml == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("order " INT64_FORMAT " cannot be written as XML", orders[0]->id),
				 errdetail("A text holds characters that XML does not allow.")));
	copy = pstrdup(xml);
	free(xml);
	return copy;
}

/* malloc'd; NULL as bw_xml_encode_order() returns it. */
static char *
order_body(const char *customer_order_id, BwOrderData **orders, int count,
		   const char *const *numbers, int number_count)
{
	BwOrderBody body = {.customer_order_id = customer_order_id,.numbers = numbers,
	.number_count = number_count};

	body.name = orders[0]->name != NULL ? bw_to_utf8(orders[0]->name)
		: count == 1 ? psprintf("PostgreSQL order " INT64_FORMAT, orders[0]->id)
		: psprintf("PostgreSQL orders from " INT64_FORMAT, orders[0]->id);
	body.site_id = orders[0]->site_id;
	body.peer_id = orders[0]->peer_id;
	body.partial_allowed = count > 1 || orders[0]->partial_allowed;
	body.back_order_requested = orders[0]->back_order_requested;
	body.reservation_ids = (const char *const *) orders[0]->reservation_ids;
	body.reservation_count = orders[0]->reservation_count;
	body.enable_lca = -1;
	body.ends_in = -1;
	if (orders[0]->direct)
		add_criteria(&body, orders[0]);
	return bw_xml_encode_order(&body);
}

static BwOrderData **
read_members(const BwRequestRow *request, int *count)
{
	BwOrderData *orders = bw_store_request_orders(request->id, count);
	BwOrderData **members = palloc(sizeof(BwOrderData *) * Max(*count, 1));

	/* Somebody has deleted them by hand. */
	if (*count == 0)
		elog(ERROR, "request " INT64_FORMAT " has no orders", request->id);
	for (int i = 0; i < *count; i++)
		members[i] = &orders[i];
	return members;
}

char *
bw_submit_body(const BwRequestRow *request)
{
	int			count;
	BwOrderData **members = read_members(request, &count);

	return request_body(request->customer_order_id, members, count);
}

BwTask *
bw_submit_again(BwWork *work, const BwRequestRow *request, bool count_numbers)
{
	BwTask	   *task;
	int			count;
	BwOrderData **members = read_members(request, &count);

	task = make_task(work, request->id, request->server, request->ordered_by,
					 request->account_id, request->customer_order_id, members, count);
	task->attempts = request->attempts + 1;
	bw_store_send_again(request->id, bw_submit_patience_ms(task->account.server),
						count_numbers);
	if (count_numbers)
		bw_guards_forget(work);
	return task;
}

void
bw_submit_send(BwWork *work, BwTask *task)
{
	const Submission *submission = task->detail;
	bool		disconnect = submission->kind == BW_KIND_DISCONNECT;
	BwCallSpec	spec = {.class = disconnect ? BW_CLASS_DISCONNECT : BW_CLASS_ORDER,
	.method = "POST",.body = submission->body};

	spec.path = bw_api_path(&task->account, bw_api_resource(submission->kind), NULL);
	spec.again = task->attempts > 1;
	bw_task_start(work, task, &spec);
}

static bool
record_all(BwWork *work, BwTask **tasks, int count, const char *what)
{
	Recording	recording = {.tasks = tasks,.count = count,.next_due = DT_NOEND};

	if (!bw_work_transaction(work, record, &recording, what))
		return false;
	bw_work_moved(work, recording.moved);
	work->reconcile_at = Min(work->reconcile_at, recording.next_due);
	work->crowded |= recording.requeued;
	return true;
}

void
bw_submit_finished(BwWork *work, BwTask **tasks, int count)
{
	/* If one of them is bad: each on its own, so that only that one waits. */
	if (count == 1 || !record_all(work, tasks, count, NULL))
	{
		for (int i = 0; i < count; i++)
		{
			CHECK_FOR_INTERRUPTS();
			(void) record_all(work, &tasks[i], 1,
							  psprintf("recording the reply to request " INT64_FORMAT,
									   tasks[i]->id));
		}
	}
	for (int i = 0; i < count; i++)
		bw_task_free(tasks[i]);
}

static void
record(BwWork *work, void *arg)
{
	Recording  *recording = arg;
	BwSettlement *items = palloc0(sizeof(BwSettlement) * recording->count);
	BwRequestRow **requests = bw_task_requests(recording->tasks, recording->count);
	int			n = 0;

	for (int i = 0; i < recording->count; i++)
	{
		BwTask	   *task = recording->tasks[i];

		if (requests[i] == NULL)
			continue;
		if (is_to_be_split(task, requests[i]))
			split(recording, task, requests[i]);
		else
		{
			settle_outcome(work, task, requests[i], &items[n]);
			lock_all_or_doubt(&items[n]);
			note_outcome(work, recording, task, &items[n++]);
		}
	}
	recording->moved = list_concat(recording->moved, bw_settle(items, n));
}

/*
 * Several orders, refused because of some of their numbers.  After a copy it
 * is first asked what became of the lost one.
 */
static bool
is_to_be_split(BwTask *task, const BwRequestRow *request)
{
	const BwOutcome *outcome = bw_call_outcome(task->call);

	return outcome->kind == BW_OUTCOME_REFUSED && request->attempts <= 1 &&
		bw_may_split(request, outcome->code);
}

static void
split(Recording *recording, BwTask *task, const BwRequestRow *request)
{
	recording->moved = list_concat(recording->moved,
								   bw_split(request, refusal_errors(task)));
	recording->next_due = GetCurrentTimestamp();
	recording->requeued = true;
}

/* What an outcome means for the turns to come. */
static void
note_outcome(BwWork *work, Recording *recording, BwTask *task,
			 const BwSettlement *item)
{
	BwGroupState *state = bw_group_state(work, item->request->server,
										 item->request->ordered_by);

	if (item->status == BW_ORDER_QUEUED)
	{
		const Submission *submission = task->detail;

		/* A part passes, come what may: the room that it has is kept for it. */
		if (item->request->shared || item->request->member_count == 1)
			(void) bw_guards_give_back(work, item->request->server, submission->kind,
									   item->request->id, submission->quantity);
		bw_statistics_retry_at(task->account.server->serverid,
							   submission->kind == BW_KIND_DISCONNECT
							   ? BW_CLASS_DISCONNECT : BW_CLASS_ORDER,
							   bw_group_back_off(state));
		recording->requeued = true;
		return;
	}
	state->failures = 0;
	if (item->step != NULL)
		recording->next_due = Min(recording->next_due, item->due_at);
}

/* What the outcome of a POST means for the orders in it. */
static void
settle_outcome(BwWork *work, BwTask *task, const BwRequestRow *request,
			   BwSettlement *item)
{
	const BwOutcome *outcome = bw_call_outcome(task->call);

	item->request = request;
	item->source = task->source;
	item->error_code = outcome->code;
	item->error_text = outcome->text;
	switch (outcome->kind)
	{
		case BW_OUTCOME_DONE:
			item->error_code = NULL;
			item->error_text = NULL;
			settle_reply(task, item);
			keep_first(request, item);
			return;
		case BW_OUTCOME_REFUSED:
		case BW_OUTCOME_UNAUTHORIZED:
			if (!settle_refusal(task, request, item))
				return;
			break;
		case BW_OUTCOME_LATER:
			item->status = not_executed(request);
			break;
		case BW_OUTCOME_NOT_FOUND:
		case BW_OUTCOME_UNKNOWN:
			item->status = BW_ORDER_UNKNOWN;
			break;
	}
	item->step = "look_up";
	item->due_at = item->status == BW_ORDER_QUEUED ? GetCurrentTimestamp() : look_up_at();
}

/*
 * Bandwidth said no.  What the whole account or mapping did wrong pauses it
 * and costs no order.  What is said of a copy need not hold for the one that
 * was lost: that may have bought the numbers, or used up their reservation.
 * Else the order is REJECTED, and false returned.
 */
static bool
settle_refusal(BwTask *task, const BwRequestRow *request, BwSettlement *item)
{
	const BwOutcome *outcome = bw_call_outcome(task->call);
	BwErrorClass class = outcome->kind == BW_OUTCOME_UNAUTHORIZED
	? BW_ERROR_MAPPING : bw_order_error_class(outcome->code);
	bool		first = request->attempts <= 1;

	item->status = not_executed(request);
	switch (class)
	{
		case BW_ERROR_MAPPING:
			bw_guards_pause(&task->account, request->ordered_by, outcome->code,
							outcome->text);
			return true;
		case BW_ERROR_SERVER:
			bw_guards_pause(&task->account, NULL, outcome->code, outcome->text);
			return true;
		case BW_ERROR_PLACE:
			if (((Submission *) task->detail)->own_place)
			{
				bw_guards_pause(&task->account, NULL, outcome->code, outcome->text);
				return true;
			}
			break;
		default:
			break;
	}
	if (!first)
	{
		item->refused_code = outcome->code;
		item->refused_text = outcome->text;
		return true;
	}
	item->status = BW_ORDER_REJECTED;
	item->errors = refusal_errors(task);
	return false;
}

/*
 * The first copy of a request goes back to the queue, unless so much time went by
 * that its orders are being looked up already.
 */
static BwOrderStatus
not_executed(const BwRequestRow *request)
{
	return request->attempts <= 1 && request->step != NULL &&
		strcmp(request->step, "sent") == 0 ? BW_ORDER_QUEUED : BW_ORDER_UNKNOWN;
}

/*
 * A request that was not executed, or refused, ends for all of its orders or for
 * none: if it is sent again, it carries all of them.  While somebody has locked one,
 * its outcome counts as unknown.
 */
static void
lock_all_or_doubt(BwSettlement *item)
{
	BwMember   *locked;
	int			count;

	if (item->status != BW_ORDER_QUEUED && item->status != BW_ORDER_REJECTED)
		return;
	locked = bw_store_lock_members(&item->request->id, 1, &count);
	item->members = bw_members_of(locked, count, item->request->id, &item->member_count);
	if (item->member_count == item->request->member_count)
		return;
	if (item->status == BW_ORDER_REJECTED)
	{
		item->refused_code = item->error_code;
		item->refused_text = item->error_text;
	}
	item->status = BW_ORDER_UNKNOWN;
	item->step = "look_up";
	item->due_at = look_up_at();
}

static TimestampTz
look_up_at(void)
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									   bw_work_delay_ms(bw_look_up_delays, 0, 60000));
}

static void
free_errors(void *arg)
{
	bw_xml_free_errors(arg);
}

/* Everything that the refusal says, as long as the task lives. */
static const BwReplyErrors *
refusal_errors(BwTask *task)
{
	Submission *submission = task->detail;
	const BwHttpReply *http = bw_call_outcome(task->call)->reply;
	BwXmlProblem problem;

	if (!submission->errors_read && http != NULL)
	{
		submission->guard.func = free_errors;
		submission->guard.arg = &submission->errors;
		MemoryContextRegisterResetCallback(task->cxt, &submission->guard);
		submission->errors_read = true;
		(void) bw_xml_decode_errors(http->body, http->body_len, &submission->errors,
									&problem);
	}
	return &submission->errors;
}

/* A 2xx: the order exists, also when its body cannot be read. */
static void
settle_reply(BwTask *task, BwSettlement *item)
{
	const BwHttpReply *http = bw_call_outcome(task->call)->reply;
	BwXmlProblem problem;
	BwOrderReply *reply = bw_xml_decode_order(http->body, http->body_len, &problem);

	item->status = BW_ORDER_RECEIVED;
	item->step = "poll";
	item->due_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											   bw_work_delay_ms(bw_poll_schedule, 0, 1000));
	item->bandwidth_order_id = bw_api_location_id(http);
	if (reply != NULL)
	{
		if (item->bandwidth_order_id == NULL && reply->id != NULL)
			item->bandwidth_order_id = pstrdup(reply->id);
		if (reply->status != NULL)
			item->bandwidth_status = pstrdup(reply->status);
		item->warning = bw_echo_difference(((Submission *) task->detail)->body, reply);
		bw_xml_free_order(reply);
	}
	if (item->bandwidth_order_id == NULL)
	{
		item->status = BW_ORDER_UNKNOWN;
		item->step = "look_up";
		item->error_text = "the reply names no order";
	}
}

/*
 * While a request was sent again, a look-up may have found its first copy.  Then
 * there are two orders at Bandwidth, and both are looked after.
 */
static void
keep_first(const BwRequestRow *request, BwSettlement *item)
{
	const char **others = palloc(sizeof(char *) * (request->other_count + 1));

	if (request->bandwidth_order_id == NULL || item->bandwidth_order_id == NULL ||
		strcmp(request->bandwidth_order_id, item->bandwidth_order_id) == 0)
		return;
	for (int i = 0; i < request->other_count; i++)
		others[i] = request->other_order_ids[i];
	others[request->other_count] = item->bandwidth_order_id;
	item->other_order_ids = others;
	item->other_count = request->other_count + 1;
	item->bandwidth_order_id = request->bandwidth_order_id;
	item->warning = psprintf("Bandwidth has %d orders for this request",
							 item->other_count + 1);
}
