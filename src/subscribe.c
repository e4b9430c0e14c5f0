/*-------------------------------------------------------------------------
 *
 * subscribe.c
 *	  Makes Bandwidth's subscriptions what bw_subscriptions says.
 *
 * Each look begins with the account's list, because every call can be lost,
 * and what is there can be altered, deleted, expired or doubled by others.
 * What follows from the list (survey.c): POST what is not there, PUT what is
 * not as it should be, DELETE what is not wanted or one of ours too many.
 * 409 and 16008, "subscribed already", and 404 lead back to the list.
 *
 * Only what this database recorded or marked as its own is changed or deleted,
 * and never outside the fence.  Where somebody else is on our URL, a
 * subscription that was asked for fails; one that is kept for a server gets a
 * second look within the hour, and is contested if they still are, or are
 * again: two databases that correct each other would do so for ever.
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

#include "keys.h"
#include "port.h"
#include "store_orders.h"
#include "store_subscriptions.h"
#include "subscribe.h"
#include "survey.h"
#include "xml_write.h"

#define LAP_SUBSCRIPTIONS 20
#define RETRY_MIN_MS 2000
#define RETRY_MAX_MS (10 * 60 * 1000)
/* While a call is under way the row is not taken up again before this. */
#define PATIENCE_MS (5 * 60 * 1000)
/* A stranger is looked at again after this, at the latest. */
#define STRANGER_MS (5 * 60 * 1000)
/* Two of their works within this are too many. */
#define STRANGER_WINDOW_MS (60 * 60 * 1000)
/* Expiries from here on, 30 years, are for ever. */
#define EXPIRY_FOR_EVER INT64CONST(1000000000)
/* How often one look may go back to the list. */
#define ROUNDS_MAX 2

typedef enum BwStepKind
{
	STEP_LIST,					/* GET the list */
	STEP_CREATE,				/* POST */
	STEP_REPLACE,				/* PUT */
	STEP_REMOVE,				/* DELETE */
	STEP_THIN_OUT				/* DELETE one that is too many */
} BwStepKind;

typedef struct Step
{
	BwStepKind	kind;
	BwSubscriptionRow row;		/* texts in the task's context */
	BwSurvey	survey;			/* likewise */
	char	   *id;				/* Bandwidth's, for PUT and DELETE */
	int64		key;			/* of the body's credentials; 0: no body yet */
	char	   *username;
	char	   *certificate;	/* to be pinned; NULL: none */
	char	   *body;
	const char *why;			/* a PUT is sent */
	int			rounds;			/* how often the list was read */
	bool		go_on;			/* there is a next call */
	bool		removed;		/* something was deleted */

	/* For the log, after the commit; NULL: nothing. */
	int			level;
	char	   *news;
	char	   *detail;
	char	   *hint;
} Step;

typedef struct Lap
{
	List	   *tasks;
	TimestampTz next_due;

	/* For the attempt at one row. */
	const BwSubscriptionRow *row;
} Lap;

static void take_due(BwWork *work, void *arg);
static void make_task(BwWork *work, void *arg);
static void copy_row(MemoryContext cxt, BwSubscriptionRow *to,
					 const BwSubscriptionRow *from);
static bool account_is_gone(const BwSubscriptionRow *row);
static void send_step(BwWork *work, BwTask *task);
static void remember_busy(BwWork *work, BwTask *task);
static void record(BwWork *work, void *arg);
static char *certificate_to_pin(const BwWork *work, BwTask *task);
static void read_list(BwTask *task, Step *step, const BwOutcome *outcome);
static void plan(BwTask *task, Step *step, const BwSurveyed *ours);
static void plan_removal(Step *step);
static void plan_creation(BwTask *task, Step *step);
static const char *what_is_wrong(const BwTask *task, const Step *step,
								 const BwSurveyed *ours);
static bool contested(Step *step, const char *what);
static void strangers_place(Step *step);
static void make_body(BwTask *task, Step *step);
static void record_accepted(Step *step, const BwOutcome *outcome);
static void record_in_order(Step *step, const BwSurveyed *ours);
static void next_surplus(BwTask *task, Step *step);
static void finish(Step *step, TimestampTz due_at);
static TimestampTz next_check(int64 left_s);
static void removed(Step *step, const char *text);
static void refused(Step *step, const BwOutcome *outcome);
static void trouble(Step *step, const BwOutcome *outcome, const char *text);
static void tell_status(Step *step);
static void say(Step *step, int level, char *news, char *detail, char *hint);
static void tell(const Step *step);
static char *name_of(const Step *step);

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
	foreach(lc, lap.tasks)
	{
		remember_busy(work, lfirst(lc));
		send_step(work, lfirst(lc));
	}
	work->subscriptions_at = lap.next_due;
}

