/*-------------------------------------------------------------------------
 *
 * config.c
 *	  Accounts: a foreign server plus a user mapping, checked and read.
 *
 * Options are kept in one table: name, where they belong, how their text is
 * checked.  A mapping holds credentials only, because a role may alter its
 * own mapping: every guard is an option of the server.  Values of secrets
 * appear in no message.
 *
 * src/config.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/nodes.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/varlena.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "config.h"
#include "encoding.h"
#include "http.h"

PG_FUNCTION_INFO_V1(bw_validator);

#define WRAPPER "bandwidth"
#define DEFAULT_BASE_URL "https://dashboard.bandwidth.com/api"
#define DEFAULT_TOKEN_URL "https://api.bandwidth.com/api/v1/oauth2/token"
/* A secret is a line; a file this long is the wrong one. */
#define SECRET_FILE_MAX 8192

typedef enum OptionType
{
	OPTION_DIGITS,
	OPTION_DIGITS_LIST,
	OPTION_URL,
	OPTION_FILE,				/* superusers only */
	OPTION_TEXT,
	OPTION_SECRET,
	OPTION_INTERVAL,			/* more than nothing */
	OPTION_DELAY,
	OPTION_INTEGER,
	OPTION_BOOLEAN,
	OPTION_ORDERING
} OptionType;

typedef struct Option
{
	const char *name;
	Oid			catalog;
	OptionType	type;
	int			min;			/* integers, and seconds of intervals */
	int			max;
} Option;

static const Option options[] = {
	{"account_id", ForeignServerRelationId, OPTION_DIGITS, 0, 0},
	{"base_url", ForeignServerRelationId, OPTION_URL, 0, 0},
	{"token_url", ForeignServerRelationId, OPTION_URL, 0, 0},
	{"site_id", ForeignServerRelationId, OPTION_DIGITS, 0, 0},
	{"peer_id", ForeignServerRelationId, OPTION_DIGITS, 0, 0},
	{"callback_url", ForeignServerRelationId, OPTION_URL, 0, 0},
	{"proxy", ForeignServerRelationId, OPTION_URL, 0, 0},
	{"ca_file", ForeignServerRelationId, OPTION_FILE, 0, 0},
	{"connect_timeout", ForeignServerRelationId, OPTION_INTERVAL, 0, 600},
	{"request_timeout", ForeignServerRelationId, OPTION_INTERVAL, 0, 3600},
	{"max_in_flight", ForeignServerRelationId, OPTION_INTEGER, 1, 1000},
	{"requests_per_minute", ForeignServerRelationId, OPTION_INTEGER, 1, 10000000},
	{"burst", ForeignServerRelationId, OPTION_INTEGER, 1, 10000000},
	{"ordering", ForeignServerRelationId, OPTION_ORDERING, 0, 0},
	{"max_numbers_per_order", ForeignServerRelationId, OPTION_INTEGER, 1, 5000},
	{"max_numbers_per_day", ForeignServerRelationId, OPTION_INTEGER, 0, 100000000},
	{"allowed_sites", ForeignServerRelationId, OPTION_DIGITS_LIST, 0, 0},
	{"allowed_peers", ForeignServerRelationId, OPTION_DIGITS_LIST, 0, 0},
	{"allow_disconnect", ForeignServerRelationId, OPTION_BOOLEAN, 0, 0},
	{"max_disconnects_per_day", ForeignServerRelationId, OPTION_INTEGER, 0, 100000000},
	{"release_after", ForeignServerRelationId, OPTION_DELAY, 0, 366 * 86400},
	{"client_id", UserMappingRelationId, OPTION_TEXT, 0, 0},
	{"client_secret", UserMappingRelationId, OPTION_SECRET, 0, 0},
	{"client_secret_file", UserMappingRelationId, OPTION_FILE, 0, 0},
	{"username", UserMappingRelationId, OPTION_TEXT, 0, 0},
	{"password", UserMappingRelationId, OPTION_SECRET, 0, 0},
	{"password_file", UserMappingRelationId, OPTION_FILE, 0, 0},
	{"callback_username", UserMappingRelationId, OPTION_TEXT, 0, 0},
	{"callback_password", UserMappingRelationId, OPTION_SECRET, 0, 0},
	{"callback_password_file", UserMappingRelationId, OPTION_FILE, 0, 0}
};

