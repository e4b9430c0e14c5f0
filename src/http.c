/*-------------------------------------------------------------------------
 *
 * http.c
 *	  HTTP client: hand in requests, wait on one descriptor, take replies.
 *
 * libcurl's sockets live in an epoll set of ours, so that a WaitEventSet,
 * which cannot drop members, needs to know one descriptor only.
 *
 * Awkward facts behind the shape:
 *	- Nothing may throw inside a callback of libcurl: there, memory comes from
 *	  malloc and trouble is noted in a flag.
 *	- The resolver is a thread.  Signals are blocked around every call that
 *	  may start it, so that none is delivered there; CURLOPT_QUICK_EXIT keeps
 *	  the end of a transfer from waiting for it.
 *	- libcurl repeats a request on a fresh connection when a reused one turns
 *	  out dead before a byte came back.  A POST may have been executed by
 *	  then, so its body is read through a callback that refuses to be rewound:
 *	  libcurl then fails instead, and the caller treats the outcome as unknown.
 *	- 8.23 does not look at a connection again that was idle for less than a
 *	  second, and so takes one that the server has closed.  What may not be
 *	  sent twice looks itself before a byte is sent, and goes on a fresh one.
 *
 * The only file that includes libcurl.
 *
 * src/http.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <curl/curl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/ilist.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "http.h"

#define MAX_REDIRECTS 5
#define EPOLL_BATCH 64

struct BwTransfer
{
	dlist_node	node;			/* in running or finished of the engine */
	BwHttp	   *http;
	MemoryContext cxt;
	MemoryContextCallback guard;
	CURL	   *easy;
	struct curl_slist *headers;
	bool		added;			/* to the multi handle */
	bool		is_get;
	bool		stale;			/* its connection was closed before it was
								 * used */
	bool		fresh;			/* and it was started anew */
	void	   *arg;

	char	   *request_body;
	size_t		request_len;
	size_t		request_sent;

	/* written inside callbacks: malloc'd, never palloc'd */
	char	   *body;
	size_t		body_len;
	size_t		body_room;
	size_t		max_reply_bytes;
	char	   *location;
	char	   *content_type;
	int64		rate_limit_reset;
	int64		date;
	bool		too_large;
	bool		no_memory;
	char		error[CURL_ERROR_SIZE];
	BwHttpReply reply;
};

struct BwHttp
{
	MemoryContextCallback guard;
	CURLM	   *multi;
	int			epoll_fd;
	bool		fd_counted;
	long		deadline_ms;	/* of the timer, monotonic; -1: none */
	dlist_head	running;
	dlist_head	finished;
	WaitEventSet *wait_set;		/* for backends, made at the first wait */
};

static void engine_guard(void *arg);
static void transfer_guard(void *arg);
static int	socket_callback(CURL *easy, curl_socket_t fd, int what, void *arg,
							void *known);
static int	timer_callback(CURLM *multi, long timeout_ms, void *arg);
static size_t write_callback(char *data, size_t size, size_t count, void *arg);
static size_t header_callback(char *data, size_t size, size_t count, void *arg);
static size_t read_callback(char *buffer, size_t size, size_t count, void *arg);
static int	seek_callback(void *arg, curl_off_t offset, int origin);
static int	prereq_callback(void *arg, char *peer, char *local, int peer_port,
							int local_port);
static void set_options(BwTransfer *transfer, const BwHttpRequest *request);
static void set_body(BwTransfer *transfer, const BwHttpRequest *request);
static void set_headers(BwTransfer *transfer, const BwHttpRequest *request);
static bool start_anew(BwTransfer *transfer);
static void finish(BwTransfer *transfer, CURLcode code);
static const char *error_text(const BwTransfer *transfer, CURLcode code);
static BwHttpOutcome outcome_of(BwTransfer *transfer, CURLcode code);
static void collect_finished(BwHttp *http);
static void block_signals(sigset_t *old);
static void unblock_signals(const sigset_t *old);
static long monotonic_ms(void);

