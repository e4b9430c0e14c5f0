/*-------------------------------------------------------------------------
 *
 * split.c
 *	  A shared request that was refused because of some of its numbers.
 *
 * One bad number must not cost the orders of others.  Errors that name numbers
 * take out those; an error that blames numbers without naming one halves the
 * request, so that a bad number among a thousand is found in ten steps.
 *
 * A copy of a request that was lost is split only when Bandwidth knows nothing
 * of the lost one: a part has a CustomerOrderId of its own, by which an order
 * for the whole would not be found.  Its parts are not queued: they are sent as
 * it was, and their orders stay UNKNOWN until the outcome.
 *
 * src/split.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "encoding.h"
#include "numbers.h"
#include "settle.h"
#include "split.h"
#include "store_guards.h"
#include "store_queue.h"
#include "store_search.h"

static BwMember *lock_members(const BwRequestRow *request, int *count);
static void make_parts(const BwRequestRow *request, const int64 *order_ids,
					   int count, bool halve, bool again);
static void make_part(const BwRequestRow *request, const int64 *order_ids, int count,
					  bool again);
static const BwReplyError *error_naming(const BwReplyErrors *errors,
										const char *digits);
static void fail_number(const BwMember *member, const BwReplyError *error);
static void reject(const BwMember *member, const BwReplyError *error);
static void substitute(const BwMember *member, const BwReplyError *error);

bool
bw_may_split(const BwRequestRow *request, const char *code)
{
	BwErrorClass class = bw_order_error_class(code);

	return request->member_count > 1 &&
		(class == BW_ERROR_NUMBER_INVALID || class == BW_ERROR_NUMBER_TAKEN);
}

List *
bw_split(const BwRequestRow *request, const BwReplyErrors *errors)
{
	int			count;
	BwMember   *members = lock_members(request, &count);
	int64	   *rest = palloc(sizeof(int64) * Max(count, 1));
	int			rest_count = 0;
	List	   *moved = NIL;

	for (int i = 0; i < count; i++)
	{
		const BwReplyError *error = error_naming(errors, members[i].numbers[0]);
		BwOrderStatus status = BW_ORDER_QUEUED;

		if (error == NULL)
			rest[rest_count++] = members[i].order_id;
		else if (members[i].may_substitute &&
				 bw_order_error_class(error->code) == BW_ERROR_NUMBER_TAKEN)
			substitute(&members[i], error);
		else
		{
			reject(&members[i], error);
			status = BW_ORDER_REJECTED;
		}
		moved = lappend(moved, bw_moved(members[i].order_id, status));
	}
	make_parts(request, rest, rest_count, rest_count == count, false);
	return bw_release_waiting(moved);
}

void
bw_split_copy(const BwRequestRow *request)
{
	int			count;
	BwMember   *members = lock_members(request, &count);
	int64	   *ids = palloc(sizeof(int64) * Max(count, 1));
	int			n = 0;

	for (int i = 0; i < count; i++)
		if (!members[i].left && !bw_order_is_final(members[i].status))
			ids[n++] = members[i].order_id;
	make_parts(request, ids, n, true, true);
}

static BwMember *
lock_members(const BwRequestRow *request, int *count)
{
	BwMember   *members = bw_store_lock_members(&request->id, 1, count);

	/* Somebody holds a row: the request is looked up later, and split then. */
	if (*count != request->member_count)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("orders of request " INT64_FORMAT " are locked", request->id)));
	return members;
}

static void
make_parts(const BwRequestRow *request, const int64 *order_ids, int count,
		   bool halve, bool again)
{
	int			first = halve ? (count + 1) / 2 : count;

	make_part(request, order_ids, first, again);
	make_part(request, order_ids + first, count - first, again);
	bw_store_close_request(request->id);
}

/*
 * Several orders keep the room under the limit per day that they were claimed with;
 * one on its own has to find some again, as others have.
 */
static void
make_part(const BwRequestRow *request, const int64 *order_ids, int count, bool again)
{
	if (count == 1 && !again)
		(void) bw_store_give_back(request->server, BW_KIND_ORDER, request->id, 1);
	bw_store_make_part(request->id, order_ids, count, again);
}

static const BwReplyError *
error_naming(const BwReplyErrors *errors, const char *digits)
{
	for (int i = 0; i < errors->count; i++)
		if (bw_numbers_list_has(&errors->items[i].numbers, digits))
			return &errors->items[i];
	return NULL;
}

static void
reject(const BwMember *member, const BwReplyError *error)
{
	BwOrderChange order = {.order_id = member->order_id,.status = BW_ORDER_REJECTED,
		.moved = true,.source = "reply",.detail = bw_from_utf8(error->text),
		.completed_quantity = 0,.failed_quantity = 1,
	.error_code = error->code,.error_text = bw_from_utf8(error->text)};

	bw_store_change_orders(&order, 1);
	fail_number(member, error);
}

static void
fail_number(const BwMember *member, const BwReplyError *error)
{
	BwNumberChange number = {.order_id = member->order_id,
		.telephone_number = member->numbers[0],.status = "FAILED",
	.error_code = error->code,.error_text = bw_from_utf8(error->text)};

	bw_store_change_numbers(&number, 1);
}

/* Its number is taken, and it may try another one. */
static void
substitute(const BwMember *member, const BwReplyError *error)
{
	BwTakenNumber taken = {.order_id = member->order_id,
	.telephone_number = member->numbers[0]};
	const char *source = "reply";
	const char *detail = psprintf("%s was taken (%s)", member->numbers[0], error->code);

	fail_number(member, error);
	bw_store_substitute(&member->order_id, &source, &detail, 1, &taken, 1);
}
