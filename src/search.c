/*-------------------------------------------------------------------------
 *
 * search.c
 *	  Finds numbers for orders by criteria, and others for numbers that were
 *	  taken.
 *
 * An order by criteria is searched first and then sent for exact numbers, so
 * that sending it again is harmless: Bandwidth's own search-and-order types
 * would buy again.  A number that another open order wants is left to that one.
 *
 * Orders that want the same are searched for together, one search at a time:
 * those that come while it is under way wait for the next one, so that five
 * thousand orders cost a few searches however they were committed.
 *
 * A number that a user named and that was taken may be the account's own, ordered
 * once more: Bandwidth is asked before another one is bought in its place.
 *
 * A search has no outcome to lose.  What is remembered between laps is only how
 * many numbers to ask for and when; a worker that starts asks again at once.
 *
 * src/search.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "criteria.h"
#include "group.h"
#include "guards.h"
#include "registry.h"
#include "search.h"
#include "settle.h"
#include "store_search.h"
#include "xml_read.h"

/* Searches under way at the same time. */
#define SEARCHES_MAX 8
/* More are asked for than wanted: others may want the same ones. */
#define SPARE_NUMBERS 20
/* A search that was lost, refused or not answered is made again after this. */
#define RETRY_MS 5000
/* Looking what waits may take that part of the worker's time. */
#define LOOK_SHARE 5

/* What orders of one group are searched for, between and during its searches. */
typedef struct Search
{
	MemoryContext cxt;
	BwSearchGroup group;		/* its quantity is of the last look */
	bool		wanted;			/* at the last look */
	BwTask	   *task;			/* NULL: none is under way */
	TimestampTz not_before;
	int			at_least;		/* to ask for: with fewer, too few were free */
} Search;

/* One search under way, and what it brought. */
typedef struct SearchResult
{
	Search	   *search;
	BwCriteria	criteria;
	int			asked;
	int			listed;			/* numbers of the reply, the right tier or not */
	char	  **numbers;
	int			count;
	bool		readable;
	char	   *rate_center;	/* of the group's number, where there are no
								 * criteria */
	char	   *state;
	bool		ours;			/* the account has the number that was asked
								 * about */
} SearchResult;

/* Numbers that are given out, and what that means. */
typedef struct Deal
{
	BwSearchStep *steps;
	BwFoundNumber *numbers;
	int			number_count;
	BwSearchEnd *ends;			/* one for each step */
	int			order_count;
	bool		exhausted;		/* there are no more than these */
	bool		again;			/* there may be more */
} Deal;

/* A finished task, and what it moves. */
typedef struct Recording
{
	BwTask	   *task;
	List	   *moved;
} Recording;

static void look(BwWork *work, void *arg);
static void end_pauses(BwWork *work);
static void look_at_pause(BwWork *work, void *arg);
static Search *find_search(BwWork *work, const BwSearchGroup *group);
static void forget_searches(BwWork *work);
static bool begin(BwWork *work, Search *search);
static void make_task(BwWork *work, void *arg);
static void start(BwWork *work, BwTask *task);
static void take_numbers(BwTask *task);
static void take_about_number(BwTask *task);
static bool is_wanted(const SearchResult *result, const BwRow *row, BwNumber *number);
static void record(BwWork *work, void *arg);
static bool record_trouble(BwWork *work, Recording *recording);
static void record_rate_center(Recording *recording);
static void record_asked(Recording *recording);
static void deal(Recording *recording);
static void deal_row(Deal *deal, SearchResult *result, const BwSearchRow *row,
					 char **free_ones, int free_count, int *next);
static void fall_short(Deal *deal, const SearchResult *result, const BwSearchRow *row,
					   int left, BwSearchStep *step);
static void refuse_all(Recording *recording, const char *code, const char *text);
static void finish_deal(Recording *recording, Deal *deal, const char *code);

