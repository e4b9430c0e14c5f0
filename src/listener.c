/*-------------------------------------------------------------------------
 *
 * listener.c
 *	  HTTP server for order callbacks: takes whole requests, parks them, and
 *	  answers when told to.
 *
 * Nothing here touches the database.  A callback is taken in whole, parked,
 * and answered only after the worker has committed it, so an answer of 200
 * means "stored".  The library runs without threads of its own: one daemon
 * per address, all behind one epoll descriptor.
 *
 * Awkward facts behind the shape:
 *	- Nothing may throw inside a callback of libmicrohttpd: there, memory comes
 *	  from malloc, and the hash context was made when the port was opened.
 *	- Its time-out counts inactivity only; a byte a second would hold a
 *	  connection for ever.  Each connection has a deadline of ours, checked
 *	  when it makes progress and by a sweep.
 *	- It accepts conflicting Content-Length headers, and Content-Length with
 *	  Transfer-Encoding: refused here.
 *
 * The only file that includes libmicrohttpd.
 *
 * src/listener.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netdb.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base64.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "lib/ilist.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "listener.h"

#define MAX_ADDRESSES 8
#define DEFAULT_CONNECTIONS 200
#define DEFAULT_DEADLINE_MS 15000
#define IDLE_TIMEOUT_S 60
#define SWEEP_MS 1000
#define MAX_CREDENTIALS 512
#define LOG_LINES 16
#define LOG_LINE_SIZE 200
/* Peers whose wrong credentials were logged; each at most once a minute. */
#define KNOWN_PEERS 64
#define PEER_LOG_MS 60000

#if MHD_VERSION < 0x00097002
typedef int MhdResult;
#else
typedef enum MHD_Result MhdResult;
#endif

typedef enum ParkState
{
	PARK_READING,				/* body is coming in, or is being dropped */
	PARK_WAITING,				/* complete: the worker's turn */
	PARK_ANSWERED				/* status is set */
} ParkState;

/* One request. */
struct BwParked
{
	dlist_node	node;			/* in requests */
	dlist_node	ready_node;		/* in ready, while waiting */
	BwListener *listener;
	struct MHD_Connection *connection;
	ParkState	state;
	bool		suspended;
	int			refusal;		/* status decided on headers, 0: none */
	int			status;
	long		deadline_ms;
	char	   *body;
	size_t		len;
	size_t		room;
	bool		too_large;
	char		path[sizeof(((BwListenerKey *) 0)->path)];
	char		peer[INET6_ADDRSTRLEN];
	char		content_type[100];
	char		user_agent[100];
	BwCallback	callback;
};

typedef struct KnownPeer
{
	char		peer[INET6_ADDRSTRLEN];
	long		logged_ms;
} KnownPeer;

struct BwListener
{
	MemoryContextCallback guard;
	int			epoll_fd;
	int			sockets[MAX_ADDRESSES];
	struct MHD_Daemon *daemons[MAX_ADDRESSES];
	int			count;
	int			counted_fds;
	BwListenerKey *keys;		/* malloc'd */
	int			key_count;
	dlist_head	requests;
	dlist_head	ready;
	int			deadline_ms;
	long		next_sweep_ms;
	bool		answered;		/* resumed connections want a run */
	char	   *cert;			/* PEM, malloc'd; NULL: plain */
	char	   *key;
	ResourceOwner owner;		/* of the hash context */
	pg_cryptohash_ctx *hash;
	char		log[LOG_LINES][LOG_LINE_SIZE];
	int			log_first;
	int			log_count;
	KnownPeer	peers[KNOWN_PEERS];
	char		line[LOG_LINE_SIZE];	/* handed out by take_log */
};

static void listener_guard(void *arg);
static int	open_socket(const char *address, int port, char *error, size_t size);
static bool open_all(BwListener *listener, const BwListenerOptions *options,
					 char *error, size_t size);
static bool start_daemon(BwListener *listener, int i,
						 const BwListenerOptions *options, char *error, size_t size);
static char *read_pem(const char *path, char *error, size_t size);
static MhdResult handle(void *arg, struct MHD_Connection *connection,
						const char *url, const char *method, const char *version,
						const char *data, size_t *size, void **state);