BwHttp *
bw_http_create(MemoryContext owner, int max_connections)
{
	static bool initialized = false;
	BwHttp	   *http = MemoryContextAllocZero(owner, sizeof(BwHttp));

	if (!initialized && curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
		elog(ERROR, "could not initialize libcurl");
	initialized = true;

	http->epoll_fd = -1;
	http->deadline_ms = -1;
	dlist_init(&http->running);
	dlist_init(&http->finished);
	http->guard.func = engine_guard;
	http->guard.arg = http;
	MemoryContextRegisterResetCallback(owner, &http->guard);

	if (!AcquireExternalFD())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("too many open files"),
				 errhint("Raise max_files_per_process.")));
	http->fd_counted = true;
	http->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	http->multi = curl_multi_init();
	if (http->epoll_fd < 0 || http->multi == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not set up an HTTP client: %m")));
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, socket_callback);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, timer_callback);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long) max_connections);
	curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	return http;
}

/*
 * The engine's memory goes away.  Transfers live in contexts of their own and
 * may still be there: they lose their handle here and their guard sees that.
 */
static void
engine_guard(void *arg)
{
	BwHttp	   *http = arg;
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &http->running)
		transfer_guard(dlist_container(BwTransfer, node, iter.cur));
	dlist_foreach_modify(iter, &http->finished)
		transfer_guard(dlist_container(BwTransfer, node, iter.cur));
	if (http->wait_set != NULL)
		FreeWaitEventSet(http->wait_set);
	if (http->multi != NULL)
		curl_multi_cleanup(http->multi);
	if (http->epoll_fd >= 0)
		close(http->epoll_fd);
	if (http->fd_counted)
		ReleaseExternalFD();
}

BwTransfer *
bw_http_submit(BwHttp *http, const BwHttpRequest *request, void *arg)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext,
											  "bandwidth transfer",
											  ALLOCSET_SMALL_SIZES);
	BwTransfer *transfer = MemoryContextAllocZero(cxt, sizeof(BwTransfer));
	sigset_t	old;
	CURLMcode	code;

	transfer->cxt = cxt;
	transfer->http = http;
	transfer->arg = arg;
	transfer->is_get = strcmp(request->method, "GET") == 0;
	transfer->max_reply_bytes = request->max_reply_bytes;
	transfer->rate_limit_reset = -1;
	transfer->date = -1;
	transfer->guard.func = transfer_guard;
	transfer->guard.arg = transfer;
	dlist_push_tail(&http->running, &transfer->node);
	MemoryContextRegisterResetCallback(cxt, &transfer->guard);

	transfer->easy = curl_easy_init();
	if (transfer->easy == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	set_options(transfer, request);
	set_headers(transfer, request);
	set_body(transfer, request);

	block_signals(&old);
	code = curl_multi_add_handle(http->multi, transfer->easy);
	unblock_signals(&old);
	if (code != CURLM_OK)
		elog(ERROR, "could not start a transfer: %s", curl_multi_strerror(code));
	transfer->added = true;
	return transfer;
}

static void
set_options(BwTransfer *transfer, const BwHttpRequest *request)
{
	CURL	   *easy = transfer->easy;

	curl_easy_setopt(easy, CURLOPT_URL, request->url);
	/* What is an id to us is not to become another path. */
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR,
					 strncmp(request->url, "https:", 6) == 0 ? "https" : "http,https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "bandwidth/1.0 (PostgreSQL)");
	curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
	curl_easy_setopt(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_PROXY, request->proxy ? request->proxy : "");
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	if (request->ca_file != NULL)
	{
		curl_easy_setopt(easy, CURLOPT_CAINFO, request->ca_file);
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	}
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) request->connect_timeout_ms);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
					 (long) request->connect_timeout_ms + request->request_timeout_ms);
	curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, write_callback);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, header_callback);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
	/* Only what is harmless to repeat is redirected; credentials stay home. */
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, transfer->is_get ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long) MAX_REDIRECTS);
	curl_easy_setopt(easy, CURLOPT_UNRESTRICTED_AUTH, 0L);
}