void
bw_search_lap(BwWork *work)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz end;
	ListCell   *lc;
	int			under_way = 0;

	if (work->look_at > now)
	{
		work->search_at = work->look_at;
		return;
	}
	work->search_at = DT_NOEND;
	foreach(lc, work->searches)
	{
		((Search *) lfirst(lc))->wanted = false;
		under_way += ((Search *) lfirst(lc))->task != NULL;
	}
	if (!bw_work_transaction(work, look, NULL, "looking what to search for"))
	{
		work->search_at = TimestampTzPlusMilliseconds(now, RETRY_MS);
		return;
	}
	foreach(lc, work->searches)
	{
		Search	   *search = lfirst(lc);

		if (search->task != NULL || !search->wanted)
			continue;
		/* The end of one of those wakes us. */
		if (under_way == SEARCHES_MAX)
			break;
		if (search->not_before <= now && begin(work, search))
			under_way++;
		else
			work->search_at = Min(work->search_at, search->not_before);
	}
	forget_searches(work);
	end = GetCurrentTimestamp();
	work->look_at = end + (end - now) * LOOK_SHARE;
}

static void
look(BwWork *work, void *arg)
{
	int			count;
	BwSearchGroup *groups;

	end_pauses(work);
	groups = bw_store_search_groups(&count);
	for (int i = 0; i < count; i++)
	{
		Search	   *search = find_search(work, &groups[i]);

		search->wanted = true;
		search->group.quantity = groups[i].quantity;
	}
}

/* Claiming looks at a pause only where it has an order to send. */
static void
end_pauses(BwWork *work)
{
	int			count;
	BwGroup    *groups = bw_store_paused_searches(&count);

	for (int i = 0; i < count; i++)
	{
		work->said = &bw_group_state(work, groups[i].server,
									 groups[i].ordered_by)->search_said;
		(void) bw_work_attempt(work, look_at_pause, &groups[i],
							   "looking whether a pause has ended");
	}
	work->said = NULL;
}

/* Fails where credentials cannot be read: then it has not ended. */
static void
look_at_pause(BwWork *work, void *arg)
{
	const BwGroup *group = arg;

	(void) bw_guards_paused(group->server, group->ordered_by);
}

static char *
copy_text(MemoryContext cxt, const char *text)
{
	return text == NULL ? NULL : MemoryContextStrdup(cxt, text);
}

static Search *
find_search(BwWork *work, const BwSearchGroup *group)
{
	MemoryContext cxt;
	MemoryContext old;
	Search	   *search;
	ListCell   *lc;

	foreach(lc, work->searches)
	{
		search = lfirst(lc);
		if (bw_same_text(search->group.criteria, group->criteria) &&
			bw_same_text(search->group.prefix, group->prefix) &&
			bw_same_text(search->group.asks, group->asks) &&
			bw_same_text(search->group.server, group->server) &&
			bw_same_text(search->group.ordered_by, group->ordered_by) &&
			bw_same_text(search->group.account_id, group->account_id))
			return search;
	}
	cxt = AllocSetContextCreate(work->cxt, "bandwidth search", ALLOCSET_SMALL_SIZES);
	search = MemoryContextAllocZero(cxt, sizeof(Search));
	search->cxt = cxt;
	search->group.server = copy_text(cxt, group->server);
	search->group.ordered_by = copy_text(cxt, group->ordered_by);
	search->group.account_id = copy_text(cxt, group->account_id);
	search->group.criteria = copy_text(cxt, group->criteria);
	search->group.prefix = copy_text(cxt, group->prefix);
	search->group.number = copy_text(cxt, group->number);
	search->group.asks = copy_text(cxt, group->asks);
	search->not_before = DT_NOBEGIN;
	old = MemoryContextSwitchTo(work->cxt);
	work->searches = lappend(work->searches, search);
	MemoryContextSwitchTo(old);
	return search;
}