static const Option *find_option(const char *name, Oid catalog);
pg_noreturn static void refuse_option(const char *name, Oid catalog);
static void check_value(const Option *option, const char *value);
static void check_url(const char *name, const char *value);
static void check_file(const char *name, const char *value);
static int64 interval_ms(const char *name, const char *value);
static void check_mapping(List *list);
static bool is_loopback(const char *host);
static const char *option_value(List *list, const char *name);
static char *read_secret(List *list, const char *name);
static char *read_secret_file(const char *name, const char *path);
static BwServer *read_server(ForeignServer *server);
static List *read_mapping(Oid serverid, Oid role, Oid *umid);
static void hash_credentials(BwCredentials *credentials);

Datum
bw_validator(PG_FUNCTION_ARGS)
{
	List	   *list = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	ListCell   *lc;

	foreach(lc, list)
	{
		DefElem    *def = lfirst(lc);
		const Option *option = find_option(def->defname, catalog);

		if (option == NULL)
			refuse_option(def->defname, catalog);
		check_value(option, defGetString(def));
	}
	if (catalog == ForeignServerRelationId && option_value(list, "account_id") == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				 errmsg("option \"account_id\" is required"),
				 errhint("It is the number of your account at Bandwidth.")));
	if (catalog == UserMappingRelationId)
		check_mapping(list);
	PG_RETURN_VOID();
}

static const Option *
find_option(const char *name, Oid catalog)
{
	for (int i = 0; i < (int) lengthof(options); i++)
		if (options[i].catalog == catalog && strcmp(options[i].name, name) == 0)
			return &options[i];
	return NULL;
}

static void
refuse_option(const char *name, Oid catalog)
{
	StringInfoData valid;

	initStringInfo(&valid);
	for (int i = 0; i < (int) lengthof(options); i++)
		if (options[i].catalog == catalog)
			appendStringInfo(&valid, "%s%s", valid.len > 0 ? ", " : "", options[i].name);
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", name),
			 valid.len > 0 ? errhint("Valid options in this context are: %s.", valid.data)
			 : errhint("There are no valid options in this context.")));
}

pg_noreturn static void
refuse_value(const char *name, const char *value, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
			 value ? errmsg("invalid value for option \"%s\": \"%s\"", name, value)
			 : errmsg("invalid value for option \"%s\"", name),
			 errdetail("%s", detail)));
}

static bool
digits_only(const char *value)
{
	size_t		len = strspn(value, "0123456789");

	return len > 0 && len <= 18 && value[len] == '\0';
}

static List *
split_list(const char *value)
{
	List	   *items = NIL;

	if (!SplitIdentifierString(pstrdup(value), ',', &items))
		return NIL;
	return items;
}

static void
check_integer(const Option *option, const char *value)
{
	char	   *end;
	long		number;

	errno = 0;
	number = strtol(value, &end, 10);
	if (end == value || *end != '\0' || errno != 0 ||
		number < option->min || number > option->max)
		refuse_value(option->name, value,
					 psprintf("It is a whole number from %d to %d.",
							  option->min, option->max));
}

