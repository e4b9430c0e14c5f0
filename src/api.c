/*-------------------------------------------------------------------------
 *
 * api.c
 *	  Bandwidth's phone number API: endpoints, access tokens, and what a
 *	  reply means.
 *
 * A call with OAuth2 credentials may need an access token first.  Calls that
 * need the same one wait for a single token request.  A token that Bandwidth
 * refuses (401) is dropped and fetched anew once; a second 401 is the answer.
 *
 * What a reply means is decided here, once, for all calls.  The line that
 * matters is "not executed" against "may have been executed": only the former
 * lets an order be sent again without looking it up.
 *
 * Sources: Bandwidth's "Account credentials" (token request), "Errors" and
 * "Rate limits" pages of the numbers API.
 *
 * src/api.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "common/base64.h"
#include "common/jsonapi.h"
#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "api.h"
#include "compat.h"
#include "encoding.h"
#include "order.h"
#include "registry.h"
#include "statistics.h"
#include "xml_read.h"

/* A token is renewed this long before it expires, as Bandwidth's SDKs do. */
#define TOKEN_EARLY_S 60
/* When the reply names no life time ("expires_in"), as in Bandwidth's CLI. */
#define TOKEN_DEFAULT_S 3600
/* Token replies are small; a JWT with many accounts is some kB. */
#define TOKEN_MAX_REPLY (256 * 1024)
/* After 429 without X-RateLimit-Reset. */
#define RATE_LIMIT_DEFAULT_S 60
/* A reset beyond this is not believed. */
#define RATE_LIMIT_MAX_S 3600

typedef enum BwCallState
{
	CALL_WAITS_FOR_TOKEN,
	CALL_FETCHES_TOKEN,
	CALL_RUNS,
	CALL_FINISHED
} BwCallState;

struct BwCall
{
	dlist_node	node;			/* in calls or finished of the engine */
	BwApi	   *api;
	MemoryContext cxt;
	MemoryContextCallback guard;
	BwCallState state;
	const BwAccount *account;
	BwCallSpec	spec;
	Oid			serverid;
	TimestampTz sent_at;		/* its request, or the one for its token */
	BwTokenKey	token_key;
	char	   *token;			/* the one in use */
	bool		renewed;		/* a refused token was replaced already */
	BwTransfer *transfer;
	BwOutcome	outcome;
	void	   *arg;
};

struct BwApi
{
	BwHttp	   *http;
	dlist_head	calls;			/* under way */
	dlist_head	finished;		/* to be taken */
	int			in_flight;
};

/* What the token reply's JSON held. */
typedef struct TokenReply
{
	char	   *field;
	char	   *access_token;
	double		expires_in;
} TokenReply;

/* Engine of this session's synchronous calls. */
static BwApi *session_api = NULL;

static void call_guard(void *arg);
static void begin(BwCall *call);
static void send_call(BwCall *call);
static void send_token_request(BwCall *call);
static bool token_is_being_fetched(BwApi *api, const BwTokenKey *key);
static void transfer_finished(BwCall *call);
static void token_reply(BwCall *call);
static void wake_token_waiters(BwApi *api, const BwTokenKey *key,
							   const BwOutcome *failure);
static bool parse_token(const char *json, size_t len, TokenReply *reply);
static void count(const BwCall *call, const BwHttpReply *reply,
				  BwOutcomeKind outcome, const char *error);
static void finish(BwCall *call);
static void judge(BwCall *call);
static void judge_status(BwOutcome *outcome, BwEndpointClass class);
static void read_error(BwCall *call);
static char *basic_authorization(const BwCredentials *credentials);
static TimestampTz rate_limit_until(const BwHttpReply *reply);
static void check_path(const char *path);
static void check_id(const char *id);
static void wait_for_budget(const BwAccount *account, BwEndpointClass class);
static int	zone_of_date(const char *date);
static char *one_line(const char *text);

BwApi *
bw_api_create(MemoryContext owner, int max_connections)
{
	BwApi	   *api = MemoryContextAllocZero(owner, sizeof(BwApi));

	dlist_init(&api->calls);
	dlist_init(&api->finished);
	api->http = bw_http_create(owner, max_connections);
	return api;
}