/* Those that nobody wants any more. */
static void
forget_searches(BwWork *work)
{
	ListCell   *lc;

	foreach(lc, work->searches)
	{
		Search	   *search = lfirst(lc);

		if (search->wanted || search->task != NULL)
			continue;
		work->searches = foreach_delete_current(work->searches, lc);
		MemoryContextDelete(search->cxt);
	}
}

/* If not: search->not_before says when to try again. */
static bool
begin(BwWork *work, Search *search)
{
	const BwServer *server;
	TimestampTz again_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
	BwEndpointClass class = search->group.criteria != NULL ? BW_CLASS_SEARCH
	: BW_CLASS_HISTORY;

	work->said = &bw_group_state(work, search->group.server,
								 search->group.ordered_by)->search_said;
	if (bw_work_transaction(work, make_task, search, "searching for numbers") &&
		search->task != NULL)
	{
		server = search->task->account.server;
		if (strcmp(server->account_id, search->group.account_id) == 0 &&
			bw_registry_budget_take(server->account_id, class,
									server->requests_per_minute, server->burst,
									&again_at))
		{
			start(work, search->task);
			return true;
		}
	}
	if (search->task != NULL)
		bw_task_free(search->task);
	search->task = NULL;
	search->not_before = again_at;
	return false;
}

static void
make_task(BwWork *work, void *arg)
{
	Search	   *search = arg;
	const BwSearchGroup *group = &search->group;
	BwTask	   *task;
	SearchResult *result;
	MemoryContext old;

	if (bw_config_server_if_exists(group->server) == NULL)
		return;
	task = search->task = bw_task_create(work, BW_TASK_SEARCH, 0);
	bw_task_account(task, group->server, group->ordered_by, NULL);
	result = MemoryContextAllocZero(task->cxt, sizeof(SearchResult));
	result->search = search;
	if (group->criteria != NULL)
	{
		old = MemoryContextSwitchTo(task->cxt);
		bw_criteria_from_json(group->criteria, &result->criteria);
		bw_criteria_to_utf8(&result->criteria.search);
		MemoryContextSwitchTo(old);
		result->asked = Min(Max(group->quantity + SPARE_NUMBERS, search->at_least),
							BW_QUANTITY_MAX);
		result->criteria.search.quantity = result->asked;
		result->criteria.search.detail = result->criteria.max_tier >= 0;
	}
	task->detail = result;
}

static void
start(BwWork *work, BwTask *task)
{
	const SearchResult *result = task->detail;
	BwCallSpec	spec = {.class = BW_CLASS_SEARCH,.method = "GET"};

	if (result->search->group.asks != NULL)
	{
		spec.class = BW_CLASS_HISTORY;
		spec.path = psprintf("/tns/%s", result->search->group.asks);
	}
	else if (result->search->group.criteria == NULL)
	{
		spec.class = BW_CLASS_HISTORY;
		spec.path = psprintf("/tns/%s/ratecenter", result->search->group.number);
	}
	else
	{
		spec.path = bw_api_path(&task->account, "availableNumbers", NULL);
		spec.query = bw_api_search_query(&result->criteria.search);
	}
	bw_task_start(work, task, &spec);
}

void
bw_search_finished(BwWork *work, BwTask *task)
{
	SearchResult *result = task->detail;
	Search	   *search = result->search;
	Recording	recording = {.task = task};

	search->not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
	if (search->group.criteria != NULL)
		take_numbers(task);
	else
		take_about_number(task);
	if (bw_work_transaction(work, record, &recording, "recording a search"))
		bw_work_moved(work, recording.moved);
	else
		search->not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
	search->task = NULL;
	work->submit_at = work->search_at = GetCurrentTimestamp();
	bw_task_free(task);
}

