/*-------------------------------------------------------------------------
 *
 * inquiry.c
 *	  What does Bandwidth know of a request?  A chain of GETs.
 *
 * Sources: "Get orders" and "Get disconnects" (the lists, with page and size always
 * given, because Bandwidth answers 303 without them), "Get order", "Get
 * disconnect", and "Get telephone number" of the numbers API.
 *
 * src/inquiry.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "echo.h"
#include "inquiry.h"
#include "numbers.h"
#include "registry.h"

/* Rows per page of the list; only a few orders carry one CustomerOrderId ... */
#define LIST_PAGE_SIZE "100"
/* ... but disconnects can be asked for by date only. */
#define DATED_PAGE_SIZE "1000"
/* More orders than this are not read: something else is wrong then. */
#define FOUND_MAX 20
/* Pages of a list whose filter was ignored. */
#define LIST_PAGES_MAX 100
/* Clocks differ, and dates of replies are cut to the second. */
#define CLOCK_GRACE_MS 10000

typedef enum Question
{
	ASK_LIST,
	ASK_ORDER,
	ASK_NUMBER
} Question;

struct BwInquiry
{
	BwRequestRow request;
	BwOrderKind kind;
	MemoryContextCallback guard;
	Question	question;		/* the one under way */
	char	   *list_query;		/* of the page to ask for; NULL: none */
	int			list_pages;
	bool		list_failed;
	bool		copied;			/* each copy of it buys: all are to be known */
	bool		inconclusive;
	int			calls;
	BwFound		found[FOUND_MAX];
	int			found_count;
	BwFound    *asking;			/* ASK_ORDER */
	char	   *sent;			/* what the request was sent as; NULL: not
								 * needed */
	char	  **numbers;		/* asked for by the request */
	bool	   *number_done;	/* need not be asked about any more */
	int			number_count;
	int			number_asking;	/* ASK_NUMBER */
};

static void copy_request(BwInquiry *inquiry, const BwRequestRow *request);
static void free_replies(void *arg);
static BwFound *add_found(BwTask *task, const char *id, bool bound);
static char *first_list_query(const BwRequestRow *request);
static bool choose_question(BwInquiry *inquiry);
static int	doubtful_number(BwInquiry *inquiry);
static bool is_under_way(BwFound **found, int count);
static bool is_taken(const BwInquiry *inquiry, const BwOrderReply *reply,
					 const char *digits);
static bool may_be_taken(BwOrderKind kind, const char *code);
static void ask(BwWork *work, BwTask *task);
static void take_list(BwTask *task);
static bool take_list_row(BwTask *task, const BwRow *row);
static bool is_unknown_order(const BwOutcome *outcome);
static void take_order(BwTask *task);
static char *difference(BwTask *task, const BwOrderReply *reply);
static void take_number(BwTask *task);
static BwFound **matching(BwInquiry *inquiry, int *count);
static bool matches(const BwInquiry *inquiry, const BwFound *found);
static bool same_numbers(const BwInquiry *inquiry, const BwTexts *requested);

BwTask *
bw_inquiry_create(BwWork *work, const BwRequestRow *request, bool look_up,
				  char **numbers, int number_count, const char *sent)
{
	BwTask	   *task = bw_task_create(work, BW_TASK_INQUIRY, request->id);
	BwInquiry  *inquiry = MemoryContextAllocZero(task->cxt, sizeof(BwInquiry));
	MemoryContext old = MemoryContextSwitchTo(task->cxt);

	task->detail = inquiry;
	task->source = look_up ? "look-up" : "poll";
	inquiry->guard.func = free_replies;
	inquiry->guard.arg = inquiry;
	MemoryContextRegisterResetCallback(task->cxt, &inquiry->guard);
	copy_request(inquiry, request);
	inquiry->copied = strcmp(request->kind, "direct") == 0 && request->attempts > 1;
	inquiry->list_query = look_up || inquiry->copied
		? first_list_query(&inquiry->request) : NULL;
	inquiry->number_count = number_count;
	inquiry->numbers = palloc(sizeof(char *) * Max(number_count, 1));
	inquiry->number_done = palloc0(sizeof(bool) * Max(number_count, 1));
	for (int i = 0; i < number_count; i++)
	{
		inquiry->numbers[i] = pstrdup(numbers[i]);
		for (int j = 0; j < request->checked_count; j++)
			if (strcmp(numbers[i], request->checked_numbers[j]) == 0)
				inquiry->number_done[i] = true;
	}
	if (request->adopting != NULL)
	{
		inquiry->sent = pstrdup(sent);
		add_found(task, request->adopting, false)->named = true;
	}
	if (request->bandwidth_order_id != NULL)
		add_found(task, request->bandwidth_order_id, true);
	for (int i = 0; i < request->other_count; i++)
		add_found(task, request->other_order_ids[i], true);
	for (int i = 0; i < request->candidate_count; i++)
		add_found(task, request->candidates[i], false);
	MemoryContextSwitchTo(old);
	bw_task_account(task, request->server, request->ordered_by, request->account_id);
	return task;
}