static void completed(void *arg, struct MHD_Connection *connection, void **state,
					  enum MHD_RequestTerminationCode code);
static void log_from_library(void *arg, const char *format, va_list args);
static BwParked *new_request(BwListener *listener, struct MHD_Connection *connection,
							 const char *url);
static int	judge_headers(BwParked *request, const char *method, const char *version);
static int	judge_credentials(BwParked *request);
static bool hash_matches(BwListener *listener, const BwListenerKey *key,
						 const char *pair, size_t len);
static bool take_data(BwParked *request, const char *data, size_t size);
static MhdResult answer(BwParked *request, int status);
static void sweep(BwListener *listener);
static void add_log(BwListener *listener, const char *format,...) pg_attribute_printf(2, 3);
static void log_wrong_credentials(BwParked *request);
static long monotonic_ms(void);

BwListener *
bw_listener_open(const BwListenerOptions *options, char *error, size_t error_size)
{
	BwListener *listener = palloc0(sizeof(BwListener));
	ResourceOwner old = CurrentResourceOwner;

	listener->epoll_fd = -1;
	for (int i = 0; i < MAX_ADDRESSES; i++)
		listener->sockets[i] = -1;
	listener->deadline_ms = options->deadline_ms ? options->deadline_ms : DEFAULT_DEADLINE_MS;
	dlist_init(&listener->requests);
	dlist_init(&listener->ready);
	listener->guard.func = listener_guard;
	listener->guard.arg = listener;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &listener->guard);

	/* It outlives every transaction, and so needs an owner that does. */
	listener->owner = ResourceOwnerCreate(NULL, "bandwidth listener");
	CurrentResourceOwner = listener->owner;
	listener->hash = pg_cryptohash_create(PG_SHA256);
	CurrentResourceOwner = old;

	if (!open_all(listener, options, error, error_size))
	{
		bw_listener_close(listener);
		return NULL;
	}
	return listener;
}

static void
listener_guard(void *arg)
{
	bw_listener_close(arg);
}

static bool
open_all(BwListener *listener, const BwListenerOptions *options,
		 char *error, size_t size)
{
	char	   *addresses = pstrdup(options->addresses);
	char	   *position = NULL;

	listener->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (listener->epoll_fd < 0 || !AcquireExternalFD())
	{
		strlcpy(error, "too many open files", size);
		return false;
	}
	listener->counted_fds++;
	if (options->tls_cert_file != NULL && options->tls_cert_file[0] != '\0')
	{
		listener->cert = read_pem(options->tls_cert_file, error, size);
		listener->key = listener->cert ? read_pem(options->tls_key_file, error, size) : NULL;
		if (listener->key == NULL)
			return false;
	}
	for (char *address = strtok_r(addresses, ", ", &position); address != NULL;
		 address = strtok_r(NULL, ", ", &position))
	{
		int			i = listener->count;

		if (i == MAX_ADDRESSES)
		{
			snprintf(error, size, "more than %d addresses", MAX_ADDRESSES);
			return false;
		}
		listener->sockets[i] = open_socket(address, options->port, error, size);
		if (listener->sockets[i] < 0 || !start_daemon(listener, i, options, error, size))
			return false;
		listener->count++;
	}
	if (listener->count == 0)
		strlcpy(error, "bandwidth.listen_addresses is empty", size);
	return listener->count > 0;
}

/* A listening socket of our own, so that a daemon can be replaced behind it. */
static int
open_socket(const char *address, int port, char *error, size_t size)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC,.ai_socktype = SOCK_STREAM,
	.ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *found;
	char		service[16];
	int			on = 1;
	int			fd = -1;
	int			code;

	snprintf(service, sizeof(service), "%d", port);
	code = getaddrinfo(strcmp(address, "*") == 0 ? NULL : address, service, &hints, &found);
	if (code != 0)
	{
		snprintf(error, size, "%s: %s", address, gai_strerror(code));
		return -1;
	}
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
		bind(fd, found->ai_addr, found->ai_addrlen) != 0 ||
		listen(fd, 512) != 0)
	{
		snprintf(error, size, "%s: %s", address, strerror(errno));
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	return fd;
}