static void
check_value(const Option *option, const char *value)
{
	ListCell   *lc;
	bool		flag;
	int64		ms;

	switch (option->type)
	{
		case OPTION_DIGITS:
			if (!digits_only(value))
				refuse_value(option->name, value, "It has 1 to 18 digits.");
			break;
		case OPTION_DIGITS_LIST:
			foreach(lc, split_list(value))
				if (!digits_only(lfirst(lc)))
				refuse_value(option->name, value,
							 "It is a comma-separated list of numbers.");
			if (split_list(value) == NIL)
				refuse_value(option->name, value,
							 "It is a comma-separated list of numbers.");
			break;
		case OPTION_URL:
			check_url(option->name, value);
			break;
		case OPTION_FILE:
			check_file(option->name, value);
			break;
		case OPTION_TEXT:
		case OPTION_SECRET:
			if (value[0] == '\0' || strpbrk(value, "\r\n") != NULL)
				refuse_value(option->name, NULL, "It is one line, and not empty.");
			if (option->type == OPTION_TEXT && strchr(value, ':') != NULL)
				refuse_value(option->name, value, "It must not contain a colon.");
			break;
		case OPTION_INTERVAL:
		case OPTION_DELAY:
			ms = interval_ms(option->name, value);
			if (ms < (option->type == OPTION_DELAY ? 0 : 1) ||
				ms > option->max * INT64CONST(1000))
				refuse_value(option->name, value,
							 psprintf("It is an interval, or a number of seconds, up to %d s.",
									  option->max));
			break;
		case OPTION_INTEGER:
			check_integer(option, value);
			break;
		case OPTION_BOOLEAN:
			if (!parse_bool(value, &flag))
				refuse_value(option->name, value, "It is true or false.");
			break;
		case OPTION_ORDERING:
			if (strcmp(value, "on") != 0 && strcmp(value, "hold") != 0 &&
				strcmp(value, "off") != 0)
				refuse_value(option->name, value, "It is on, hold or off.");
			break;
	}
}

static bool
is_loopback(const char *host)
{
	return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
		(strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == strlen(host));
}

/* Credentials travel there: https, or this machine. */
static void
check_url(const char *name, const char *value)
{
	char	   *scheme;
	char	   *host;
	char	   *path;
	int			port;

	if (strchr(value, '@') != NULL)
		refuse_value(name, NULL, "A URL here must not hold a user name or password.");
	if (strpbrk(value, "?#\"") != NULL || !bw_is_visible_ascii(value) ||
		!bw_http_split_url(value, &scheme, &host, &port, &path))
		refuse_value(name, value, "It is an absolute URL without query and fragment.");
	if (strcmp(scheme, "https") != 0 && !is_loopback(host))
		refuse_value(name, value, "It begins with https:// unless its host is this machine.");
}

static void
check_file(const char *name, const char *value)
{
	if (!is_absolute_path(value))
		refuse_value(name, value, "It is an absolute path.");
	if (!superuser() && !has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"%s\"", name),
				 errdetail("Only superusers and members of pg_read_server_files may name files on the server.")));
}

/* "5", "5 s", "1 day": milliseconds. */
static int64
interval_ms(const char *name, const char *value)
{
	Interval   *interval = NULL;
	MemoryContext cxt = CurrentMemoryContext;
	char	   *end;
	double		seconds = strtod(value, &end);

	if (end != value && *end == '\0')
		return (int64) (seconds * 1000);
	PG_TRY();
	{
		interval = DatumGetIntervalP(DirectFunctionCall3(interval_in,
														 CStringGetDatum(value),
														 ObjectIdGetDatum(InvalidOid),
														 Int32GetDatum(-1)));
	}
	PG_CATCH();
	{
		/* What is wrong with it says nothing of the option. */
		MemoryContextSwitchTo(cxt);
		FlushErrorState();
		refuse_value(name, value, "It is an interval, or a number of seconds.");
	}
	PG_END_TRY();
	return interval->time / 1000 +
		((int64) interval->day + (int64) interval->month * 30) * 86400000;
}

