/*-------------------------------------------------------------------------
 *
 * settle.c
 *	  What an answer about a request means for each order that it carries.
 *
 * Rules, from Bandwidth's "Advanced ordering" and the ordering guide:
 * on COMPLETE every requested number is ours unless it is listed as failed;
 * on PARTIAL those listed as completed are; on FAILED none is, whatever is
 * listed.  The order of a user then is COMPLETE, PARTIAL or FAILED by its own
 * numbers.  An order by criteria that was sent as such has no numbers of its
 * own beforehand: it takes Bandwidth's word and the numbers that came.
 *
 * src/settle.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/timestamp.h"

#include "encoding.h"
#include "numbers.h"
#include "request.h"
#include "settle.h"
#include "store_queue.h"
#include "store_search.h"
#include "work.h"

/* Orders that were locked by somebody are looked at again after this. */
#define LOCKED_RETRY_MS 1000
/* So many numbers that were taken are named in an event. */
#define TAKEN_SHOWN 5

/* So that 5,000 numbers are found quickly. */
typedef struct ReplyIndex
{
	const BwAnswer *answer;
	BwNumberSet completed;
	BwNumberSet failed;
} ReplyIndex;

/* What an answer says of one number of an order. */
typedef struct Verdict
{
	const char *digits;
	bool		ours;
	bool		taken;			/* another number may do */
	bool		spared;			/* not ordered because another one was taken */
	const BwReplyError *error;	/* why it is not ours, NULL: no reason given */
} Verdict;

/* An order that tries other numbers. */
typedef struct Substitution
{
	int64		order_id;
	const char *source;
	const char *detail;
} Substitution;

/* Changes that one call of bw_settle() collects. */
typedef struct Changes
{
	BwOrderChange *orders;
	int			order_count;
	BwNumberChange *numbers;
	int			number_count;
	int			number_room;
	BwRequestChange *requests;
	int			request_count;
	List	   *requeued;		/* of int64 * */
	List	   *substitutions;	/* of Substitution * */
	List	   *taken;			/* of BwTakenNumber * */
	List	   *moved;			/* of BwMoved * */
} Changes;

static void lock_members(const BwSettlement *items, int count,
						 const BwMember **members, int *parts);
static void settle_request(Changes *changes, const BwSettlement *item,
						   const BwMember *members, int count);
static bool settle_member(Changes *changes, const BwSettlement *item,
						  const ReplyIndex *indexes, const BwMember *member);
static void pass_on(Changes *changes, const BwSettlement *item,
					const BwMember *member, BwOrderChange *change);
static bool is_ours(const BwSettlement *item, const ReplyIndex *indexes,
					const char *digits);
static BwOrderStatus settle_numbers(Changes *changes, const BwSettlement *item,
									const ReplyIndex *indexes,
									const BwMember *member, BwOrderChange *change);
static void settle_found_numbers(Changes *changes, const BwSettlement *item,
								 const BwMember *member, BwOrderChange *change);
static Verdict *judge_numbers(const BwSettlement *item, const ReplyIndex *indexes,
							  const BwMember *member);
static bool may_substitute(const BwSettlement *item, const BwMember *member,
						   const Verdict *verdicts);
static void substitute(Changes *changes, const BwSettlement *item,
					   const BwMember *member, const Verdict *verdicts,
					   BwOrderChange *change);
static void write_substitutions(const Changes *changes);
static void close_request(Changes *changes, const BwSettlement *item,
						  bool done, bool all_seen);
static void index_reply(ReplyIndex *index, const BwAnswer *answer);
static void index_numbers(BwNumberSet *set, const BwTexts *texts);
static bool names(const BwReplyError *error, const char *digits);
static const BwReplyError *error_of_number(const BwReplyErrors *errors,
										   const char *digits);
static const BwReplyError *first_error(const BwReplyErrors *errors);
static void add_number(Changes *changes, int64 order_id, const char *number,
					   const char *status, const BwReplyError *error);