static bool
start_daemon(BwListener *listener, int i, const BwListenerOptions *options,
			 char *error, size_t size)
{
	struct epoll_event event = {.events = EPOLLIN};
	const union MHD_DaemonInfo *info;
	unsigned	flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
	int			connections = options->max_connections
	? options->max_connections : DEFAULT_CONNECTIONS;
	struct MHD_OptionItem items[] = {
		{MHD_OPTION_HTTPS_MEM_CERT, 0, listener->cert},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, listener->key},
		{MHD_OPTION_END, 0, NULL}
	};

	if (listener->cert != NULL)
		flags |= MHD_USE_TLS;
	else
		items[0].option = MHD_OPTION_END;
	listener->daemons[i] =
		MHD_start_daemon(flags, 0, NULL, NULL, handle, listener,
						 MHD_OPTION_EXTERNAL_LOGGER, log_from_library, listener,
						 MHD_OPTION_LISTEN_SOCKET, listener->sockets[i],
						 MHD_OPTION_CONNECTION_LIMIT, (unsigned) connections,
						 MHD_OPTION_PER_IP_CONNECTION_LIMIT,
						 (unsigned) options->max_per_address,
						 MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) IDLE_TIMEOUT_S,
						 MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) 32 * 1024,
						 MHD_OPTION_NOTIFY_COMPLETED, completed, listener,
						 MHD_OPTION_ARRAY, items, MHD_OPTION_END);
	info = listener->daemons[i]
		? MHD_get_daemon_info(listener->daemons[i], MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (info == NULL ||
		epoll_ctl(listener->epoll_fd, EPOLL_CTL_ADD, info->epoll_fd, &event) != 0)
	{
		strlcpy(error, listener->cert ? "certificate and key cannot be used"
				: "the HTTP server could not be started", size);
		return false;
	}
	return true;
}

static char *
read_pem(const char *path, char *error, size_t size)
{
	FILE	   *file = path ? fopen(path, "r") : NULL;
	char	   *content = NULL;
	size_t		len = 0;

	if (file == NULL)
	{
		snprintf(error, size, "%s: %s", path ? path : "tls_key_file", strerror(errno));
		return NULL;
	}
	content = malloc(BW_LISTENER_MAX_BODY + 1);
	if (content != NULL)
	{
		len = fread(content, 1, BW_LISTENER_MAX_BODY, file);
		content[len] = '\0';
	}
	fclose(file);
	return content;
}