int
bw_api_fd(const BwApi *api)
{
	return bw_http_fd(api->http);
}

long
bw_api_timeout_ms(const BwApi *api)
{
	return dlist_is_empty(unconstify(dlist_head *, &api->finished)) ? bw_http_timeout_ms(api->http) : 0;
}

int
bw_api_in_flight(const BwApi *api)
{
	return api->in_flight;
}

int
bw_api_in_flight_of(const BwApi *api, Oid serverid)
{
	dlist_iter	iter;
	int			n = 0;

	dlist_foreach(iter, unconstify(dlist_head *, &api->calls))
		if (dlist_container(BwCall, node, iter.cur)->serverid == serverid)
		n++;
	return n;
}

BwCall *
bw_api_start(BwApi *api, MemoryContext owner, const BwAccount *account,
			 const BwCallSpec *spec, void *arg)
{
	MemoryContext cxt = AllocSetContextCreate(owner, "bandwidth call",
											  ALLOCSET_SMALL_SIZES);
	BwCall	   *call = MemoryContextAllocZero(cxt, sizeof(BwCall));

	call->api = api;
	call->cxt = cxt;
	call->account = account;
	call->serverid = account->server->serverid;
	call->arg = arg;
	call->spec = *spec;
	call->spec.path = MemoryContextStrdup(cxt, spec->path);
	call->spec.query = spec->query ? MemoryContextStrdup(cxt, spec->query) : NULL;
	call->spec.body = spec->body ? MemoryContextStrdup(cxt, spec->body) : NULL;
	call->guard.func = call_guard;
	call->guard.arg = call;
	dlist_push_tail(&api->calls, &call->node);
	api->in_flight++;
	MemoryContextRegisterResetCallback(cxt, &call->guard);
	begin(call);
	return call;
}

/*
 * The call's memory goes away, for whatever reason: leave the lists.  Its
 * transfer lives in a context below the call's, and so ended just before.
 */
static void
call_guard(void *arg)
{
	BwCall	   *call = arg;

	dlist_delete(&call->node);
	if (call->state != CALL_FINISHED)
		call->api->in_flight--;
	if (call->state == CALL_RUNS || call->state == CALL_FETCHES_TOKEN)
		count(call, NULL, BW_OUTCOME_UNKNOWN, "cancelled before the reply came");
	/* Whoever waited for the token that this call was fetching starts over. */
	if (call->state == CALL_FETCHES_TOKEN)
	{
		BwOutcome	gone = {.kind = BW_OUTCOME_LATER,
			.text = "the request for an access token was cancelled",
		.retry_at = DT_NOBEGIN};

		wake_token_waiters(call->api, &call->token_key, &gone);
	}
}

void
bw_call_release(BwCall *call)
{
	MemoryContextDelete(call->cxt);
}

void *
bw_call_arg(const BwCall *call)
{
	return call->arg;
}

const BwOutcome *
bw_call_outcome(const BwCall *call)
{
	return &call->outcome;
}

/* Send at once, or get or wait for the access token first. */
static void
begin(BwCall *call)
{
	const BwCredentials *credentials = call->account->credentials;

	if (credentials->auth == BW_AUTH_BASIC)
	{
		send_call(call);
		return;
	}
	call->token_key.database = MyDatabaseId;
	call->token_key.umid = credentials->umid;
	memcpy(call->token_key.hash, credentials->hash, sizeof(call->token_key.hash));
	call->token = bw_registry_token_get(&call->token_key, GetCurrentTimestamp());
	if (call->token != NULL)
	{
		call->token = MemoryContextStrdup(call->cxt, call->token);
		send_call(call);
	}
	else if (token_is_being_fetched(call->api, &call->token_key))
		call->state = CALL_WAITS_FOR_TOKEN;
	else
		send_token_request(call);
}

