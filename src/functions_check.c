/*-------------------------------------------------------------------------
 *
 * functions_check.c
 *	  bw_check(): is everything in place?
 *
 * src/functions_check.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "encoding.h"
#include "functions.h"
#include "registry.h"
#include "statistics.h"
#include "store.h"
#include "store_guards.h"
#include "store_operator.h"
#include "store_orders.h"
#include "store_subscriptions.h"
#include "store_timeline.h"
#include "version.h"
#include "xml_read.h"

/* Longer than the worker waits before it tries again. */
#define ERROR_FRESH_MS (10 * 60 * 1000)

PG_FUNCTION_INFO_V1(bw_check);

/* One line of bw_check() and what later lines need from earlier ones. */
typedef struct Check
{
	ReturnSetInfo *rsinfo;
	const char *server_name;
	BwServer   *server;
	BwAccount  *account;
	Oid			role;
} Check;

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
static void check_identity(Check *check);
static void check_ordering(Check *check);
static void check_disconnecting(Check *check);
static void check_pause(Check *check);
static void check_attention(Check *check);
static void check_lost(Check *check);
static void check_version(Check *check);
static void check_last_error(Check *check);
static void check_listener(Check *check);
static void check_subscribed(Check *check);
static char *problem_text(const ErrorData *error);
static BwCall *try_call(Check *check, const BwCallSpec *spec, char **why_not);


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
	check_version(&check);
	check_worker(&check);
	if (!check_server(&check))
		return (Datum) 0;
	if (check_mapping(&check) && check_account(&check))
	{
		check_site(&check);
		check_peer(&check);
	}
	check_owner_mapping(&check);
	check_identity(&check);
	check_ordering(&check);
	check_disconnecting(&check);
	check_pause(&check);
	check_attention(&check);
	check_lost(&check);
	check_last_error(&check);
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
	v[2] = CStringGetTextDatum(bw_from_utf8(detail));
	n[3] = ok;
	if (!ok)
		v[3] = CStringGetTextDatum(hint);
	tuplestore_putvalues(check->rsinfo->setResult, check->rsinfo->setDesc, v, n);
}

static void
check_preload(Check *check)
{
	line(check, "preload", bw_registry_shared(),
		 bw_registry_shared() ? "the library is preloaded" : "the library is not preloaded",
		 "Add shared_preload_libraries = 'bandwidth' to postgresql.conf and restart the server.");
}