void
bw_listener_set_keys(BwListener *listener, const BwListenerKey *keys, int count)
{
	BwListenerKey *copy = malloc(sizeof(BwListenerKey) * Max(count, 1));

	if (copy == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	memcpy(copy, keys, sizeof(BwListenerKey) * count);
	free(listener->keys);
	listener->keys = copy;
	listener->key_count = count;
}

int
bw_listener_fd(const BwListener *listener)
{
	return listener->epoll_fd;
}

long
bw_listener_timeout_ms(const BwListener *listener)
{
	long		timeout = -1;

	if (listener->answered || !dlist_is_empty(unconstify(dlist_head *, &listener->ready)))
		return 0;
	for (int i = 0; i < listener->count; i++)
	{
		MHD_UNSIGNED_LONG_LONG ms;

		if (MHD_get_timeout(listener->daemons[i], &ms) == MHD_YES &&
			(timeout < 0 || (long) ms < timeout))
			timeout = (long) ms;
	}
	if (!dlist_is_empty(unconstify(dlist_head *, &listener->requests)) &&
		(timeout < 0 || timeout > SWEEP_MS))
		timeout = SWEEP_MS;
	return timeout;
}

void
bw_listener_run(BwListener *listener)
{
	listener->answered = false;
	for (int i = 0; i < listener->count; i++)
		MHD_run(listener->daemons[i]);
	if (monotonic_ms() >= listener->next_sweep_ms)
		sweep(listener);
}

BwParked *
bw_listener_take(BwListener *listener)
{
	BwParked   *request;

	if (dlist_is_empty(&listener->ready))
		return NULL;
	request = dlist_container(BwParked, ready_node, dlist_pop_head_node(&listener->ready));
	return request;
}

const BwCallback *
bw_listener_callback(const BwParked *request)
{
	return &request->callback;
}

void
bw_listener_answer(BwParked *request, int status)
{
	request->status = status;
	request->state = PARK_ANSWERED;
	request->listener->answered = true;
	request->suspended = false;
	MHD_resume_connection(request->connection);
}

void
bw_listener_leave_port(BwListener *listener)
{
	for (int i = 0; i < listener->count; i++)
	{
		int			fd = MHD_quiesce_daemon(listener->daemons[i]);

		if (fd >= 0)
			close(fd);
		listener->sockets[i] = -1;
	}
}

void
bw_listener_close(BwListener *listener)
{
	dlist_mutable_iter iter;

	/* The library may not be stopped while a connection is suspended. */
	dlist_foreach_modify(iter, &listener->requests)
	{
		BwParked   *request = dlist_container(BwParked, node, iter.cur);

		if (request->suspended)
			bw_listener_answer(request, 503);
	}
	for (int i = 0; i < listener->count; i++)
		if (listener->daemons[i] != NULL)
			MHD_run(listener->daemons[i]);
	for (int i = 0; i < MAX_ADDRESSES; i++)
	{
		/* Stopping a daemon closes its listening socket too. */
		if (listener->daemons[i] != NULL)
			MHD_stop_daemon(listener->daemons[i]);
		else if (listener->sockets[i] >= 0)
			close(listener->sockets[i]);
		listener->daemons[i] = NULL;
		listener->sockets[i] = -1;
	}
	if (listener->epoll_fd >= 0)
		close(listener->epoll_fd);
	listener->epoll_fd = -1;
	while (listener->counted_fds > 0)
	{
		ReleaseExternalFD();
		listener->counted_fds--;
	}
	if (listener->hash != NULL)
		pg_cryptohash_free(listener->hash);
	listener->hash = NULL;
	if (listener->owner != NULL)
		ResourceOwnerDelete(listener->owner);
	listener->owner = NULL;
	free(listener->keys);
	free(listener->cert);
	free(listener->key);
	listener->keys = NULL;
	listener->cert = listener->key = NULL;
	listener->count = 0;
}

/* --- callbacks of libmicrohttpd: nothing here may throw --- */

/*
 * Called with the headers, then with each piece of the body, then with none,
 * and once more after a suspended connection was resumed.
 */
static MhdResult
handle(void *arg, struct MHD_Connection *connection, const char *url,
	   const char *method, const char *version, const char *data,
	   size_t *size, void **state)
{
	BwListener *listener = arg;
	BwParked   *request = *state;

	if (request == NULL)
	{
		request = new_request(listener, connection, url);
		if (request == NULL)
			return MHD_NO;
		*state = request;
		request->refusal = judge_headers(request, method, version);
		/* These do not wait for a body that may never end. */
		if (request->refusal != 0 && request->refusal != 401)
			return answer(request, request->refusal);
		return MHD_YES;
	}
	if (monotonic_ms() > request->deadline_ms && request->state == PARK_READING)
		return MHD_NO;
	if (*size > 0)
	{
		bool		fits = take_data(request, data, *size);

		*size = 0;
		return fits || request->too_large ? MHD_YES : MHD_NO;
	}
	if (request->state == PARK_ANSWERED)
		return answer(request, request->status);
	if (request->too_large)
		return answer(request, 413);
	if (request->refusal != 0)
		return answer(request, request->refusal);

	request->state = PARK_WAITING;
	request->callback.body = request->body ? request->body : "";
	request->callback.body_len = request->len;
	dlist_push_tail(&listener->ready, &request->ready_node);
	request->suspended = true;
	MHD_suspend_connection(connection);
	return MHD_YES;
}

static BwParked *
new_request(BwListener *listener, struct MHD_Connection *connection, const char *url)
{
	BwParked   *request = calloc(1, sizeof(BwParked));
	const union MHD_ConnectionInfo *info;

	if (request == NULL)
		return NULL;
	request->listener = listener;
	request->connection = connection;
	request->deadline_ms = monotonic_ms() + listener->deadline_ms;
	strlcpy(request->path, url, sizeof(request->path));
	info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	if (info != NULL && info->client_addr != NULL)
		(void) getnameinfo(info->client_addr, sizeof(struct sockaddr_storage),
						   request->peer, sizeof(request->peer), NULL, 0,
						   NI_NUMERICHOST);
	request->callback.path = request->path;
	request->callback.peer = request->peer;
	dlist_push_tail(&listener->requests, &request->node);
	return request;
}

static const char *
header(BwParked *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

static MhdResult
count_length(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	if (pg_strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0)
		(*(int *) arg)++;
	return MHD_YES;
}

static void
keep_header(BwParked *request, const char *name, char *buffer, size_t size,
			const char **field)
{
	const char *value = header(request, name);

	if (value == NULL)
		return;
	strlcpy(buffer, value, size);
	*field = buffer;
}

/* What can be refused on the headers alone; 0: go on. */
static int
judge_headers(BwParked *request, const char *method, const char *version)
{
	const char *length = header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
	bool		known = false;
	int			lengths = 0;

	for (int i = 0; i < request->listener->key_count; i++)
		known = known || strcmp(request->listener->keys[i].path, request->path) == 0;
	MHD_get_connection_values(request->connection, MHD_HEADER_KIND, count_length, &lengths);
	if (lengths > 1 ||
		(length != NULL && header(request, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL) ||
		(strcmp(version, "HTTP/1.1") == 0 && header(request, MHD_HTTP_HEADER_HOST) == NULL))
		return 400;
	if (!known)
		return 404;
	if (strcmp(method, "POST") != 0)
		return 405;
	if (length != NULL && strtoull(length, NULL, 10) > BW_LISTENER_MAX_BODY)
		return 413;
	keep_header(request, MHD_HTTP_HEADER_CONTENT_TYPE, request->content_type,
				sizeof(request->content_type), &request->callback.content_type);
	keep_header(request, MHD_HTTP_HEADER_USER_AGENT, request->user_agent,
				sizeof(request->user_agent), &request->callback.user_agent);
	return judge_credentials(request);
}

/*
 * 401 with a challenge is the normal answer to Bandwidth's first request,
 * which carries no credentials ("Webhooks": basic authentication).
 */
static int
judge_credentials(BwParked *request)
{
	BwListener *listener = request->listener;
	const char *authorization = header(request, MHD_HTTP_HEADER_AUTHORIZATION);
	char		pair[MAX_CREDENTIALS];
	int			len = -1;
	bool		allowed = false;

	if (authorization != NULL && pg_strncasecmp(authorization, "Basic ", 6) == 0)
		len = pg_b64_decode(authorization + 6, strlen(authorization + 6), pair,
							sizeof(pair));
	for (int i = 0; i < listener->key_count; i++)
	{
		const BwListenerKey *key = &listener->keys[i];

		if (strcmp(key->path, request->path) != 0)
			continue;
		if (!key->has_credentials || (len >= 0 && hash_matches(listener, key, pair, len)))
		{
			allowed = true;
			request->callback.key_id = key->id;
		}
	}
	explicit_bzero(pair, sizeof(pair));
	if (!allowed && authorization != NULL)
		log_wrong_credentials(request);
	return allowed ? 0 : 401;
}

static bool
digest(pg_cryptohash_ctx *cxt, const uint8 *salt, const char *pair, size_t len,
	   uint8 *result)
{
	return pg_cryptohash_init(cxt) >= 0 &&
		pg_cryptohash_update(cxt, salt, BW_LISTENER_SALT_LEN) >= 0 &&
		pg_cryptohash_update(cxt, (const uint8 *) pair, len) >= 0 &&
		pg_cryptohash_final(cxt, result, BW_LISTENER_HASH_LEN) >= 0;
}

/* In constant time. */
static bool
hash_matches(BwListener *listener, const BwListenerKey *key, const char *pair,
			 size_t len)
{
	uint8		result[BW_LISTENER_HASH_LEN];
	uint8		difference = 0;

	if (!digest(listener->hash, key->salt, pair, len, result))
		return false;
	for (int i = 0; i < BW_LISTENER_HASH_LEN; i++)
		difference |= result[i] ^ key->hash[i];
	return difference == 0;
}

/* False: close the connection. */
static bool
take_data(BwParked *request, const char *data, size_t size)
{
	if (request->len + size > BW_LISTENER_MAX_BODY)
	{
		request->too_large = true;
		/* A little more is dropped so that the answer can be read. */
		request->room += size;
		return request->room < 2 * BW_LISTENER_MAX_BODY;
	}
	if (request->refusal != 0)
	{
		request->len += size;
		return true;
	}
	if (request->len + size > request->room)
	{
		size_t		room = Max(request->room * 2, request->len + size);
		char	   *bigger = realloc(request->body, room);

		if (bigger == NULL)
			return false;
		request->body = bigger;
		request->room = room;
	}
	memcpy(request->body + request->len, data, size);
	request->len += size;
	return true;
}

static MhdResult
answer(BwParked *request, int status)
{
	struct MHD_Response *response =
	MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	MhdResult	result;

	if (response == NULL)
		return MHD_NO;
	if (status == 401)
		MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
								"Basic realm=\"bandwidth\"");
	if (status == 405)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "POST");
	if (status != 200 && status != 401)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	result = MHD_queue_response(request->connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static void
completed(void *arg, struct MHD_Connection *connection, void **state,
		  enum MHD_RequestTerminationCode code)
{
	BwParked   *request = *state;

	if (request == NULL)
		return;
	dlist_delete(&request->node);
	free(request->body);
	free(request);
	*state = NULL;
}

static void
log_from_library(void *arg, const char *format, va_list args)
{
	char		text[LOG_LINE_SIZE];

	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\r\n")] = '\0';
	add_log(arg, "%s", text);
}

/* --- upkeep --- */

/* Close what is past its deadline without having sent a whole request. */
static void
sweep(BwListener *listener)
{
	dlist_iter	iter;
	long		now = monotonic_ms();

	listener->next_sweep_ms = now + SWEEP_MS;
	dlist_foreach(iter, &listener->requests)
	{
		BwParked   *request = dlist_container(BwParked, node, iter.cur);
		const union MHD_ConnectionInfo *info;

		if (request->state != PARK_READING || now <= request->deadline_ms)
			continue;
		info = MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		if (info != NULL)
			shutdown(info->connect_fd, SHUT_RDWR);
	}
}

static void
add_log(BwListener *listener, const char *format,...)
{
	va_list		args;

	if (listener->log_count == LOG_LINES)
		return;
	va_start(args, format);
	vsnprintf(listener->log[(listener->log_first + listener->log_count) % LOG_LINES],
			  LOG_LINE_SIZE, format, args);
	va_end(args);
	listener->log_count++;
}

static void
log_wrong_credentials(BwParked *request)
{
	BwListener *listener = request->listener;
	KnownPeer  *slot = &listener->peers[0];
	long		now = monotonic_ms();

	for (int i = 0; i < KNOWN_PEERS; i++)
	{
		KnownPeer  *known = &listener->peers[i];

		if (strcmp(known->peer, request->peer) == 0 && known->logged_ms > 0)
		{
			slot = known;
			break;
		}
		if (known->logged_ms < slot->logged_ms)
			slot = known;
	}
	if (strcmp(slot->peer, request->peer) == 0 && now - slot->logged_ms < PEER_LOG_MS)
		return;
	strlcpy(slot->peer, request->peer, sizeof(slot->peer));
	slot->logged_ms = now;
	add_log(listener, "wrong credentials from %s", request->peer);
}

const char *
bw_listener_take_log(BwListener *listener)
{
	if (listener->log_count == 0)
		return NULL;
	strlcpy(listener->line, listener->log[listener->log_first], LOG_LINE_SIZE);
	listener->log_first = (listener->log_first + 1) % LOG_LINES;
	listener->log_count--;
	return listener->line;
}

void
bw_listener_hash(const uint8 *salt, const char *username, const char *password,
				 uint8 *hash)
{
	pg_cryptohash_ctx *cxt = pg_cryptohash_create(PG_SHA256);
	char	   *pair = psprintf("%s:%s", username, password);

	if (!digest(cxt, salt, pair, strlen(pair), hash))
		elog(ERROR, "could not compute a hash");
	pg_cryptohash_free(cxt);
	explicit_bzero(pair, strlen(pair));
	pfree(pair);
}

static long
monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000L + now.tv_nsec / 1000000L;
}