/* What the questions need of the row, which lives shorter than the task. */
static void
copy_request(BwInquiry *inquiry, const BwRequestRow *request)
{
	BwRequestRow *copy = &inquiry->request;

	copy->id = request->id;
	copy->attempts = request->attempts;
	copy->quantity = request->quantity;
	copy->first_sent_at = request->first_sent_at;
	copy->kind = pstrdup(request->kind);
	inquiry->kind = bw_order_kind_parse(request->kind);
	copy->account_id = pstrdup(request->account_id);
	copy->customer_order_id = pstrdup(request->customer_order_id);
	if (request->refused_code != NULL)
		copy->refused_code = pstrdup(request->refused_code);
}

/* In the current memory context.  Disconnects have no filter but dates. */
static char *
first_list_query(const BwRequestRow *request)
{
	StringInfoData query;

	if (bw_order_kind_parse(request->kind) == BW_KIND_DISCONNECT)
		return bw_api_dated_query(request->first_sent_at, DATED_PAGE_SIZE);
	initStringInfo(&query);
	bw_api_append(&query, "page", "1");
	bw_api_append(&query, "size", LIST_PAGE_SIZE);
	bw_api_append(&query, "customerOrderId", request->customer_order_id);
	return query.data;
}

static void
free_replies(void *arg)
{
	BwInquiry  *inquiry = arg;

	for (int i = 0; i < inquiry->found_count; i++)
		bw_xml_free_order(inquiry->found[i].reply);
}

/* The entry of that order, made if need be; NULL when there are too many. */
static BwFound *
add_found(BwTask *task, const char *id, bool bound)
{
	BwInquiry  *inquiry = task->detail;
	BwFound    *found;

	for (int i = 0; i < inquiry->found_count; i++)
		if (strcmp(inquiry->found[i].id, id) == 0)
			return &inquiry->found[i];
	if (inquiry->found_count == FOUND_MAX)
		return NULL;
	found = &inquiry->found[inquiry->found_count++];
	found->id = MemoryContextStrdup(task->cxt, id);
	found->bound = bound;
	found->created = DT_NOBEGIN;
	return found;
}

bool
bw_inquiry_next(BwWork *work, BwTask *task)
{
	BwInquiry  *inquiry = task->detail;
	const BwServer *server = task->account.server;
	TimestampTz retry_at;

	if (inquiry->calls > 0)
	{
		bw_call_release(task->call);
		task->call = NULL;
	}
	if (inquiry->inconclusive || !choose_question(inquiry))
		return false;
	/* The first call was paid for by whoever made the task. */
	if (inquiry->calls > 0 &&
		!bw_registry_budget_take(server->account_id, BW_CLASS_HISTORY,
								 server->requests_per_minute, server->burst,
								 &retry_at))
	{
		inquiry->inconclusive = true;
		return false;
	}
	inquiry->calls++;
	ask(work, task);
	return true;
}

static bool
choose_question(BwInquiry *inquiry)
{
	if (inquiry->list_query != NULL)
	{
		inquiry->question = ASK_LIST;
		return true;
	}
	inquiry->question = ASK_ORDER;
	for (int i = 0; i < inquiry->found_count; i++)
	{
		inquiry->asking = &inquiry->found[i];
		if (!inquiry->asking->asked)
			return true;
	}
	inquiry->question = ASK_NUMBER;
	inquiry->number_asking = doubtful_number(inquiry);
	return inquiry->number_asking >= 0;
}