static bool
token_is_being_fetched(BwApi *api, const BwTokenKey *key)
{
	dlist_iter	iter;

	dlist_foreach(iter, &api->calls)
	{
		BwCall	   *other = dlist_container(BwCall, node, iter.cur);

		if (other->state == CALL_FETCHES_TOKEN &&
			memcmp(&other->token_key, key, sizeof(BwTokenKey)) == 0)
			return true;
	}
	return false;
}

static void
submit(BwCall *call, BwHttpRequest *request)
{
	const BwServer *server = call->account->server;

	request->connect_timeout_ms = server->connect_timeout_ms;
	request->request_timeout_ms = server->request_timeout_ms;
	request->proxy = server->proxy;
	request->ca_file = server->ca_file;
	call->sent_at = GetCurrentTimestamp();
	call->transfer = bw_http_submit(call->api->http, request, call);
}

static void
send_call(BwCall *call)
{
	MemoryContext old = MemoryContextSwitchTo(call->cxt);
	const BwServer *server = call->account->server;
	BwHttpRequest request = {0};

	call->state = CALL_RUNS;
	request.method = call->spec.method;
	request.url = call->spec.query == NULL
		? psprintf("%s%s", server->base_url, call->spec.path)
		: psprintf("%s%s?%s", server->base_url, call->spec.path, call->spec.query);
	request.authorization = call->token != NULL
		? psprintf("Bearer %s", call->token)
		: basic_authorization(call->account->credentials);
	request.body = call->spec.body;
	request.body_len = call->spec.body ? strlen(call->spec.body) : 0;
	request.content_type = "application/xml; charset=utf-8";
	request.max_reply_bytes = BW_API_MAX_REPLY;
	submit(call, &request);
	MemoryContextSwitchTo(old);
}

/* POST to token_url as Bandwidth's "Account credentials" page shows it. */
static void
send_token_request(BwCall *call)
{
	MemoryContext old = MemoryContextSwitchTo(call->cxt);
	BwHttpRequest request = {0};

	call->state = CALL_FETCHES_TOKEN;
	request.method = "POST";
	request.url = call->account->server->token_url;
	request.authorization = basic_authorization(call->account->credentials);
	request.accept = "application/json";
	request.content_type = "application/x-www-form-urlencoded";
	request.body = "grant_type=client_credentials";
	request.body_len = strlen(request.body);
	request.max_reply_bytes = TOKEN_MAX_REPLY;
	submit(call, &request);
	MemoryContextSwitchTo(old);
}

static char *
basic_authorization(const BwCredentials *credentials)
{
	char	   *plain = psprintf("%s:%s", credentials->user, credentials->secret);
	int			len = strlen(plain);
	int			size = pg_b64_enc_len(len) + 1;
	char	   *encoded = palloc0(size);

	if (pg_b64_encode((const void *) plain, len, encoded, size - 1) < 0)
		elog(ERROR, "could not encode credentials");
	explicit_bzero(plain, len);
	pfree(plain);
	return psprintf("Basic %s", encoded);
}

void
bw_api_run(BwApi *api)
{
	BwTransfer *transfer;

	bw_http_run(api->http);
	while ((transfer = bw_http_take_finished(api->http)) != NULL)
		transfer_finished(bw_http_arg(transfer));
}

BwCall *
bw_api_take_finished(BwApi *api)
{
	BwCall	   *call;

	if (dlist_is_empty(&api->finished))
		return NULL;
	call = dlist_container(BwCall, node, dlist_pop_head_node(&api->finished));
	/* It stays releasable: the guard deletes it from a list of its own. */
	dlist_init((dlist_head *) &call->node);
	return call;
}

static void
transfer_finished(BwCall *call)
{
	if (call->state == CALL_FETCHES_TOKEN)
	{
		token_reply(call);
		return;
	}
	if (bw_http_reply(call->transfer)->status == 401 &&
		call->token != NULL && !call->renewed)
	{
		count(call, bw_http_reply(call->transfer), BW_OUTCOME_UNAUTHORIZED,
			  "the access token was refused");
		bw_registry_token_drop(&call->token_key, call->token);
		bw_http_release(call->transfer);
		call->transfer = NULL;
		call->token = NULL;
		call->renewed = true;
		begin(call);
		return;
	}
	judge(call);
	count(call, call->outcome.reply, call->outcome.kind,
		  call->outcome.code == NULL ? call->outcome.text
		  : psprintf("%s: %s", call->outcome.code, call->outcome.text));
	finish(call);
}

