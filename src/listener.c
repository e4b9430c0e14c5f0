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
 *	  connection for ever.  Each connection has a deadline of ours, for its
 *	  headers as well, which a sweep looks after.
 *	- It accepts conflicting Content-Length headers, Content-Length with
 *	  Transfer-Encoding, encodings that it does not know, and hides either
 *	  header if it is folded: refused here.
 *	- It misses the end of a connection that comes together with a request, and
 *	  would keep such a connection until it was idle for too long.  The sweep
 *	  finds those as well.
 *	- It closes connections beyond its limit without a word; ours is below that,
 *	  so that the caller gets a 503.
 *	- A daemon's certificate cannot be changed.  A new daemon takes over the
 *	  listening socket, and the old one ends with its last connection.
 *
 * The only file that includes libmicrohttpd.
 *
 * src/listener.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <limits.h>
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

#include "certificate.h"
#include "listener.h"
#include "logbook.h"

#define MAX_ADDRESSES 8
#define DEFAULT_CONNECTIONS 200
#define DEFAULT_PER_ADDRESS 128
/* Connections beyond the limit that are told so; more are just closed. */
#define REFUSED_CONNECTIONS 56
/* Daemons whose certificate was replaced, and that still have connections. */
#define RETIRED_MAX 8
#define DEFAULT_DEADLINE_MS 15000
#define IDLE_TIMEOUT_S 60
#define SWEEP_MS 1000
#define MAX_CREDENTIALS 512
/*
 * For one connection's headers.  Above 32 kB the library maps the memory and
 * unmaps it with the connection; below, a crowd of connections leaves a heap
 * that something small at its end keeps from shrinking (seen: 6 MB).
 */
#define CONNECTION_MEMORY (36 * 1024)
/*
 * How strictly the library reads requests; it knows more than one way from
 * 0.9.77 on.  1.0.1 leaves the line end behind a chunk's extension unread.
 * By default it then takes that one for the empty line that ends the request
 * after the last chunk, and trailers for the next request.  A little stricter,
 * it wants CR in front of LF, and refuses such a request with 400.
 */
#if MHD_VERSION >= 0x00097701
#define STRICTNESS 1
#else
#define STRICTNESS 0
#endif
/* Peers whose wrong credentials were logged; each at most once a minute. */
#define KNOWN_PEERS 64
#define PEER_LOG_MS 60000

#if MHD_VERSION < 0x00097002
typedef int MhdResult;
#else
typedef enum MHD_Result MhdResult;
#endif

/* One connection, and what it is busy with. */
typedef struct Connection
{
	dlist_node	node;			/* in connections */
	BwListener *listener;
	struct MHD_Connection *connection;
	BwParked   *request;		/* NULL: headers are awaited */
	bool		counted_fd;
	bool		refused;		/* one too many: 503 */
	bool		ended;			/* the last sweep found it closed by the peer */
	long		until_ms;		/* closed then; LONG_MAX: it waits for us */
} Connection;

typedef enum ParkState
{
	PARK_READING,				/* body is coming in, or is being dropped */
	PARK_WAITING,				/* complete: the worker's turn */
	PARK_ANSWERED				/* status is set */
} ParkState;

/* One request. */
struct BwParked
{
	dlist_node	ready_node;		/* in ready, while waiting */
	BwListener *listener;
	Connection *owner;
	struct MHD_Connection *connection;
	ParkState	state;
	bool		suspended;
	int			refusal;		/* status decided on headers, 0: none */
	int			status;
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
	struct MHD_Daemon *retired[RETIRED_MAX];
	int			retired_count;
	int			counted_fds;
	BwListenerKey *keys;		/* malloc'd */
	int			key_count;
	dlist_head	connections;
	int			connection_count;
	int			max_connections;
	int			max_per_address;
	dlist_head	ready;
	int			deadline_ms;
	long		next_sweep_ms;
	bool		answered;		/* resumed connections want a run */
	bool		closing;		/* nothing is parked any more */
	char	   *cert;			/* PEM, malloc'd; NULL: plain */
	char	   *key;
	ResourceOwner owner;		/* of the hash context */
	pg_cryptohash_ctx *hash;
	BwLogbook	log;
	KnownPeer	peers[KNOWN_PEERS];
};

