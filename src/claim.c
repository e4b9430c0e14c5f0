/*-------------------------------------------------------------------------
 *
 * claim.c
 *	  Which queued orders go out now, and in which requests.
 *
 * Orders are claimed per server and role, so that one role's missing
 * credentials, pause or full budget stop nobody else.  A claim is one short
 * transaction; the requests leave after its commit (submit.c).
 *
 * Whatever must not go out is sifted here, because only the worker sees all
 * orders: what lies over a limit per day, what waits for approval, what is not
 * allowed any more, a number for which another order is under way, and what was
 * for a row that is gone.  A table that somebody has locked is not waited for, and
 * no user's code is run: then the order goes out, and write_back.c finds no row.
 *
 * Orders that give numbers back are claimed with the others, but have a limit and
 * a budget of their own.
 *
 * src/claim.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "claim.h"
#include "group.h"
#include "guards.h"
#include "registry.h"
#include "settle.h"
#include "store_guards.h"
#include "store_provisions.h"
#include "store_queue.h"
#include "submit.h"

/* Most orders that share a request: their numbers' reply stays below 1 MB. */
#define SHARED_ORDERS_MAX 1000
/* One of so many sockets is for questions, while there are any. */
#define QUESTIONS_SHARE 4
/* Orders that are put on hold in one transaction. */
#define HOLD_BATCH 5000
/* So often all picked orders are tried again, before one of them is suspected. */
#define PATIENT_FAILURES 3
/* An order that cannot be claimed is tried again. */
#define POISON_RETRY_MS 60000
/* A server that is gone, or where ordering is off, is looked at again. */
#define ABSENT_RETRY_MS 60000
/* A part of a request that waits for room looks for it again. */
#define ROOM_RETRY_MS 60000
/* After an error before any group was found. */
#define RETRY_MS 1000

/* Ids of orders, and of those that block them. */
typedef struct Ids
{
	int64	   *items;
	int64	   *blockers;
	int			count;
} Ids;

/* One group's turn. */
typedef struct Turn
{
	BwWork	   *work;
	BwGroup    *group;
	bool		known;			/* the group need not be looked for */
	bool		more;			/* there are groups after it */
	BwGroupState *state;		/* NULL: no group was found */
	const BwServer *server;
	int64		room[BW_ORDER_KIND_COUNT];	/* of the limits per day */
	int64		spent[BW_ORDER_KIND_COUNT];
	HTAB	   *numbers;		/* NumberEntry: numbers that go out now */
	BwTask	  **tasks;			/* to be started after the commit */
	int			task_count;
	List	   *moved;			/* orders that were held or rejected */
	Ids			held;			/* for approval */
	Ids			over[BW_ORDER_KIND_COUNT];	/* the limits per day */
	Ids			misplaced;		/* place not allowed */
	Ids			forbidden;		/* disconnecting not allowed */
	Ids			blocked;
	int			suspects;		/* picked, and not yet ready to be sent */
	int64		suspect;		/* the first of them */
	TimestampTz again_at;		/* when to come again, answers apart */
} Turn;

static bool group_turn(BwWork *work, BwGroup *group, bool known);
static TimestampTz after_failure(BwWork *work, Turn *turn);
static void look_at_account(BwWork *work, void *arg);
static void put_off_suspect(BwWork *work, void *arg);
static void claim_next_group(BwWork *work, void *arg);
static bool may_claim(BwWork *work, Turn *turn);
static bool is_paused(Turn *turn);
static int	free_sockets(BwWork *work, const BwServer *server);
static void claim_group(BwWork *work, Turn *turn);
static void write_claims(Turn *turn, BwClaim *claims, int count);
static void prepare_claims(BwWork *work, Turn *turn, BwClaim *claims, int count);
static BwOrderData *pick(Turn *turn, int limit, int *picked);
static int	drop_rowless(BwWork *work, Turn *turn, BwOrderData *orders, int picked);
static void look_at_rows(BwWork *work, void *arg);
static bool has_ended(const BwEnded *ended, int count, int64 order_id);
static bool any_shares(const BwOrderData *orders, int count);
static BwOrderData *pick_more_shared(Turn *turn, BwOrderData *first, int *picked);
static int	make_claims(Turn *turn, BwOrderData *orders, int picked,
						BwClaim *claims, int limit);