/* Of the transfer that the call is at. */
static BwEndpointClass
class_of(const BwCall *call)
{
	return call->state == CALL_FETCHES_TOKEN ? BW_CLASS_TOKEN : call->spec.class;
}

/* For the statistics.  No reply: the call was given up. */
static void
count(const BwCall *call, const BwHttpReply *reply, BwOutcomeKind outcome,
	  const char *error)
{
	BwCallRecord record = {.server = call->serverid,
		.class = class_of(call),
		.outcome = outcome,
		.again = call->state != CALL_FETCHES_TOKEN && (call->renewed || call->spec.again),
	.error = error};

	if (reply != NULL)
	{
		record.bytes_sent = reply->bytes_sent;
		record.bytes_received = reply->bytes_received;
		record.elapsed_us = reply->elapsed_us;
	}
	else
		record.elapsed_us = GetCurrentTimestamp() - call->sent_at;
	bw_statistics_count(&record);
}

static void
finish(BwCall *call)
{
	dlist_delete(&call->node);
	call->state = CALL_FINISHED;
	call->api->in_flight--;
	dlist_push_tail(&call->api->finished, &call->node);
}

/* A token came, or none: the call and all that wait for it go on or end. */
static void
token_reply(BwCall *call)
{
	const BwHttpReply *reply = bw_http_reply(call->transfer);
	MemoryContext old = MemoryContextSwitchTo(call->cxt);
	TokenReply	token = {0};

	if (reply->outcome == BW_HTTP_REPLIED && reply->status / 100 == 2 &&
		parse_token(reply->body, reply->body_len, &token))
	{
		double		life = token.expires_in > 0 ? token.expires_in : TOKEN_DEFAULT_S;
		double		good = life > 2 * TOKEN_EARLY_S ? life - TOKEN_EARLY_S : life / 2;

		count(call, reply, BW_OUTCOME_DONE, NULL);
		bw_registry_token_put(&call->token_key, token.access_token,
							  TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
														  (int64) (good * 1000)));
		bw_http_release(call->transfer);
		call->transfer = NULL;
		call->token = token.access_token;
		send_call(call);
		wake_token_waiters(call->api, &call->token_key, NULL);
	}
	else
	{
		BwOutcome  *outcome = &call->outcome;

		judge(call);
		/* Getting no token never means that the call itself was executed. */
		if (outcome->status == 400 || outcome->status == 401 || outcome->status == 403)
			outcome->kind = BW_OUTCOME_UNAUTHORIZED;
		else
			outcome->kind = BW_OUTCOME_LATER;
		outcome->text = psprintf("No access token from %s: %s",
								 call->account->server->token_url,
								 reply->status / 100 == 2 ? "the reply holds none" : outcome->text);
		count(call, reply, outcome->kind, outcome->text);

		/*
		 * Nor was it answered: whoever reads on must not take this for a
		 * reply.
		 */
		outcome->status = 0;
		outcome->code = NULL;
		outcome->reply = NULL;
		finish(call);
		wake_token_waiters(call->api, &call->token_key, outcome);
	}
	MemoryContextSwitchTo(old);
}

static void
wake_token_waiters(BwApi *api, const BwTokenKey *key, const BwOutcome *failure)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &api->calls)
	{
		BwCall	   *other = dlist_container(BwCall, node, iter.cur);

		if (other->state != CALL_WAITS_FOR_TOKEN ||
			memcmp(&other->token_key, key, sizeof(BwTokenKey)) != 0)
			continue;
		if (failure == NULL)
			begin(other);
		else
		{
			other->outcome = *failure;
			other->outcome.text = MemoryContextStrdup(other->cxt, failure->text);
			finish(other);
		}
	}
}

