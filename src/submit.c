/*-------------------------------------------------------------------------
 *
 * submit.c
 *	  From the queue to Bandwidth: claim, send, record.
 *
 * The claim is committed before the POST leaves, and no transaction is open
 * while it is on its way.  Whatever kills us in between leaves a request that
 * is marked as sent: its outcome then is unknown, and reconcile.c asks
 * Bandwidth for it by the CustomerOrderId that was committed with the claim.
 *
 * Orders are claimed per server and role, so that one role's missing
 * credentials or full budget stop nobody else.
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

#include "registry.h"
#include "settle.h"
#include "submit.h"
#include "xml.h"

/* Most orders that share a request: their numbers' reply stays below 1 MB. */
#define SHARED_ORDERS_MAX 1000
/* A request whose outcome was not recorded by then is looked up. */
#define PATIENCE_EXTRA_MS 5000
/* First and longest wait of a group after a failure. */
#define BACK_OFF_MIN_MS 1000
#define BACK_OFF_MAX_MS 60000

/* What this process remembers of a server and role; nothing hangs on it. */
typedef struct BwGroupState
{
	char	   *server;
	char	   *ordered_by;
	TimestampTz not_before;
	int			failures;
	TimestampTz shared_sent_at; /* last shared request */
} BwGroupState;

/* One group's turn. */
typedef struct BwTurn
{
	BwGroup    *group;
	bool		more;			/* there are groups after it */
	BwGroupState *state;		/* NULL: no group was found */
	BwTask	  **tasks;			/* to be started after the commit */
	int			task_count;
	TimestampTz again_at;		/* when to come again, answers apart */
} BwTurn;

static bool group_turn(BwWork *work, BwGroup *group);
static void claim_next_group(BwWork *work, void *arg);
static void claim_group(BwWork *work, BwTurn *turn);
static int	claim_own(BwTurn *turn, const BwServer *server, BwClaim *claims,
					  int limit);
static int	claim_shared(BwTurn *turn, const BwServer *server, BwClaim *claims,
						 int limit);
static void join_claim(BwClaim *claims, int *claim_count, int limit,
					   BwOrderData *order, int room);
static bool same_kind(const BwOrderData *a, const BwOrderData *b);
static bool has_number(const BwClaim *claim, const char *number);
static BwTask *make_task(BwWork *work, BwTurn *turn, const BwClaim *claim);
static char *request_body(const char *customer_order_id, BwOrderData **orders,
						  int count);
static BwGroupState *group_state(BwWork *work, const char *server,
								 const char *ordered_by);
static TimestampTz back_off(BwGroupState *state);
static void record(BwWork *work, void *arg);
static void settle_outcome(BwTask *task, const BwRequestRow *request,
						   BwSettlement *item);
static void settle_reply(BwTask *task, BwSettlement *item);

void
bw_submit_lap(BwWork *work)
{
	BwGroup		group = {.server = "",.ordered_by = ""};

	work->submit_at = DT_NOEND;
	work->crowded = false;
	while (group_turn(work, &group))
		CHECK_FOR_INTERRUPTS();
	bw_api_run(work->api);
}

/*
 * Claim and send for the group after the given one, which it becomes.  False
 * when that was the last one.
 */
static bool
group_turn(BwWork *work, BwGroup *group)
{
	BwTurn		turn = {.group = group,.again_at = DT_NOEND};

	if (bw_work_transaction(work, claim_next_group, &turn, "claiming orders"))
	{
		for (int i = 0; i < turn.task_count; i++)
			bw_submit_send(work, turn.tasks[i]);
	}
	else
	{
		for (int i = 0; i < turn.task_count; i++)
			bw_task_free(turn.tasks[i]);
		turn.again_at = turn.state != NULL ? back_off(turn.state)
			: TimestampTzPlusMilliseconds(GetCurrentTimestamp(), BACK_OFF_MIN_MS);
	}
	work->submit_at = Min(work->submit_at, turn.again_at);
	return turn.more;
}