/* One kind of credentials, whole, each secret given once. */
static void
check_mapping(List *list)
{
	static const char *const secrets[] = {"client_secret", "password", "callback_password"};
	static const char *const users[] = {"client_id", "username", "callback_username"};
	bool		given[3];

	for (int i = 0; i < 3; i++)
	{
		bool		user = option_value(list, users[i]) != NULL;
		bool		inline_secret = option_value(list, secrets[i]) != NULL;
		bool		file = option_value(list, psprintf("%s_file", secrets[i])) != NULL;

		if (inline_secret && file)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					 errmsg("options \"%s\" and \"%s_file\" exclude each other",
							secrets[i], secrets[i])));
		if (user != (inline_secret || file))
			ereport(ERROR,
					(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
					 errmsg("options \"%s\" and \"%s\" go together", users[i], secrets[i]),
					 errhint("Instead of \"%s\", \"%s_file\" can be used.",
							 secrets[i], secrets[i])));
		given[i] = user;
	}
	if (given[0] == given[1])
		ereport(ERROR,
				(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				 given[0] ? errmsg("options \"client_id\" and \"username\" exclude each other")
				 : errmsg("a user mapping needs credentials"),
				 errhint("Give client_id and client_secret (or client_secret_file); username and password end on 2 December 2026.")));
}

static const char *
option_value(List *list, const char *name)
{
	ListCell   *lc;

	foreach(lc, list)
	{
		DefElem    *def = lfirst(lc);

		if (strcmp(def->defname, name) == 0)
			return defGetString(def);
	}
	return NULL;
}

static const char *
value_or(List *list, const char *name, const char *otherwise)
{
	const char *value = option_value(list, name);

	return value ? value : otherwise;
}

static int
integer_or(List *list, const char *name, int otherwise)
{
	const char *value = option_value(list, name);

	return value ? atoi(value) : otherwise;
}

static int64
ms_or(List *list, const char *name, int64 otherwise)
{
	const char *value = option_value(list, name);

	return value ? interval_ms(name, value) : otherwise;
}

static char *
copy_or_null(const char *value)
{
	return value ? pstrdup(value) : NULL;
}

static char *
trimmed_url(const char *url)
{
	char	   *copy = pstrdup(url);
	size_t		len = strlen(copy);

	while (len > 0 && copy[len - 1] == '/')
		copy[--len] = '\0';
	return copy;
}

static BwServer *
read_server(ForeignServer *server)
{
	List	   *list = server->options;
	BwServer   *s = palloc0(sizeof(BwServer));
	const char *ordering = value_or(list, "ordering", "on");
	bool		flag = false;

	s->serverid = server->serverid;
	s->owner = server->owner;
	s->name = pstrdup(server->servername);
	s->account_id = pstrdup(value_or(list, "account_id", ""));
	s->base_url = trimmed_url(value_or(list, "base_url", DEFAULT_BASE_URL));
	s->token_url = pstrdup(value_or(list, "token_url", DEFAULT_TOKEN_URL));
	s->site_id = copy_or_null(option_value(list, "site_id"));
	s->peer_id = copy_or_null(option_value(list, "peer_id"));
	s->callback_url = copy_or_null(option_value(list, "callback_url"));
	s->proxy = copy_or_null(option_value(list, "proxy"));
	s->ca_file = copy_or_null(option_value(list, "ca_file"));
	s->connect_timeout_ms = (int) ms_or(list, "connect_timeout", 5000);
	s->request_timeout_ms = (int) ms_or(list, "request_timeout", 30000);
	s->max_in_flight = integer_or(list, "max_in_flight", 16);
	s->requests_per_minute = integer_or(list, "requests_per_minute", 100);
	s->burst = integer_or(list, "burst", 800);
	s->ordering = strcmp(ordering, "hold") == 0 ? BW_ORDERING_HOLD
		: strcmp(ordering, "off") == 0 ? BW_ORDERING_OFF : BW_ORDERING_ON;
	s->max_numbers_per_order = integer_or(list, "max_numbers_per_order", 1000);
	s->max_numbers_per_day = integer_or(list, "max_numbers_per_day", 1000);
	s->allowed_sites = split_list(value_or(list, "allowed_sites", ""));
	s->allowed_peers = split_list(value_or(list, "allowed_peers", ""));
	(void) parse_bool(value_or(list, "allow_disconnect", "false"), &flag);
	s->allow_disconnect = flag;
	s->max_disconnects_per_day = integer_or(list, "max_disconnects_per_day", 10);
	/* Up to a whole second: less than one is not none. */
	s->release_after_s = (ms_or(list, "release_after", INT64CONST(86400000)) + 999) / 1000;
	s->options = list;
	return s;
}