/* JSON: remember the field's name, then take the scalar that follows. */
static BW_JSON_ACTION_RESULT
token_field(void *state, char *name, bool isnull)
{
	((TokenReply *) state)->field = name;
	BW_JSON_ACTION_RETURN;
}

static BW_JSON_ACTION_RESULT
token_scalar(void *state, char *value, JsonTokenType type)
{
	TokenReply *reply = state;

	if (reply->field != NULL && value != NULL)
	{
		if (strcmp(reply->field, "access_token") == 0 && type == JSON_TOKEN_STRING)
			reply->access_token = value;
		else if (strcmp(reply->field, "expires_in") == 0)
			reply->expires_in = strtod(value, NULL);
	}
	reply->field = NULL;
	BW_JSON_ACTION_RETURN;
}

static bool
parse_token(const char *json, size_t len, TokenReply *reply)
{
	JsonLexContext *lex;
	JsonSemAction actions = {0};

	if (!pg_verify_mbstr(PG_UTF8, json, len, true))
		return false;
	lex = bw_make_json_lexer(json, len, PG_UTF8);
	actions.semstate = reply;
	actions.object_field_start = token_field;
	actions.scalar = token_scalar;
	if (pg_parse_json(lex, &actions) != JSON_SUCCESS)
		return false;
	/* A header line must not be broken by what is in the token. */
	for (const char *p = reply->access_token; p != NULL && *p != '\0'; p++)
		if (!isgraph((unsigned char) *p))
			return false;
	return reply->access_token != NULL && reply->access_token[0] != '\0';
}

/*
 * What happened, from the transfer's result.
 */
static void
judge(BwCall *call)
{
	BwOutcome  *outcome = &call->outcome;
	const BwHttpReply *reply = bw_http_reply(call->transfer);

	outcome->reply = reply;
	outcome->status = reply->status;
	outcome->retry_at = DT_NOBEGIN;
	outcome->text = "";
	switch (reply->outcome)
	{
		case BW_HTTP_NOT_SENT:
			outcome->kind = BW_OUTCOME_LATER;
			outcome->text = reply->error;
			return;
		case BW_HTTP_LOST:
			outcome->kind = BW_OUTCOME_UNKNOWN;
			outcome->text = reply->error;
			return;
		case BW_HTTP_TOO_LARGE:
			outcome->kind = BW_OUTCOME_UNKNOWN;
			outcome->text = "The reply is larger than allowed";
			return;
		case BW_HTTP_REPLIED:
			break;
	}
	if (reply->status / 100 != 2)
		read_error(call);
	if (reply->status == 429)
	{
		outcome->retry_at = rate_limit_until(reply);
		bw_registry_budget_block(call->account->server->account_id,
								 class_of(call), outcome->retry_at);
	}
	judge_status(outcome, class_of(call));
}

/* First error of the body, in whatever shape; else the HTTP status. */
static void
read_error(BwCall *call)
{
	BwOutcome  *outcome = &call->outcome;
	const BwHttpReply *reply = outcome->reply;
	MemoryContext old = MemoryContextSwitchTo(call->cxt);
	BwReplyErrors errors = {0};
	BwXmlProblem problem;

	outcome->text = psprintf("HTTP status %d", reply->status);
	if (reply->body_len > 0 &&
		bw_xml_decode_errors(reply->body, reply->body_len, &errors, &problem))
	{
		for (int i = 0; i < errors.count; i++)
		{
			if (errors.items[i].code != NULL && outcome->code == NULL)
				outcome->code = pstrdup(errors.items[i].code);
			if (errors.items[i].text != NULL && i == 0)
				outcome->text = one_line(errors.items[i].text);
		}
		bw_xml_free_errors(&errors);
	}
	MemoryContextSwitchTo(old);
}

