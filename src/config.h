/*-------------------------------------------------------------------------
 *
 * config.h
 *	  Accounts: a foreign server plus a user mapping, checked and read.
 *
 * All functions need a transaction and throw on misuse.  Results are palloc'd
 * in the current memory context.  Caches below are the system caches, so that
 * ALTER SERVER and ALTER USER MAPPING take effect at once.
 *
 * src/config.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_CONFIG_H
#define BW_CONFIG_H

#include "bandwidth.h"

#include "nodes/pg_list.h"

typedef enum BwOrdering
{
	BW_ORDERING_ON,
	BW_ORDERING_HOLD,			/* every order waits for bw_approve() */
	BW_ORDERING_OFF
} BwOrdering;

/* Options of CREATE SERVER, defaults filled in. */
typedef struct BwServer
{
	Oid			serverid;
	Oid			owner;
	char	   *name;
	char	   *account_id;
	char	   *base_url;		/* https://dashboard.bandwidth.com/api */
	char	   *token_url;		/* https://api.bandwidth.com/api/v1/oauth2/token */
	char	   *site_id;		/* NULL: none */
	char	   *peer_id;		/* NULL: none */
	char	   *callback_url;	/* NULL: none */
	char	   *proxy;			/* NULL: none */
	char	   *ca_file;		/* NULL: the system's */
	int			connect_timeout_ms;
	int			request_timeout_ms;
	int			max_in_flight;
	int			requests_per_minute;
	int			burst;
	BwOrdering	ordering;
	int			max_numbers_per_order;
	int			max_numbers_per_day;
	List	   *allowed_sites;	/* of char *; NIL: any */
	List	   *allowed_peers;
	bool		allow_disconnect;
	int			max_disconnects_per_day;
	int64		release_after_s;
	List	   *options;		/* as written, of DefElem * */
} BwServer;

typedef enum BwAuth
{
	BW_AUTH_OAUTH2,				/* client_id and client_secret */
	BW_AUTH_BASIC				/* username and password: ends 2 Dec 2026 */
} BwAuth;

/* Options of CREATE USER MAPPING, files read. */
typedef struct BwCredentials
{
	Oid			umid;
	BwAuth		auth;
	char	   *user;
	char	   *secret;
	uint8		hash[32];		/* SHA-256 of kind, user and secret */
	char	   *callback_username;	/* NULL: generated ones are used */
	char	   *callback_password;
} BwCredentials;

/* "name" NULL: bandwidth.default_server.  Missing: ERROR 42704 with a hint. */
extern BwServer *bw_config_server(const char *name);

/* The same, but NULL when there is no such server of our wrapper. */
extern BwServer *bw_config_server_if_exists(const char *name);

/* False: it was altered or dropped since it was read. */
extern bool bw_config_server_is_current(const BwServer *server);

/* Names (char *) of all servers of our wrapper. */
extern List *bw_config_server_names(void);

/* ERROR 42501 unless "role" has USAGE on the server. */
extern void bw_config_check_usage(const BwServer *server, Oid role);

extern bool bw_has_server_usage(Oid serverid, Oid role);

/*
 * Mapping of "role", else PUBLIC's; NULL when there is none.  An unreadable
 * secret file is an ERROR 58P01 that names the option, never the content.
 */
extern BwCredentials *bw_config_credentials(const BwServer *server, Oid role);

/* The same, but an error is caught, and in "why". */
extern BwCredentials *bw_config_try_credentials(const BwServer *server, Oid role,
												ErrorData **why);

/*
 * What the worker waits for before it can call for an order of that role, in
 * words; NULL: nothing.  It is what bw_task_account() raises as an error.
 */
extern char *bw_config_missing(const BwServer *server, const char *role_name);

/* The same, or ERROR 28000-style with a hint how to create the mapping. */
extern BwCredentials *bw_config_require_credentials(const BwServer *server,
													Oid role);

/*
 * A text that differs when the options of the server, or the credentials (NULL:
 * none), are others.  It tells nothing of the secrets.
 */
extern char *bw_config_fingerprint(const BwServer *server,
								   const BwCredentials *credentials);

/*
 * A text that differs once the server, or its owner's mapping, was altered in
 * any way.  It is not read from the options: no file has to be there.
 */
extern char *bw_config_version(const BwServer *server);

/* Only loopback hosts: the sandbox, or a proxy on this machine. */
extern bool bw_config_is_loopback(const BwServer *server);

/* May orders go to this site and peer?  NULL peer is always allowed. */
extern bool bw_config_site_allowed(const BwServer *server, const char *site_id);
extern bool bw_config_peer_allowed(const BwServer *server, const char *peer_id);

#endif							/* BW_CONFIG_H */