static void
set_body(BwTransfer *transfer, const BwHttpRequest *request)
{
	CURL	   *easy = transfer->easy;

	if (!transfer->is_get)
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
	if (request->body == NULL)
		return;
	transfer->request_body = MemoryContextAlloc(transfer->cxt, request->body_len + 1);
	memcpy(transfer->request_body, request->body, request->body_len);
	transfer->request_len = request->body_len;
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->body_len);
	curl_easy_setopt(easy, CURLOPT_READFUNCTION, read_callback);
	curl_easy_setopt(easy, CURLOPT_READDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, seek_callback);
	curl_easy_setopt(easy, CURLOPT_SEEKDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, prereq_callback);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
}

static void
add_header(BwTransfer *transfer, const char *name, const char *value)
{
	char	   *line = psprintf("%s: %s", name, value);
	struct curl_slist *list = curl_slist_append(transfer->headers, line);

	if (list == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	transfer->headers = list;
	explicit_bzero(line, strlen(line));
	pfree(line);
}

static void
set_headers(BwTransfer *transfer, const BwHttpRequest *request)
{
	add_header(transfer, "Expect", "");
	add_header(transfer, "Accept", request->accept ? request->accept : "application/xml");
	if (request->body != NULL)
		add_header(transfer, "Content-Type", request->content_type);
	/* libcurl keeps this header from other hosts on redirects. */
	if (request->authorization != NULL)
		add_header(transfer, "Authorization", request->authorization);
	curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
}

int
bw_http_fd(const BwHttp *http)
{
	return http->epoll_fd;
}

long
bw_http_timeout_ms(const BwHttp *http)
{
	if (!dlist_is_empty(unconstify(dlist_head *, &http->finished)))
		return 0;
	if (http->deadline_ms < 0)
		return -1;
	return Max(http->deadline_ms - monotonic_ms(), 0);
}

void
bw_http_run(BwHttp *http)
{
	struct epoll_event events[EPOLL_BATCH];
	int			running;
	int			n = epoll_wait(http->epoll_fd, events, EPOLL_BATCH, 0);
	sigset_t	old;

	block_signals(&old);
	for (int i = 0; i < n; i++)
	{
		int			bits = 0;

		if (events[i].events & EPOLLIN)
			bits |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			bits |= CURL_CSELECT_OUT;
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			bits |= CURL_CSELECT_ERR;
		curl_multi_socket_action(http->multi, events[i].data.fd, bits, &running);
	}
	if (http->deadline_ms >= 0 && http->deadline_ms <= monotonic_ms())
	{
		http->deadline_ms = -1;
		curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	unblock_signals(&old);
	collect_finished(http);
}

static void
collect_finished(BwHttp *http)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(http->multi, &left)) != NULL)
	{
		BwTransfer *transfer;
		CURLcode	code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &transfer);
		if (!transfer->stale || transfer->fresh || !start_anew(transfer))
			finish(transfer, code);
	}
}

/* Nothing of it was sent: the same once more, on a connection of its own. */
static bool
start_anew(BwTransfer *transfer)
{
	CURLM	   *multi = transfer->http->multi;
	sigset_t	old;
	CURLMcode	code;

	transfer->fresh = true;
	if (transfer->request_sent > 0)
		return false;
	curl_multi_remove_handle(multi, transfer->easy);
	transfer->error[0] = '\0';
	curl_easy_setopt(transfer->easy, CURLOPT_FRESH_CONNECT, 1L);
	block_signals(&old);
	code = curl_multi_add_handle(multi, transfer->easy);
	unblock_signals(&old);
	return code == CURLM_OK;
}