static int	claim_own(Turn *turn, BwOrderData *order, BwClaim *claim, int room);
static bool passes(Turn *turn, BwOrderData *order);
static bool put_off_part(Turn *turn, const BwOrderData *order);
static Ids *obstacle(Turn *turn, const BwOrderData *order);
static bool put_off_disconnect(Turn *turn, const BwOrderData *order);
static void put(Ids *ids, int64 id, int64 blocker);
static void set_aside(Turn *turn);
static void hold(Turn *turn, const Ids *ids, const char *reason);
static void reject(Turn *turn, const Ids *ids, const char *error_text);
static void note_moved(Turn *turn, const int64 *ids, int count, BwOrderStatus status);
static void join_claim(Turn *turn, BwClaim *claims, int *claim_count, int limit,
					   BwOrderData *order, int room);
static int64 number_taken(Turn *turn, const BwOrderData *order);
static void take_numbers(Turn *turn, const BwOrderData *order);
static bool same_kind(const BwOrderData *a, const BwOrderData *b);
static HTAB *make_number_table(void);

void
bw_claim_lap(BwWork *work)
{
	BwGroup		group = {.server = "",.ordered_by = ""};

	work->submit_at = DT_NOEND;
	work->crowded = false;
	/* Most often it is the same group again: that one need not be looked for. */
	if (work->last_group != NULL)
	{
		BwGroup		last = {.server = work->last_group->server,
		.ordered_by = work->last_group->ordered_by};

		(void) group_turn(work, &last, true);
		bw_api_run(work->api);
	}
	while (group_turn(work, &group, false))
		CHECK_FOR_INTERRUPTS();
	bw_api_run(work->api);
}

/*
 * Claim and send for the known group, or for the one after the given one, which
 * it becomes.  False when that was the last one.
 */
static bool
group_turn(BwWork *work, BwGroup *group, bool known)
{
	Turn		turn = {.work = work,.group = group,.known = known,.again_at = DT_NOEND};

	if (bw_work_transaction(work, claim_next_group, &turn, "claiming orders"))
	{
		for (int i = 0; i < turn.task_count; i++)
			bw_submit_send(work, turn.tasks[i]);
		bw_work_moved(work, turn.moved);
		work->waiting = work->waiting || turn.blocked.count > 0;
	}
	else
	{
		for (int i = 0; i < turn.task_count; i++)
			bw_task_free(turn.tasks[i]);
		bw_guards_forget(work);
		turn.again_at = after_failure(work, &turn);
	}
	work->submit_at = Min(work->submit_at, turn.again_at);
	return turn.more;
}

/*
 * When to come again.  If the orders could not be written down again and
 * again, one of them may be bad: fewer are tried at a time, until the bad one is
 * alone and waits.  Without credentials none of them is.
 */
static TimestampTz
after_failure(BwWork *work, Turn *turn)
{
	TimestampTz now = GetCurrentTimestamp();

	if (turn->state == NULL)
		return TimestampTzPlusMilliseconds(now, RETRY_MS);
	if (turn->state->failures < PATIENT_FAILURES ||
		!bw_work_transaction(work, look_at_account, turn, NULL))
		return bw_group_back_off(turn->state);
	turn->state->pick_limit = turn->suspects / 2;
	if (turn->suspects > 1 ||
		(turn->suspects == 1 &&
		 bw_work_transaction(work, put_off_suspect, turn, "putting an order off")))
		return now;
	return bw_group_back_off(turn->state);
}