static void
take_due(BwWork *work, void *arg)
{
	Lap		   *lap = arg;
	TimestampTz token = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PATIENCE_MS);
	int64	   *busy = palloc(sizeof(int64) * (list_length(work->subscribing) + 1));
	BwSubscriptionRow *rows;
	int			count;
	ListCell   *lc;

	if (!bw_store_has_identity())
		return;
	foreach(lc, work->subscribing)
		busy[foreach_current_index(lc)] = ((BwTask *) lfirst(lc))->id;
	rows = bw_store_take_subscriptions(busy, list_length(work->subscribing),
									   LAP_SUBSCRIPTIONS, token, &count);
	for (int i = 0; i < count; i++)
	{
		lap->row = &rows[i];
		if (!bw_work_attempt(work, make_task, lap, "looking after a subscription"))
			bw_store_subscription_trouble(rows[i].id, NULL,
										  "an error that the server log tells of");
	}
	lap->next_due = bw_store_next_subscription();
}

/* Why there cannot be a call; NULL: there can. */
static char *
why_not(const BwSubscriptionRow *row)
{
	BwServer   *server = bw_config_server_if_exists(row->server);
	char	   *owner;

	if (server == NULL || bw_config_credentials(server, server->owner) != NULL)
		return NULL;
	owner = GetUserNameFromId(server->owner, true);
	return psprintf("user mapping not found for role \"%s\" on server \"%s\"",
					owner ? owner : "?", server->name);
}

static void
make_task(BwWork *work, void *arg)
{
	Lap		   *lap = arg;
	Step		mock = {.row = *lap->row};
	char	   *text = why_not(lap->row);
	BwTask	   *task;
	Step	   *step;

	if (account_is_gone(lap->row))
		return;
	if (text != NULL)
	{
		trouble(&mock, NULL, text);
		tell(&mock);
		return;
	}
	task = bw_task_create(work, BW_TASK_SUBSCRIPTION, lap->row->id);
	task->detail = step = MemoryContextAllocZero(task->cxt, sizeof(Step));
	copy_row(task->cxt, &step->row, lap->row);
	bw_task_account(task, step->row.server, NULL, NULL);
	lap->tasks = lappend(lap->tasks, task);
}

/*
 * The server was dropped, or is that of another account now: nobody can say
 * any more what becomes of the subscription.
 */
static bool
account_is_gone(const BwSubscriptionRow *row)
{
	BwServer   *server = bw_config_server_if_exists(row->server);
	Step		step = {.row = *row};

	if (server != NULL && strcmp(server->account_id, row->account_id) == 0)
		return false;
	if (row->wanted)
	{
		BwSubscriptionState state = {.state = "FAILED",
			.bandwidth_subscription_id = row->bandwidth_subscription_id,
			.error_text = "its account is not that of the server any more",
		.expires_at = DT_NOEND};

		bw_store_subscription_state(row->id, &state);
		finish(&step, DT_NOEND);
	}
	else
	{
		removed(&step, row->bandwidth_subscription_id
				? "it was left at Bandwidth: its account is not that of the server any more" : NULL);
		if (row->bandwidth_subscription_id != NULL)
			say(&step, WARNING, psprintf("%s was left at Bandwidth", name_of(&step)),
				psprintf("It has the id %s in account %s, which no server of that name is for any more.",
						 row->bandwidth_subscription_id, row->account_id),
				"Delete it in Bandwidth's dashboard.");
		tell(&step);
	}
	return true;
}

static void
copy_row(MemoryContext cxt, BwSubscriptionRow *to, const BwSubscriptionRow *from)
{
	char	  **texts[] = {&to->server, &to->account_id, &to->order_type,
		&to->event_type, &to->bandwidth_order_id, &to->url, &to->email,
		&to->digest, &to->number_format, &to->public_key, &to->credentials,
		&to->state, &to->bandwidth_subscription_id, &to->bandwidth_status,
	&to->error_text, &to->mark};

	*to = *from;
	for (int i = 0; i < (int) lengthof(texts); i++)
		if (*texts[i] != NULL)
			*texts[i] = MemoryContextStrdup(cxt, *texts[i]);
}