BwServer *
bw_config_server_if_exists(const char *name)
{
	ForeignServer *server = GetForeignServerByName(name ? name : bw_default_server, true);

	if (server == NULL ||
		server->fdwid != get_foreign_data_wrapper_oid(WRAPPER, true))
		return NULL;
	return read_server(server);
}

bool
bw_config_server_is_current(const BwServer *server)
{
	ForeignServer *current;

	AcceptInvalidationMessages();
	current = GetForeignServerExtended(server->serverid, FSV_MISSING_OK);
	return current != NULL && equal(current->options, server->options);
}

BwServer *
bw_config_server(const char *name)
{
	BwServer   *server = bw_config_server_if_exists(name);

	if (server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server \"%s\" of wrapper \"%s\" does not exist",
						name ? name : bw_default_server, WRAPPER),
				 errhint("Use CREATE SERVER %s FOREIGN DATA WRAPPER bandwidth OPTIONS (account_id '...', site_id '...').",
						 quote_identifier(name ? name : bw_default_server))));
	return server;
}

List *
bw_config_server_names(void)
{
	Oid			wrapper = get_foreign_data_wrapper_oid(WRAPPER, true);
	Relation	rel = table_open(ForeignServerRelationId, AccessShareLock);
	TableScanDesc scan = table_beginscan_catalog(rel, 0, NULL);
	List	   *names = NIL;
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_foreign_server server = (Form_pg_foreign_server) GETSTRUCT(tuple);

		if (server->srvfdw == wrapper)
			names = lappend(names, pstrdup(NameStr(server->srvname)));
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	return names;
}

bool
bw_has_server_usage(Oid serverid, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ForeignServerRelationId, serverid, role, ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_foreign_server_aclcheck(serverid, role, ACL_USAGE) == ACLCHECK_OK;
#endif
}

void
bw_config_check_usage(const BwServer *server, Oid role)
{
	if (!bw_has_server_usage(server->serverid, role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for foreign server %s", server->name),
				 errhint("Its owner can run GRANT USAGE ON FOREIGN SERVER %s TO %s.",
						 quote_identifier(server->name),
						 quote_identifier(GetUserNameFromId(role, false)))));
}

/* The role's mapping, else PUBLIC's; the caller releases it if it is there. */
static HeapTuple
find_mapping(Oid serverid, Oid role)
{
	HeapTuple	tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(role),
										ObjectIdGetDatum(serverid));

	if (HeapTupleIsValid(tuple))
		return tuple;
	return SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(InvalidOid),
						   ObjectIdGetDatum(serverid));
}

/* Options of the role's mapping, else of PUBLIC's; NIL and InvalidOid: none. */
static List *
read_mapping(Oid serverid, Oid role, Oid *umid)
{
	HeapTuple	tuple = find_mapping(serverid, role);
	Datum		value;
	bool		isnull;
	List	   *list = NIL;

	*umid = InvalidOid;
	if (!HeapTupleIsValid(tuple))
		return NIL;
	*umid = ((Form_pg_user_mapping) GETSTRUCT(tuple))->oid;
	value = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple,
							Anum_pg_user_mapping_umoptions, &isnull);
	if (!isnull)
		list = untransformRelOptions(value);
	ReleaseSysCache(tuple);
	return list;
}

