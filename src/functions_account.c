/*-------------------------------------------------------------------------
 *
 * functions_account.c
 *	  Subscriptions of the account, and bw_check().
 *
 * src/functions_account.c
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
#include "functions.h"
#include "registry.h"
#include "store.h"
#include "store_orders.h"
#include "store_notifications.h"
#include "xml.h"

PG_FUNCTION_INFO_V1(bw_subscribe);
PG_FUNCTION_INFO_V1(bw_unsubscribe);
PG_FUNCTION_INFO_V1(bw_list_subscriptions);
PG_FUNCTION_INFO_V1(bw_check);

#define SUBSCRIPTION_COLUMNS 10
/* "Subscriptions": an expiry counts seconds and may exceed 32 bits. */
#define EXPIRY_MAX INT64CONST(315360000000)

/* One line of bw_check() and what later lines need from earlier ones. */
typedef struct Check
{
	ReturnSetInfo *rsinfo;
	const char *server_name;
	BwServer   *server;
	BwAccount  *account;
	Oid			role;
} Check;

static void need_worker(void);
static BwAccount *account_of_owner(const char *server);
static void check_subscription(const BwNewSubscription *s);
static void line(Check *check, const char *name, bool ok, const char *detail,
				 const char *hint);
static void check_preload(Check *check);
static void check_worker(Check *check);
static bool check_server(Check *check);
static bool check_mapping(Check *check);
static void check_owner_mapping(Check *check);
static bool check_account(Check *check);
static void check_site(Check *check);
static void check_peer(Check *check);
static void check_listener(Check *check);
static void check_subscribed(Check *check);
static char *first_line_of_error(void);

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

	need_worker();
	server = bw_config_server(bw_arg_text(fcinfo, 10));
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

static void
check_subscription(const BwNewSubscription *s)
{
	char	   *scheme;
	char	   *host;
	char	   *path;
	int			port;

	if (s->url != NULL && s->email != NULL)
		refuse("url and email exclude each other", "Make two subscriptions.");
	if (s->url == NULL && s->email == NULL)
		refuse("a subscription needs a url or an email",
			   "Give one, or set the server option \"callback_url\".");
	if (s->order_type != NULL && s->event_type != NULL)
		refuse("order_type and event_type exclude each other", "Make two subscriptions.");
	if (s->url != NULL && !bw_http_split_url(s->url, &scheme, &host, &port, &path))
		refuse(psprintf("invalid callback URL: \"%s\"", s->url),
			   "A callback URL is like https://db.example.com/bandwidth.");
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

	need_worker();
	bw_store_enter(&scope);
	bw_store_require_identity();
	found = bw_store_unsubscribe(PG_GETARG_INT64(0), role);
	bw_store_leave(&scope);
	if (found)
		bw_registry_wake_at_commit(BW_TOPIC_SUBSCRIPTIONS);
	PG_RETURN_BOOL(found);
}

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = (text == NULL);
	return text ? CStringGetTextDatum(bw_from_utf8(text)) : (Datum) 0;
}