/*
 * A number that the second copy of a request did not get, because it is taken,
 * could not give back, because it is gone, or did not try, because it was
 * refused: maybe the first did.  -1 when there is none, or none left.
 */
static int
doubtful_number(BwInquiry *inquiry)
{
	int			count;
	BwFound   **found = matching(inquiry, &count);
	BwNumberSet *completed = palloc(sizeof(BwNumberSet) * Max(count, 1));

	if (inquiry->request.attempts < 2 || is_under_way(found, count))
		return -1;
	for (int i = 0; i < count; i++)
	{
		const BwTexts *list = &found[i]->reply->completed;

		(void) bw_numbers_read(&completed[i], list, palloc(bw_numbers_size(list)));
	}
	for (int n = 0; n < inquiry->number_count; n++)
	{
		const char *digits = inquiry->numbers[n];
		bool		taken = inquiry->request.refused_code != NULL;
		bool		ours = inquiry->number_done[n];

		for (int i = 0; i < count && !ours; i++)
		{
			taken = taken || is_taken(inquiry, found[i]->reply, digits);
			ours = bw_numbers_have(&completed[i], digits);
		}
		if (taken && !ours)
			return n;
	}
	return -1;
}

/* Then its end comes first, and may leave nothing to ask. */
static bool
is_under_way(BwFound **found, int count)
{
	for (int i = 0; i < count; i++)
	{
		BwOrderStatus status;

		if (!bw_order_status_from_bandwidth(found[i]->reply->status, &status) ||
			!bw_order_is_final(status))
			return true;
	}
	return false;
}

/* Does an order that has ended say that somebody was there before? */
static bool
is_taken(const BwInquiry *inquiry, const BwOrderReply *reply, const char *digits)
{
	for (int i = 0; i < reply->errors.count; i++)
	{
		const BwReplyError *error = &reply->errors.items[i];

		if (may_be_taken(inquiry->kind, error->code) &&
			(error->numbers.count == 0 || bw_numbers_list_has(&error->numbers, digits)))
			return true;
	}
	return false;
}

static bool
may_be_taken(BwOrderKind kind, const char *code)
{
	BwErrorClass class = bw_order_error_class(code);

	return class == BW_ERROR_NUMBER_TAKEN ||
		(kind == BW_KIND_DISCONNECT && class == BW_ERROR_NUMBER_INVALID);
}

static void
ask(BwWork *work, BwTask *task)
{
	BwInquiry  *inquiry = task->detail;
	BwCallSpec	spec = {.class = BW_CLASS_HISTORY,.method = "GET"};

	switch (inquiry->question)
	{
		case ASK_LIST:
			spec.path = bw_api_path(&task->account, bw_api_resource(inquiry->kind), NULL);
			spec.query = inquiry->list_query;
			inquiry->list_query = NULL;
			inquiry->list_pages++;
			break;
		case ASK_ORDER:
			spec.path = bw_api_path(&task->account, bw_api_resource(inquiry->kind),
									inquiry->asking->id);
			break;
		case ASK_NUMBER:
			spec.path = psprintf("/tns/%s", inquiry->numbers[inquiry->number_asking]);
			break;
	}
	bw_task_start(work, task, &spec);
}

void
bw_inquiry_take(BwTask *task)
{
	BwInquiry  *inquiry = task->detail;

	switch (inquiry->question)
	{
		case ASK_LIST:
			take_list(task);
			if (inquiry->copied && inquiry->list_failed && inquiry->list_query == NULL)
				inquiry->inconclusive = true;
			break;
		case ASK_ORDER:
			take_order(task);
			break;
		case ASK_NUMBER:
			take_number(task);
			break;
	}
}

/*
 * Orders that carry our CustomerOrderId.  "None" is believed only as 204, a
 * list, or a 404 whose body is XML: a proxy's 404 or a wrong path must not
 * look like one.  Where the filter was ignored, "none" takes the whole list.
 */
