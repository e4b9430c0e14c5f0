/*-------------------------------------------------------------------------
 *
 * place.c
 *	  Orders are checked and written down, in the caller's transaction and in
 *	  the name of the current role.
 *
 * src/place.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "encoding.h"
#include "functions.h"
#include "place.h"
#include "registry.h"
#include "store.h"
#include "store_orders.h"
#include "xml.h"

static void begin(BwNewOrder *order, const BwServer *server,
				  const BwOrderOptions *options, const BwProvision *for_row);
static void insert(const BwNewOrder *order, BwPlaced *placed);
static bool make_way(const BwNewOrder *order);
static Datum number_array(const BwNumber *numbers, int count);
static void check_key(const char *key);
static void check_text(const char *name, const char *value);
static void check_search(const BwSearchOrder *wanted);
static void check_disconnect(const BwServer *server, int count);
static void hold_back(BwNewOrder *order, const BwServer *server);

void
bw_place_numbers_order(const BwNumbersOrder *wanted, BwPlaced *placed)
{
	const BwOrderOptions *options = &wanted->options;
	int			count = wanted->count;
	BwNewOrder	order;
	BwProblem	problem;

	placed->count = count;
	placed->numbers = palloc(sizeof(BwNumber) * Max(count, 1));
	if (!bw_order_check(wanted->numbers, count, options, placed->numbers,
						palloc(sizeof(int) * Max(count, 1)), &problem))
		bw_problem_raise(&problem);
	bw_check_guards(wanted->server, options, count);

	begin(&order, wanted->server, options, wanted->for_row);
	order.quantity = count;
	order.idempotency_key = wanted->idempotency_key;
	order.tag = wanted->tag;
	order.reservation_ids = wanted->reservation_ids;
	order.has_numbers = true;
	order.numbers = number_array(placed->numbers, count);
	order.own_request = count > 1 || options->name != NULL ||
		options->customer_order_id != NULL || wanted->reservation_ids != 0;
	insert(&order, placed);
}

void
bw_place_search_order(const BwSearchOrder *wanted, BwPlaced *placed)
{
	BwNewOrder	order;

	placed->count = 0;
	placed->numbers = NULL;
	check_search(wanted);
	begin(&order, wanted->server, &wanted->options, wanted->for_row);
	order.quantity = wanted->criteria.search.quantity;
	order.idempotency_key = wanted->idempotency_key;
	order.tag = wanted->tag;
	order.criteria = bw_criteria_to_json(&wanted->criteria);
	order.direct = wanted->direct;
	order.own_request = order.direct;
	insert(&order, placed);
}

void
bw_place_disconnect(const BwDisconnect *wanted, BwPlaced *placed)
{
	BwOrderOptions options = {.customer_order_id = wanted->customer_order_id,
	.partial_allowed = true,.attempts = 1};
	int			count = wanted->count;
	BwNewOrder	order;
	BwProblem	problem;

	placed->count = count;
	placed->numbers = palloc(sizeof(BwNumber) * Max(count, 1));
	if (!bw_disconnect_check(wanted->numbers, count, wanted->customer_order_id,
							 placed->numbers, palloc(sizeof(int) * Max(count, 1)),
							 &problem))
		bw_problem_raise(&problem);
	check_disconnect(wanted->server, count);

	begin(&order, wanted->server, &options, NULL);
	hold_back(&order, wanted->server);
	order.kind = BW_KIND_DISCONNECT;
	order.quantity = count;
	order.idempotency_key = wanted->idempotency_key;
	order.tag = wanted->tag;
	order.has_numbers = true;
	order.numbers = number_array(placed->numbers, count);
	order.own_request = true;
	insert(&order, placed);
}

/* To lose a number is worse than to buy one: for a while it can be taken back. */
static void
hold_back(BwNewOrder *order, const BwServer *server)
{
	if (server->release_after_s == 0)
		return;
	order->status = BW_ORDER_HELD;
	order->held_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													server->release_after_s * 1000);
}