static void
send_step(BwWork *work, BwTask *task)
{
	Step	   *step = task->detail;
	BwCallSpec	spec = {.class = BW_CLASS_SUBSCRIPTION};
	const char *id = NULL;

	switch (step->kind)
	{
		case STEP_LIST:
			spec.method = "GET";
			step->rounds++;
			break;
		case STEP_CREATE:
			spec.method = "POST";
			spec.body = step->body;
			break;
		case STEP_REPLACE:
			spec.method = "PUT";
			spec.body = step->body;
			id = step->id;
			break;
		case STEP_REMOVE:
		case STEP_THIN_OUT:
			spec.method = "DELETE";
			id = step->id;
			break;
	}
	spec.path = bw_api_path(&task->account, "subscriptions", id);
	bw_task_start(work, task, &spec);
}

static void
remember_busy(BwWork *work, BwTask *task)
{
	MemoryContext old = MemoryContextSwitchTo(work->cxt);

	work->subscribing = lappend(work->subscribing, task);
	MemoryContextSwitchTo(old);
}

void
bw_subscribe_finished(BwWork *work, BwTask *task)
{
	Step	   *step = task->detail;

	step->go_on = false;
	step->news = NULL;
	if (!bw_work_transaction(work, record, task, "recording a subscription"))
		step->go_on = false;
	else
		tell(step);
	work->keys_changed = true;
	if (step->go_on)
	{
		bw_call_release(task->call);
		send_step(work, task);
		return;
	}
	work->subscriptions_at = GetCurrentTimestamp();
	work->subscribing = list_delete_ptr(work->subscribing, task);
	bw_task_free(task);
}

/* What was heard is written down, and the next call prepared. */
static void
record(BwWork *work, void *arg)
{
	BwTask	   *task = arg;
	Step	   *step = task->detail;
	const BwOutcome *outcome = bw_call_outcome(task->call);
	bool		done = outcome->kind == BW_OUTCOME_DONE;
	bool		gone = outcome->status == 404 &&
	(outcome->kind == BW_OUTCOME_NOT_FOUND || bw_outcome_is_no_subscriptions(outcome));
	bool		taken = outcome->status == 409 ||
	(outcome->code != NULL && strcmp(outcome->code, "16008") == 0);

	/* Certainly not executed: these credentials never reached Bandwidth. */
	if (step->key != 0 && (outcome->kind == BW_OUTCOME_REFUSED || gone || taken ||
						   outcome->kind == BW_OUTCOME_UNAUTHORIZED ||
						   outcome->kind == BW_OUTCOME_LATER))
	{
		bw_store_drop_key(step->key);
		step->key = 0;
	}
	if (!bw_store_has_identity())
		return;
	if (step->kind == STEP_LIST && (done || gone))
	{
		step->certificate = certificate_to_pin(work, task);
		read_list(task, step, outcome);
	}
	else if ((step->kind == STEP_REMOVE || step->kind == STEP_THIN_OUT) && (done || gone))
		next_surplus(task, step);
	else if (step->kind != STEP_LIST && (gone || taken) && step->rounds < ROUNDS_MAX)
	{
		step->kind = STEP_LIST;
		step->go_on = true;
	}
	else if (done)
	{
		record_accepted(step, outcome);
		next_surplus(task, step);
	}
	else if (outcome->kind == BW_OUTCOME_REFUSED || outcome->kind == BW_OUTCOME_NOT_FOUND)
		refused(step, outcome);
	else
		trouble(step, outcome, outcome->text);
}

static char *
certificate_to_pin(const BwWork *work, BwTask *task)
{
	const Step *step = task->detail;
	char	   *key = step->row.pinned ? bw_port_public_key(work) : NULL;

	return key ? MemoryContextStrdup(task->cxt, key) : NULL;
}

static void
read_list(BwTask *task, Step *step, const BwOutcome *outcome)
{
	BwSurveyed	ours = {.row = &step->row};
	const char *problem = NULL;
	MemoryContext old;
	bool		whole;

	ours.keys = bw_store_subscription_keys(step->row.id, &ours.key_count);
	ours.other_ids = bw_store_other_subscription_ids(step->row.id, &ours.other_count);
	old = MemoryContextSwitchTo(task->cxt);
	whole = bw_survey_read(outcome, &ours, &step->survey, &problem);
	MemoryContextSwitchTo(old);
	if (!whole)
		trouble(step, outcome, psprintf("the list of subscriptions cannot be read: %s", problem));
	else
		plan(task, step, &ours);
}