/* "Errors" and "Rate limits" of the numbers API; silence means unknown. */
static void
judge_status(BwOutcome *outcome, BwEndpointClass class)
{
	int			status = outcome->status;

	if (status / 100 == 2)
		outcome->kind = BW_OUTCOME_DONE;
	else if (status == 401 || status == 403)
		outcome->kind = BW_OUTCOME_UNAUTHORIZED;
	else if (status == 429)
		outcome->kind = BW_OUTCOME_LATER;
	else if (status / 100 == 4 && outcome->code != NULL)
		outcome->kind = bw_order_error_class(outcome->code) == BW_ERROR_UNKNOWN &&
			class != BW_CLASS_SEARCH ? BW_OUTCOME_UNKNOWN : BW_OUTCOME_REFUSED;
	else if (status == 404)
		outcome->kind = BW_OUTCOME_NOT_FOUND;
	else
		outcome->kind = BW_OUTCOME_UNKNOWN;
}

/*
 * X-RateLimit-Reset is in epoch seconds of Bandwidth's clock, so it is
 * measured against the reply's own Date.  An older API sent milliseconds.
 */
static TimestampTz
rate_limit_until(const BwHttpReply *reply)
{
	int64		wait_s = RATE_LIMIT_DEFAULT_S;

	if (reply->rate_limit_reset > 0)
	{
		int64		reset = reply->rate_limit_reset;
		int64		now = reply->date > 0 ? reply->date : (int64) time(NULL);

		if (reset > INT64CONST(100000000000))
			reset /= 1000;
		wait_s = Max(reset - now, 1);
	}
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									   Min(wait_s, RATE_LIMIT_MAX_S) * 1000);
}

/* Texts of others stay on one line, without control characters. */
static char *
one_line(const char *text)
{
	const char *ours = bw_from_utf8(text);
	char	   *copy = pnstrdup(ours, pg_mbcliplen(ours, strlen(ours), 500));

	for (char *p = copy; *p != '\0'; p++)
		if (iscntrl((unsigned char) *p))
			*p = ' ';
	return copy;
}

bool
bw_outcome_is_no_subscriptions(const BwOutcome *outcome)
{
	return outcome->kind == BW_OUTCOME_REFUSED && outcome->status == 404 &&
		(strcmp(outcome->code, "16000") == 0 ||
		 strcmp(outcome->code, "16001") == 0 || strcmp(outcome->code, "16002") == 0);
}

TimestampTz
bw_api_parse_date(const char *date)
{
	struct pg_tm tm = {0};
	double		second = 0;
	TimestampTz at;
	int			n;

	if (date == NULL)
		return DT_NOBEGIN;
	/* 2018-03-21T15:28:06.438Z, 2014-01-10T17-34-15Z, 2013-12-20T06, ... */
	n = sscanf(date, "%4d-%2d-%2d%*[T ]%2d%*[:-]%2d%*[:-]%lf", &tm.tm_year,
			   &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &second);
	if (n < 3 || tm.tm_year < 1990 || tm.tm_mon < 1 || tm.tm_mon > 12 ||
		tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 ||
		second < 0 || second >= 61)
		return DT_NOBEGIN;
	tm.tm_sec = (int) second;
	if (tm2timestamp(&tm, (fsec_t) ((second - tm.tm_sec) * USECS_PER_SEC), NULL, &at) != 0)
		return DT_NOBEGIN;
	return at - zone_of_date(date) * USECS_PER_MINUTE;
}

TimestampTz
bw_api_our_time(const char *date, const BwHttpReply *http)
{
	TimestampTz at = bw_api_parse_date(date);
	TimestampTz now = GetCurrentTimestamp();

	if (at == DT_NOBEGIN || http->date <= 0)
		return at;
	return at + (now - time_t_to_timestamptz(http->date));
}

char *
bw_api_dated_query(TimestampTz since, const char *page_size)
{
	StringInfoData query;

	initStringInfo(&query);
	bw_api_append(&query, "page", "1");
	bw_api_append(&query, "size", page_size);
	bw_api_append(&query, "startdate", bw_api_format_day(since - USECS_PER_DAY));
	bw_api_append(&query, "enddate",
				  bw_api_format_day(GetCurrentTimestamp() + USECS_PER_DAY));
	return query.data;
}

char *
bw_api_format_day(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		elog(ERROR, "timestamp out of range");
	return psprintf("%02d-%02d-%02d", tm.tm_year % 100, tm.tm_mon, tm.tm_mday);
}

