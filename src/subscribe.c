/*-------------------------------------------------------------------------
 *
 * subscribe.c
 *	  Makes Bandwidth's subscriptions what bw_subscriptions says.
 *
 * Wanted and not there: POST.  If Bandwidth says that the target is
 * subscribed already (409, or 16008), a POST of ours got through whose reply
 * was lost: the list tells its id, and PUT gives it our credentials.  No
 * longer wanted: DELETE.
 *
 * Credentials are made here, when they are sent: 256 random bits.  Only their
 * salted hash is stored, and it is committed before they leave, because the
 * first callback may come at once.
 *
 * Source: Bandwidth's "Subscriptions" pages.
 *
 * src/subscribe.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "registry.h"
#include "store_notifications.h"
#include "subscribe.h"
#include "xml.h"

#define LAP_SUBSCRIPTIONS 20
#define SECRET_BYTES 32
#define RETRY_MIN_MS 2000
#define RETRY_MAX_MS (10 * 60 * 1000)
/* While a call is under way the row is not taken up again before this. */
#define PATIENCE_MS (5 * 60 * 1000)

typedef enum BwStepKind
{
	STEP_CREATE,				/* POST */
	STEP_FIND,					/* GET the list */
	STEP_REPLACE,				/* PUT */
	STEP_REMOVE					/* DELETE */
} BwStepKind;

typedef struct Step
{
	BwStepKind	kind;
	BwSubscriptionRow row;		/* texts in the task's context */
	char	   *id;				/* Bandwidth's, for PUT and DELETE */
	char	   *username;
	char	   *body;
} Step;

typedef struct Lap
{
	List	   *tasks;
	TimestampTz next_due;
} Lap;

static void take_due(BwWork *work, void *arg);
static BwTask *make_task(BwWork *work, const BwSubscriptionRow *row);
static void copy_row(MemoryContext cxt, BwSubscriptionRow *to,
					 const BwSubscriptionRow *from);
static void make_body(BwTask *task, Step *step);
static void make_credentials(BwTask *task, Step *step, const char **username,
							 const char **password);
static void send_step(BwWork *work, BwTask *task);
static void record(BwWork *work, void *arg);
static bool already_there(const BwOutcome *outcome);
static char *find_subscription(const BwOutcome *outcome, const Step *step);
static void try_later(const Step *step);

void
bw_subscribe_lap(BwWork *work)
{
	Lap			lap = {.next_due = DT_NOEND};
	ListCell   *lc;

	if (!bw_work_transaction(work, take_due, &lap, "looking after subscriptions"))
	{
		foreach(lc, lap.tasks)
			bw_task_free(lfirst(lc));
		work->subscriptions_at =
			TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MIN_MS * 5);
		return;
	}
	if (lap.tasks != NIL)
		work->keys_changed = true;
	foreach(lc, lap.tasks)
		send_step(work, lfirst(lc));
	work->subscriptions_at = lap.next_due;
}

static void
take_due(BwWork *work, void *arg)
{
	Lap		   *lap = arg;
	BwSubscriptionRow *rows;
	int			count;

	rows = bw_store_due_subscriptions(LAP_SUBSCRIPTIONS, &count, &lap->next_due);
	for (int i = 0; i < count; i++)
	{
		BwSubscriptionRow *row = &rows[i];

		if (!row->wanted && row->bandwidth_subscription_id == NULL &&
			strcmp(row->state, "QUEUED") == 0 && row->tries == 0)
		{
			/* It never left. */
			bw_store_subscription_state(row->id, "REMOVED", NULL, NULL, NULL, NULL, true);
			continue;
		}
		lap->tasks = lappend(lap->tasks, make_task(work, row));
		bw_store_subscription_later(row->id,
									TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
																PATIENCE_MS));
	}
}