/* Fails where the role, its rights or its credentials are missing. */
static void
look_at_account(BwWork *work, void *arg)
{
	const Turn *turn = arg;
	BwTask	   *task = bw_task_create(work, BW_TASK_SUBMIT, 0);

	bw_task_account(task, turn->group->server, turn->group->ordered_by, NULL);
	bw_task_free(task);
}

static void
put_off_suspect(BwWork *work, void *arg)
{
	Turn	   *turn = arg;

	bw_store_put_off(turn->group, turn->suspect,
					 TimestampTzPlusMilliseconds(GetCurrentTimestamp(), POISON_RETRY_MS));
	ereport(WARNING,
			(errmsg("order " INT64_FORMAT " cannot be claimed, and waits", turn->suspect),
			 errhint("The error before this says why; it is tried again every minute.")));
}

/* One transaction finds a group and claims its orders: it is on the path. */
static void
claim_next_group(BwWork *work, void *arg)
{
	Turn	   *turn = arg;

	if (!turn->known && !bw_store_next_group(turn->group, &turn->more))
		return;
	turn->state = bw_group_state(work, turn->group->server, turn->group->ordered_by);
	/* It had its turn already. */
	if (!turn->known && turn->state == work->last_group)
		return;
	if (turn->state->not_before <= GetCurrentTimestamp())
		work->said = &turn->state->claim_said;
	if (may_claim(work, turn))
		claim_group(work, turn);
}

/* If not: turn->again_at says when to look again, or something will wake us. */
static bool
may_claim(BwWork *work, Turn *turn)
{
	TimestampTz now = GetCurrentTimestamp();
	int64	   *ids;
	int			count;

	if (turn->state->not_before > now)
	{
		turn->again_at = turn->state->not_before;
		return false;
	}
	turn->server = bw_config_server_if_exists(turn->group->server);
	if (turn->server == NULL || turn->server->ordering == BW_ORDERING_OFF)
	{
		turn->again_at = TimestampTzPlusMilliseconds(now, ABSENT_RETRY_MS);
		return false;
	}
	/* Else picking says so: then its orders would be locked at each commit. */
	if (turn->state->paused && is_paused(turn))
		return false;
	for (int kind = 0; kind < BW_ORDER_KIND_COUNT; kind++)
		turn->room[kind] = bw_guards_room(work, turn->server, kind);
	if (turn->room[BW_KIND_ORDER] > 0)
		return true;
	ids = bw_store_hold_group(turn->group, bw_guards_limit_name(BW_KIND_ORDER),
							  HOLD_BATCH, &count);
	note_moved(turn, ids, count, BW_ORDER_HELD);
	if (count < HOLD_BATCH)
		return true;
	turn->again_at = now;
	return false;
}

static bool
is_paused(Turn *turn)
{
	turn->state->paused = bw_guards_paused(turn->group->server, turn->group->ordered_by);
	/* A secret's file may have changed, of which nobody tells us. */
	if (turn->state->paused)
		turn->again_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													 ABSENT_RETRY_MS);
	return turn->state->paused;
}

/*
 * Calls that may be begun.  What became of orders is asked about, too, however
 * long the queue is: it leaves those questions some of the sockets.
 */
static int
free_sockets(BwWork *work, const BwServer *server)
{
	int			sockets = server->max_in_flight -
	bw_api_in_flight_of(work->api, server->serverid);

	if (work->many_open)
		sockets -= Max(server->max_in_flight / QUESTIONS_SHARE, 1);
	return sockets;
}