/* One transaction finds a group and claims its orders: it is on the path. */
static void
claim_next_group(BwWork *work, void *arg)
{
	BwTurn	   *turn = arg;

	if (!bw_store_next_group(turn->group, &turn->more))
		return;
	turn->state = group_state(work, turn->group->server, turn->group->ordered_by);
	if (turn->state->not_before > GetCurrentTimestamp())
		turn->again_at = turn->state->not_before;
	else
		claim_group(work, turn);
}

/* Pick, write down, prepare; nothing leaves yet. */
static void
claim_group(BwWork *work, BwTurn *turn)
{
	BwServer   *server = bw_config_server(turn->group->server);
	TimestampTz retry_at;
	int			budget = bw_registry_budget_left(server->account_id, BW_CLASS_ORDER,
												 server->requests_per_minute,
												 server->burst, &retry_at);
	int			limit = Min(budget, server->max_in_flight - bw_api_in_flight(work->api));
	BwClaim    *claims;
	int			count;

	if (budget <= 0)
		turn->again_at = retry_at;
	if (limit <= 0)
	{
		work->crowded = true;
		return;
	}
	claims = palloc0(sizeof(BwClaim) * limit);
	count = claim_own(turn, server, claims, limit);
	count += claim_shared(turn, server, claims + count, limit - count);
	if (count == limit)
		work->crowded = true;
	if (count == 0)
		return;
	turn->tasks = palloc(sizeof(BwTask *) * count);
	bw_store_claim(turn->group, server->account_id, claims, count,
				   server->connect_timeout_ms + server->request_timeout_ms +
				   PATIENCE_EXTRA_MS);
	for (int i = 0; i < count; i++)
	{
		turn->tasks[i] = make_task(work, turn, &claims[i]);
		turn->task_count++;
		bw_registry_budget_take(server->account_id, BW_CLASS_ORDER,
								server->requests_per_minute, server->burst,
								&retry_at);
	}
}

/* Orders with a request of their own keep it. */
static int
claim_own(BwTurn *turn, const BwServer *server, BwClaim *claims, int limit)
{
	BwOrderData *orders;
	int			count;

	orders = bw_store_pick_orders(turn->group, server->account_id, false, limit, &count);
	for (int i = 0; i < count; i++)
	{
		claims[i].request_id = orders[i].request_id;
		claims[i].customer_order_id = orders[i].request_customer_order_id;
		claims[i].orders = palloc(sizeof(BwOrderData *));
		claims[i].orders[0] = &orders[i];
		claims[i].order_count = 1;
	}
	return count;
}

/*
 * The others share: one request per kind, at once if none of this group was
 * sent within coalesce_delay, else all together when that has passed.
 */
static int
claim_shared(BwTurn *turn, const BwServer *server, BwClaim *claims, int limit)
{
	TimestampTz share_at = turn->state->shared_sent_at +
	bw_coalesce_delay_ms * INT64CONST(1000);
	TimestampTz now = GetCurrentTimestamp();
	BwOrderData *orders;
	int			count;
	int			claim_count = 0;

	if (limit == 0)
		return 0;
	orders = bw_store_pick_orders(turn->group, server->account_id, true,
								  share_at <= now ? SHARED_ORDERS_MAX : 1, &count);
	if (count > 0 && share_at > now)
	{
		turn->again_at = Min(turn->again_at, share_at);
		return 0;
	}
	for (int i = 0; i < count; i++)
		join_claim(claims, &claim_count, limit, &orders[i], count);
	if (claim_count > 0)
		turn->state->shared_sent_at = now;
	if (count == SHARED_ORDERS_MAX)
		turn->again_at = now;
	return claim_count;
}

