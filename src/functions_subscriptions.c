/*-------------------------------------------------------------------------
 *
 * functions_subscriptions.c
 *	  Subscriptions of the account.
 *
 * src/functions_subscriptions.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "encoding.h"
#include "functions.h"
#include "pages.h"
#include "registry.h"
#include "store.h"
#include "store_orders.h"
#include "store_subscriptions.h"

PG_FUNCTION_INFO_V1(bw_subscribe);
PG_FUNCTION_INFO_V1(bw_unsubscribe);
PG_FUNCTION_INFO_V1(bw_rotate_callback_credentials);
PG_FUNCTION_INFO_V1(bw_list_subscriptions);

#define SUBSCRIPTION_COLUMNS 10
/* "Subscriptions": an expiry counts seconds and may exceed 32 bits. */
#define EXPIRY_MAX INT64CONST(315360000000)
/* What everybody between Bandwidth and here can be expected to take. */
#define URL_MAX 2000
/* RFC 5321 has no place for more. */
#define EMAIL_MAX 254
/* The longest one of theirs has half of that. */
#define TYPE_MAX 60
#define TYPE_CHARACTERS \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
/* Chains of certificates are shorter. */
#define PUBLIC_KEY_MAX 65536
#define BASE64_CHARACTERS \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/= \t\r\n"

static void need_worker(void);
static BwAccount *account_of_owner(const char *server);
static void check_subscription(const BwNewSubscription *s);

static void
need_worker(void)
{
	if (bw_registry_shared())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("no worker is running"),
			 errdetail("The library \"bandwidth\" is not preloaded."),
			 errhint("Add shared_preload_libraries = 'bandwidth' to postgresql.conf and restart the server.")));
}

/* Calls for no particular order use the credentials of the server's owner. */
static BwAccount *
account_of_owner(const char *server)
{
	BwAccount  *account = palloc(sizeof(BwAccount));

	account->server = bw_config_server(server);
	bw_config_check_usage(account->server, GetUserId());
	account->credentials = bw_config_require_credentials(account->server,
														 account->server->owner);
	return account;
}

Datum
bw_subscribe(PG_FUNCTION_ARGS)
{
	BwServer   *server;
	BwNewSubscription s = {0};
	BwStoreScope scope;
	int64		id;

	PreventCommandIfReadOnly("bw_subscribe()");
	need_worker();
	server = bw_config_server(bw_arg_text(fcinfo, 11));
	bw_config_check_usage(server, GetUserId());
	s.server = server->name;
	s.account_id = server->account_id;
	s.subscribed_by = GetUserNameFromId(GetUserId(), false);
	s.email = bw_arg_text(fcinfo, 6);
	s.url = bw_arg_text(fcinfo, 0);
	if (s.url == NULL && s.email == NULL)
		s.url = server->callback_url;
	s.event_type = bw_arg_text(fcinfo, 8);
	s.order_type = bw_arg_text(fcinfo, 1);
	if (s.order_type == NULL && s.event_type == NULL)
		s.order_type = "orders";
	s.expiry = PG_ARGISNULL(2) ? INT64CONST(3153600000) : PG_GETARG_INT64(2);
	s.credentials = bw_arg_flag(fcinfo, 3) == 0 || s.email ? "none" : "generated";
	s.public_key = bw_arg_text(fcinfo, 4);
	s.number_format = bw_arg_text(fcinfo, 5);
	s.digest = s.email && PG_ARGISNULL(7) ? "NONE" : bw_arg_text(fcinfo, 7);
	s.bandwidth_order_id = bw_arg_text(fcinfo, 9);
	s.pinned = bw_arg_flag(fcinfo, 10) == 1;
	check_subscription(&s);
	bw_store_enter(&scope);
	bw_store_require_identity();
	id = bw_store_subscribe(&s);
	bw_store_leave(&scope);
	bw_registry_wake_at_commit(BW_TOPIC_SUBSCRIPTIONS);
	PG_RETURN_INT64(id);
}

