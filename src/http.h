/*-------------------------------------------------------------------------
 *
 * http.h
 *	  HTTP client: hand in requests, wait on one descriptor, take replies.
 *
 * One code path for backends and the worker.  The engine keeps connections,
 * TLS included, for reuse.  Errors of the network are data (BwHttpReply), not
 * exceptions; only misuse and lack of memory throw.
 *
 * src/http.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_HTTP_H
#define BW_HTTP_H

#include "bandwidth.h"

#include "datatype/timestamp.h"

typedef struct BwHttp BwHttp;
typedef struct BwTransfer BwTransfer;

/* Every text is copied by bw_http_submit(). */
typedef struct BwHttpRequest
{
	const char *method;			/* GET, POST, PUT, DELETE */
	const char *url;			/* absolute, http or https */
	const char *authorization;	/* value of the header, or NULL */
	const char *accept;			/* NULL: application/xml */
	const char *content_type;	/* with a body */
	const char *body;			/* NULL: none */
	size_t		body_len;
	size_t		max_reply_bytes;	/* a longer reply is refused; after gunzip */
	int			connect_timeout_ms;
	int			request_timeout_ms;
	const char *proxy;			/* NULL: none; the environment is ignored */
	const char *ca_file;		/* NULL: the system's */
} BwHttpRequest;

typedef enum BwHttpOutcome
{
	BW_HTTP_REPLIED,			/* a whole reply: see status */
	BW_HTTP_NOT_SENT,			/* certainly never reached the server:
								 * resolving, connecting, TLS handshake */
	BW_HTTP_LOST,				/* may have been executed: no whole reply */
	BW_HTTP_TOO_LARGE			/* over max_reply_bytes; may have been
								 * executed */
} BwHttpOutcome;

typedef struct BwHttpReply
{
	BwHttpOutcome outcome;
	int			status;			/* 0 unless BW_HTTP_REPLIED */
	const char *body;			/* NUL-terminated; "" if none */
	size_t		body_len;
	const char *content_type;	/* NULL: absent */
	const char *location;		/* Location header, NULL: absent */
	int64		rate_limit_reset;	/* X-RateLimit-Reset as it came, -1:
									 * absent */
	int64		date;			/* Date header, epoch seconds, -1: absent */
	int64		elapsed_us;
	int64		bytes_sent;
	int64		bytes_received;
	char		error[256];		/* the library's words; no secrets; "" if none */
} BwHttpReply;

/* Engine in "owner": everything is released with that memory context. */
extern BwHttp *bw_http_create(MemoryContext owner, int max_connections);

/*
 * Start a transfer.  Redirects are followed on GET only, at most 5, with
 * credentials only to the same scheme, host and port.  "arg" is the caller's.
 */
extern BwTransfer *bw_http_submit(BwHttp *http, const BwHttpRequest *request,
								  void *arg);

/* For a WaitEventSet: readable when bw_http_run() has something to do. */
extern int	bw_http_fd(const BwHttp *http);

/* Milliseconds until bw_http_run() is due at the latest; -1: no timer. */
extern long bw_http_timeout_ms(const BwHttp *http);

/* Move all transfers on; never waits, never throws. */
extern void bw_http_run(BwHttp *http);
extern BwTransfer *bw_http_take_finished(BwHttp *http);

extern void *bw_http_arg(const BwTransfer *transfer);

/* Valid until bw_http_release(). */
extern const BwHttpReply *bw_http_reply(const BwTransfer *transfer);

/* Ends a running transfer at once, also while it resolves or connects. */
extern void bw_http_release(BwTransfer *transfer);

/*
 * For backends: sleep until the engine has something to do or "timeout_ms"
 * (-1: none) passed, then run it.  Checks for interrupts; may throw.
 */
extern void bw_http_wait(BwHttp *http, long timeout_ms);

/* Percent-encode "text" (palloc'd) for use in a path or query. */
extern char *bw_http_escape(const char *text);

/* "scheme", "host" and "port" of an absolute URL, palloc'd; false: invalid. */
extern bool bw_http_split_url(const char *url, char **scheme, char **host,
							  int *port, char **path);

#endif							/* BW_HTTP_H */