/* Into the first claim of its kind that does not have its number yet. */
static void
join_claim(BwClaim *claims, int *claim_count, int limit, BwOrderData *order,
		   int room)
{
	BwClaim    *claim = NULL;

	for (int i = 0; i < *claim_count && claim == NULL; i++)
		if (same_kind(claims[i].orders[0], order) &&
			!has_number(&claims[i], order->numbers[0]))
			claim = &claims[i];
	if (claim == NULL)
	{
		if (*claim_count == limit)
			return;
		claim = &claims[(*claim_count)++];
		claim->is_new = true;
		claim->orders = palloc(sizeof(BwOrderData *) * room);
	}
	claim->orders[claim->order_count++] = order;
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool
same_kind(const BwOrderData *a, const BwOrderData *b)
{
	return same_text(a->site_id, b->site_id) && same_text(a->peer_id, b->peer_id);
}

static bool
has_number(const BwClaim *claim, const char *number)
{
	for (int i = 0; i < claim->order_count; i++)
		if (strcmp(claim->orders[i]->numbers[0], number) == 0)
			return true;
	return false;
}

static BwTask *
make_task(BwWork *work, BwTurn *turn, const BwClaim *claim)
{
	BwTask	   *task = bw_task_create(work, BW_TASK_SUBMIT, claim->request_id);

	bw_task_account(task, turn->group->server, turn->group->ordered_by);
	task->attempts = 1;
	task->source = "reply";
	task->detail = MemoryContextStrdup(task->cxt,
									   request_body(claim->customer_order_id,
													claim->orders,
													claim->order_count));
	return task;
}

/*
 * The POST's body, from what never changes of a request and its orders: the
 * same request sent again is the same to the byte.
 */
static char *
request_body(const char *customer_order_id, BwOrderData **orders, int count)
{
	BwOrderBody body = {0};
	const char **numbers;
	char	   *xml;
	char	   *copy;

	for (int i = 0; i < count; i++)
		body.number_count += orders[i]->number_count;
	numbers = palloc(sizeof(char *) * Max(body.number_count, 1));
	body.number_count = 0;
	for (int i = 0; i < count; i++)
		for (int j = 0; j < orders[i]->number_count; j++)
			numbers[body.number_count++] = orders[i]->numbers[j];
	body.customer_order_id = customer_order_id;
	body.name = orders[0]->name != NULL ? orders[0]->name
		: count == 1 ? psprintf("PostgreSQL order " INT64_FORMAT, orders[0]->id)
		: psprintf("PostgreSQL orders from " INT64_FORMAT, orders[0]->id);
	body.site_id = orders[0]->site_id;
	body.peer_id = orders[0]->peer_id;
	body.partial_allowed = count > 1 || orders[0]->partial_allowed;
	body.back_order_requested = orders[0]->back_order_requested;
	body.numbers = numbers;
	body.reservation_ids = (const char *const *) orders[0]->reservation_ids;
	body.reservation_count = orders[0]->reservation_count;
	body.enable_lca = -1;
	body.ends_in = -1;
	xml = bw_xml_encode_order(&body);
	if (xml == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("order " INT64_FORMAT " cannot be written as XML", orders[0]->id),
				 errdetail("A text holds characters that XML does not allow.")));
	copy = pstrdup(xml);
	free(xml);
	return copy;
}

BwTask *
bw_submit_again(BwWork *work, const BwRequestRow *request)
{
	BwTask	   *task = bw_task_create(work, BW_TASK_SUBMIT, request->id);
	BwOrderData *orders;
	BwOrderData **members;
	int			count;

	bw_task_account(task, request->server, request->ordered_by);
	orders = bw_store_request_orders(request->id, &count);
	members = palloc(sizeof(BwOrderData *) * Max(count, 1));
	for (int i = 0; i < count; i++)
		members[i] = &orders[i];
	task->attempts = request->attempts + 1;
	task->source = "reply";
	task->detail = MemoryContextStrdup(task->cxt,
									   request_body(request->customer_order_id,
													members, count));
	bw_store_send_again(request->id,
						task->account.server->connect_timeout_ms +
						task->account.server->request_timeout_ms +
						PATIENCE_EXTRA_MS);
	return task;
}

void
bw_submit_send(BwWork *work, BwTask *task)
{
	BwCallSpec	spec = {.class = BW_CLASS_ORDER,.method = "POST",.query = NULL};

	spec.path = bw_api_path(&task->account, "orders", NULL);
	spec.body = task->detail;
	bw_task_start(work, task, &spec);
}