static void listener_guard(void *arg);
static int	open_socket(const char *address, int port, char *error, size_t size);
static bool open_all(BwListener *listener, const BwListenerOptions *options,
					 char *error, size_t size);
static bool read_certificate(const char *cert_file, const char *key_file,
							 char **cert, char **key, char *error, size_t size);
static struct MHD_Daemon *start_daemon(BwListener *listener, int socket,
									   const char *cert, const char *key,
									   char *error, size_t size);
static void discard(struct MHD_Daemon *daemon);
static void retire(BwListener *listener, struct MHD_Daemon *daemon);
static void run_retired(BwListener *listener);
static MhdResult handle(void *arg, struct MHD_Connection *connection,
						const char *url, const char *method, const char *version,
						const char *data, size_t *size, void **state);
static void connected(void *arg, struct MHD_Connection *connection, void **state,
					  enum MHD_ConnectionNotificationCode code);
static void completed(void *arg, struct MHD_Connection *connection, void **state,
					  enum MHD_RequestTerminationCode code);
static void log_from_library(void *arg, const char *format, va_list args)
			pg_attribute_printf(2, 0);
static BwParked *new_request(BwListener *listener, struct MHD_Connection *connection,
							 const char *url);
static int	judge_headers(BwParked *request, const char *method, const char *version);
static int	judge_credentials(BwParked *request);
static bool hash_matches(BwListener *listener, const BwListenerKey *key,
						 const char *pair, size_t len);
static bool take_data(BwParked *request, const char *data, size_t size);
static MhdResult park(BwParked *request);
static MhdResult answer(BwParked *request, int status);
static void sweep(BwListener *listener);
static bool is_over(Connection *own, int fd);
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
	listener->max_connections = options->max_connections
		? options->max_connections : DEFAULT_CONNECTIONS;
	listener->max_per_address = options->max_per_address
		? options->max_per_address : DEFAULT_PER_ADDRESS;
	dlist_init(&listener->connections);
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
	if (!read_certificate(options->tls_cert_file, options->tls_key_file,
						  &listener->cert, &listener->key, error, size))
		return false;
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
		if (listener->sockets[i] < 0)
			return false;
		listener->daemons[i] = start_daemon(listener, listener->sockets[i], listener->cert,
											listener->key, error, size);
		if (listener->daemons[i] == NULL)
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

/* No file given: both are NULL, and the port speaks plain HTTP. */
static bool
read_certificate(const char *cert_file, const char *key_file, char **cert, char **key,
				 char *error, size_t size)
{
	*cert = *key = NULL;
	if (cert_file == NULL || cert_file[0] == '\0')
		return true;
	*cert = bw_certificate_read("tls_cert_file", cert_file, error, size);
	if (*cert != NULL)
		*key = bw_certificate_read("tls_key_file", key_file, error, size);
	if (*key != NULL && bw_certificate_usable(*cert, *key, time(NULL), error, size))
		return true;
	free(*cert);
	free(*key);
	*cert = *key = NULL;
	return false;
}

static struct MHD_Daemon *
start_daemon(BwListener *listener, int socket, const char *cert, const char *key,
			 char *error, size_t size)
{
	struct epoll_event event = {.events = EPOLLIN};
	const union MHD_DaemonInfo *info;
	struct MHD_Daemon *daemon;
	unsigned	flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
	struct MHD_OptionItem items[] = {
		{MHD_OPTION_HTTPS_MEM_CERT, 0, unconstify(char *, cert)},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, unconstify(char *, key)},
		{MHD_OPTION_END, 0, NULL}
	};

	if (cert != NULL)
		flags |= MHD_USE_TLS;
	else
		items[0].option = MHD_OPTION_END;
	daemon = MHD_start_daemon(flags, 0, NULL, NULL, handle, listener,
							  MHD_OPTION_EXTERNAL_LOGGER, log_from_library, listener,
							  MHD_OPTION_LISTEN_SOCKET, socket,
							  MHD_OPTION_CONNECTION_LIMIT,
							  (unsigned) (listener->max_connections + REFUSED_CONNECTIONS),
							  MHD_OPTION_PER_IP_CONNECTION_LIMIT,
							  (unsigned) listener->max_per_address,
							  MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) IDLE_TIMEOUT_S,
							  MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) CONNECTION_MEMORY,
							  MHD_OPTION_STRICT_FOR_CLIENT, (int) STRICTNESS,
							  MHD_OPTION_NOTIFY_CONNECTION, connected, listener,
							  MHD_OPTION_NOTIFY_COMPLETED, completed, listener,
							  MHD_OPTION_ARRAY, items, MHD_OPTION_END);
	info = daemon ? MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (info != NULL &&
		epoll_ctl(listener->epoll_fd, EPOLL_CTL_ADD, info->epoll_fd, &event) == 0)
		return daemon;
	if (daemon != NULL)
		discard(daemon);
	strlcpy(error, cert ? "certificate and key cannot be used"
			: "the HTTP server could not be started", size);
	return NULL;
}