/* Pick, write down, prepare; nothing leaves yet. */
static void
claim_group(BwWork *work, Turn *turn)
{
	const BwServer *server = turn->server;
	TimestampTz retry_at;
	int			budget = bw_registry_budget_left(server->account_id, BW_CLASS_ORDER,
												 server->requests_per_minute,
												 server->burst, &retry_at);
	int			limit = Min(budget, free_sockets(work, server));
	BwOrderData *orders;
	int			picked;
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
	orders = pick(turn, limit, &picked);
	turn->suspects = picked;
	turn->suspect = picked > 0 ? orders[0].id : 0;
	/* As of the last look at the queue, whose orders are the last. */
	if (picked > 0 && orders[picked - 1].paused && is_paused(turn))
		return;

	/*
	 * Altered while it was paused, and between our looks at it and at the
	 * queue.
	 */
	if (picked > 0 && !bw_config_server_is_current(server))
	{
		turn->again_at = GetCurrentTimestamp();
		return;
	}
	picked = drop_rowless(work, turn, orders, picked);
	count = make_claims(turn, orders, picked, claims, limit);
	set_aside(turn);
	if (count == limit)
		work->crowded = true;
	if (count > 0)
		write_claims(turn, claims, count);
	prepare_claims(work, turn, claims, count);
	turn->suspects = 0;
	if (picked > 0)
		turn->state->pick_limit *= 2;
	if (turn->state->pick_limit >= SHARED_ORDERS_MAX)
		turn->state->pick_limit = 0;
	if (count == 0)
		return;
	for (int kind = 0; kind < BW_ORDER_KIND_COUNT; kind++)
		bw_guards_spent(work, server->name, kind, (int) turn->spent[kind]);
	work->last_group = turn->state;
	/* That of a disconnect was taken when it was allowed to pass. */
	for (int i = 0; i < count; i++)
		if (claims[i].orders[0]->kind == BW_KIND_ORDER)
			bw_registry_budget_take(server->account_id, BW_CLASS_ORDER,
									server->requests_per_minute, server->burst,
									&retry_at);
}

static void
prepare_claims(BwWork *work, Turn *turn, BwClaim *claims, int count)
{
	turn->tasks = palloc(sizeof(BwTask *) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		turn->tasks[i] = bw_submit_prepare(work, turn->group, turn->server->account_id,
										   &claims[i]);
		turn->task_count++;
	}
}

static void
write_claims(Turn *turn, BwClaim *claims, int count)
{
	const BwServer *server = turn->server;

	bw_store_claim(turn->group, server->account_id, claims, count, turn->spent,
				   bw_submit_patience_ms(server));
}

/* Looking whether rows are there. */
typedef struct Look
{
	BwOrderedRow *rows;
	int			count;
	int			next;
	Oid			busy;			/* a table that could not be looked into */
} Look;

/*
 * Cancel orders whose rows are gone; returns how many orders remain.  What a part
 * of a request was for was looked at when the whole was claimed.
 */
static int
drop_rowless(BwWork *work, Turn *turn, BwOrderData *orders, int picked)
{
	Look		look = {.busy = InvalidOid};
	int64	   *ids = palloc(sizeof(int64) * Max(picked, 1));
	BwEnded    *ended;
	int			count = 0;
	int			left = 0;

	for (int i = 0; i < picked; i++)
		if (orders[i].kind == BW_KIND_ORDER && orders[i].member_count <= 1)
			ids[count++] = orders[i].id;
	if (count == 0)
		return picked;
	look.rows = bw_store_ordered_rows(ids, count, &look.count);
	while (look.next < look.count && !bw_work_attempt(work, look_at_rows, &look, NULL))
		look.busy = look.rows[look.next++].row.relation;
	ended = bw_store_cancel_rowless(look.rows, look.count, &count);
	if (count == 0)
		return picked;
	for (int i = 0; i < count; i++)
		note_moved(turn, &ended[i].order_id, 1, ended[i].status);
	turn->moved = bw_release_waiting(turn->moved);
	turn->again_at = GetCurrentTimestamp();
	for (int i = 0; i < picked; i++)
		if (!has_ended(ended, count, orders[i].id))
			orders[left++] = orders[i];
	return left;
}