Datum
bw_list_subscriptions(PG_FUNCTION_ARGS)
{
	static const BwField fields[SUBSCRIPTION_COLUMNS] = {BW_FIELD_ID,
		BW_FIELD_ORDER_TYPE, BW_FIELD_EVENT_TYPE, BW_FIELD_ORDER_ID,
		BW_FIELD_URL, BW_FIELD_EMAIL, BW_FIELD_EXPIRY, BW_FIELD_STATUS,
	BW_FIELD_USERNAME, BW_FIELD_NUMBER_FORMAT};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	BwCallSpec	spec = {.class = BW_CLASS_SUBSCRIPTION,.method = "GET"};
	BwAccount  *account;
	BwCall	   *call;
	const BwOutcome *outcome;
	BwList	   *list;
	BwRow		row;
	volatile BwNext next = BW_NEXT_END;

	bw_init_materialized_srf(fcinfo);
	account = account_of_owner(bw_arg_text(fcinfo, 0));
	spec.path = bw_api_path(account, "subscriptions", NULL);
	call = bw_api_perform(account, &spec);
	outcome = bw_call_outcome(call);
	if (outcome->kind != BW_OUTCOME_DONE && !bw_outcome_is_no_subscriptions(outcome))
		bw_outcome_raise(outcome, account, "could not list subscriptions");
	list = bw_xml_list_open(BW_LIST_SUBSCRIPTIONS, outcome->reply->body,
							outcome->kind == BW_OUTCOME_DONE ? outcome->reply->body_len : 0);
	PG_TRY();
	{
		while (list != NULL && (next = bw_xml_list_next(list, &row)) == BW_NEXT_ROW)
		{
			Datum		v[SUBSCRIPTION_COLUMNS];
			bool		n[SUBSCRIPTION_COLUMNS];

			for (int i = 0; i < SUBSCRIPTION_COLUMNS; i++)
				v[i] = text_or_null(row.field[fields[i]], &n[i]);
			if (!n[6])
				v[6] = Int64GetDatum(strtoll(row.field[BW_FIELD_EXPIRY], NULL, 10));
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, v, n);
		}
		if (next == BW_NEXT_ERROR)
			ereport(ERROR,
					(errcode(ERRCODE_BW_BAD_REPLY),
					 errmsg("could not read the list of subscriptions"),
					 errdetail("%s.", bw_xml_list_problem(list))));
	}
	PG_FINALLY();
	{
		bw_xml_list_close(list);
	}
	PG_END_TRY();
	bw_call_release(call);
	return (Datum) 0;
}

/*
 * Day one's last step: each line is true or says what to do.  Later lines
 * are left out when an earlier one makes them meaningless.
 */
Datum
bw_check(PG_FUNCTION_ARGS)
{
	Check		check = {0};

	bw_init_materialized_srf(fcinfo);
	check.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	check.role = GetUserId();
	check.server_name = PG_ARGISNULL(0) ? bw_default_server : bw_arg_text(fcinfo, 0);
	check_preload(&check);
	check_worker(&check);
	if (!check_server(&check))
		return (Datum) 0;
	if (check_mapping(&check) && check_account(&check))
	{
		check_site(&check);
		check_peer(&check);
	}
	check_owner_mapping(&check);
	check_listener(&check);
	check_subscribed(&check);
	return (Datum) 0;
}

static void
line(Check *check, const char *name, bool ok, const char *detail, const char *hint)
{
	Datum		v[4];
	bool		n[4] = {false};

	v[0] = CStringGetTextDatum(name);
	v[1] = BoolGetDatum(ok);
	v[2] = text_or_null(detail, &n[2]);
	v[3] = text_or_null(ok ? NULL : hint, &n[3]);
	tuplestore_putvalues(check->rsinfo->setResult, check->rsinfo->setDesc, v, n);
}

static void
check_preload(Check *check)
{
	line(check, "preload", bw_registry_shared(),
		 bw_registry_shared() ? "the library is preloaded" : "the library is not preloaded",
		 "Add shared_preload_libraries = 'bandwidth' to postgresql.conf and restart the server.");
}

static void
check_worker(Check *check)
{
	int			pid = 0;
	TimestampTz since;
	bool		running = bw_registry_worker_state(MyDatabaseId, &pid, &since) ==
	BW_WORKER_RUNNING;

	line(check, "worker", running,
		 running ? psprintf("process %d serves this database", pid)
		 : "no worker serves this database",
		 bw_enabled ? "See the server log; max_worker_processes may be used up."
		 : "Set bandwidth.enabled = on and reload the configuration.");
}