/*
 * The old certificate stays if the new one cannot be used.  Connections that
 * are open keep what they were made with.
 */
bool
bw_listener_reload(BwListener *listener, const char *cert_file, const char *key_file,
				   char *error, size_t error_size)
{
	struct MHD_Daemon *daemons[MAX_ADDRESSES];
	char	   *cert;
	char	   *key;
	int			n = 0;

	if (!read_certificate(cert_file, key_file, &cert, &key, error, error_size))
		return false;
	if (bw_same_text(cert, listener->cert) && bw_same_text(key, listener->key))
	{
		free(cert);
		free(key);
		return true;
	}
	if (listener->retired_count + listener->count > RETIRED_MAX)
		strlcpy(error, "too many older certificates are still in use", error_size);
	else
		while (n < listener->count &&
			   (daemons[n] = start_daemon(listener, listener->sockets[n], cert, key,
										  error, error_size)) != NULL)
			n++;
	if (n < listener->count)
	{
		while (n > 0)
			discard(daemons[--n]);
		free(cert);
		free(key);
		return false;
	}
	for (int i = 0; i < n; i++)
	{
		retire(listener, listener->daemons[i]);
		listener->daemons[i] = daemons[i];
	}
	free(listener->cert);
	free(listener->key);
	listener->cert = cert;
	listener->key = key;
	add_log(listener, "the new certificate is used");
	return true;
}

char *
bw_listener_certificate(const BwListener *listener)
{
	return listener->cert ? bw_certificate_first(listener->cert) : NULL;
}

/* One that has no connections yet; its socket stays. */
static void
discard(struct MHD_Daemon *daemon)
{
	(void) MHD_quiesce_daemon(daemon);
	MHD_stop_daemon(daemon);
}

/* It accepts no more, and ends with its last connection; its socket stays. */
static void
retire(BwListener *listener, struct MHD_Daemon *daemon)
{
	(void) MHD_quiesce_daemon(daemon);
	listener->retired[listener->retired_count++] = daemon;
}

static void
run_retired(BwListener *listener)
{
	for (int i = listener->retired_count - 1; i >= 0; i--)
	{
		struct MHD_Daemon *daemon = listener->retired[i];
		const union MHD_DaemonInfo *info;

		MHD_run(daemon);
		info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
		if (info != NULL && info->num_connections > 0)
			continue;
		MHD_stop_daemon(daemon);
		listener->retired[i] = listener->retired[--listener->retired_count];
	}
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

int64
bw_listener_take_used(BwListener *listener)
{
	for (int i = 0; i < listener->key_count; i++)
	{
		BwListenerKey *key = &listener->keys[i];

		if (!key->used || key->watched == 0)
			continue;
		key->used = false;
		return key->watched;
	}
	return 0;
}

int
bw_listener_fd(const BwListener *listener)
{
	return listener->epoll_fd;
}

static void
sooner(long *timeout, struct MHD_Daemon *daemon)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (MHD_get_timeout(daemon, &ms) == MHD_YES && (*timeout < 0 || (long) ms < *timeout))
		*timeout = (long) ms;
}