/* Whatever it may raise is about the next row. */
static void
look_at_rows(BwWork *work, void *arg)
{
	Look	   *look = arg;

	for (; look->next < look->count; look->next++)
	{
		BwOrderedRow *ordered = &look->rows[look->next];

		if (ordered->row.relation != look->busy)
			ordered->why_gone = bw_store_row_is_gone(&ordered->row);
	}
}

static bool
has_ended(const BwEnded *ended, int count, int64 order_id)
{
	for (int i = 0; i < count; i++)
		if (ended[i].order_id == order_id)
			return true;
	return false;
}

/*
 * Orders that share a request go at once if none of this group was sent within
 * coalesce_delay, else all together when that has passed.
 */
static BwOrderData *
pick(Turn *turn, int limit, int *picked)
{
	TimestampTz share_at = turn->state->shared_sent_at +
	bw_coalesce_delay_ms * INT64CONST(1000);
	TimestampTz now = GetCurrentTimestamp();
	bool		share = share_at <= now;
	const char *account_id = turn->server->account_id;
	int			few = turn->state->pick_limit;
	BwOrderData *orders;

	orders = bw_store_pick_orders(turn->group, account_id,
								  share ? BW_PICK_ANY : BW_PICK_OWN,
								  few > 0 ? Min(limit, few) : limit, picked);
	if (!share)
		turn->again_at = Min(turn->again_at, share_at);
	if (few > 0 && *picked > 0)
		turn->again_at = share ? now : turn->again_at;
	else if (share && *picked == limit)
	{
		if (any_shares(orders, *picked) || turn->state->look_for_shared_at <= now)
			orders = pick_more_shared(turn, orders, picked);
		else
			turn->again_at = Min(turn->again_at, turn->state->look_for_shared_at);
	}
	return orders;
}

static bool
any_shares(const BwOrderData *orders, int count)
{
	for (int i = 0; i < count; i++)
		if (orders[i].request_id == 0)
			return true;
	return false;
}

/*
 * There are more: those that share are not limited by the calls in flight.
 * Where there are none, the look goes through the whole queue of orders that
 * cannot share, so the next one waits: its cost stays a twentieth of the time.
 */
static BwOrderData *
pick_more_shared(Turn *turn, BwOrderData *first, int *picked)
{
	int			count;
	int			own = 0;
	TimestampTz began = GetCurrentTimestamp();
	BwOrderData *shared = bw_store_pick_orders(turn->group, turn->server->account_id,
											   BW_PICK_SHARED, SHARED_ORDERS_MAX,
											   &count);
	BwOrderData *all = palloc(sizeof(BwOrderData) * (*picked + count));
	TimestampTz now = GetCurrentTimestamp();

	turn->state->look_for_shared_at = count > 0 ? DT_NOBEGIN :
		now + Max(bw_coalesce_delay_ms * INT64CONST(1000), (now - began) * 20);
	for (int i = 0; i < *picked; i++)
		if (first[i].request_id != 0)
			all[own++] = first[i];
	memcpy(all + own, shared, sizeof(BwOrderData) * count);
	*picked = own + count;
	if (count == SHARED_ORDERS_MAX)
		turn->again_at = now;
	return all;
}

/* Each picked order into a claim, as far as there is room for claims. */
static int
make_claims(Turn *turn, BwOrderData *orders, int picked, BwClaim *claims,
			int limit)
{
	int			count = 0;

	turn->numbers = make_number_table();
	for (int i = 0; i < picked; i++)
	{
		if (orders[i].request_id != 0)
			count += claim_own(turn, &orders[i], &claims[count], limit - count);
		else
			join_claim(turn, claims, &count, limit, &orders[i], picked);
	}
	hash_destroy(turn->numbers);
	return count;
}

/*
 * Orders with a request of their own keep it.  The request of several orders
 * is one of the parts of a shared one that was refused: they go together.
 */