static void
refuse(const char *message, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s", message), errhint("%s", hint)));
}

/*
 * Credentials in a URL would be shown by bw_subscriptions, and by Bandwidth.
 */
static void
check_callback_url(const char *url)
{
	char	   *scheme;
	char	   *host;
	char	   *path;
	int			port;
	const char *scheme_end = strstr(url, "://");
	const char *authority = scheme_end ? scheme_end + 3 : url;

	if (strlen(url) > URL_MAX)
		refuse(psprintf("callback URL of %zu characters is too long", strlen(url)),
			   psprintf("A callback URL has up to %d characters.", URL_MAX));
	if (memchr(authority, '@', strcspn(authority, "/?#")) != NULL)
		refuse("a callback URL must not hold a user name or password",
			   "The worker gives Bandwidth credentials of its own making, or callback_username and callback_password of the user mapping.");
	if (strpbrk(url, "#\"") != NULL || !bw_is_visible_ascii(url) ||
		!bw_http_split_url(url, &scheme, &host, &port, &path))
		refuse(psprintf("invalid callback URL: \"%s\"", url),
			   "A callback URL is like https://db.example.com/bandwidth.");
}

/* Whether there is such an address only a mail tells. */
static void
check_email(const char *email)
{
	const char *at = strchr(email, '@');

	if (at == NULL || at == email || at[1] == '\0' || strchr(at + 1, '@') != NULL ||
		strlen(email) > EMAIL_MAX || strpbrk(email, "<>\",;") != NULL ||
		!bw_is_visible_ascii(email))
		refuse(psprintf("invalid email address: \"%s\"", email),
			   "An address is like someone@example.com.");
}

/* Bandwidth knows which there are; it goes on adding some. */
static void
check_type(const char *name, const char *type)
{
	size_t		len = strlen(type);

	if (len == 0 || len > TYPE_MAX || strspn(type, TYPE_CHARACTERS) != len)
		refuse(psprintf("invalid %s: \"%s\"", name, type),
			   "A type is a word like orders, disconnects or MESSAGING_LOST.");
}

/* Bandwidth says only after a while that it could not read it. */
static void
check_public_key(const char *key)
{
	size_t		len = strlen(key);

	if (len == 0 || len > PUBLIC_KEY_MAX || strspn(key, BASE64_CHARACTERS) != len)
		refuse("invalid public_key",
			   "It is a certificate in PEM form, all of which is encoded in base64 once more.");
}

static void
check_subscription(const BwNewSubscription *s)
{
	if (s->url != NULL && s->email != NULL)
		refuse("url and email exclude each other", "Make two subscriptions.");
	if (s->url == NULL && s->email == NULL)
		refuse("a subscription needs a url or an email",
			   "Give one, or set the server option \"callback_url\".");
	if (s->order_type != NULL && s->event_type != NULL)
		refuse("order_type and event_type exclude each other", "Make two subscriptions.");
	if (s->url != NULL)
		check_callback_url(s->url);
	if (s->email != NULL)
		check_email(s->email);
	if (s->order_type != NULL)
		check_type("order_type", s->order_type);
	if (s->event_type != NULL)
		check_type("event_type", s->event_type);
	if (s->public_key != NULL)
		check_public_key(s->public_key);
	bw_check_bandwidth_id(s->bandwidth_order_id);
	if (s->pinned && s->url == NULL)
		refuse("only a subscription with a url can pin a certificate", "Leave out pin, or give a url.");
	if (s->pinned && s->public_key != NULL)
		refuse("pin and public_key exclude each other",
			   "pin gives Bandwidth the certificate of this database, public_key one of a proxy.");
	if (s->expiry <= 0 || s->expiry > EXPIRY_MAX)
		refuse("expiry is out of range",
			   "It counts seconds; 3153600000 is a hundred years.");
	if (s->number_format != NULL && strcmp(s->number_format, "LEGACY") != 0 &&
		strcmp(s->number_format, "E164") != 0)
		refuse(psprintf("unrecognized number_format: \"%s\"", s->number_format),
			   "Number formats are LEGACY and E164.");
	if (s->digest != NULL && strcmp(s->digest, "NONE") != 0 &&
		strcmp(s->digest, "DAILY") != 0)
		refuse(psprintf("unrecognized digest: \"%s\"", s->digest),
			   "Digests are NONE and DAILY.");
}