static void
take_numbers(BwTask *task)
{
	SearchResult *result = task->detail;
	const BwOutcome *outcome = bw_call_outcome(task->call);
	BwList	   *list;
	BwRow		row;
	BwNext		next;
	BwNumber	number;

	if (outcome->kind != BW_OUTCOME_DONE)
		return;
	list = bw_xml_list_open(BW_LIST_AVAILABLE_NUMBERS, outcome->reply->body,
							outcome->reply->body_len);
	result->numbers = MemoryContextAlloc(task->cxt, sizeof(char *) * BW_QUANTITY_MAX);
	while (list != NULL && (next = bw_xml_list_next(list, &row)) == BW_NEXT_ROW)
	{
		result->listed++;
		if (result->count < BW_QUANTITY_MAX && is_wanted(result, &row, &number))
			result->numbers[result->count++] =
				MemoryContextStrdup(task->cxt, number.digits);
	}
	result->readable = list != NULL && next == BW_NEXT_END;
	bw_xml_list_close(list);
}

static bool
is_wanted(const SearchResult *result, const BwRow *row, BwNumber *number)
{
	const char *tier = row->field[BW_FIELD_TIER];
	int			max_tier = result->criteria.max_tier;
	BwProblem	problem;

	if (row->field[BW_FIELD_NUMBER] == NULL ||
		!bw_number_parse(row->field[BW_FIELD_NUMBER], number, &problem))
		return false;
	return max_tier < 0 || (tier != NULL && tier[0] != '\0' && atoi(tier) <= max_tier);
}

/* Bandwidth answers about numbers that the account gave back, too. */
static bool
has_number(const char *account_id, const BwNumberReply *reply)
{
	static const char *const gone[] = {
		"Available", "Aging", "Disconnected", "PortOut", "Removed", "Eliminated"
	};

	if (reply->account_id != NULL && strcmp(reply->account_id, account_id) != 0)
		return false;
	for (int i = 0; i < (int) lengthof(gone); i++)
		if (reply->status != NULL && pg_strcasecmp(reply->status, gone[i]) == 0)
			return false;
	return true;
}

/* Its rate center, or who has it. */
static void
take_about_number(BwTask *task)
{
	SearchResult *result = task->detail;
	const BwOutcome *outcome = bw_call_outcome(task->call);
	BwNumberReply *reply;
	BwXmlProblem problem;

	if (outcome->kind != BW_OUTCOME_DONE)
		return;
	reply = bw_xml_decode_number(outcome->reply->body, outcome->reply->body_len, &problem);
	if (reply == NULL)
		return;
	result->readable = true;
	result->rate_center = copy_text(task->cxt, reply->rate_center);
	result->state = copy_text(task->cxt, reply->state);
	result->ours = has_number(result->search->group.account_id, reply);
	bw_xml_free_number(reply);
}

/* Numbers, and a place in the queue; or the end of the order; or again later. */
static void
record(BwWork *work, void *arg)
{
	Recording  *recording = arg;
	SearchResult *result = recording->task->detail;
	const BwOutcome *outcome = bw_call_outcome(recording->task->call);
	bool		no_criteria = result->search->group.criteria == NULL;

	if (record_trouble(work, recording))
		return;
	if (result->search->group.asks != NULL)
	{
		if (outcome->kind != BW_OUTCOME_DONE || result->readable)
			record_asked(recording);
	}
	else if (outcome->kind == BW_OUTCOME_REFUSED || outcome->kind == BW_OUTCOME_NOT_FOUND)
		refuse_all(recording, outcome->code, outcome->text);
	else if (result->readable && no_criteria)
		record_rate_center(recording);
	else if (result->readable)
		deal(recording);
}

/*
 * What is wrong with the whole account or mapping pauses it and costs no order.
 * True also where nothing was learnt: the search is made again.
 */