BwMoved *
bw_moved(int64 order_id, BwOrderStatus status)
{
	BwMoved    *moved = palloc(sizeof(BwMoved));

	moved->order_id = order_id;
	moved->status = status;
	return moved;
}

List *
bw_settle(const BwSettlement *items, int count)
{
	const BwMember **members = palloc(sizeof(BwMember *) * Max(count, 1));
	int		   *parts = palloc(sizeof(int) * Max(count, 1));
	Changes		changes = {0};
	int			all = 0;

	/* There is room for the changes of one answer to each request. */
	for (int i = 0; i < count; i++)
		for (int j = 0; j < i; j++)
			if (items[j].request->id == items[i].request->id)
				elog(ERROR, "two answers about request " INT64_FORMAT,
					 items[i].request->id);
	lock_members(items, count, members, parts);
	for (int i = 0; i < count; i++)
		all += parts[i];
	changes.orders = palloc0(sizeof(BwOrderChange) * Max(all, 1));
	changes.requests = palloc0(sizeof(BwRequestChange) * Max(count, 1));
	for (int i = 0; i < count; i++)
		settle_request(&changes, &items[i], members[i], parts[i]);
	bw_store_change_numbers(changes.numbers, changes.number_count);
	bw_store_change_orders(changes.orders, changes.order_count);
	bw_store_change_requests(changes.requests, changes.request_count);
	write_substitutions(&changes);
	if (changes.requeued != NIL)
	{
		int64	   *back = palloc(sizeof(int64) * list_length(changes.requeued));
		ListCell   *lc;

		foreach(lc, changes.requeued)
			back[foreach_current_index(lc)] = *(int64 *) lfirst(lc);
		bw_store_requeue(back, list_length(changes.requeued), GetCurrentTimestamp());
	}
	return bw_release_waiting(changes.moved);
}

/* The members of each item's request, of those that its caller did not lock. */
static void
lock_members(const BwSettlement *items, int count, const BwMember **members,
			 int *parts)
{
	int64	   *ids = palloc(sizeof(int64) * Max(count, 1));
	BwMember   *locked = NULL;
	int			locked_count = 0;
	int			n = 0;

	for (int i = 0; i < count; i++)
		if (items[i].members == NULL)
			ids[n++] = items[i].request->id;
	if (n > 0)
		locked = bw_store_lock_members(ids, n, &locked_count);
	for (int i = 0; i < count; i++)
	{
		members[i] = items[i].members;
		parts[i] = items[i].member_count;
		if (members[i] == NULL)
			members[i] = bw_members_of(locked, locked_count,
									   items[i].request->id, &parts[i]);
	}
}

/* For bw_work_attempt(). */
typedef struct Attempt
{
	const BwSettlement *items;
	int			count;
	List	   *moved;
} Attempt;

static void
attempt(BwWork *work, void *arg)
{
	Attempt    *a = arg;

	a->moved = bw_settle(a->items, a->count);
}

List *
bw_settle_each(BwWork *work, const BwSettlement *items, int count, bool *failed)
{
	Attempt		all = {.items = items,.count = count};
	List	   *moved = NIL;

	memset(failed, 0, sizeof(bool) * count);
	if (count != 1 && bw_work_attempt(work, attempt, &all, NULL))
		return all.moved;
	for (int i = 0; i < count; i++)
	{
		Attempt		one = {.items = &items[i],.count = 1};

		failed[i] = !bw_work_attempt(work, attempt, &one,
									 psprintf("recording what became of request " INT64_FORMAT,
											  items[i].request->id));
		if (!failed[i])
			moved = list_concat(moved, one.moved);
	}
	return moved;
}