static void
take_list(BwTask *task)
{
	BwInquiry  *inquiry = task->detail;
	const BwOutcome *outcome = bw_call_outcome(task->call);
	const BwHttpReply *http = outcome->reply;
	const char *next_query = NULL;
	bool		filtered = true;
	BwList	   *list;
	BwRow		row;
	BwNext		next;

	if (outcome->status == 204)
		return;
	inquiry->list_failed = true;
	if ((outcome->kind != BW_OUTCOME_DONE && outcome->kind != BW_OUTCOME_NOT_FOUND) ||
		http->body_len == 0 ||
		(list = bw_xml_list_open(BW_LIST_ORDERS, http->body, http->body_len)) == NULL)
		return;
	while ((next = bw_xml_list_next(list, &row)) == BW_NEXT_ROW)
		filtered = take_list_row(task, &row) && filtered;
	if (next == BW_NEXT_END && !filtered && inquiry->found_count == 0)
		next_query = bw_xml_list_next_query(list);
	if (next_query != NULL && inquiry->list_pages < LIST_PAGES_MAX)
		inquiry->list_query = MemoryContextStrdup(task->cxt, next_query);
	else
		inquiry->list_failed = next != BW_NEXT_END || next_query != NULL;
	bw_xml_list_close(list);
}

/* False: it does not carry our CustomerOrderId. */
static bool
take_list_row(BwTask *task, const BwRow *row)
{
	BwInquiry  *inquiry = task->detail;
	BwFound    *found;

	if (row->field[BW_FIELD_CUSTOMER_ORDER_ID] == NULL ||
		strcmp(row->field[BW_FIELD_CUSTOMER_ORDER_ID],
			   inquiry->request.customer_order_id) != 0)
		return false;
	found = row->field[BW_FIELD_ID] == NULL ? NULL
		: add_found(task, row->field[BW_FIELD_ID], false);
	if (found != NULL)
		found->created = bw_api_our_time(row->field[BW_FIELD_DATE],
										 bw_call_outcome(task->call)->reply);
	return true;
}

/* 404, or the codes for "order not found" and "invalid order id". */
static bool
is_unknown_order(const BwOutcome *outcome)
{
	return outcome->kind == BW_OUTCOME_NOT_FOUND ||
		(outcome->kind == BW_OUTCOME_REFUSED &&
		 (strcmp(outcome->code, "5035") == 0 || strcmp(outcome->code, "5061") == 0));
}

static void
take_order(BwTask *task)
{
	BwInquiry  *inquiry = task->detail;
	BwFound    *found = inquiry->asking;
	const BwOutcome *outcome = bw_call_outcome(task->call);
	const BwHttpReply *http = outcome->reply;
	BwXmlProblem problem;

	found->asked = true;
	if (is_unknown_order(outcome))
	{
		found->gone = true;
		return;
	}
	/* What a person named may be no id at all. */
	if (found->named && outcome->kind == BW_OUTCOME_REFUSED)
	{
		found->difference = MemoryContextStrdup(task->cxt, outcome->code);
		return;
	}
	if (outcome->kind == BW_OUTCOME_DONE)
		found->reply = bw_xml_decode_order(http->body, http->body_len, &problem);
	if (found->reply == NULL || found->reply->status == NULL)
	{
		inquiry->inconclusive = true;
		return;
	}
	if (found->created == DT_NOBEGIN)
		found->created = bw_api_our_time(found->reply->created, http);
	if (found->named)
		found->difference = difference(task, found->reply);
}

/* Text of the task's, as the answer itself. */
static char *
difference(BwTask *task, const BwOrderReply *reply)
{
	const BwInquiry *inquiry = task->detail;
	char	   *text = bw_echo_other_order(inquiry->sent, reply);

	return text == NULL ? NULL : MemoryContextStrdup(task->cxt, text);
}

/* Who put the number into service?  Nobody of ours: nothing to add. */
static void
take_number(BwTask *task)
{
	BwInquiry  *inquiry = task->detail;
	const BwOutcome *outcome = bw_call_outcome(task->call);
	BwNumberReply *reply;
	BwXmlProblem problem;

	if (outcome->kind == BW_OUTCOME_REFUSED || outcome->kind == BW_OUTCOME_NOT_FOUND)
	{
		inquiry->number_done[inquiry->number_asking] = true;
		return;
	}
	reply = outcome->kind != BW_OUTCOME_DONE ? NULL
		: bw_xml_decode_number(outcome->reply->body, outcome->reply->body_len,
							   &problem);
	if (reply == NULL)
	{
		inquiry->inconclusive = true;
		return;
	}
	inquiry->number_done[inquiry->number_asking] = true;
	if (reply->order_id != NULL && reply->account_id != NULL &&
		strcmp(reply->account_id, inquiry->request.account_id) == 0)
		(void) add_found(task, reply->order_id, false);
	bw_xml_free_number(reply);
}