BwCredentials *
bw_config_credentials(const BwServer *server, Oid role)
{
	BwCredentials *credentials = palloc0(sizeof(BwCredentials));
	List	   *list = read_mapping(server->serverid, role, &credentials->umid);

	if (!OidIsValid(credentials->umid))
		return NULL;
	if (option_value(list, "client_id") != NULL)
	{
		credentials->auth = BW_AUTH_OAUTH2;
		credentials->user = pstrdup(option_value(list, "client_id"));
		credentials->secret = read_secret(list, "client_secret");
	}
	else
	{
		credentials->auth = BW_AUTH_BASIC;
		credentials->user = pstrdup(value_or(list, "username", ""));
		credentials->secret = read_secret(list, "password");
	}
	credentials->callback_username = copy_or_null(option_value(list, "callback_username"));
	if (credentials->callback_username != NULL)
		credentials->callback_password = read_secret(list, "callback_password");
	hash_credentials(credentials);
	return credentials;
}

BwCredentials *
bw_config_try_credentials(const BwServer *server, Oid role, ErrorData **why)
{
	MemoryContext cxt = CurrentMemoryContext;
	BwCredentials *volatile credentials = NULL;

	*why = NULL;
	PG_TRY();
	{
		credentials = bw_config_credentials(server, role);
	}
	PG_CATCH();
	{
		if (geterrcode() == ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		MemoryContextSwitchTo(cxt);
		*why = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	return credentials;
}

char *
bw_config_missing(const BwServer *server, const char *role_name)
{
	Oid			role = get_role_oid(role_name, true);
	ErrorData  *why;

	if (!OidIsValid(role))
		return psprintf("role \"%s\", which does not exist any more", role_name);
	if (!bw_has_server_usage(server->serverid, role))
		return psprintf("USAGE on server \"%s\" for role \"%s\"", server->name, role_name);
	if (bw_config_try_credentials(server, role, &why) != NULL)
		return NULL;
	return why == NULL
		? psprintf("a user mapping for role \"%s\" on server \"%s\"", role_name, server->name)
		: psprintf("the secret for role \"%s\" on server \"%s\": %s", role_name, server->name,
				   why->message);
}

BwCredentials *
bw_config_require_credentials(const BwServer *server, Oid role)
{
	BwCredentials *credentials = bw_config_credentials(server, role);
	char	   *name;

	if (credentials != NULL)
		return credentials;
	name = GetUserNameFromId(role, true);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
			 errmsg("user mapping not found for role \"%s\" on server \"%s\"",
					name ? name : "?", server->name),
			 errhint("Use CREATE USER MAPPING FOR %s SERVER %s OPTIONS (client_id '...', client_secret_file '...').",
					 name ? quote_identifier(name) : "...", quote_identifier(server->name))));
	return NULL;
}

static char *
read_secret(List *list, const char *name)
{
	char	   *file_option = psprintf("%s_file", name);
	const char *path = option_value(list, file_option);

	if (path != NULL)
		return read_secret_file(file_option, path);
	return pstrdup(value_or(list, name, ""));
}

/* Read anew each time: a rotated secret takes effect without SQL. */
static char *
read_secret_file(const char *name, const char *path)
{
	char	   *content = palloc0(SECRET_FILE_MAX + 1);
	int			fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	struct stat status;
	ssize_t		len;
	int			save_errno;

	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open the file of option \"%s\": %m", name),
				 errdetail("The file is \"%s\".", path),
				 errhint("The operating system user of the server must be able to read it.")));
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
		status.st_size > SECRET_FILE_MAX)
	{
		CloseTransientFile(fd);
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("file of option \"%s\" is no regular file of up to %d bytes",
						name, SECRET_FILE_MAX),
				 errdetail("The file is \"%s\".", path)));
	}
	len = read(fd, content, SECRET_FILE_MAX);
	save_errno = errno;
	CloseTransientFile(fd);
	errno = save_errno;
	if (len < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read the file of option \"%s\": %m", name)));
	while (len > 0 && (content[len - 1] == '\n' || content[len - 1] == '\r'))
		content[--len] = '\0';
	if (len == 0 || strpbrk(content, "\r\n") != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("file of option \"%s\" does not hold one line", name),
				 errdetail("The file is \"%s\".", path)));
	return content;
}