List *
bw_release_waiting(List *moved)
{
	int64	   *ended = palloc(sizeof(int64) * Max(list_length(moved), 1));
	int64	   *rejected;
	int			count = 0;
	ListCell   *lc;

	foreach(lc, moved)
	{
		BwMoved    *m = lfirst(lc);

		if (bw_order_is_final(m->status))
			ended[count++] = m->order_id;
	}
	if (count == 0)
		return moved;
	rejected = bw_store_release_waiting(ended, count, &count);
	for (int i = 0; i < count; i++)
		moved = lappend(moved, bw_moved(rejected[i], BW_ORDER_REJECTED));
	return moved;
}

static void
settle_request(Changes *changes, const BwSettlement *item,
			   const BwMember *members, int count)
{
	ReplyIndex *indexes = palloc0(sizeof(ReplyIndex) * Max(item->answer_count, 1));
	bool		all_done = true;

	for (int i = 0; i < item->answer_count; i++)
		index_reply(&indexes[i], &item->answers[i]);
	for (int i = 0; i < count; i++)
		if (!settle_member(changes, item, indexes, &members[i]))
			all_done = false;
	close_request(changes, item, all_done && count == item->request->member_count,
				  count == item->request->member_count);
}

/* Returns whether the request has nothing more to do with the order. */
static bool
settle_member(Changes *changes, const BwSettlement *item,
			  const ReplyIndex *indexes, const BwMember *member)
{
	BwOrderChange *change;

	if (member->left || bw_order_is_final(member->status))
		return true;
	change = &changes->orders[changes->order_count++];
	change->order_id = member->order_id;
	change->status = item->status;
	change->source = item->source;
	change->bandwidth_order_id = item->bandwidth_order_id;
	change->bandwidth_status = bw_from_utf8(item->bandwidth_status);
	change->completed_quantity = -1;
	change->failed_quantity = -1;
	change->error_code = item->error_code;
	change->error_text = item->error_text;
	change->message = item->message;
	change->warning = item->warning;
	change->attention = item->attention;
	change->summary = item->answer_count > 0 ? bw_from_utf8(item->answers[0].reply->summary) : NULL;
	if (bw_order_is_final(item->status))
		change->status = member->direct && item->status != BW_ORDER_REJECTED
			? item->status : settle_numbers(changes, item, indexes, member, change);
	if (member->direct && item->answer_count > 0 && bw_order_is_final(item->status))
		settle_found_numbers(changes, item, member, change);
	if (change->status == BW_ORDER_QUEUED && item->status != BW_ORDER_QUEUED)
	{
		pass_on(changes, item, member, change);
		return true;
	}
	if (change->status == member->status ||
		!bw_order_may_move(member->status, change->status))
		change->status = member->status;
	else
	{
		change->moved = true;
		change->detail = change->error_text && change->error_text[0] ? change->error_text : NULL;
		if (bw_order_is_final(change->status))
			change->attention = "";
		changes->moved = lappend(changes->moved,
								 bw_moved(member->order_id, change->status));
		if (change->status == BW_ORDER_QUEUED)
			changes->requeued = lappend(changes->requeued, &change->order_id);
	}
	return bw_order_is_final(change->status) || change->status == BW_ORDER_QUEUED;
}

/*
 * To the queue, for its next attempt.  Whatever it was, the order at Bandwidth
 * has ended: on the way, it is RECEIVED, unless there never was one.
 */
static void
pass_on(Changes *changes, const BwSettlement *item, const BwMember *member,
		BwOrderChange *change)
{
	change->attention = "";
	change->status = member->status;
	if (item->status != BW_ORDER_REJECTED &&
		bw_order_may_move(member->status, BW_ORDER_RECEIVED))
	{
		change->status = BW_ORDER_RECEIVED;
		change->moved = true;
	}
	changes->moved = lappend(changes->moved,
							 bw_moved(member->order_id, BW_ORDER_QUEUED));
}

/*
 * Whether a number was bought.  A request that was sent twice may have several
 * orders at Bandwidth; the number is ours if any of them got it.
 */