long
bw_listener_timeout_ms(const BwListener *listener)
{
	long		timeout = -1;

	if (listener->answered || !dlist_is_empty(unconstify(dlist_head *, &listener->ready)))
		return 0;
	for (int i = 0; i < listener->count; i++)
		sooner(&timeout, listener->daemons[i]);
	for (int i = 0; i < listener->retired_count; i++)
		sooner(&timeout, listener->retired[i]);
	if (!dlist_is_empty(unconstify(dlist_head *, &listener->connections)) &&
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
	run_retired(listener);
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
	request->owner->until_ms = monotonic_ms() + request->listener->deadline_ms;
	MHD_resume_connection(request->connection);
}

void
bw_listener_leave_port(BwListener *listener)
{
	for (int i = 0; i < listener->count; i++)
	{
		/* The library would name the descriptor again, whosever it is then. */
		if (listener->sockets[i] < 0)
			continue;
		(void) MHD_quiesce_daemon(listener->daemons[i]);
		close(listener->sockets[i]);
		listener->sockets[i] = -1;
	}
}

void
bw_listener_close(BwListener *listener)
{
	dlist_iter	iter;

	/* The library may not be stopped while a connection is suspended. */
	listener->closing = true;
	dlist_foreach(iter, &listener->connections)
	{
		BwParked   *request = dlist_container(Connection, node, iter.cur)->request;

		if (request != NULL && request->suspended)
			bw_listener_answer(request, 503);
	}
	for (int i = 0; i < listener->count; i++)
		MHD_run(listener->daemons[i]);
	for (int i = 0; i < listener->retired_count; i++)
	{
		MHD_run(listener->retired[i]);
		MHD_stop_daemon(listener->retired[i]);
	}
	listener->retired_count = 0;
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
		request->refusal = request->owner->refused ? 503
			: judge_headers(request, method, version);
		/* These do not wait for a body that may never end. */
		if (request->refusal != 0 && request->refusal != 401)
			return answer(request, request->refusal);
		return MHD_YES;
	}
	if (*size > 0)
	{
		bool		fits = take_data(request, data, *size);

		*size = 0;
		return fits ? MHD_YES : MHD_NO;
	}
	if (request->state == PARK_ANSWERED)
		return answer(request, request->status);
	if (request->too_large)
		return answer(request, 413);
	if (request->refusal != 0)
		return answer(request, request->refusal);
	return park(request);
}

/* It is whole: the worker's turn, however long that takes. */
static MhdResult
park(BwParked *request)
{
	if (request->listener->closing)
		return answer(request, 503);
	request->state = PARK_WAITING;
	request->callback.body = request->body ? request->body : "";
	request->callback.body_len = request->len;
	dlist_push_tail(&request->listener->ready, &request->ready_node);
	request->suspended = true;
	request->owner->until_ms = LONG_MAX;
	MHD_suspend_connection(request->connection);
	return MHD_YES;
}

/* A connection was accepted, or is gone. */
static void
connected(void *arg, struct MHD_Connection *connection, void **state,
		  enum MHD_ConnectionNotificationCode code)
{
	BwListener *listener = arg;
	Connection *own = *state;

	if (code == MHD_CONNECTION_NOTIFY_STARTED)
	{
		own = calloc(1, sizeof(Connection));
		*state = own;
		if (own == NULL)
			return;
		own->listener = listener;
		own->connection = connection;
		own->until_ms = monotonic_ms() + listener->deadline_ms;
		own->refused = listener->connection_count >= listener->max_connections;
		own->counted_fd = !own->refused && AcquireExternalFD();
		own->refused = !own->counted_fd;
		listener->connection_count++;
		dlist_push_tail(&listener->connections, &own->node);
	}
	else if (own != NULL)
	{
		if (own->counted_fd)
			ReleaseExternalFD();
		listener->connection_count--;
		dlist_delete(&own->node);
		free(own);
		*state = NULL;
	}
}