static int
claim_own(Turn *turn, BwOrderData *order, BwClaim *claim, int room)
{
	BwOrderData *members = order;

	if (room == 0 || !passes(turn, order))
		return 0;
	claim->request_id = order->request_id;
	claim->customer_order_id = order->request_customer_order_id;
	claim->order_count = 1;
	if (order->member_count > 1)
		members = bw_store_request_orders(order->request_id, &claim->order_count);
	claim->orders = palloc(sizeof(BwOrderData *) * claim->order_count);
	for (int i = 0; i < claim->order_count; i++)
		claim->orders[i] = &members[i];
	return 1;
}

/* May the order go out?  If not, it is remembered for set_aside(). */
static bool
passes(Turn *turn, BwOrderData *order)
{
	/* A part of a request that passed once, as a whole. */
	bool		part = order->member_count > 1;
	bool		counted = part && bw_store_counts_yet(order->request_id);
	int			numbers = part ? order->member_count : order->quantity;
	Ids		   *aside;

	if (order->blocked_by == 0)
		order->blocked_by = number_taken(turn, order);
	aside = order->blocked_by != 0 ? &turn->blocked
		: part ? NULL : obstacle(turn, order);
	if (aside != NULL)
	{
		put(aside, order->id, order->blocked_by);
		turn->again_at = GetCurrentTimestamp();
		return false;
	}
	if (part && !counted && put_off_part(turn, order))
		return false;
	if (order->kind == BW_KIND_DISCONNECT && put_off_disconnect(turn, order))
		return false;
	/* It was counted when it passed, and is counted now instead. */
	if (counted)
		turn->room[order->kind] += bw_guards_give_back(turn->work, turn->server->name,
													   order->kind, order->request_id,
													   numbers);
	turn->room[order->kind] -= numbers;
	turn->spent[order->kind] += numbers;
	if (!part)
		take_numbers(turn, order);
	return true;
}

/*
 * What a part was counted with counts no more: it needs room as new orders do.
 * It waits in the queue, because its orders are held only together.
 */
static bool
put_off_part(Turn *turn, const BwOrderData *order)
{
	TimestampTz retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   ROOM_RETRY_MS);

	if (order->member_count <= turn->room[order->kind])
		return false;
	bw_store_put_off(turn->group, order->id, retry_at);
	turn->again_at = Min(turn->again_at, retry_at);
	return true;
}

/* What keeps the order from going out; NULL: nothing. */
static Ids *
obstacle(Turn *turn, const BwOrderData *order)
{
	const BwServer *server = turn->server;

	if (order->kind == BW_KIND_DISCONNECT && !server->allow_disconnect)
		return &turn->forbidden;
	if (order->kind == BW_KIND_ORDER &&
		(!bw_config_site_allowed(server, order->site_id) ||
		 !bw_config_peer_allowed(server, order->peer_id)))
		return &turn->misplaced;
	if (server->ordering == BW_ORDERING_HOLD && !order->approved)
		return &turn->held;
	if (order->quantity > turn->room[order->kind])
		return &turn->over[order->kind];
	return NULL;
}

/* Bandwidth counts these calls by themselves; orders behind them go on. */
static bool
put_off_disconnect(Turn *turn, const BwOrderData *order)
{
	const BwServer *server = turn->server;
	TimestampTz retry_at;

	if (bw_registry_budget_take(server->account_id, BW_CLASS_DISCONNECT,
								server->requests_per_minute, server->burst, &retry_at))
		return false;
	bw_store_put_off(turn->group, order->id, retry_at);
	turn->again_at = Min(turn->again_at, retry_at);
	return true;
}

static void
put(Ids *ids, int64 id, int64 blocker)
{
	if (ids->items == NULL)
	{
		ids->items = palloc(sizeof(int64) * SHARED_ORDERS_MAX * 2);
		ids->blockers = palloc(sizeof(int64) * SHARED_ORDERS_MAX * 2);
	}
	ids->items[ids->count] = id;
	ids->blockers[ids->count++] = blocker;
}