static void
finish(BwTransfer *transfer, CURLcode code)
{
	BwHttp	   *http = transfer->http;
	BwHttpReply *reply = &transfer->reply;
	long		status = 0;
	curl_off_t	value;

	curl_multi_remove_handle(http->multi, transfer->easy);
	transfer->added = false;
	reply->outcome = outcome_of(transfer, code);
	if (reply->outcome == BW_HTTP_REPLIED)
		curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	reply->status = (int) status;
	reply->body = transfer->body ? transfer->body : "";
	reply->body_len = transfer->body_len;
	reply->content_type = transfer->content_type;
	reply->location = transfer->location;
	reply->rate_limit_reset = transfer->rate_limit_reset;
	reply->date = transfer->date;
	if (curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &value) == CURLE_OK)
		reply->elapsed_us = value;
	if (curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_DOWNLOAD_T, &value) == CURLE_OK)
		reply->bytes_received = value;
	reply->bytes_sent = transfer->request_sent;
	if (code != CURLE_OK)
		strlcpy(reply->error, error_text(transfer, code), sizeof(reply->error));
	dlist_delete(&transfer->node);
	dlist_push_tail(&http->finished, &transfer->node);
}

/*
 * When a connection that was used before ends like that, libcurl would send
 * again; its text is about seek_callback(), which forbids that.
 */
static const char *
error_text(const BwTransfer *transfer, CURLcode code)
{
	if (code == CURLE_GOT_NOTHING || code == CURLE_SEND_FAIL_REWIND)
		return "The connection ended before the reply";
	return transfer->error[0] ? transfer->error : curl_easy_strerror(code);
}

/*
 * "Not sent" is said only when the request certainly stayed here: libcurl
 * names the stages before it by codes of their own.  A time-out counts as
 * such while no connection was made.
 */
static BwHttpOutcome
outcome_of(BwTransfer *transfer, CURLcode code)
{
	curl_off_t	ready = 0;

	if (transfer->too_large)
		return BW_HTTP_TOO_LARGE;
	switch (code)
	{
		case CURLE_OK:
			return BW_HTTP_REPLIED;
		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_RESOLVE_PROXY:
		case CURLE_COULDNT_CONNECT:
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_CIPHER:
		case CURLE_UNSUPPORTED_PROTOCOL:
		case CURLE_URL_MALFORMAT:
			return BW_HTTP_NOT_SENT;
		default:
			break;
	}
	curl_easy_getinfo(transfer->easy, CURLINFO_PRETRANSFER_TIME_T, &ready);
	return ready == 0 && transfer->request_sent == 0 ? BW_HTTP_NOT_SENT : BW_HTTP_LOST;
}

BwTransfer *
bw_http_take_finished(BwHttp *http)
{
	BwTransfer *transfer;

	if (dlist_is_empty(&http->finished))
		return NULL;
	transfer = dlist_container(BwTransfer, node, dlist_pop_head_node(&http->finished));
	/* Self-linked, so that its guard can delete it from where it is. */
	dlist_init((dlist_head *) &transfer->node);
	return transfer;
}

void *
bw_http_arg(const BwTransfer *transfer)
{
	return transfer->arg;
}

const BwHttpReply *
bw_http_reply(const BwTransfer *transfer)
{
	return &transfer->reply;
}

void
bw_http_release(BwTransfer *transfer)
{
	MemoryContextDelete(transfer->cxt);
}