static bool
record_trouble(BwWork *work, Recording *recording)
{
	const BwTask *task = recording->task;
	const BwSearchGroup *group = &((SearchResult *) task->detail)->search->group;
	const BwOutcome *outcome = bw_call_outcome(task->call);

	if (outcome->kind == BW_OUTCOME_DONE)
		return false;
	if (outcome->kind == BW_OUTCOME_NOT_FOUND)
		return group->criteria != NULL;
	if (outcome->kind != BW_OUTCOME_REFUSED)
		return true;
	switch (bw_order_error_class(outcome->code))
	{
		case BW_ERROR_UNKNOWN:
		case BW_ERROR_PENDING:
			return true;
		case BW_ERROR_MAPPING:
			bw_guards_pause(&task->account, group->ordered_by, outcome->code,
							outcome->text);
			return true;
		case BW_ERROR_SERVER:
			bw_guards_pause(&task->account, NULL, outcome->code, outcome->text);
			return true;
		case BW_ERROR_REFUSED:
		case BW_ERROR_NUMBER_TAKEN:
		case BW_ERROR_NUMBER_INVALID:
		case BW_ERROR_PLACE:
			break;
	}
	return false;
}

static void
record_rate_center(Recording *recording)
{
	SearchResult *result = recording->task->detail;

	if (result->rate_center == NULL || result->state == NULL)
		refuse_all(recording, "5018", "no telephone numbers are available");
	else
	{
		bw_store_widen(&result->search->group, result->rate_center, result->state);
		result->search->not_before = DT_NOBEGIN;
	}
}

static void
make_deal(Deal *deal, int count, int numbers)
{
	memset(deal, 0, sizeof(Deal));
	deal->steps = palloc0(sizeof(BwSearchStep) * Max(count, 1));
	deal->numbers = palloc0(sizeof(BwFoundNumber) * Max(numbers, 1));
	deal->ends = palloc0(sizeof(BwSearchEnd) * Max(count, 1));
}

/* Each order of the group its own numbers, oldest first. */
static void
deal(Recording *recording)
{
	SearchResult *result = recording->task->detail;
	Search	   *search = result->search;
	int			count;
	BwSearchRow *rows = bw_store_lock_searches(&search->group, &count);
	int64	   *ids = palloc(sizeof(int64) * Max(count, 1));
	char	  **free_ones;
	int			free_count;
	int			wanted;
	int			next = 0;
	Deal		deal;

	for (int i = 0; i < count; i++)
		ids[i] = rows[i].order_id;
	free_ones = bw_store_free_numbers((const char *const *) result->numbers,
									  result->count, ids, count, &free_count, &wanted);
	make_deal(&deal, count, free_count);

	/*
	 * All that there are were listed, or all that can be: then, those that
	 * open orders of ours want will be gone, or free, in a while.
	 */
	deal.exhausted = result->listed < result->asked ||
		(result->asked == BW_QUANTITY_MAX && wanted == 0);
	for (int i = 0; i < count; i++)
		deal_row(&deal, result, &rows[i], free_ones, free_count, &next);
	finish_deal(recording, &deal, "5018");
	if (deal.again && result->asked < BW_QUANTITY_MAX)
		search->at_least = Min(result->asked * 4, BW_QUANTITY_MAX);
	/* Something moved, or will: ask again at once, else after a while. */
	if (deal.number_count > 0 || (deal.again && result->asked < BW_QUANTITY_MAX))
		search->not_before = DT_NOBEGIN;
}

static void
deal_row(Deal *deal, SearchResult *result, const BwSearchRow *row, char **free_ones,
		 int free_count, int *next)
{
	BwSearchStep *step = &deal->steps[deal->order_count];
	int			left = free_count - *next;
	bool		all_or_nothing = row->place[0] == '\0' && !row->partial_allowed;
	int			given = Min(row->quantity, left);

	step->order_id = row->order_id;
	step->place = row->place;
	step->next = BW_SEARCH_DONE;
	deal->ends[deal->order_count++].order_id = row->order_id;
	if (given < row->quantity && (all_or_nothing || !deal->exhausted))
		given = 0;
	for (int i = 0; i < given; i++)
	{
		BwFoundNumber *number = &deal->numbers[deal->number_count++];

		number->order_id = row->order_id;
		number->telephone_number = free_ones[(*next)++];
		number->attempt = row->attempt;
		number->replaces = i < row->replaces_count ? row->replaces[i] : NULL;
	}
	step->given = given;
	if (given < row->quantity)
		fall_short(deal, result, row, left, step);
}