/* Minutes east of UTC that a date ends with, "+03:00"; Z and nothing are 0. */
static int
zone_of_date(const char *date)
{
	const char *sign = strlen(date) > 19 ? strpbrk(date + 19, "+-") : NULL;
	int			hours = 0;
	int			minutes = 0;

	if (sign == NULL || sscanf(sign + 1, "%2d:%2d", &hours, &minutes) < 1)
		return 0;
	return (*sign == '-' ? -1 : 1) * (hours * 60 + minutes);
}

/* Kept for the session once it is there. */
static BwApi *
create_session_api(void)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "bandwidth session",
											  ALLOCSET_SMALL_SIZES);
	BwApi	   *api = bw_api_create(cxt, 4);

	MemoryContextSetParent(cxt, TopMemoryContext);
	return api;
}

BwCall *
bw_api_perform(const BwAccount *account, const BwCallSpec *spec)
{
	BwCall	   *call;

	check_path(spec->path);
	if (session_api == NULL)
		session_api = create_session_api();
	wait_for_budget(account, spec->class);
	call = bw_api_start(session_api, CurrentMemoryContext, account, spec, NULL);
	while (bw_api_take_finished(session_api) != call)
	{
		bw_http_wait(session_api->http, -1);
		bw_api_run(session_api);
	}
	return call;
}

/*
 * Ids of users are elements of paths.  "/accounts/1/tnreservation/.." would be
 * the account to whoever folds paths, and a DELETE of a reservation one of that.
 */
static void
check_path(const char *path)
{
	char	   *element = pstrdup(path + 1);
	char	   *next;

	for (; element != NULL; element = next)
	{
		next = strchr(element, '/');
		if (next != NULL)
			*next++ = '\0';
		check_id(element);
	}
}

static void
check_id(const char *id)
{
	if (id[0] == '\0' || strcmp(id, ".") == 0 || strcmp(id, "..") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid id: \"%s\"", id),
				 errdetail("An id at Bandwidth is not empty, and neither \".\" nor \"..\".")));
}

static void
wait_for_budget(const BwAccount *account, BwEndpointClass class)
{
	const BwServer *server = account->server;
	TimestampTz give_up = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													  bw_max_rate_limit_wait_ms);
	TimestampTz retry_at;

	while (!bw_registry_budget_take(server->account_id, class,
									server->requests_per_minute, server->burst,
									&retry_at))
	{
		if (retry_at > give_up)
			ereport(ERROR,
					(errcode(ERRCODE_BW_RATE_LIMITED),
					 errmsg("rate limit of account \"%s\" is used up",
							server->account_id),
					 errdetail("The next call of this kind is possible at %s.",
							   timestamptz_to_str(retry_at)),
					 errhint("Try again then, or see the server options \"requests_per_minute\" and \"burst\".")));
		bw_http_wait(session_api->http,
					 TimestampDifferenceMilliseconds(GetCurrentTimestamp(), retry_at) + 1);
	}
}

/* Asking again will not help. */
static bool
is_too_large(const BwOutcome *outcome)
{
	return outcome->reply != NULL && outcome->reply->outcome == BW_HTTP_TOO_LARGE;
}

/* 405, 414 and the like, without a code of Bandwidth's: nor will it here. */
static bool
is_misdirected(const BwOutcome *outcome)
{
	int			status = outcome->status;

	return outcome->kind == BW_OUTCOME_UNKNOWN && outcome->code == NULL &&
		status > 400 && status < 500 && status != 408 && status != 425;
}

static int
outcome_sqlstate(const BwOutcome *outcome)
{
	if (is_too_large(outcome))
		return ERRCODE_BW_BAD_REPLY;
	if (is_misdirected(outcome))
		return ERRCODE_BW_REFUSED;
	switch (outcome->kind)
	{
		case BW_OUTCOME_REFUSED:
		case BW_OUTCOME_NOT_FOUND:
			return ERRCODE_BW_REFUSED;
		case BW_OUTCOME_UNAUTHORIZED:
			return ERRCODE_BW_UNAUTHORIZED;
		case BW_OUTCOME_LATER:
			return TIMESTAMP_IS_NOBEGIN(outcome->retry_at) ? ERRCODE_BW_UNAVAILABLE
				: ERRCODE_BW_RATE_LIMITED;
		case BW_OUTCOME_UNKNOWN:
			return ERRCODE_BW_UNAVAILABLE;
		case BW_OUTCOME_DONE:
			break;
	}
	return ERRCODE_BW_BAD_REPLY;
}