static bool
check_server(Check *check)
{
	bool		usable;

	check->server = bw_config_server_if_exists(check->server_name);
	line(check, "server", check->server != NULL,
		 check->server ? psprintf("server \"%s\", account %s", check->server->name,
								  check->server->account_id)
		 : psprintf("server \"%s\" does not exist", check->server_name),
		 psprintf("CREATE SERVER %s FOREIGN DATA WRAPPER bandwidth OPTIONS (account_id '...', site_id '...').",
				  quote_identifier(check->server_name)));
	if (check->server == NULL)
		return false;
	usable = bw_has_server_usage(check->server->serverid, check->role);
	line(check, "usage", usable,
		 usable ? "your role may use the server" : "your role may not use the server",
		 psprintf("GRANT USAGE ON FOREIGN SERVER %s TO %s.",
				  quote_identifier(check->server->name),
				  quote_identifier(GetUserNameFromId(check->role, false))));
	return usable;
}

/* Message of the error being handled; ends its handling. */
static char *
first_line_of_error(void)
{
	ErrorData  *error;
	char	   *text;

	error = CopyErrorData();
	FlushErrorState();
	text = error->detail ? psprintf("%s: %s", error->message, error->detail)
		: pstrdup(error->message);
	FreeErrorData(error);
	return text;
}