/* The transfer's memory goes away, for whatever reason. */
static void
transfer_guard(void *arg)
{
	BwTransfer *transfer = arg;
	sigset_t	old;

	if (transfer->http == NULL)
		return;
	dlist_delete(&transfer->node);
	block_signals(&old);
	if (transfer->added)
		curl_multi_remove_handle(transfer->http->multi, transfer->easy);
	if (transfer->easy != NULL)
		curl_easy_cleanup(transfer->easy);
	unblock_signals(&old);
	for (struct curl_slist *h = transfer->headers; h != NULL; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(transfer->headers);
	free(transfer->body);
	free(transfer->location);
	free(transfer->content_type);
	transfer->http = NULL;
}

void
bw_http_wait(BwHttp *http, long timeout_ms)
{
	static uint32 wait_event = 0;
	long		timer = bw_http_timeout_ms(http);
	WaitEvent	event;

	if (http->wait_set == NULL)
	{
		http->wait_set = bw_create_wait_event_set(TopMemoryContext, 3);
		AddWaitEventToSet(http->wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
		AddWaitEventToSet(http->wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
		AddWaitEventToSet(http->wait_set, WL_SOCKET_READABLE, http->epoll_fd, NULL, NULL);
	}
	if (timer >= 0)
		timeout_ms = timeout_ms < 0 ? timer : Min(timeout_ms, timer);
	if (WaitEventSetWait(http->wait_set, timeout_ms, &event, 1,
						 bw_wait_event(&wait_event, "BandwidthReply")) > 0 &&
		event.events & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	bw_http_run(http);
}

/* --- callbacks of libcurl: nothing here may throw --- */

static int
socket_callback(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	BwHttp	   *http = arg;
	struct epoll_event event = {0};

	if (what == CURL_POLL_REMOVE)
	{
		epoll_ctl(http->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	event.data.fd = fd;
	event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) |
		(what & CURL_POLL_OUT ? EPOLLOUT : 0);
	if (epoll_ctl(http->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0)
		epoll_ctl(http->epoll_fd, EPOLL_CTL_ADD, fd, &event);
	return 0;
}

static int
timer_callback(CURLM *multi, long timeout_ms, void *arg)
{
	BwHttp	   *http = arg;

	http->deadline_ms = timeout_ms < 0 ? -1 : monotonic_ms() + timeout_ms;
	return 0;
}

static size_t
write_callback(char *data, size_t size, size_t count, void *arg)
{
	BwTransfer *transfer = arg;
	size_t		len = size * count;

	if (len > transfer->max_reply_bytes - Min(transfer->body_len, transfer->max_reply_bytes))
	{
		transfer->too_large = true;
		return CURL_WRITEFUNC_ERROR;
	}
	if (transfer->body_len + len + 1 > transfer->body_room)
	{
		size_t		room = Max(transfer->body_room * 2, transfer->body_len + len + 1);
		char	   *body = realloc(transfer->body, room);

		if (body == NULL)
		{
			transfer->no_memory = true;
			return CURL_WRITEFUNC_ERROR;
		}
		transfer->body = body;
		transfer->body_room = room;
	}
	memcpy(transfer->body + transfer->body_len, data, len);
	transfer->body_len += len;
	transfer->body[transfer->body_len] = '\0';
	return len;
}

/* The value of header "name" in a line, malloc'd; NULL: another header. */
static char *
header_value(const char *line, size_t len, const char *name)
{
	size_t		name_len = strlen(name);

	if (len <= name_len || line[name_len] != ':' ||
		pg_strncasecmp(line, name, name_len) != 0)
		return NULL;
	line += name_len + 1;
	len -= name_len + 1;
	while (len > 0 && (*line == ' ' || *line == '\t'))
		line++, len--;
	while (len > 0 && strchr(" \t\r\n", line[len - 1]) != NULL)
		len--;
	return strndup(line, len);
}

static size_t
header_callback(char *data, size_t size, size_t count, void *arg)
{
	BwTransfer *transfer = arg;
	size_t		len = size * count;
	char	   *value;

	/* A status line: what came before belongs to a redirect. */
	if (len > 5 && memcmp(data, "HTTP/", 5) == 0)
	{
		transfer->rate_limit_reset = transfer->date = -1;
		transfer->body_len = 0;
		free(transfer->location);
		transfer->location = NULL;
	}
	else if ((value = header_value(data, len, "Location")) != NULL)
	{
		free(transfer->location);
		transfer->location = value;
	}
	else if ((value = header_value(data, len, "Content-Type")) != NULL)
	{
		free(transfer->content_type);
		transfer->content_type = value;
	}
	else if ((value = header_value(data, len, "X-RateLimit-Reset")) != NULL)
	{
		transfer->rate_limit_reset = strtoll(value, NULL, 10);
		free(value);
	}
	else if ((value = header_value(data, len, "Date")) != NULL)
	{
		transfer->date = curl_getdate(value, NULL);
		free(value);
	}
	return len;
}

static size_t
read_callback(char *buffer, size_t size, size_t count, void *arg)
{
	BwTransfer *transfer = arg;
	size_t		len = Min(size * count, transfer->request_len - transfer->request_sent);

	memcpy(buffer, transfer->request_body + transfer->request_sent, len);
	transfer->request_sent += len;
	return len;
}

/* To rewind is to send again: never. */
static int
seek_callback(void *arg, curl_off_t offset, int origin)
{
	BwTransfer *transfer = arg;

	return origin == SEEK_SET && offset == (curl_off_t) transfer->request_sent
		? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

/*
 * Called when there is a connection, before the request is on it.  What can be
 * read from one that was idle is its end, or what a server says before that.
 * Where libcurl does not tell the socket (7.88), it has looked itself.
 */
static int
prereq_callback(void *arg, char *peer, char *local, int peer_port, int local_port)
{
	BwTransfer *transfer = arg;
	curl_socket_t fd = CURL_SOCKET_BAD;
	long		made = 0;
	char		byte;

	if (transfer->fresh ||
		curl_easy_getinfo(transfer->easy, CURLINFO_NUM_CONNECTS, &made) != CURLE_OK ||
		made > 0 ||
		curl_easy_getinfo(transfer->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
		fd == CURL_SOCKET_BAD)
		return CURL_PREREQFUNC_OK;
	transfer->stale = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 ||
		(errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
	return transfer->stale ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static void
block_signals(sigset_t *old)
{
	sigset_t	all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, old);
}

static void
unblock_signals(const sigset_t *old)
{
	sigprocmask(SIG_SETMASK, old, NULL);
}

static long
monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000L + now.tv_nsec / 1000000L;
}

/* --- URLs --- */

char *
bw_http_escape(const char *text)
{
	StringInfoData out;

	initStringInfo(&out);
	for (; *text != '\0'; text++)
	{
		unsigned char c = (unsigned char) *text;

		/* unreserved characters of RFC 3986 */
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c >= '0' && c <= '9') || strchr("-._~", c) != NULL)
			appendStringInfoChar(&out, c);
		else
			appendStringInfo(&out, "%%%02X", c);
	}
	return out.data;
}

static char *
url_part(CURLU *url, CURLUPart part, unsigned flags)
{
	char	   *value = NULL;
	char	   *copy = NULL;

	if (curl_url_get(url, part, &value, flags) == CURLUE_OK && value != NULL)
		copy = pstrdup(value);
	curl_free(value);
	return copy;
}

bool
bw_http_split_url(const char *url, char **scheme, char **host, int *port,
				  char **path)
{
	CURLU	   *parsed = curl_url();
	char	   *port_text;
	bool		valid;

	if (parsed == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	valid = curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK;
	if (valid)
	{
		*scheme = url_part(parsed, CURLUPART_SCHEME, 0);
		*host = url_part(parsed, CURLUPART_HOST, 0);
		*path = url_part(parsed, CURLUPART_PATH, 0);
		port_text = url_part(parsed, CURLUPART_PORT, CURLU_DEFAULT_PORT);
		*port = port_text ? atoi(port_text) : 0;
		valid = *scheme && *host && *path &&
			(strcmp(*scheme, "http") == 0 || strcmp(*scheme, "https") == 0);
		/* [::1] without its brackets */
		if (valid && (*host)[0] == '[')
		{
			(*host)[strlen(*host) - 1] = '\0';
			(*host)++;
		}
	}
	curl_url_cleanup(parsed);
	return valid;
}