static BwTask *
make_task(BwWork *work, const BwSubscriptionRow *row)
{
	BwTask	   *task = bw_task_create(work, BW_TASK_SUBSCRIPTION, row->id);
	Step	   *step = MemoryContextAllocZero(task->cxt, sizeof(Step));

	task->detail = step;
	copy_row(task->cxt, &step->row, row);
	bw_task_account(task, row->server, NULL);
	if (row->wanted)
	{
		step->kind = row->bandwidth_subscription_id ? STEP_REPLACE : STEP_CREATE;
		make_body(task, step);
	}
	else
		step->kind = row->bandwidth_subscription_id ? STEP_REMOVE : STEP_FIND;
	step->id = step->row.bandwidth_subscription_id;
	return task;
}

static void
copy_row(MemoryContext cxt, BwSubscriptionRow *to, const BwSubscriptionRow *from)
{
	char	  **texts[] = {&to->server, &to->account_id, &to->order_type,
		&to->event_type, &to->bandwidth_order_id, &to->url, &to->email,
		&to->digest, &to->number_format, &to->public_key, &to->credentials,
	&to->state, &to->bandwidth_subscription_id};

	*to = *from;
	for (int i = 0; i < (int) lengthof(texts); i++)
		if (*texts[i] != NULL)
			*texts[i] = MemoryContextStrdup(cxt, *texts[i]);
}

static void
make_body(BwTask *task, Step *step)
{
	const BwSubscriptionRow *row = &step->row;
	BwSubscriptionBody body = {0};
	char	   *xml;

	body.order_type = row->order_type;
	body.event_type = row->event_type;
	body.order_id = row->bandwidth_order_id;
	body.url = row->url;
	body.expiry = row->expiry;
	body.public_key = row->public_key;
	body.number_format = row->number_format;
	body.email = row->email;
	body.digest = row->digest;
	if (row->url != NULL)
		make_credentials(task, step, &body.username, &body.password);
	xml = bw_xml_encode_subscription(&body);
	if (xml == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("subscription " INT64_FORMAT " cannot be written as XML",
						row->id)));
	step->body = MemoryContextStrdup(task->cxt, xml);
	explicit_bzero(xml, strlen(xml));
	free(xml);
}

