/*-------------------------------------------------------------------------
 *
 * receive.c
 *	  Callbacks: keep them, believe what can be believed, answer.
 *
 * All callbacks that are waiting share one transaction: state changes, the
 * raw bodies, commit, and only then the answers.  Bandwidth repeats none, so an
 * answer of 200 means "kept"; what could not be applied stays in the inbox.
 * 503 says that somebody has locked the table of the raw ones, 500 that this
 * one could not be kept.
 *
 * Believed without asking back is only an authenticated COMPLETE that lists
 * exactly the requested numbers.  Everything else is a reason to ask:
 * Bandwidth's example of a FAILED notification lists the number that was not
 * bought among the completed ones ("Search and order phone numbers").
 *
 * src/receive.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "encoding.h"
#include "numbers.h"
#include "receive.h"
#include "settle.h"
#include "store_notifications.h"
#include "store_requests.h"
#include "xml_read.h"

/* Callbacks that share a commit. */
#define BATCH_MAX 256
/* Batches in a row: callers that never pause hold up nothing else. */
#define BATCHES_MAX 8
/* An orphan may belong to a POST whose reply is not recorded yet. */
#define ORPHAN_FIRST_MS 2000
#define ORPHAN_TRIES 8
/* When not even a single callback can be taken from the inbox. */
#define RETRY_MS 10000

/* One transaction's worth. */
typedef struct Batch
{
	BwParked  **parked;			/* NULL: from the inbox */
	BwIncoming *items;
	BwNotification **notifications;
	int			count;
	int			limit;			/* of what is taken from the inbox */
	List	   *moved;
	bool		ask;			/* some requests are to be polled now */
	TimestampTz next_due;
} Batch;

/* A callback that is a reason to ask. */
typedef struct Reason
{
	int64		request_id;
	const char *order_id;		/* may be the request's; NULL: nothing new */
} Reason;

static void store_and_apply(BwWork *work, void *arg);
static void describe(Batch *batch);
static void store_for_later(BwWork *work, void *arg);
static bool take_inbox(BwWork *work, int limit, const char *what, Batch *batch);
static void take_inbox_one_by_one(BwWork *work, int count);
static void apply_inbox(BwWork *work, void *arg);
static void postpone(BwWork *work, void *arg);
static void apply(BwWork *work, Batch *batch);
static BwRequestRow *match(Batch *batch, int *matches, int *count);
static BwMember *lock_members(const BwRequestRow *requests, int request_count,
							  int *count);
static void decode(Batch *batch, int i);
static void check_caller(const BwWork *work, BwIncoming *item,
						 const BwNotification *notification);
static bool speaks_for(const BwWork *work, const BwIncoming *item,
					   const BwRequestRow *request);
static void apply_one(Batch *batch, int i, const BwRequestRow *request,
					  const BwMember *members, int member_count,
					  List **believed, List **doubted);
static bool is_believed(const List *believed, const BwRequestRow *request);
static bool lists_exactly(const BwNotification *notification,
						  const BwMember *members, int member_count);
static void believe(BwWork *work, Batch *batch, const List *believed);
static void ask(Batch *batch, const List *doubted);
static void orphan(BwIncoming *item);
static void keep_only(BwWork *work, Batch *batch);
static void keep_one_by_one(BwWork *work, Batch *batch);
static void answer(Batch *batch, int i);
static void free_notifications(Batch *batch);