static void
plan(BwTask *task, Step *step, const BwSurveyed *ours)
{
	const BwSubscriptionRow *row = &step->row;
	BwSurvey   *survey = &step->survey;

	if (!row->wanted)
		plan_removal(step);
	else if (row->pinned && step->certificate == NULL)
		trouble(step, NULL, "there is no certificate to pin: set bandwidth.listen_port, bandwidth.tls_cert_file and bandwidth.tls_key_file");
	else if (survey->id == NULL)
		plan_creation(task, step);
	else if (survey->altered && contested(step, "Somebody else has altered it."))
		return;
	else
	{
		step->why = what_is_wrong(task, step, ours);
		step->id = survey->id;
		if (step->why == NULL)
		{
			record_in_order(step, ours);
			next_surplus(task, step);
			return;
		}
		step->kind = STEP_REPLACE;
		make_body(task, step);
	}
}

/* One that others have taken over is theirs. */
static void
plan_removal(Step *step)
{
	BwSurvey   *survey = &step->survey;

	step->id = survey->id;
	if (survey->id == NULL || survey->altered)
	{
		removed(step, NULL);
		return;
	}
	step->kind = STEP_REMOVE;
	step->go_on = true;
}

static void
plan_creation(BwTask *task, Step *step)
{
	const BwSubscriptionRow *row = &step->row;

	if (step->survey.stranger != NULL)
	{
		strangers_place(step);
		return;
	}
	if (step->survey.moved && contested(step, "Somebody else has given it another URL."))
		return;
	if (row->bandwidth_subscription_id != NULL)
	{
		BwSubscriptionState state = {.state = "QUEUED",.expires_at = DT_NOEND};

		/* Callbacks of the new one may come before the reply. */
		bw_store_subscription_state(row->id, &state);
		step->why = step->survey.moved ? "Somebody had given it another URL."
			: "It was not there any more.";
	}
	step->kind = STEP_CREATE;
	make_body(task, step);
}

/* Why it has to be replaced; NULL: it is as it should be. */
static const char *
what_is_wrong(const BwTask *task, const Step *step, const BwSurveyed *ours)
{
	const BwSubscriptionRow *row = &step->row;
	const BwSurvey *survey = &step->survey;

	if (survey->altered)
		return "Somebody had altered it.";
	if (row->bandwidth_subscription_id == NULL ||
		strcmp(row->bandwidth_subscription_id, survey->id) != 0)
		return "The reply that told its id was lost.";
	if (row->rotate)
		return "It has fresh credentials.";
	if (row->url == NULL)
		return NULL;
	if (survey->stale)
		return "The reply to a change was lost.";
	if (row->kept && survey->left_s >= 0 && survey->left_s < row->expiry / 2)
		return "Its time was half over.";
	if (ours->key_count == 0 ||
		!bw_keys_are_current(row, task->account.credentials, &ours->keys[0]))
		return "The user mapping gives other credentials.";
	if (row->pinned &&
		(row->public_key == NULL || strcmp(row->public_key, step->certificate) != 0))
		return "Our certificate is another one now.";
	return NULL;
}

/*
 * Another hand was at work.  The first time we put it right; the second time
 * within the hour we stop.
 */
static bool
contested(Step *step, const char *what)
{
	const BwSubscriptionRow *row = &step->row;
	BwSubscriptionState state = {.state = "CONTESTED",
		.bandwidth_subscription_id = row->bandwidth_subscription_id,
	.bandwidth_status = step->survey.status,.expires_at = DT_NOEND};

	if (!row->kept)
		return false;
	if (row->stranger_at == DT_NOBEGIN ||
		GetCurrentTimestamp() - row->stranger_at > STRANGER_WINDOW_MS * INT64CONST(1000))
	{
		bw_store_note_stranger(row->id);
		return false;
	}
	state.error_text = psprintf("somebody else keeps a subscription on %s", row->url);
	bw_store_subscription_state(row->id, &state);
	finish(step, DT_NOEND);
	say(step, WARNING,
		psprintf("%s is contested: it is left as it is", name_of(step)),
		psprintf("%s It is the second time within an hour.", what),
		"Give each database a callback_url of its own, or remove the other subscription; then call bw_rotate_callback_credentials().");
	return true;
}