/* The library serves the scripts of its own release and of older ones. */
static void
check_version(Check *check)
{
	char	   *version = bw_store_sql_version();
	bool		newer = bw_version_is_newer(version, BW_SQL_VERSION);
	BwStoreScope scope;
	char	   *latest;

	bw_store_enter(&scope);
	latest = bw_store_default_version();
	bw_store_leave(&scope);
	line(check, "version", !newer,
		 newer ? psprintf("the extension has version %s, the library serves versions up to %s",
						  version, BW_SQL_VERSION)
		 : latest != NULL && bw_version_is_newer(latest, version)
		 ? psprintf("version %s; ALTER EXTENSION bandwidth UPDATE makes it %s", version, latest)
		 : psprintf("version %s", version),
		 "Nothing is sent. Install the library of that version, and restart the server.");
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
		 !bw_registry_shared() ? "It comes by itself once the library is preloaded."
		 : bw_enabled ? "See the server log; max_worker_processes may be used up."
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

static char *
problem_text(const ErrorData *error)
{
	return error->detail ? psprintf("%s: %s", error->message, error->detail) : error->message;
}

static bool
check_mapping(Check *check)
{
	ErrorData  *why;
	BwCredentials *credentials = bw_config_try_credentials(check->server, check->role, &why);

	line(check, "user mapping", credentials != NULL,
		 credentials ? (credentials->auth == BW_AUTH_OAUTH2
						? "OAuth2 client credentials"
						: "user name and password: Bandwidth ends these on 2 December 2026")
		 : why ? problem_text(why) : "your role has no user mapping, and PUBLIC has none",
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
	ErrorData  *why;
	BwCredentials *credentials = bw_config_try_credentials(check->server, check->server->owner, &why);
	char	   *owner = GetUserNameFromId(check->server->owner, true);

	line(check, "owner's user mapping", credentials != NULL,
		 credentials ? "subscriptions can be kept"
		 : why ? problem_text(why) : "the server's owner has no user mapping, and PUBLIC has none",
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
	char	   *why_not = NULL;
	bool		ok;

	spec.path = bw_api_path(check->account, "sites", NULL);
	call = try_call(check, &spec, &why_not);
	if (call == NULL)
	{
		line(check, "access", false, why_not, "Call bw_check() again then.");
		return false;
	}
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

/*
 * NULL: it was not its turn under the rate limit, which is no reason to say
 * nothing of all the rest.
 */
static BwCall *
try_call(Check *check, const BwCallSpec *spec, char **why_not)
{
	MemoryContext cxt = CurrentMemoryContext;
	BwCall	   *volatile call = NULL;

	PG_TRY();
	{
		call = bw_api_perform(check->account, spec);
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_BW_RATE_LIMITED)
			PG_RE_THROW();
		MemoryContextSwitchTo(cxt);
		*why_not = problem_text(CopyErrorData());
		FlushErrorState();
	}
	PG_END_TRY();
	return call;
}

/* Does a list of Bandwidth's hold this id?  *failure: it could not be read. */
static bool
list_has(Check *check, const char *path, BwListKind kind, const char *id,
		 char **failure, const char **hint)
{
	BwCallSpec	spec = {.class = BW_CLASS_OTHER,.method = "GET",.path = path};
	BwCall	   *call = try_call(check, &spec, failure);
	const BwOutcome *outcome;
	BwList	   *list;
	BwRow		row;
	BwNext		next = BW_NEXT_END;
	bool		found = false;

	*hint = "Try again later.";
	if (call == NULL)
		return false;
	*failure = NULL;
	outcome = bw_call_outcome(call);
	if (outcome->kind != BW_OUTCOME_DONE)
	{
		*failure = pstrdup(outcome->text);
		if (outcome->status / 100 == 4 && outcome->status != 429)
			*hint = "Check the server option \"base_url\".";
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
	const char *failure_hint = NULL;
	bool		ok = site != NULL &&
	list_has(check, bw_api_path(check->account, "sites", NULL), BW_LIST_SITES, site,
			 &failure, &failure_hint);

	line(check, "site", ok,
		 ok ? psprintf("site %s is there", site)
		 : failure ? psprintf("the sites could not be listed: %s", failure)
		 : site ? psprintf("the account has no site %s", site)
		 : "no default site: every order has to name one",
		 failure ? failure_hint
		 : psprintf("ALTER SERVER %s OPTIONS (%s site_id '...').",
					quote_identifier(check->server->name), site ? "SET" : "ADD"));
}

static void
check_peer(Check *check)
{
	const char *peer = check->server->peer_id;
	char	   *failure = NULL;
	const char *failure_hint = NULL;
	bool		ok = true;

	if (peer != NULL && check->server->site_id != NULL)
		ok = list_has(check, psprintf("%s/sippeers",
									  bw_api_path(check->account, "sites",
												  check->server->site_id)),
					  BW_LIST_SIP_PEERS, peer, &failure, &failure_hint);
	line(check, "SIP peer", ok,
		 peer == NULL ? "the site's default SIP peer is used"
		 : failure ? psprintf("the SIP peers could not be listed: %s", failure)
		 : psprintf(ok ? "SIP peer %s is there" : "the site has no SIP peer %s", peer),
		 failure ? failure_hint
		 : psprintf("ALTER SERVER %s OPTIONS (SET peer_id '...').",
					quote_identifier(check->server->name)));
}

/* Whose orders are these, and may some have been sent before? */
static void
check_identity(Check *check)
{
	BwStoreScope scope;
	bool		own;
	int			doubts;

	bw_store_enter(&scope);
	own = bw_store_has_identity();
	doubts = bw_store_count_doubts(check->server->name);
	bw_store_leave(&scope);
	line(check, "identity", own && doubts == 0,
		 !own ? "this database is a copy of the one that its orders belong to: nothing is sent"
		 : doubts > 0 ? "orders that may have been sent before the database changed hands wait until the account's recent orders were listed"
		 : "the orders of this database are its own",
		 !own ? "If this copy is to order from now on, as after pg_upgrade, have a superuser call bw_take_over()."
		 : "This takes as long as bandwidth.look_up_delays says, and ends by itself.");
}

/* The guards, and what is left of the limit per day. */
static void
check_ordering(Check *check)
{
	const BwServer *server = check->server;
	int			limit = server->max_numbers_per_day;
	BwStoreScope scope;
	int64		spent;
	bool		ok;

	bw_store_enter(&scope);
	spent = bw_store_spent(server->name, BW_KIND_ORDER);
	bw_store_leave(&scope);
	ok = server->ordering != BW_ORDERING_OFF && spent < limit;
	line(check, "ordering", ok,
		 server->ordering == BW_ORDERING_OFF ? "ordering is off"
		 : psprintf(INT64_FORMAT " of %d telephone numbers of the last 24 hours were ordered, %d in one order are allowed%s",
					spent, limit, server->max_numbers_per_order,
					server->ordering == BW_ORDERING_HOLD ? ", each order waits for bw_approve()" : ""),
		 server->ordering == BW_ORDERING_OFF
		 ? "Its owner can run ALTER SERVER ... OPTIONS (SET ordering 'on')."
		 : "Further orders are HELD until there is room, or the server option \"max_numbers_per_day\" is raised.");
}

/* Where numbers may be given back at all. */
static void
check_disconnecting(Check *check)
{
	const BwServer *server = check->server;
	BwStoreScope scope;
	int64		spent;

	if (!server->allow_disconnect)
		return;
	bw_store_enter(&scope);
	spent = bw_store_spent(server->name, BW_KIND_DISCONNECT);
	bw_store_leave(&scope);
	line(check, "disconnecting", spent < server->max_disconnects_per_day,
		 psprintf(INT64_FORMAT " of %d telephone numbers of the last 24 hours were disconnected, each " INT64_FORMAT " s after its order",
				  spent, server->max_disconnects_per_day, server->release_after_s),
		 "Further ones are HELD until there is room, or the server option \"max_disconnects_per_day\" is raised.");
}

static void
check_pause(Check *check)
{
	BwStoreScope scope;
	BwPause    *pauses;
	int			count;

	bw_store_enter(&scope);
	pauses = bw_store_pauses(check->server->name,
							 GetUserNameFromId(check->role, false), &count);
	bw_store_leave(&scope);
	line(check, "pause", count == 0,
		 count == 0 ? "orders are sent" : psprintf("no orders are sent: %s", pauses[0].reason),
		 count > 0 && pauses[0].automatic
		 ? "It ends when the server or the user mapping is altered, or by bw_resume()."
		 : "It ends by bw_resume().");
}

static void
check_attention(Check *check)
{
	BwStoreScope scope;
	int64		count;

	bw_store_enter(&scope);
	count = bw_store_count_attention(check->server->name);
	bw_store_leave(&scope);
	line(check, "attention", count == 0,
		 count == 0 ? "no order waits for a decision"
		 : psprintf(INT64_FORMAT " orders wait for a decision", count),
		 "Column \"attention\" of bw_open_orders says why; then bw_resolve() or bw_adopt().");
}

/*
 * Of the worker, whichever server it was about.  What is wrong shows again and
 * again: an error of the worker before this one, or of long ago, is history.
 * What it says may be about anybody's orders: that is for those who watch.
 */
static void
check_last_error(Check *check)
{
	BwWorkerStatistics seen = {.succeeded_at = DT_NOBEGIN,.failed_at = DT_NOBEGIN};
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz since = DT_NOBEGIN;
	int			pid;
	bool		ok;

	(void) bw_statistics_worker(&seen);
	(void) bw_registry_worker_state(MyDatabaseId, &pid, &since);
	ok = seen.failed_at <= seen.succeeded_at || seen.failed_at < since ||
		TimestampDifferenceExceeds(seen.failed_at, now, ERROR_FRESH_MS);
	line(check, "last error", ok,
		 !ok ? psprintf("the last call or step failed at %s: %s",
						timestamptz_to_str(seen.failed_at),
						has_privs_of_role(check->role, ROLE_PG_MONITOR) ? seen.error
						: "members of pg_monitor see why")
		 : TIMESTAMP_IS_NOBEGIN(seen.succeeded_at) ? "the worker has called nothing yet"
		 : psprintf("the last call that succeeded was at %s",
					timestamptz_to_str(seen.succeeded_at)),
		 "The worker tries again by itself. bw_open_orders says what waits for that, bw_stat_requests how often calls fail, the server log has the rest.");
}

static void
check_lost(Check *check)
{
	BwStoreScope scope;
	int64		count;

	bw_store_enter(&scope);
	count = bw_store_count_lost(check->server->account_id);
	bw_store_leave(&scope);
	line(check, "lost orders", count == 0,
		 count == 0 ? "no order was lost with another timeline"
		 : psprintf(INT64_FORMAT " orders at Bandwidth were lost with another timeline of this database", count),
		 "Table bw_lost_orders has them; delete the rows that you have dealt with.");
}

/* What the worker has opened, which may not be what the settings want. */
static void
check_listener(Check *check)
{
	BwWorkerStatistics seen = {0};
	TimestampTz since;
	int			pid;
	bool		open = bw_registry_worker_state(MyDatabaseId, &pid, &since) == BW_WORKER_RUNNING &&
	bw_statistics_worker(&seen) && seen.port > 0;

	line(check, "listener", open || bw_listen_port == 0,
		 open ? psprintf("callbacks on port %d", seen.port)
		 : bw_listen_port == 0 ? "off: orders are polled"
		 : psprintf("port %d is not open: orders are polled", bw_listen_port),
		 "The server log says why. Another program or database may have the port; see bandwidth.listen_port, bandwidth.listen_addresses and the certificate. It is tried again every minute.");
}

/* What somebody else does with our URL, or callbacks that do not get through. */
static bool
subscription_fails(Check *check, const char *kind, const char *problem)
{
	if (strcmp(kind, "contested") == 0)
		line(check, "subscription", false, problem,
			 "Give each database a callback_url of its own, or remove the other subscription; then call bw_rotate_callback_credentials().");
	else if (strcmp(kind, "failing") == 0)
		line(check, "subscription", false,
			 psprintf("callbacks fail, Bandwidth says: %s", problem),
			 "See what stands between Bandwidth and this database at callback_url; orders are polled meanwhile.");
	else if (strcmp(kind, "waiting") == 0)
		line(check, "subscription", false,
			 psprintf("it could not be made yet: %s", problem),
			 "It is tried again by itself.");
	else if (strcmp(kind, "unchecked") == 0)
		line(check, "subscription", false,
			 psprintf("it could not be looked after: %s", problem),
			 "It is tried again by itself.");
	else
		return false;
	return true;
}

static void
check_subscribed(Check *check)
{
	BwStoreScope scope;
	int			active;
	int			failed;
	char	   *kind;
	char	   *problem;
	bool		bad;

	bw_store_enter(&scope);
	bw_store_count_subscriptions(check->server->name, &active, &failed);
	bad = bw_store_subscription_problem(check->server->name, &kind, &problem);
	bw_store_leave(&scope);
	if (bad && subscription_fails(check, kind, problem))
		return;
	if (check->server->callback_url != NULL && active + failed == 0)
	{
		line(check, "subscription", false, "the one for callback_url is not made yet",
			 "The worker makes it; call bw_check() again.");
		return;
	}
	line(check, "subscription", failed == 0 && (active > 0 || bw_listen_port == 0),
		 failed > 0 ? psprintf("%d subscriptions failed", failed)
		 : active > 0 ? psprintf("%d active", active) : "none: orders are polled",
		 failed > 0 ? "See error_code and error_text in bw_subscriptions."
		 : "Set the server option callback_url, or SELECT bw_subscribe('https://...').");
}