static bool
is_ours(const BwSettlement *item, const ReplyIndex *indexes, const char *digits)
{
	if (item->answer_count == 0)
		return item->status == BW_ORDER_COMPLETE;
	for (int i = 0; i < item->answer_count; i++)
	{
		const ReplyIndex *index = &indexes[i];

		switch (index->answer->status)
		{
			case BW_ORDER_COMPLETE:
				if (!bw_numbers_have(&index->failed, digits) ||
					bw_numbers_have(&index->completed, digits))
					return true;
				break;
			case BW_ORDER_PARTIAL:
				if (bw_numbers_have(&index->completed, digits))
					return true;
				break;
			default:
				break;
		}
	}
	return false;
}

/*
 * The outcome of each number of an order, and of the order by them; QUEUED if it
 * is to try others.
 */
static BwOrderStatus
settle_numbers(Changes *changes, const BwSettlement *item,
			   const ReplyIndex *indexes, const BwMember *member,
			   BwOrderChange *change)
{
	const BwReplyError *last_error = NULL;
	Verdict    *verdicts = judge_numbers(item, indexes, member);
	bool		again = may_substitute(item, member, verdicts);

	/* A search may have found fewer than were wanted. */
	int			wanted = Max(member->quantity,
							 member->completed_before + member->number_count);
	int			completed = member->completed_before;

	for (int i = 0; i < member->number_count; i++)
	{
		const Verdict *v = &verdicts[i];

		if (v->error != NULL)
			last_error = v->error;
		completed += v->ours ? 1 : 0;
		if (!again || !v->spared)
			add_number(changes, member->order_id, v->digits,
					   v->ours ? "COMPLETE" : "FAILED", v->error);
	}
	if (last_error != NULL)
	{
		change->error_code = last_error->code;
		change->error_text = bw_from_utf8(last_error->text);
	}
	if (again)
	{
		substitute(changes, item, member, verdicts, change);
		return BW_ORDER_QUEUED;
	}
	if (item->status == BW_ORDER_REJECTED && member->completed_before == 0)
		return BW_ORDER_REJECTED;
	change->completed_quantity = completed;
	change->failed_quantity = wanted - completed;
	if (completed == wanted)
	{
		change->error_code = change->error_text = "";
		return BW_ORDER_COMPLETE;
	}
	if (wanted > member->completed_before + member->number_count &&
		last_error == NULL && item->answer_count > 0)
	{
		change->error_code = "5018";
		change->error_text = psprintf("only %d of %d telephone numbers were available",
									  member->completed_before + member->number_count,
									  wanted);
	}
	return completed > 0 ? BW_ORDER_PARTIAL : BW_ORDER_FAILED;
}

/* What was said about the numbers of an order that has ended. */
static const BwReplyErrors *
errors_of(const BwSettlement *item)
{
	return item->answer_count > 0 ? &item->answers[0].reply->errors : item->errors;
}

static bool
is_taken(const BwReplyError *error)
{
	return error != NULL && bw_order_error_class(error->code) == BW_ERROR_NUMBER_TAKEN;
}

/*
 * An error that names a number is about that one; one that names none is about
 * all, unless others are named.  Where it is all or nothing, numbers of which
 * nothing is said were spared.
 */
static Verdict *
judge_numbers(const BwSettlement *item, const ReplyIndex *indexes,
			  const BwMember *member)
{
	const BwReplyErrors *errors = errors_of(item);
	Verdict    *verdicts = palloc0(sizeof(Verdict) * Max(member->number_count, 1));
	bool		some_named = false;

	for (int i = 0; i < member->number_count; i++)
	{
		Verdict    *v = &verdicts[i];

		v->digits = member->numbers[i];
		v->ours = is_ours(item, indexes, v->digits);
		if (v->ours || errors == NULL)
			continue;
		v->error = error_of_number(errors, v->digits);
		some_named = some_named || (v->error != NULL && names(v->error, v->digits));
	}
	for (int i = 0; i < member->number_count; i++)
	{
		Verdict    *v = &verdicts[i];
		bool		named = v->error != NULL && names(v->error, v->digits);

		v->spared = !v->ours && !member->partial_allowed && some_named && !named;
		v->taken = !v->ours && !v->spared && is_taken(v->error);
	}
	return verdicts;
}