/* What all orders have. */
static void
begin(BwNewOrder *order, const BwServer *server, const BwOrderOptions *options,
	  const BwProvision *for_row)
{
	memset(order, 0, sizeof(BwNewOrder));
	order->server = server->name;
	order->account_id = server->account_id;
	order->ordered_by = GetUserNameFromId(GetUserId(), false);
	order->status = server->ordering == BW_ORDERING_HOLD ? BW_ORDER_HELD : BW_ORDER_QUEUED;
	order->site_id = options->site_id;
	order->peer_id = options->peer_id;
	order->name = options->name;
	check_text("order name", order->name);
	order->customer_order_id = options->customer_order_id;
	order->partial_allowed = options->partial_allowed;
	order->back_order_requested = options->back_order_requested;
	order->attempts = options->attempts;
	order->for_row = for_row;
	order->held_until = DT_NOEND;
}

static void
insert(const BwNewOrder *order, BwPlaced *placed)
{
	BwStoreScope scope;
	bool		row_waits;

	check_key(order->idempotency_key);
	bw_store_enter(&scope);
	placed->id = bw_store_insert_order(order, &row_waits);
	if (placed->id == 0 && row_waits && make_way(order))
		placed->id = bw_store_insert_order(order, &row_waits);
	placed->is_new = placed->id != 0;
	if (!placed->is_new && !row_waits)
		placed->id = bw_store_same_order(order);
	bw_store_leave(&scope);
	placed->status = order->status;
	if (placed->is_new)
		bw_registry_wake_at_commit(order->held_until == DT_NOEND ? BW_TOPIC_QUEUE
								   : BW_TOPIC_HELD);
}

/*
 * A row waits for an order already.  Either that is what is wanted still, or it was
 * made for another row with the same primary key, or before this one was altered:
 * then it is cancelled.  If it is too late for that, a row that was altered goes on
 * waiting, because else two numbers would be bought for it; to one that was
 * inserted, the number of another one is not given.
 */
static bool
make_way(const BwNewOrder *order)
{
	bool		wants_same = false;
	int64		id = bw_store_order_of_row(order, &wants_same);

	if (id == 0)
		return true;
	if (wants_same)
		return false;
	if (!bw_store_cancel_order(id))
	{
		if (order->for_row == NULL || !order->for_row->is_new)
			return false;
		bw_store_written_back(id, BW_ROW_REPLACED);
	}
	bw_store_end_provision(id);
	return true;
}

static void
check_key(const char *key)
{
	BwProblem	problem;

	if (!bw_idempotency_key_check(key, &problem))
		bw_problem_raise(&problem);
}

/* What cannot be sent is an error now: later it would wait for ever. */
static void
check_text(const char *name, const char *value)
{
	if (value == NULL || bw_xml_is_text(bw_to_utf8(value)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s holds a character that cannot be sent", name),
			 errdetail("Orders are sent as XML, which has neither control characters nor U+FFFE and U+FFFF.")));
}

static Datum
number_array(const BwNumber *numbers, int count)
{
	const char **texts = palloc(sizeof(char *) * Max(count, 1));

	for (int i = 0; i < count; i++)
		texts[i] = numbers[i].digits;
	return bw_store_text_array(texts, count);
}

static void
check_search(const BwSearchOrder *wanted)
{
	const BwSearch *search = &wanted->criteria.search;
	BwProblem	problem;

	if (!bw_order_search_check(search, &wanted->options, wanted->direct,
							   wanted->has_max_tier ? &wanted->criteria.max_tier : NULL,
							   &problem))
		bw_problem_raise(&problem);
	check_text("rate_center", search->rate_center);
	check_text("city", search->city);
	bw_check_guards(wanted->server, &wanted->options, search->quantity);
}

static void
check_disconnect(const BwServer *server, int count)
{
	if (!server->allow_disconnect)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("disconnecting is not allowed for server \"%s\"", server->name),
				 errhint("Its owner can set the server option \"allow_disconnect\" to true.")));
	if (server->ordering == BW_ORDERING_OFF)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("ordering is off for server \"%s\"", server->name),
				 errhint("Its owner can run ALTER SERVER ... OPTIONS (SET ordering 'on').")));
	if (count > server->max_disconnects_per_day)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("disconnecting %d telephone numbers exceeds the limit of server \"%s\"",
						count, server->name),
				 errdetail("The limit is %d per day.", server->max_disconnects_per_day),
				 errhint("See the server option \"max_disconnects_per_day\".")));
}