static BwGroupState *
group_state(BwWork *work, const char *server, const char *ordered_by)
{
	BwGroupState *state;
	MemoryContext old;
	ListCell   *lc;

	foreach(lc, work->groups)
	{
		state = lfirst(lc);
		if (strcmp(state->server, server) == 0 &&
			strcmp(state->ordered_by, ordered_by) == 0)
			return state;
	}
	old = MemoryContextSwitchTo(work->cxt);
	state = palloc0(sizeof(BwGroupState));
	state->server = pstrdup(server);
	state->ordered_by = pstrdup(ordered_by);
	state->not_before = DT_NOBEGIN;
	work->groups = lappend(work->groups, state);
	MemoryContextSwitchTo(old);
	return state;
}

/* Returns when its next turn may be. */
static TimestampTz
back_off(BwGroupState *state)
{
	int64		wait_ms = (int64) BACK_OFF_MIN_MS << Min(state->failures, 6);

	state->failures++;
	state->not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													Min(wait_ms, BACK_OFF_MAX_MS));
	return state->not_before;
}

/* Tasks whose outcomes are recorded in one transaction. */
typedef struct Recording
{
	BwTask	  **tasks;
	int			count;
	List	   *moved;
	TimestampTz next_due;
	bool		requeued;
} Recording;

static bool
record_all(BwWork *work, BwTask **tasks, int count)
{
	Recording	recording = {.tasks = tasks,.count = count,.next_due = DT_NOEND};

	if (!bw_work_transaction(work, record, &recording, "recording replies"))
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
	if (!record_all(work, tasks, count))
	{
		for (int i = 0; i < count; i++)
		{
			CHECK_FOR_INTERRUPTS();
			(void) record_all(work, &tasks[i], 1);
		}
	}
	if (work->crowded)
		work->submit_at = GetCurrentTimestamp();
	for (int i = 0; i < count; i++)
		bw_task_free(tasks[i]);
}

/* What an outcome means for the turns to come. */
static void
note_outcome(BwWork *work, Recording *recording, const BwSettlement *item)
{
	BwGroupState *state = group_state(work, item->request->server,
									  item->request->ordered_by);

	if (item->status == BW_ORDER_QUEUED)
	{
		back_off(state);
		recording->requeued = true;
		return;
	}
	state->failures = 0;
	if (item->step != NULL)
		recording->next_due = Min(recording->next_due, item->due_at);
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
			if (requests[j].id != task->id)
				continue;
			settle_outcome(task, &requests[j], &items[n]);
			note_outcome(work, recording, &items[n++]);
		}
	}
	recording->moved = bw_settle(items, n);
}

/* What the outcome of a POST means for the orders in it. */
static void
settle_outcome(BwTask *task, const BwRequestRow *request, BwSettlement *item)
{
	const BwOutcome *outcome = bw_call_outcome(task->call);
	bool		first = request->attempts <= 1;

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
			return;
		case BW_OUTCOME_REFUSED:
			item->status = BW_ORDER_REJECTED;
			if (first || bw_order_error_class(outcome->code) != BW_ERROR_NUMBER_TAKEN)
				return;
			/* Taken, maybe by the copy whose reply was lost. */
			item->status = BW_ORDER_UNKNOWN;
			item->refused_code = outcome->code;
			item->refused_text = outcome->text;
			break;
		case BW_OUTCOME_UNAUTHORIZED:
		case BW_OUTCOME_LATER:
			item->status = first ? BW_ORDER_QUEUED : BW_ORDER_UNKNOWN;
			break;
		case BW_OUTCOME_NOT_FOUND:
		case BW_OUTCOME_UNKNOWN:
			item->status = BW_ORDER_UNKNOWN;
			break;
	}
	item->step = "look_up";
	item->due_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											   item->status == BW_ORDER_QUEUED ? 0
											   : bw_work_delay_ms(bw_look_up_delays, 0, 60000));
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
		bw_xml_free_order(reply);
	}
	if (item->bandwidth_order_id == NULL)
	{
		item->status = BW_ORDER_UNKNOWN;
		item->step = "look_up";
		item->error_text = "the reply names no order";
	}
}