/* New ones, or those of the mapping; the listener learns their hash. */
static void
make_credentials(BwTask *task, Step *step, const char **username,
				 const char **password)
{
	const BwSubscriptionRow *row = &step->row;
	const BwCredentials *given = task->account.credentials;
	uint8		salt[BW_LISTENER_SALT_LEN];
	uint8		hash[BW_LISTENER_HASH_LEN];
	uint8		random[SECRET_BYTES];
	char	   *scheme;
	char	   *host;
	char	   *path;
	int			port;

	if (!bw_http_split_url(row->url, &scheme, &host, &port, &path))
		elog(ERROR, "invalid callback URL");
	if (strcmp(row->credentials, "none") == 0)
	{
		bw_store_add_key(row->id, path, NULL, NULL);
		return;
	}
	if (!pg_strong_random(salt, sizeof(salt)) ||
		!pg_strong_random(random, sizeof(random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	if (given->callback_username != NULL)
	{
		*username = given->callback_username;
		*password = given->callback_password;
	}
	else
	{
		char	   *hex = palloc(2 * SECRET_BYTES + 1);

		hex_encode((char *) random, SECRET_BYTES, hex);
		hex[2 * SECRET_BYTES] = '\0';
		*username = psprintf("bandwidth-" INT64_FORMAT, row->id);
		*password = hex;
	}
	step->username = MemoryContextStrdup(task->cxt, *username);
	bw_listener_hash(salt, *username, *password, hash);
	bw_store_add_key(row->id, path, salt, hash);
}

static void
send_step(BwWork *work, BwTask *task)
{
	Step	   *step = task->detail;
	BwCallSpec	spec = {.class = BW_CLASS_SUBSCRIPTION};

	switch (step->kind)
	{
		case STEP_CREATE:
			spec.method = "POST";
			break;
		case STEP_FIND:
			spec.method = "GET";
			break;
		case STEP_REPLACE:
			spec.method = "PUT";
			break;
		case STEP_REMOVE:
			spec.method = "DELETE";
			break;
	}
	spec.path = bw_api_path(&task->account, "subscriptions",
							step->kind == STEP_REPLACE ||
							step->kind == STEP_REMOVE ? step->id : NULL);
	spec.body = step->kind == STEP_CREATE || step->kind == STEP_REPLACE
		? step->body : NULL;
	bw_task_start(work, task, &spec);
}

/* What record() found out, for after the commit. */
typedef struct Answer
{
	BwTask	   *task;
	bool		go_on;			/* the step was changed: send it */
} Answer;

void
bw_subscribe_finished(BwWork *work, BwTask *task)
{
	Answer		answer = {.task = task};

	if (bw_work_transaction(work, record, &answer, "recording a subscription") &&
		answer.go_on)
	{
		bw_call_release(task->call);
		send_step(work, task);
		return;
	}
	work->subscriptions_at = GetCurrentTimestamp();
	work->keys_changed = true;
	bw_task_free(task);
}

static void
record(BwWork *work, void *arg)
{
	Answer	   *answer = arg;
	BwTask	   *task = answer->task;
	Step	   *step = task->detail;
	const BwOutcome *outcome = bw_call_outcome(task->call);
	bool		done = outcome->kind == BW_OUTCOME_DONE;

	if (step->kind == STEP_FIND &&
		(done || outcome->kind == BW_OUTCOME_NOT_FOUND ||
		 bw_outcome_is_no_subscriptions(outcome)))
	{
		step->id = done ? find_subscription(outcome, step) : NULL;
		if (step->id != NULL)
		{
			step->id = MemoryContextStrdup(task->cxt, step->id);
			step->kind = step->row.wanted ? STEP_REPLACE : STEP_REMOVE;
			answer->go_on = true;
		}
		else if (!step->row.wanted)
			bw_store_subscription_state(step->row.id, "REMOVED", NULL, NULL, NULL, NULL, true);
		else
			try_later(step);
	}
	else if (step->kind == STEP_CREATE && already_there(outcome))
	{
		step->kind = STEP_FIND;
		answer->go_on = true;
	}
	else if (step->kind == STEP_REMOVE && (done || outcome->status == 404))
		bw_store_subscription_state(step->row.id, "REMOVED", NULL, NULL, NULL, NULL, true);
	else if (done)
		bw_store_subscription_state(step->row.id, "ACTIVE",
									step->id ? step->id : bw_api_location_id(outcome->reply),
									step->username, NULL, NULL, true);
	else if (outcome->kind == BW_OUTCOME_REFUSED || outcome->kind == BW_OUTCOME_NOT_FOUND)
		bw_store_subscription_state(step->row.id, "FAILED", NULL, NULL,
									outcome->code, outcome->text, true);
	else
		try_later(step);
}

static bool
already_there(const BwOutcome *outcome)
{
	return outcome->status == 409 ||
		(outcome->code != NULL && strcmp(outcome->code, "16008") == 0);
}

/* The one on our URL for the same kind of order. */
static char *
find_subscription(const BwOutcome *outcome, const Step *step)
{
	BwList	   *list = bw_xml_list_open(BW_LIST_SUBSCRIPTIONS, outcome->reply->body,
										outcome->reply->body_len);
	char	   *id = NULL;
	BwRow		row;

	while (list != NULL && bw_xml_list_next(list, &row) == BW_NEXT_ROW)
	{
		const char *url = row.field[BW_FIELD_URL];
		const char *type = row.field[BW_FIELD_ORDER_TYPE];

		if (url != NULL && step->row.url != NULL && strcmp(url, step->row.url) == 0 &&
			(step->row.order_type == NULL ||
			 (type != NULL && strcmp(type, step->row.order_type) == 0)) &&
			row.field[BW_FIELD_ID] != NULL)
			id = pstrdup(row.field[BW_FIELD_ID]);
	}
	bw_xml_list_close(list);
	return id;
}

static void
try_later(const Step *step)
{
	int64		wait_ms = (int64) RETRY_MIN_MS << Min(step->row.tries, 10);

	bw_store_subscription_later(step->row.id,
								TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
															Min(wait_ms, RETRY_MAX_MS)));
}