bool
bw_inquiry_is_outdated(const BwTask *task, const BwRequestRow *request)
{
	return ((const BwInquiry *) task->detail)->request.attempts != request->attempts;
}

bool
bw_inquiry_is_complete(const BwTask *task)
{
	return !((const BwInquiry *) task->detail)->inconclusive;
}

void
bw_inquiry_progress(const BwTask *task, BwProgress *learnt)
{
	const BwInquiry *inquiry = task->detail;

	memset(learnt, 0, sizeof(BwProgress));
	learnt->candidates = palloc(sizeof(char *) * FOUND_MAX);
	learnt->others = palloc(sizeof(char *) * FOUND_MAX);
	for (int i = 0; i < inquiry->found_count; i++)
	{
		const BwFound *found = &inquiry->found[i];

		if (found->bound || found->named)
			continue;
		if (found->gone || (found->reply != NULL && !matches(inquiry, found)))
			learnt->others[learnt->other_count++] = found->id;
		else
			learnt->candidates[learnt->candidate_count++] = found->id;
	}
	learnt->checked = palloc(sizeof(char *) * Max(inquiry->number_count, 1));
	for (int i = 0; i < inquiry->number_count; i++)
		if (inquiry->number_done[i])
			learnt->checked[learnt->checked_count++] = inquiry->numbers[i];
}

bool
bw_inquiry_found_nothing(const BwTask *task)
{
	const BwInquiry *inquiry = task->detail;

	return !inquiry->inconclusive && !inquiry->list_failed;
}

BwFound **
bw_inquiry_matches(const BwTask *task, int *count)
{
	return matching(task->detail, count);
}

static BwFound **
matching(BwInquiry *inquiry, int *count)
{
	BwFound   **found = palloc(sizeof(BwFound *) * FOUND_MAX);

	*count = 0;
	for (int i = 0; i < inquiry->found_count; i++)
		if (inquiry->found[i].reply != NULL && matches(inquiry, &inquiry->found[i]))
			found[(*count)++] = &inquiry->found[i];
	return found;
}

const BwFound *
bw_inquiry_named(const BwTask *task)
{
	const BwInquiry *inquiry = task->detail;

	for (int i = 0; i < inquiry->found_count; i++)
		if (inquiry->found[i].named)
			return &inquiry->found[i];
	return NULL;
}

/*
 * Ours are orders that were made after our first attempt, carry our
 * CustomerOrderId and ask for what we asked for.  A person who names one may
 * know of an earlier one, or of one with another CustomerOrderId.
 */
static bool
matches(const BwInquiry *inquiry, const BwFound *found)
{
	const BwOrderReply *reply = found->reply;
	const BwRequestRow *request = &inquiry->request;

	if (found->bound)
		return true;
	if (found->named)
		return found->difference == NULL;
	if (reply->customer_order_id == NULL ||
		strcmp(reply->customer_order_id, request->customer_order_id) != 0)
		return false;
	if (found->created != DT_NOBEGIN && request->first_sent_at != DT_NOBEGIN &&
		found->created < TimestampTzPlusMilliseconds(request->first_sent_at,
													 -CLOCK_GRACE_MS))
		return false;
	if (strcmp(request->kind, "direct") == 0)
		return reply->requested.count == 0 &&
			(reply->quantity < 0 || reply->quantity == request->quantity);
	/* The echo of a failed order may have lost its list. */
	return reply->requested.count == 0 || same_numbers(inquiry, &reply->requested);
}

static bool
same_numbers(const BwInquiry *inquiry, const BwTexts *requested)
{
	BwNumberSet theirs;
	bool		same;

	if (requested->count != inquiry->number_count)
		return false;
	same = bw_numbers_read(&theirs, requested, palloc(bw_numbers_size(requested)));
	for (int i = 0; i < inquiry->number_count && same; i++)
		same = bw_numbers_have(&theirs, inquiry->numbers[i]);
	pfree(theirs.items);
	return same;
}