Datum
bw_unsubscribe(PG_FUNCTION_ARGS)
{
	Oid			role = GetUserId();
	BwStoreScope scope;
	bool		found;

	PreventCommandIfReadOnly("bw_unsubscribe()");
	need_worker();
	bw_store_enter(&scope);
	bw_store_require_identity();
	if (bw_store_is_kept(PG_GETARG_INT64(0)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("subscription " INT64_FORMAT " is kept for its server",
						PG_GETARG_INT64(0)),
				 errhint("Use ALTER SERVER ... OPTIONS (DROP callback_url).")));
	found = bw_store_unsubscribe(PG_GETARG_INT64(0), role);
	bw_store_leave(&scope);
	if (found)
		bw_registry_wake_at_commit(BW_TOPIC_SUBSCRIPTIONS);
	PG_RETURN_BOOL(found);
}

/*
 * bw_rotate_callback_credentials(server): every subscription of the server gets
 * a fresh pair, and one that is contested another chance.
 */
Datum
bw_rotate_callback_credentials(PG_FUNCTION_ARGS)
{
	BwServer   *server;
	BwStoreScope scope;
	int			count;

	PreventCommandIfReadOnly("bw_rotate_callback_credentials()");
	need_worker();
	server = bw_config_server(bw_arg_text(fcinfo, 0));
	bw_config_check_usage(server, GetUserId());
	bw_store_enter(&scope);
	bw_store_require_identity();
	count = bw_store_rotate(server->name);
	bw_store_leave(&scope);
	bw_registry_wake_at_commit(BW_TOPIC_SUBSCRIPTIONS);
	PG_RETURN_INT32(count);
}

static void
put_subscription(const BwRow *row, void *arg)
{
	static const BwField fields[SUBSCRIPTION_COLUMNS] = {BW_FIELD_ID,
		BW_FIELD_ORDER_TYPE, BW_FIELD_EVENT_TYPE, BW_FIELD_ORDER_ID,
		BW_FIELD_URL, BW_FIELD_EMAIL, BW_FIELD_EXPIRY, BW_FIELD_STATUS,
	BW_FIELD_USERNAME, BW_FIELD_NUMBER_FORMAT};
	ReturnSetInfo *rsinfo = arg;
	Datum		v[SUBSCRIPTION_COLUMNS];
	bool		n[SUBSCRIPTION_COLUMNS];

	for (int i = 0; i < SUBSCRIPTION_COLUMNS; i++)
		v[i] = bw_text_or_null(row->field[fields[i]], &n[i]);
	if (!n[6])
		v[6] = Int64GetDatum(strtoll(row->field[BW_FIELD_EXPIRY], NULL, 10));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, v, n);
}

Datum
bw_list_subscriptions(PG_FUNCTION_ARGS)
{
	BwPages		pages = {.kind = BW_LIST_SUBSCRIPTIONS,
		.what = "could not list subscriptions",
		.subject = "the list of subscriptions",
	.is_empty = bw_outcome_is_no_subscriptions};

	bw_init_materialized_srf(fcinfo);
	pages.account = account_of_owner(bw_arg_text(fcinfo, 0));
	pages.call.class = BW_CLASS_SUBSCRIPTION;
	pages.call.method = "GET";
	pages.call.path = bw_api_path(pages.account, "subscriptions", NULL);
	bw_pages_read(&pages, put_subscription, fcinfo->resultinfo);
	return (Datum) 0;
}