static const char *
outcome_hint(const BwOutcome *outcome, const BwAccount *account)
{
	if (outcome->kind == BW_OUTCOME_UNAUTHORIZED)
		return psprintf("Check the user mapping for server \"%s\" and the roles of its API user at Bandwidth.",
						account->server->name);
	if (!TIMESTAMP_IS_NOBEGIN(outcome->retry_at))
		return psprintf("Try again after %s.", timestamptz_to_str(outcome->retry_at));
	if (is_misdirected(outcome) ||
		(outcome->kind == BW_OUTCOME_NOT_FOUND && outcome->code == NULL))
		return psprintf("Check the arguments, and the option \"base_url\" of server \"%s\".",
						account->server->name);
	if ((outcome->kind == BW_OUTCOME_LATER || outcome->kind == BW_OUTCOME_UNKNOWN) &&
		!is_too_large(outcome))
		return "Try again later; SELECT * FROM bw_check() tells whether Bandwidth can be reached.";
	return NULL;
}

char *
bw_sentence(const char *text)
{
	return psprintf("%c%s.", pg_toupper((unsigned char) text[0]), text + 1);
}

void
bw_outcome_raise(const BwOutcome *outcome, const BwAccount *account,
				 const char *what)
{
	const char *hint = outcome_hint(outcome, account);

	if (outcome->code != NULL)
		ereport(ERROR,
				(errcode(outcome_sqlstate(outcome)),
				 errmsg("%s: %s", outcome->code, outcome->text),
				 errdetail("%s", bw_sentence(what)),
				 hint ? errhint("%s", hint) : 0));
	ereport(ERROR,
			(errcode(outcome_sqlstate(outcome)),
			 errmsg("%s", what),
			 outcome->status == 0 ? errdetail("%s", bw_sentence(outcome->text))
			 : errdetail("The server answered with status %d.", outcome->status),
			 hint ? errhint("%s", hint) : 0));
}

const char *
bw_api_resource(BwOrderKind kind)
{
	return kind == BW_KIND_DISCONNECT ? "disconnects" : "orders";
}

char *
bw_api_path(const BwAccount *account, const char *resource, const char *id)
{
	if (id == NULL)
		return psprintf("/accounts/%s/%s", account->server->account_id, resource);
	return psprintf("/accounts/%s/%s/%s", account->server->account_id, resource,
					bw_http_escape(id));
}

void
bw_api_append(StringInfo query, const char *name, const char *value)
{
	appendStringInfo(query, "%s%s=%s", query->len > 0 ? "&" : "", name,
					 bw_http_escape(value));
}

char *
bw_api_search_query(const BwSearch *search)
{
	StringInfoData query;
	int			position = 0;
	const char *name;
	const char *value;
	char		scratch[32];

	initStringInfo(&query);
	while (bw_search_parameter(search, &position, &name, &value, scratch))
		bw_api_append(&query, name, value);
	return query.data;
}

/* What follows the last '/', without query, trailing dot or white space. */
char *
bw_api_location_id(const BwHttpReply *reply)
{
	const char *start;
	char	   *id;
	size_t		len;

	if (reply->location == NULL)
		return NULL;
	len = strcspn(reply->location, "?#");
	while (len > 0 && (isspace((unsigned char) reply->location[len - 1]) ||
					   reply->location[len - 1] == '.'))
		len--;
	start = reply->location + len;
	while (start > reply->location && start[-1] != '/')
		start--;
	len -= start - reply->location;
	id = pnstrdup(start, len);
	/* What is no text of the database's encoding is not to get into it. */
	return len > 0 && bw_is_visible_ascii(id) ? id : NULL;
}