/* Somebody else's is where ours should be, and ours is not there. */
static void
strangers_place(Step *step)
{
	const BwSubscriptionRow *row = &step->row;
	char	   *text = psprintf("another subscription is on %s already",
								row->url ? row->url : row->email);
	BwSubscriptionState state = {.state = row->kept ? "QUEUED" : "FAILED",
	.error_text = text,.expires_at = DT_NOEND};
	int64		wait_ms = Min(bw_subscription_check_interval_s * INT64CONST(1000), STRANGER_MS);

	if (contested(step, "Another subscription, which is not ours, is on its URL."))
		return;
	bw_store_subscription_state(row->id, &state);
	finish(step, row->kept
		   ? TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait_ms) : DT_NOEND);
	if (row->error_text == NULL || strcmp(row->error_text, text) != 0)
		say(step, LOG, psprintf("%s was not made", name_of(step)),
			psprintf("Subscription %s, which is not ours, is on its URL already.",
					 step->survey.stranger), NULL);
}

/* For POST or PUT; it goes out once this has committed. */
static void
make_body(BwTask *task, Step *step)
{
	const BwSubscriptionRow *row = &step->row;
	BwSubscriptionBody body = {.order_type = row->order_type,.event_type = row->event_type,
		.order_id = row->bandwidth_order_id,.url = row->url,.expiry = row->expiry,
		.public_key = row->pinned ? step->certificate : row->public_key,.number_format = row->number_format,
	.email = row->email,.digest = row->digest};
	BwKeyPair	pair = {0};
	char	   *xml;

	if (row->url != NULL)
		bw_keys_make(row, task->account.credentials, &pair);
	body.username = pair.username;
	body.password = pair.password;
	xml = bw_xml_encode_subscription(&body);
	if (xml == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("subscription " INT64_FORMAT " cannot be written as XML",
						row->id)));
	step->body = MemoryContextStrdup(task->cxt, xml);
	explicit_bzero(xml, strlen(xml));
	free(xml);
	step->key = pair.id;
	step->username = pair.username ? MemoryContextStrdup(task->cxt, pair.username) : NULL;
	step->go_on = true;
}

/* POST or PUT was accepted. */
static void
record_accepted(Step *step, const BwOutcome *outcome)
{
	const BwSubscriptionRow *row = &step->row;
	bool		created = step->kind == STEP_CREATE;
	BwSubscriptionState state = {.state = "ACTIVE",.username = step->username,
	.public_key = step->certificate,.expires_at = DT_NOEND};

	state.bandwidth_subscription_id = created ? bw_api_location_id(outcome->reply) : step->id;
	if (row->url != NULL && row->expiry < EXPIRY_FOR_EVER)
		state.expires_at = GetCurrentTimestamp() + row->expiry * USECS_PER_SEC;
	bw_store_subscription_state(row->id, &state);
	if (step->key != 0)
		bw_store_retire_keys_before(step->key);
	finish(step, next_check(row->expiry));
	say(step, LOG,
		psprintf("%s was %s", name_of(step), created ? "made" : "replaced"),
		step->why ? pstrdup(step->why) : NULL, NULL);
}

/*
 * All is well; what became of the last callback?  That it has our newest
 * credentials may be news, too: the worker was ended before it heard so.
 */
static void
record_in_order(Step *step, const BwSurveyed *ours)
{
	const BwSurvey *survey = &step->survey;
	BwSubscriptionState state = {.state = "ACTIVE",.bandwidth_subscription_id = survey->id,
	.bandwidth_status = survey->status,.expires_at = DT_NOEND};

	if (survey->left_s >= 0 && survey->left_s < EXPIRY_FOR_EVER)
		state.expires_at = GetCurrentTimestamp() + survey->left_s * USECS_PER_SEC;
	if (ours->key_count > 0)
	{
		state.username = ours->keys[0].username;
		bw_store_retire_keys_before(ours->keys[0].id);
	}
	bw_store_subscription_state(step->row.id, &state);
	finish(step, next_check(survey->left_s));
	if (step->row.kept)
		tell_status(step);
}