void
bw_receive_parked(BwWork *work)
{
	for (int n = 0; n < BATCHES_MAX; n++)
	{
		Batch		batch = {.next_due = DT_NOEND};
		BwParked   *parked;

		batch.parked = palloc(sizeof(BwParked *) * BATCH_MAX);
		while (batch.count < BATCH_MAX &&
			   (parked = bw_listener_take(work->listener)) != NULL)
			batch.parked[batch.count++] = parked;
		if (batch.count == 0)
			return;
		batch.items = palloc0(sizeof(BwIncoming) * batch.count);
		batch.notifications = palloc0(sizeof(BwNotification *) * batch.count);
		if (bw_work_transaction(work, store_and_apply, &batch,
								batch.count > 1 ? NULL : "storing a callback"))
		{
			bw_work_moved(work, batch.moved);
			for (int i = 0; i < batch.count; i++)
				answer(&batch, i);
		}
		else
			keep_only(work, &batch);
		free_notifications(&batch);
		if (batch.ask)
			work->reconcile_at = GetCurrentTimestamp();
		work->inbox_at = Min(work->inbox_at, batch.next_due);
		bw_listener_run(work->listener);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * The batch failed.  Bandwidth will not repeat any of it, so what can be kept is
 * kept, and applied from the inbox.
 */
static void
keep_only(BwWork *work, Batch *batch)
{
	int			status = 200;

	free_notifications(batch);
	if (!bw_work_transaction(work, store_for_later, batch, "keeping callbacks"))
	{
		if (batch->count > 1 && work->error_code != ERRCODE_LOCK_NOT_AVAILABLE)
		{
			keep_one_by_one(work, batch);
			return;
		}
		status = work->error_code == ERRCODE_LOCK_NOT_AVAILABLE ? 503 : 500;
	}
	for (int i = 0; i < batch->count; i++)
		bw_listener_answer(batch->parked[i], status);
}

/* One of them cannot be kept: that one alone fails. */
static void
keep_one_by_one(BwWork *work, Batch *batch)
{
	for (int i = 0; i < batch->count; i++)
	{
		Batch		one = {.parked = &batch->parked[i],.items = palloc0(sizeof(BwIncoming)),
		.notifications = palloc0(sizeof(BwNotification *)),.count = 1,.next_due = DT_NOEND};

		keep_only(work, &one);
		batch->next_due = Min(batch->next_due, one.next_due);
	}
}

static void
answer(Batch *batch, int i)
{
	bool		malformed = strcmp(batch->items[i].outcome, "malformed") == 0;

	bw_listener_answer(batch->parked[i], malformed ? 400 : 200);
}

static void
free_notifications(Batch *batch)
{
	for (int i = 0; i < batch->count; i++)
	{
		bw_xml_free_notification(batch->notifications[i]);
		batch->notifications[i] = NULL;
	}
}

static void
store_and_apply(BwWork *work, void *arg)
{
	Batch	   *batch = arg;

	describe(batch);
	apply(work, batch);
	bw_store_keep(batch->items, batch->count);
}

/* For the inbox. */
static void
store_for_later(BwWork *work, void *arg)
{
	Batch	   *batch = arg;

	batch->next_due = GetCurrentTimestamp();
	describe(batch);
	for (int i = 0; i < batch->count; i++)
	{
		batch->items[i].outcome = "stored";
		batch->items[i].later = true;
		batch->items[i].due_at = batch->next_due;
	}
	bw_store_keep(batch->items, batch->count);
}

/* As they came; what a failed try said of them is forgotten. */
static void
describe(Batch *batch)
{
	memset(batch->items, 0, sizeof(BwIncoming) * batch->count);
	for (int i = 0; i < batch->count; i++)
	{
		const BwCallback *callback = bw_listener_callback(batch->parked[i]);
		BwIncoming *item = &batch->items[i];

		item->subscription_id = callback->key_id;
		item->path = callback->path;
		item->peer = callback->peer;
		item->content_type = callback->content_type;
		item->user_agent = callback->user_agent;
		item->body = callback->body;
		item->body_len = callback->body_len;
		item->authenticated = callback->authenticated;
	}
}

void
bw_receive_inbox(BwWork *work)
{
	Batch		batch;

	if (!take_inbox(work, BATCH_MAX, NULL, &batch))
		take_inbox_one_by_one(work, Max(batch.count, 1));
}

/* Take what is due, up to the limit; says when the next one is. */
static bool
take_inbox(BwWork *work, int limit, const char *what, Batch *batch)
{
	bool		done;

	memset(batch, 0, sizeof(Batch));
	batch->limit = limit;
	batch->next_due = DT_NOEND;
	done = bw_work_transaction(work, apply_inbox, batch, what);
	free_notifications(batch);
	if (!done)
		return false;
	bw_work_moved(work, batch->moved);
	if (batch->ask)
		work->reconcile_at = GetCurrentTimestamp();
	work->inbox_at = batch->next_due;
	return true;
}

/* Whatever fails by itself as well is not due for a while. */
static void
take_inbox_one_by_one(BwWork *work, int count)
{
	for (int i = 0; i < count; i++)
	{
		Batch		one;

		CHECK_FOR_INTERRUPTS();
		if (take_inbox(work, 1, "applying a stored callback", &one))
			continue;
		work->inbox_at = bw_work_back_off(0);
		if (one.count == 0 ||
			!bw_work_transaction(work, postpone, &one.items[0], "postponing a callback"))
		{
			work->inbox_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
			return;
		}
	}
}

static void
postpone(BwWork *work, void *arg)
{
	const BwIncoming *item = arg;

	bw_store_postpone(item->id, bw_work_back_off(item->tries));
}

static void
apply_inbox(BwWork *work, void *arg)
{
	Batch	   *batch = arg;

	batch->items = bw_store_inbox(batch->limit, &batch->count, &batch->next_due);
	batch->notifications = palloc0(sizeof(BwNotification *) * Max(batch->count, 1));
	if (batch->count == 0)
		return;
	apply(work, batch);
	bw_store_outcomes(batch->items, batch->count);
}

/* Match callbacks with requests; settle or ask. */
static void
apply(BwWork *work, Batch *batch)
{
	int		   *matches = palloc(sizeof(int) * batch->count);
	int			request_count;
	int			member_count;
	BwRequestRow *requests;
	BwMember   *members;
	List	   *believed = NIL;
	List	   *doubted = NIL;

	for (int i = 0; i < batch->count; i++)
		decode(batch, i);
	requests = match(batch, matches, &request_count);
	members = lock_members(requests, request_count, &member_count);
	for (int i = 0; i < batch->count; i++)
	{
		BwIncoming *item = &batch->items[i];
		const BwRequestRow *request = matches[i] < 0 ? NULL : &requests[matches[i]];

		if (batch->notifications[i] == NULL)
			continue;
		check_caller(work, item, batch->notifications[i]);
		if (request == NULL || !speaks_for(work, item, request))
			orphan(item);
		else
		{
			int			part;
			const BwMember *its = bw_members_of(members, member_count, request->id, &part);

			apply_one(batch, i, request, its, part, &believed, &doubted);
		}
	}
	if (believed != NIL)
		believe(work, batch, believed);
	if (doubted != NIL)
		ask(batch, doubted);
	for (int i = 0; i < batch->count; i++)
		if (batch->items[i].later)
			batch->next_due = Min(batch->next_due, batch->items[i].due_at);
}

/* The requests that they are about; "matches" has an index of each, -1: none. */
static BwRequestRow *
match(Batch *batch, int *matches, int *count)
{
	const char **order_ids = palloc(sizeof(char *) * batch->count);
	const char **customer_ids = palloc(sizeof(char *) * batch->count);

	for (int i = 0; i < batch->count; i++)
	{
		order_ids[i] = batch->items[i].bandwidth_order_id;
		customer_ids[i] = batch->items[i].customer_order_id;
	}
	return bw_store_match_requests(order_ids, customer_ids, batch->count, count, matches);
}

static BwMember *
lock_members(const BwRequestRow *requests, int request_count, int *count)
{
	int64	   *ids = palloc(sizeof(int64) * Max(request_count, 1));

	for (int i = 0; i < request_count; i++)
		ids[i] = requests[i].id;
	return bw_store_lock_members(ids, request_count, count);
}

/* What cannot be recorded now stays in the inbox. */
static void
believe(BwWork *work, Batch *batch, const List *believed)
{
	int			count = list_length(believed);
	BwSettlement *items = palloc(sizeof(BwSettlement) * count);
	bool	   *failed = palloc(sizeof(bool) * count);
	ListCell   *lc;

	foreach(lc, believed)
		items[foreach_current_index(lc)] = *(BwSettlement *) lfirst(lc);
	batch->moved = bw_settle_each(work, items, count, failed);
	for (int i = 0; i < batch->count; i++)
	{
		BwIncoming *item = &batch->items[i];

		for (int j = 0; j < count; j++)
		{
			if (!failed[j] || items[j].request->id != item->request_id ||
				strcmp(item->outcome, "applied") != 0)
				continue;
			item->outcome = "stored";
			item->later = true;
			item->due_at = bw_work_back_off(item->tries++);
		}
	}
	work->callbacks_come = true;
}

static void
ask(Batch *batch, const List *doubted)
{
	TimestampTz now = GetCurrentTimestamp();
	ListCell   *lc;

	foreach(lc, doubted)
	{
		const Reason *reason = lfirst(lc);

		bw_store_ask_now(reason->request_id, reason->order_id, now);
	}
	batch->ask = true;
}

/* Read a body; a malformed one is kept with a note and has no other effect. */
static void
decode(Batch *batch, int i)
{
	BwIncoming *item = &batch->items[i];
	BwNotification *notification;
	BwXmlProblem problem;

	item->outcome = "ignored";
	notification = bw_xml_decode_notification(item->body, item->body_len, &problem);
	if (notification == NULL)
	{
		item->outcome = "malformed";
		item->note = pstrdup(problem.text);
		return;
	}
	batch->notifications[i] = notification;
	item->bandwidth_order_id = notification->order_id;
	item->customer_order_id = notification->customer_order_id;
	item->bandwidth_status = bw_from_utf8(notification->status);
}

static const BwCaller *
caller_of(const BwWork *work, const BwIncoming *item)
{
	for (int i = 0; i < work->caller_count; i++)
		if (work->callers[i].subscription_id == item->subscription_id)
			return &work->callers[i];
	return NULL;
}

/* A subscription other than that of the credentials is not believed. */
static void
check_caller(const BwWork *work, BwIncoming *item, const BwNotification *notification)
{
	const BwCaller *caller = caller_of(work, item);

	if (caller == NULL || caller->bandwidth_subscription_id == NULL ||
		notification->subscription_id == NULL ||
		strcmp(caller->bandwidth_subscription_id, notification->subscription_id) == 0)
		return;
	item->authenticated = false;
	item->note = "its SubscriptionId is not that of the credentials";
}

/* One account's callbacks say nothing about another's orders. */
static bool
speaks_for(const BwWork *work, const BwIncoming *item, const BwRequestRow *request)
{
	const BwCaller *caller = caller_of(work, item);

	return caller == NULL || strcmp(caller->account_id, request->account_id) == 0;
}

static void
apply_one(Batch *batch, int i, const BwRequestRow *request,
		  const BwMember *members, int member_count,
		  List **believed, List **doubted)
{
	BwIncoming *item = &batch->items[i];
	const BwNotification *notification = batch->notifications[i];
	BwOrderStatus status;
	BwSettlement *settlement;

	item->request_id = request->id;
	if (request->step == NULL || is_believed(*believed, request))
	{
		item->outcome = "ignored";
		item->note = "the order is final already";
		return;
	}
	if (!item->authenticated || notification->status == NULL ||
		!bw_order_status_from_bandwidth(notification->status, &status) ||
		status != BW_ORDER_COMPLETE || notification->order_id == NULL ||
		!lists_exactly(notification, members, member_count))
	{
		Reason	   *reason = palloc(sizeof(Reason));

		reason->request_id = request->id;
		reason->order_id = request->bandwidth_order_id == NULL
			? notification->order_id : NULL;
		*doubted = lappend(*doubted, reason);
		item->outcome = "confirming";
		return;
	}
	settlement = palloc0(sizeof(BwSettlement));
	settlement->request = request;
	settlement->status = status;
	settlement->bandwidth_order_id = notification->order_id;
	settlement->bandwidth_status = notification->status;
	settlement->message = bw_from_utf8(notification->message);
	settlement->source = "callback";
	settlement->step = "poll";
	settlement->members = members;
	settlement->member_count = member_count;
	settlement->due_at = GetCurrentTimestamp();
	*believed = lappend(*believed, settlement);
	item->outcome = "applied";
}

/* Does a callback of the same batch end it? */
static bool
is_believed(const List *believed, const BwRequestRow *request)
{
	ListCell   *lc;

	foreach(lc, believed)
		if (((BwSettlement *) lfirst(lc))->request == request)
		return true;
	return false;
}

/* Is what is listed the same set as what the request's orders asked for? */
static bool
lists_exactly(const BwNotification *notification,
			  const BwMember *members, int member_count)
{
	const BwTexts *listed = &notification->numbers;
	BwNumberSet theirs;
	int			asked = 0;

	if (!bw_numbers_read(&theirs, listed, palloc(bw_numbers_size(listed))))
		return false;
	for (int m = 0; m < member_count; m++)
		for (int i = 0; i < members[m].number_count; i++)
		{
			if (!bw_numbers_have(&theirs, members[m].numbers[i]))
				return false;
			asked++;
		}
	return asked > 0 && asked == theirs.count;
}

/* Nobody's yet: the reply to its POST may still be on the way. */
static void
orphan(BwIncoming *item)
{
	item->outcome = "orphan";
	item->tries++;
	if (item->tries > ORPHAN_TRIES)
	{
		item->note = "no order of this database";
		return;
	}
	item->later = true;
	item->due_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											   (int64) ORPHAN_FIRST_MS << (item->tries - 1));
}