static void
hash_text(const char *text, uint8 hash[PG_SHA256_DIGEST_LENGTH])
{
	pg_cryptohash_ctx *cxt = pg_cryptohash_create(PG_SHA256);

	if (pg_cryptohash_init(cxt) < 0 ||
		pg_cryptohash_update(cxt, (const uint8 *) text, strlen(text)) < 0 ||
		pg_cryptohash_final(cxt, hash, PG_SHA256_DIGEST_LENGTH) < 0)
		elog(ERROR, "could not compute a hash");
	pg_cryptohash_free(cxt);
}

static void
hash_credentials(BwCredentials *credentials)
{
	char	   *text = psprintf("%d:%s:%s", credentials->auth, credentials->user,
								credentials->secret);

	hash_text(text, credentials->hash);
	explicit_bzero(text, strlen(text));
	pfree(text);
}

char *
bw_config_fingerprint(const BwServer *server, const BwCredentials *credentials)
{
	StringInfoData text;
	uint8		hash[PG_SHA256_DIGEST_LENGTH];
	char	   *hex = palloc0(2 * PG_SHA256_DIGEST_LENGTH + 1);
	ListCell   *lc;

	initStringInfo(&text);
	foreach(lc, server->options)
	{
		DefElem    *option = lfirst(lc);

		appendStringInfo(&text, "%s=%s\n", option->defname, defGetString(option));
	}
	if (credentials != NULL)
	{
		hex_encode((const char *) credentials->hash, sizeof(credentials->hash), hex);
		appendStringInfo(&text, "%u:%s", credentials->umid, hex);
	}
	hash_text(text.data, hash);
	hex_encode((const char *) hash, sizeof(hash), hex);
	return hex;
}

char *
bw_config_version(const BwServer *server)
{
	HeapTuple	tuple = SearchSysCache1(FOREIGNSERVEROID,
										ObjectIdGetDatum(server->serverid));
	TransactionId altered = InvalidTransactionId;
	TransactionId mapping_altered = InvalidTransactionId;
	Oid			umid = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		altered = HeapTupleHeaderGetRawXmin(tuple->t_data);
		ReleaseSysCache(tuple);
	}
	tuple = find_mapping(server->serverid, server->owner);
	if (HeapTupleIsValid(tuple))
	{
		umid = ((Form_pg_user_mapping) GETSTRUCT(tuple))->oid;
		mapping_altered = HeapTupleHeaderGetRawXmin(tuple->t_data);
		ReleaseSysCache(tuple);
	}
	return psprintf("%u/%u %u/%u", server->serverid, altered, umid, mapping_altered);
}

bool
bw_config_is_loopback(const BwServer *server)
{
	char	   *scheme;
	char	   *host;
	char	   *path;
	int			port;

	return bw_http_split_url(server->base_url, &scheme, &host, &port, &path) &&
		is_loopback(host);
}

static bool
listed(const List *list, const char *value)
{
	ListCell   *lc;

	foreach(lc, list)
		if (strcmp(lfirst(lc), value) == 0)
		return true;
	return false;
}

bool
bw_config_site_allowed(const BwServer *server, const char *site_id)
{
	return server->allowed_sites == NIL || listed(server->allowed_sites, site_id);
}

bool
bw_config_peer_allowed(const BwServer *server, const char *peer_id)
{
	return peer_id == NULL || server->allowed_peers == NIL ||
		listed(server->allowed_peers, peer_id);
}