/*
 * Is there a number to be replaced, and then a chance of getting what was asked
 * for?  Without partial_allowed, a number that nobody can have ends the order.
 */
static bool
may_substitute(const BwSettlement *item, const BwMember *member,
			   const Verdict *verdicts)
{
	int			taken = 0;

	if (!member->may_substitute ||
		(item->status == BW_ORDER_REJECTED &&
		 bw_order_error_class(item->error_code) != BW_ERROR_NUMBER_TAKEN))
		return false;
	for (int i = 0; i < member->number_count; i++)
	{
		const Verdict *v = &verdicts[i];

		taken += v->taken ? 1 : 0;
		if (!v->ours && !v->taken && !v->spared && !member->partial_allowed)
			return false;
	}
	return taken > 0;
}

static void
substitute(Changes *changes, const BwSettlement *item, const BwMember *member,
		   const Verdict *verdicts, BwOrderChange *change)
{
	Substitution *s = palloc(sizeof(Substitution));
	StringInfoData detail;
	int			count = 0;

	initStringInfo(&detail);
	for (int i = 0; i < member->number_count; i++)
	{
		BwTakenNumber *taken;

		if (!verdicts[i].taken)
			continue;
		taken = palloc(sizeof(BwTakenNumber));
		taken->order_id = member->order_id;
		taken->telephone_number = verdicts[i].digits;
		changes->taken = lappend(changes->taken, taken);
		if (count++ < TAKEN_SHOWN)
			appendStringInfo(&detail, "%s%s", count > 1 ? ", " : "", verdicts[i].digits);
	}
	if (count > TAKEN_SHOWN)
		appendStringInfo(&detail, " and %d more", count - TAKEN_SHOWN);
	appendStringInfo(&detail, " %s taken (%s)", count > 1 ? "were" : "was",
					 change->error_code);
	s->order_id = member->order_id;
	s->source = item->source;
	s->detail = detail.data;
	changes->substitutions = lappend(changes->substitutions, s);
}

static void
write_substitutions(const Changes *changes)
{
	int			orders = list_length(changes->substitutions);
	int64	   *ids = palloc(sizeof(int64) * Max(orders, 1));
	const char **sources = palloc(sizeof(char *) * Max(orders, 1));
	const char **details = palloc(sizeof(char *) * Max(orders, 1));
	int			count = list_length(changes->taken);
	BwTakenNumber *taken = palloc(sizeof(BwTakenNumber) * Max(count, 1));
	ListCell   *lc;

	foreach(lc, changes->substitutions)
	{
		const Substitution *s = lfirst(lc);

		ids[foreach_current_index(lc)] = s->order_id;
		sources[foreach_current_index(lc)] = s->source;
		details[foreach_current_index(lc)] = s->detail;
	}
	foreach(lc, changes->taken)
		taken[foreach_current_index(lc)] = *(const BwTakenNumber *) lfirst(lc);
	bw_store_substitute(ids, sources, details, orders, taken, count);
}

/* What one order at Bandwidth bought, unless all of it failed; how many they are. */
static int
add_bought_numbers(Changes *changes, int64 order_id, const BwAnswer *answer)
{
	const BwTexts *completed = &answer->reply->completed;
	int			added = 0;

	if (answer->status != BW_ORDER_COMPLETE && answer->status != BW_ORDER_PARTIAL)
		return 0;
	for (int i = 0; i < completed->count; i++)
	{
		BwNumber   *number = palloc(sizeof(BwNumber));
		BwProblem	problem;

		if (!bw_number_parse(completed->items[i], number, &problem))
			continue;
		add_number(changes, order_id, number->digits, "COMPLETE", NULL);
		added++;
	}
	return added;
}