/* The next one of ours that is too many. */
static void
next_surplus(BwTask *task, Step *step)
{
	BwSurvey   *survey = &step->survey;
	bool		wanted = step->row.wanted;

	if (step->kind == STEP_THIN_OUT)
		say(step, LOG, psprintf("%s was there twice", name_of(step)),
			"The other one was deleted.", NULL);
	step->removed = step->removed || step->kind == STEP_REMOVE;
	if (survey->surplus == NIL)
	{
		if (!wanted)
			removed(step, NULL);
		return;
	}
	step->id = linitial(survey->surplus);
	survey->surplus = list_delete_first(survey->surplus);
	step->kind = wanted ? STEP_THIN_OUT : STEP_REMOVE;
	step->key = 0;
	step->go_on = true;
}

/* When its time is half over, if that is before the next look. */
static TimestampTz
next_check(int64 left_s)
{
	int64		wait_s = bw_subscription_check_interval_s;

	if (left_s >= 0)
		wait_s = Min(wait_s, Max(left_s / 2, 1));
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait_s * 1000);
}

static void
finish(Step *step, TimestampTz due_at)
{
	bw_store_subscription_done(&step->row, due_at);
}

static void
removed(Step *step, const char *text)
{
	BwSubscriptionState state = {.state = "REMOVED",
		.bandwidth_subscription_id = step->row.bandwidth_subscription_id,
	.error_text = text,.expires_at = DT_NOEND};

	bw_store_subscription_state(step->row.id, &state);
	finish(step, DT_NOEND);
	if (step->removed)
		say(step, LOG, psprintf("%s was removed", name_of(step)), NULL, NULL);
}

/* Bandwidth says no.  For a server we ask again, but not soon. */
static void
refused(Step *step, const BwOutcome *outcome)
{
	const BwSubscriptionRow *row = &step->row;
	BwSubscriptionState state = {.state = "FAILED",
		.bandwidth_subscription_id = step->kind == STEP_CREATE ? NULL : row->bandwidth_subscription_id,
	.error_code = outcome->code,.error_text = outcome->text,.expires_at = DT_NOEND};

	bw_store_subscription_state(row->id, &state);
	finish(step, next_check(-1));
	if (strcmp(row->state, "FAILED") != 0)
		say(step, LOG, psprintf("%s failed", name_of(step)),
			psprintf("%s.", outcome->text), NULL);
}

/* Try again; said once for each reason. */
static void
trouble(Step *step, const BwOutcome *outcome, const char *text)
{
	const BwSubscriptionRow *row = &step->row;
	int64		wait_ms = Min((int64) RETRY_MIN_MS << Min(Max(row->tries - 1, 0), 10), RETRY_MAX_MS);
	TimestampTz again_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait_ms);

	if (outcome != NULL && outcome->kind == BW_OUTCOME_LATER)
		again_at = Max(again_at, outcome->retry_at);
	bw_store_subscription_later(row, again_at);
	bw_store_subscription_trouble(row->id, outcome ? outcome->code : NULL, text);
	if (row->error_text == NULL || strcmp(row->error_text, text) != 0)
		say(step, LOG, psprintf("could not look after %s", name_of(step)),
			psprintf("%s.", text), NULL);
}

static bool
is_fine(const char *status)
{
	return status == NULL || strcmp(status, "READY") == 0 ||
		(strncmp(status, "200", 3) == 0 && (status[3] == '\0' || status[3] == ' '));
}

/* Of callbacks that do not get through nothing else tells. */
static void
tell_status(Step *step)
{
	const char *before = step->row.bandwidth_status;
	const char *now = step->survey.status;

	if (is_fine(now) && !is_fine(before))
		say(step, LOG, psprintf("callbacks of %s arrive again", name_of(step)), NULL, NULL);
	else if (!is_fine(now) && (before == NULL || strcmp(before, now) != 0))
		say(step, WARNING, psprintf("callbacks of %s fail", name_of(step)),
			psprintf("Bandwidth says: %s.", now),
			"See what stands between Bandwidth and this database at callback_url; orders are polled meanwhile.");
}

static void
say(Step *step, int level, char *news, char *detail, char *hint)
{
	step->level = level;
	step->news = news;
	step->detail = detail;
	step->hint = hint;
}

static void
tell(const Step *step)
{
	if (step->news != NULL)
		ereport(step->level,
				(errmsg_internal("%s", step->news),
				 step->detail ? errdetail_internal("%s", step->detail) : 0,
				 step->hint ? errhint("%s", step->hint) : 0));
}

static char *
name_of(const Step *step)
{
	return psprintf("subscription " INT64_FORMAT " of server \"%s\"", step->row.id,
					step->row.server);
}