static BwCredentials *
credentials_or_why(Check *check, Oid role, char **why)
{
	MemoryContext cxt = CurrentMemoryContext;
	BwCredentials *volatile credentials = NULL;

	*why = NULL;
	PG_TRY();
	{
		credentials = bw_config_credentials(check->server, role);
	}
	PG_CATCH();
	{
		if (geterrcode() == ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		MemoryContextSwitchTo(cxt);
		*why = first_line_of_error();
	}
	PG_END_TRY();
	return credentials;
}

static bool
check_mapping(Check *check)
{
	char	   *why;
	BwCredentials *credentials = credentials_or_why(check, check->role, &why);

	line(check, "user mapping", credentials != NULL,
		 credentials ? (credentials->auth == BW_AUTH_OAUTH2
						? "OAuth2 client credentials"
						: "user name and password: Bandwidth ends these on 2 December 2026")
		 : why ? why : "your role has no user mapping, and PUBLIC has none",
		 psprintf("CREATE USER MAPPING FOR %s SERVER %s OPTIONS (client_id '...', client_secret_file '...').",
				  quote_identifier(GetUserNameFromId(check->role, false)),
				  quote_identifier(check->server->name)));
	if (credentials == NULL)
		return false;
	check->account = palloc(sizeof(BwAccount));
	check->account->server = check->server;
	check->account->credentials = credentials;
	return true;
}

static void
check_owner_mapping(Check *check)
{
	char	   *why;
	BwCredentials *credentials = credentials_or_why(check, check->server->owner, &why);
	char	   *owner = GetUserNameFromId(check->server->owner, true);

	line(check, "owner's user mapping", credentials != NULL,
		 credentials ? "subscriptions can be kept"
		 : why ? why : "the server's owner has no user mapping, and PUBLIC has none",
		 psprintf("CREATE USER MAPPING FOR %s SERVER %s: subscriptions and lists use the owner's.",
				  owner ? quote_identifier(owner) : "the owner",
				  quote_identifier(check->server->name)));
}

/* Ask for the account's sites: proves URL, token and account at once. */
static bool
check_account(Check *check)
{
	BwCallSpec	spec = {.class = BW_CLASS_OTHER,.method = "GET"};
	BwCall	   *call;
	const BwOutcome *outcome;
	bool		ok;

	spec.path = bw_api_path(check->account, "sites", NULL);
	call = bw_api_perform(check->account, &spec);
	outcome = bw_call_outcome(call);
	ok = outcome->kind == BW_OUTCOME_DONE;
	line(check, "access", outcome->kind != BW_OUTCOME_UNAUTHORIZED &&
		 outcome->status != 0,
		 outcome->status != 0 && outcome->kind != BW_OUTCOME_UNAUTHORIZED
		 ? psprintf("%s answers", check->server->base_url) : outcome->text,
		 outcome->kind == BW_OUTCOME_UNAUTHORIZED
		 ? "Check the credentials of the user mapping and the roles of the API user at Bandwidth."
		 : "Check base_url, token_url, proxy and ca_file, and that this machine may reach them.");
	if (outcome->kind != BW_OUTCOME_UNAUTHORIZED && outcome->status != 0)
		line(check, "account", ok,
			 ok ? psprintf("account %s is there", check->server->account_id)
			 : psprintf("account %s: %s", check->server->account_id, outcome->text),
			 "Check the server option \"account_id\".");
	bw_call_release(call);
	return ok;
}

/* Does a list of Bandwidth's hold this id?  *failure: it could not be read. */
static bool
list_has(Check *check, const char *path, BwListKind kind, const char *id,
		 char **failure)
{
	BwCallSpec	spec = {.class = BW_CLASS_OTHER,.method = "GET",.path = path};
	BwCall	   *call = bw_api_perform(check->account, &spec);
	const BwOutcome *outcome = bw_call_outcome(call);
	BwList	   *list;
	BwRow		row;
	BwNext		next = BW_NEXT_END;
	bool		found = false;

	*failure = NULL;
	if (outcome->kind != BW_OUTCOME_DONE)
	{
		*failure = pstrdup(outcome->text);
		bw_call_release(call);
		return false;
	}
	list = bw_xml_list_open(kind, outcome->reply->body, outcome->reply->body_len);
	while (list != NULL && (next = bw_xml_list_next(list, &row)) == BW_NEXT_ROW)
		if (row.field[BW_FIELD_ID] && strcmp(row.field[BW_FIELD_ID], id) == 0)
			found = true;
	if (next == BW_NEXT_ERROR)
		*failure = pstrdup(bw_xml_list_problem(list));
	bw_xml_list_close(list);
	bw_call_release(call);
	return found;
}

static void
check_site(Check *check)
{
	const char *site = check->server->site_id;
	char	   *failure = NULL;
	bool		ok = site != NULL &&
	list_has(check, bw_api_path(check->account, "sites", NULL), BW_LIST_SITES, site,
			 &failure);

	line(check, "site", ok,
		 ok ? psprintf("site %s is there", site)
		 : failure ? psprintf("the sites could not be listed: %s", failure)
		 : site ? psprintf("the account has no site %s", site)
		 : "no default site: every order has to name one",
		 failure ? "Try again later."
		 : psprintf("ALTER SERVER %s OPTIONS (%s site_id '...').",
					quote_identifier(check->server->name), site ? "SET" : "ADD"));
}

static void
check_peer(Check *check)
{
	const char *peer = check->server->peer_id;
	char	   *failure = NULL;
	bool		ok = true;

	if (peer != NULL && check->server->site_id != NULL)
		ok = list_has(check, psprintf("%s/sippeers",
									  bw_api_path(check->account, "sites",
												  check->server->site_id)),
					  BW_LIST_SIP_PEERS, peer, &failure);
	line(check, "SIP peer", ok,
		 peer == NULL ? "the site's default SIP peer is used"
		 : failure ? psprintf("the SIP peers could not be listed: %s", failure)
		 : psprintf(ok ? "SIP peer %s is there" : "the site has no SIP peer %s", peer),
		 failure ? "Try again later."
		 : psprintf("ALTER SERVER %s OPTIONS (SET peer_id '...').",
					quote_identifier(check->server->name)));
}

static void
check_listener(Check *check)
{
	line(check, "listener", true,
		 bw_listen_port > 0 ? psprintf("callbacks on port %d", bw_listen_port)
		 : "off: orders are polled", NULL);
}

static void
check_subscribed(Check *check)
{
	BwStoreScope scope;
	int			active;
	int			failed;

	bw_store_enter(&scope);
	bw_store_count_subscriptions(check->server->name, &active, &failed);
	bw_store_leave(&scope);
	line(check, "subscription", failed == 0 && (active > 0 || bw_listen_port == 0),
		 failed > 0 ? psprintf("%d subscriptions failed", failed)
		 : active > 0 ? psprintf("%d active", active) : "none: orders are polled",
		 failed > 0 ? "See error_code and error_text in bw_subscriptions."
		 : "SELECT bw_subscribe('https://...').");
}