static void
set_aside(Turn *turn)
{
	if (turn->blocked.count > 0)
		bw_store_wait_for(turn->group, turn->blocked.items, turn->blocked.blockers,
						  turn->blocked.count);
	hold(turn, &turn->held, "approval");
	for (int kind = 0; kind < BW_ORDER_KIND_COUNT; kind++)
		hold(turn, &turn->over[kind], bw_guards_limit_name(kind));
	reject(turn, &turn->misplaced,
		   "the site or SIP peer is not allowed for the server any more");
	reject(turn, &turn->forbidden,
		   "disconnecting is not allowed for the server any more");
}

static void
hold(Turn *turn, const Ids *ids, const char *reason)
{
	int			count;
	int64	   *held;

	if (ids->count == 0)
		return;
	held = bw_store_hold(turn->group, ids->items, ids->count, reason, &count);
	note_moved(turn, held, count, BW_ORDER_HELD);
}

static void
reject(Turn *turn, const Ids *ids, const char *error_text)
{
	int			count;
	BwEnded    *ended;

	if (ids->count == 0)
		return;
	ended = bw_store_reject(turn->group, ids->items, ids->count, error_text, &count);
	for (int i = 0; i < count; i++)
		note_moved(turn, &ended[i].order_id, 1, ended[i].status);
	turn->moved = bw_release_waiting(turn->moved);
}

static void
note_moved(Turn *turn, const int64 *ids, int count, BwOrderStatus status)
{
	for (int i = 0; i < count; i++)
		turn->moved = lappend(turn->moved, bw_moved(ids[i], status));
}

/* Where a number stands in this lap's shared requests. */
typedef struct NumberEntry
{
	char		digits[16];		/* key */
	int64		order_id;
} NumberEntry;

static HTAB *
make_number_table(void)
{
	HASHCTL		info = {.keysize = sizeof(((NumberEntry *) 0)->digits),
	.entrysize = sizeof(NumberEntry)};

	return hash_create("bandwidth numbers", 64, &info, HASH_ELEM | HASH_STRINGS);
}

/* The order that takes one of the numbers in this turn already, 0: none. */
static int64
number_taken(Turn *turn, const BwOrderData *order)
{
	for (int i = 0; i < order->number_count; i++)
	{
		NumberEntry *entry = hash_search(turn->numbers, order->numbers[i],
										 HASH_FIND, NULL);

		if (entry != NULL)
			return entry->order_id;
	}
	return 0;
}

static void
take_numbers(Turn *turn, const BwOrderData *order)
{
	for (int i = 0; i < order->number_count; i++)
	{
		bool		found;
		NumberEntry *entry = hash_search(turn->numbers, order->numbers[i],
										 HASH_ENTER, &found);

		entry->order_id = order->id;
	}
}

/* Into the claim of its kind. */
static void
join_claim(Turn *turn, BwClaim *claims, int *claim_count, int limit,
		   BwOrderData *order, int room)
{
	BwClaim    *claim = NULL;

	for (int i = 0; i < *claim_count && claim == NULL; i++)
		if (claims[i].is_new && same_kind(claims[i].orders[0], order))
			claim = &claims[i];
	if ((claim == NULL && *claim_count == limit) || !passes(turn, order))
		return;
	if (claim == NULL)
	{
		claim = &claims[(*claim_count)++];
		claim->is_new = true;
		claim->orders = palloc(sizeof(BwOrderData *) * room);
		turn->state->shared_sent_at = GetCurrentTimestamp();
	}
	claim->orders[claim->order_count++] = order;
}

/*
 * Orders by criteria share a request only with orders by the same ones: if the
 * database forgets which number it gave to which (timeline.c), it does not matter.
 */
static bool
same_kind(const BwOrderData *a, const BwOrderData *b)
{
	return bw_same_text(a->site_id, b->site_id) && bw_same_text(a->peer_id, b->peer_id) &&
		bw_same_text(a->criteria, b->criteria);
}