/* Wait for more, look further away, or do without. */
static void
fall_short(Deal *deal, const SearchResult *result, const BwSearchRow *row, int left,
		   BwSearchStep *step)
{
	step->next = BW_SEARCH_AGAIN;
	if (!deal->exhausted)
		deal->again = true;
	else if (row->place[0] != '\0' && result->criteria.search.npanxx != NULL)
		step->next = BW_SEARCH_WIDER;
	else
	{
		step->next = BW_SEARCH_DONE;
		deal->ends[deal->order_count - 1].text =
			psprintf("only %d of %d telephone numbers are available", left,
					 row->quantity);
		deal->ends[deal->order_count - 1].certain = !row->partial_allowed;
	}
}

/* No numbers for anybody in the group. */
static void
refuse_all(Recording *recording, const char *code, const char *text)
{
	SearchResult *result = recording->task->detail;
	int			count;
	BwSearchRow *rows = bw_store_lock_searches(&result->search->group, &count);
	Deal		deal;

	make_deal(&deal, count, 0);
	for (int i = 0; i < count; i++)
	{
		BwSearchStep *step = &deal.steps[deal.order_count];

		step->order_id = rows[i].order_id;
		step->place = rows[i].place;
		step->next = rows[i].place[0] != '\0' && result->criteria.search.npanxx != NULL
			? BW_SEARCH_WIDER : BW_SEARCH_DONE;
		deal.ends[deal.order_count].order_id = rows[i].order_id;
		deal.ends[deal.order_count].text = text;
		deal.ends[deal.order_count++].certain = step->next == BW_SEARCH_DONE &&
			!(rows[i].partial_allowed && rows[i].attempt > 1);
	}
	finish_deal(recording, &deal, code != NULL ? code : "5018");
}

/*
 * A number that was taken by the account itself, some time ago, is not replaced:
 * whoever ordered it again has it.
 */
static void
record_asked(Recording *recording)
{
	SearchResult *result = recording->task->detail;
	const BwSearchGroup *group = &result->search->group;
	int			count;
	BwSearchRow *rows = bw_store_lock_searches(group, &count);
	char	   *text = psprintf("the account has %s already", group->asks);
	Deal		deal;

	bw_store_asked(rows, count, group->asks, result->ours, text);
	result->search->not_before = DT_NOBEGIN;
	if (!result->ours)
		return;
	make_deal(&deal, count, 0);
	for (int i = 0; i < count; i++)
	{
		deal.steps[i].order_id = rows[i].order_id;
		deal.steps[i].place = rows[i].place;
		deal.steps[i].next = BW_SEARCH_AGAIN;
		deal.ends[i].order_id = rows[i].order_id;
		deal.ends[i].text = text;
		deal.ends[i].certain = !rows[i].partial_allowed;
	}
	deal.order_count = count;
	finish_deal(recording, &deal, "5005");
}

/*
 * Write it down.  An order that lacks nothing more is sent; or, if it may have
 * less than it wanted but nothing was found for it, it ends.
 */
static void
finish_deal(Recording *recording, Deal *deal, const char *code)
{
	const SearchResult *result = recording->task->detail;
	BwEnded    *ended;
	int			count;

	bw_store_give_numbers(deal->numbers, deal->number_count);
	bw_store_search_steps(deal->steps, deal->order_count);
	bw_store_found(deal->ends, deal->order_count, result->search->group.criteria);
	ended = bw_store_end_searches(deal->ends, deal->order_count, code, &count);
	for (int i = 0; i < count; i++)
		recording->moved = lappend(recording->moved,
								   bw_moved(ended[i].order_id, ended[i].status));
}
