/*-------------------------------------------------------------------------
 *
 * listener.h
 *	  HTTP server for order callbacks: takes whole requests, parks them, and
 *	  answers when told to.
 *
 * Nothing here knows orders, XML or SQL.  A request is handed out only when
 * it is complete, within limits and its credentials are right; all else is
 * answered by the listener itself (400, 401 with a challenge, 403, 404, 405,
 * 413, 503).  No threads.
 *
 * src/listener.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_LISTENER_H
#define BW_LISTENER_H

#include "bandwidth.h"

typedef struct BwListener BwListener;
typedef struct BwParked BwParked;

#define BW_LISTENER_MAX_BODY (1024 * 1024)
#define BW_LISTENER_SALT_LEN 16
#define BW_LISTENER_HASH_LEN 32

/*
 * Who may call which path.  hash = SHA-256(salt || username || ':' ||
 * password).  A path may have several entries (old and new credentials).
 * A path with has_credentials = false takes requests without any.
 */
typedef struct BwListenerKey
{
	char		path[128];		/* begins with '/' */
	bool		has_credentials;
	uint8		salt[BW_LISTENER_SALT_LEN];
	uint8		hash[BW_LISTENER_HASH_LEN];
	int64		id;				/* the caller's: which subscription */
	int64		watched;		/* the caller's; 0: nobody asks whether it is
								 * used */
	bool		used;
} BwListenerKey;

typedef struct BwListenerOptions
{
	const char *addresses;		/* comma separated, '*' = all, IPv4 and IPv6 */
	int			port;
	const char *tls_cert_file;	/* NULL or "": plain HTTP */
	const char *tls_key_file;
	int			max_connections;	/* more get a 503; 0: 200 */
	int			max_per_address;	/* more are closed; 0: 128 */
	int			deadline_ms;	/* headers, body, answer; 0: 15 s each */
} BwListenerOptions;

/* A complete, authenticated request; pointers live until it is answered. */
typedef struct BwCallback
{
	const char *path;
	const char *peer;			/* address, for logs */
	const char *content_type;	/* NULL: absent */
	const char *user_agent;		/* NULL: absent */
	const char *body;
	size_t		body_len;
	int64		key_id;			/* BwListenerKey.id that matched */
	bool		authenticated;	/* by credentials: the path wants some */
} BwCallback;

/*
 * Open the port.  Returns NULL and a one-line reason in "error" if it cannot;
 * that is a warning for the caller, not an exception.
 */
extern BwListener *bw_listener_open(const BwListenerOptions *options,
									char *error, size_t error_size);

/*
 * Read the files again, and show what they hold to new connections, without
 * losing the port or a connection.  False: they cannot be used, "error" says
 * why, and everything stays as it was.
 */
extern bool bw_listener_reload(BwListener *listener, const char *cert_file,
							   const char *key_file, char *error, size_t error_size);

/* What callers are shown: PEM, malloc'd; NULL: plain HTTP, or out of memory. */
extern char *bw_listener_certificate(const BwListener *listener);

/* Replace the table of credentials (copied). */
extern void bw_listener_set_keys(BwListener *listener,
								 const BwListenerKey *keys, int count);

/* A watched entry that was used since it was last named here; 0: none. */
extern int64 bw_listener_take_used(BwListener *listener);

extern int	bw_listener_fd(const BwListener *listener);
extern long bw_listener_timeout_ms(const BwListener *listener); /* -1: none */
extern void bw_listener_run(BwListener *listener);

/* Next parked request, NULL: none.  In order of arrival. */
extern BwParked *bw_listener_take(BwListener *listener);
extern const BwCallback *bw_listener_callback(const BwParked *parked);

/* Answer it (200, 400, 500, 503); run the listener once more before sleeping. */
extern void bw_listener_answer(BwParked *parked, int status);

/* Take in no more connections and free the port; what is parked stays. */
extern void bw_listener_leave_port(BwListener *listener);

/* Answers what is parked with 503, closes all. */
extern void bw_listener_close(BwListener *listener);

/* One line about something worth logging since the last call, or NULL. */
extern const char *bw_listener_take_log(BwListener *listener);

/* The key's hash, as bw_listener_set_keys() expects it. */
extern void bw_listener_hash(const uint8 *salt, const char *username,
							 const char *password, uint8 *hash);

#endif							/* BW_LISTENER_H */