static BwParked *
new_request(BwListener *listener, struct MHD_Connection *connection, const char *url)
{
	const union MHD_ConnectionInfo *info =
	MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	Connection *owner = info ? info->socket_context : NULL;
	BwParked   *request = owner ? calloc(1, sizeof(BwParked)) : NULL;

	if (request == NULL)
		return NULL;
	owner->request = request;
	owner->ended = false;
	owner->until_ms = monotonic_ms() + listener->deadline_ms;
	request->listener = listener;
	request->owner = owner;
	request->connection = connection;
	strlcpy(request->path, url, sizeof(request->path));
	info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	if (info != NULL && info->client_addr != NULL)
		(void) getnameinfo(info->client_addr, sizeof(struct sockaddr_storage),
						   request->peer, sizeof(request->peer), NULL, 0,
						   NI_NUMERICHOST);
	request->callback.path = request->path;
	request->callback.peer = request->peer;
	return request;
}

static const char *
header(BwParked *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

/*
 * Headers that say where the body ends: there may be one.  Longer names are
 * one too many, because the library leaves a blank before the colon in the
 * name, and adds a continued line to the name and not to the value.
 */
static MhdResult
count_length(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	static const char *const names[] = {MHD_HTTP_HEADER_CONTENT_LENGTH,
	MHD_HTTP_HEADER_TRANSFER_ENCODING};

	for (int i = 0; i < (int) lengthof(names); i++)
		if (pg_strncasecmp(name, names[i], strlen(names[i])) == 0)
			*(int *) arg += name[strlen(names[i])] == '\0' ? 1 : 2;
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
	/* It is kept as text, of which not all bytes are one. */
	for (char *p = buffer; *p != '\0'; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	*field = buffer;
}

/* What can be refused on the headers alone; 0: go on. */
static int
judge_headers(BwParked *request, const char *method, const char *version)
{
	const char *length = header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
	const char *encoding = header(request, MHD_HTTP_HEADER_TRANSFER_ENCODING);
	bool		known = false;
	int			lengths = 0;

	for (int i = 0; i < request->listener->key_count; i++)
		known = known || strcmp(request->listener->keys[i].path, request->path) == 0;
	MHD_get_connection_values(request->connection, MHD_HEADER_KIND, count_length, &lengths);
	if (lengths > 1 ||
		(encoding != NULL && pg_strcasecmp(encoding, "chunked") != 0) ||
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
		len = pg_b64_decode(authorization + 6, strlen(authorization + 6), (void *) pair,
							sizeof(pair));
	for (int i = 0; i < listener->key_count; i++)
	{
		BwListenerKey *key = &listener->keys[i];

		if (strcmp(key->path, request->path) != 0)
			continue;
		if (!key->has_credentials || (len >= 0 && hash_matches(listener, key, pair, len)))
		{
			allowed = true;
			key->used = true;
			request->callback.key_id = key->id;
			request->callback.authenticated = key->has_credentials;
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
	if (request->too_large || request->len + size > BW_LISTENER_MAX_BODY)
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
	request->owner->request = NULL;
	request->owner->until_ms = monotonic_ms() + IDLE_TIMEOUT_S * 1000L;
	free(request->body);
	free(request);
	*state = NULL;
}

static void
log_from_library(void *arg, const char *format, va_list args)
{
	char		text[BW_LOGBOOK_LINE_SIZE];

	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\r\n")] = '\0';
	add_log(arg, "%s", text);
}

/* --- upkeep --- */

/* Close what is past its deadline, or was closed by the peer. */
static void
sweep(BwListener *listener)
{
	dlist_iter	iter;
	long		now = monotonic_ms();

	listener->next_sweep_ms = now + SWEEP_MS;
	dlist_foreach(iter, &listener->connections)
	{
		Connection *own = dlist_container(Connection, node, iter.cur);
		const union MHD_ConnectionInfo *info;

		info = MHD_get_connection_info(own->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		if (info != NULL && (now > own->until_ms || is_over(own, info->connect_fd)))
			shutdown(info->connect_fd, SHUT_RDWR);
	}
}

/*
 * Nothing more can come, nor did since the last sweep: a request that the
 * library has read already would have begun by now.
 */
static bool
is_over(Connection *own, int fd)
{
	char		next;
	bool		was_ended = own->ended;

	own->ended = own->request == NULL && recv(fd, &next, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
	return own->ended && was_ended;
}

static void
add_log(BwListener *listener, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	bw_logbook_add(&listener->log, monotonic_ms(), format, args);
	va_end(args);
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
	return bw_logbook_take(&listener->log, monotonic_ms());
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