/*
 * A direct order by criteria: the numbers are those that Bandwidth names, in each
 * of its orders if a person had the request sent again.
 */
static void
settle_found_numbers(Changes *changes, const BwSettlement *item,
					 const BwMember *member, BwOrderChange *change)
{
	const BwReplyError *error = first_error(&item->answers[0].reply->errors);
	int			found = 0;

	for (int i = 0; i < item->answer_count; i++)
		found += add_bought_numbers(changes, member->order_id, &item->answers[i]);
	change->completed_quantity = found;
	change->failed_quantity = Max(member->quantity - found, 0);
	if (found >= member->quantity)
		change->error_code = change->error_text = "";
	else if (error != NULL)
	{
		change->error_code = error->code;
		change->error_text = bw_from_utf8(error->text);
	}
}

static void
close_request(Changes *changes, const BwSettlement *item, bool done,
			  bool all_seen)
{
	BwRequestChange *change = &changes->requests[changes->request_count++];

	change->request_id = item->request->id;
	change->bandwidth_order_id = item->bandwidth_order_id;
	change->other_order_ids = item->other_order_ids;
	change->other_count = item->other_count;
	change->refused_code = item->refused_code;
	change->refused_text = item->refused_text;
	if (done)
	{
		change->not_executed = item->status == BW_ORDER_QUEUED;
		change->state = change->not_executed && !item->request->shared
			? "new" : "closed";
		return;
	}
	change->state = item->status == BW_ORDER_UNKNOWN ? "unknown" : "open";
	change->step = item->step ? item->step : "poll";
	change->due_at = item->due_at;
	change->tries = item->step != NULL && item->request->step != NULL &&
		strcmp(item->step, item->request->step) == 0 ? item->request->tries : 0;
	if (!all_seen || bw_order_is_final(item->status))
		change->due_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													 LOCKED_RETRY_MS);
}

static void
index_reply(ReplyIndex *index, const BwAnswer *answer)
{
	index->answer = answer;
	index_numbers(&index->completed, &answer->reply->completed);
	index_numbers(&index->failed, &answer->reply->failed);
}

static void
index_numbers(BwNumberSet *set, const BwTexts *texts)
{
	(void) bw_numbers_read(set, texts, palloc(bw_numbers_size(texts)));
}

static bool
names(const BwReplyError *error, const char *digits)
{
	return bw_numbers_list_has(&error->numbers, digits);
}

/*
 * The error that names the number, else the first that names none; of those,
 * that it is taken tells more than that the order is only partly carried out.
 */
static const BwReplyError *
error_of_number(const BwReplyErrors *errors, const char *digits)
{
	const BwReplyError *general = NULL;

	for (int i = 0; i < errors->count; i++)
	{
		const BwReplyError *error = &errors->items[i];

		if (names(error, digits))
			return error;
		if (error->numbers.count == 0 &&
			(general == NULL || (is_taken(error) && !is_taken(general))))
			general = error;
	}
	return general != NULL ? general : first_error(errors);
}

static const BwReplyError *
first_error(const BwReplyErrors *errors)
{
	return errors->count > 0 ? &errors->items[0] : NULL;
}

static void
add_number(Changes *changes, int64 order_id, const char *number,
		   const char *status, const BwReplyError *error)
{
	BwNumberChange *change;

	if (changes->number_count == changes->number_room)
	{
		int			room = Max(64, changes->number_room * 2);
		Size		size = sizeof(BwNumberChange) * room;

		changes->numbers = changes->numbers == NULL
			? palloc(size) : repalloc_huge(changes->numbers, size);
		changes->number_room = room;
	}
	change = &changes->numbers[changes->number_count++];
	change->order_id = order_id;
	change->telephone_number = number;
	change->status = status;
	change->error_code = error ? error->code : NULL;
	change->error_text = error ? bw_from_utf8(error->text) : NULL;
}
