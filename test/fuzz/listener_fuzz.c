/*-------------------------------------------------------------------------
 *
 * listener_fuzz.c
 *	  Any bytes at all, over several connections, through the listener.
 *
 * The real listener with the real libmicrohttpd, in one process: clients are
 * ends of socket pairs whose other ends the listener's daemon is given.  The
 * input is what the clients send, and the byte 0xff and the one behind it say
 * what happens besides (enum Order below).  Time is ours: it stands still
 * unless the input says so.
 *
 * What is looked for, besides crashes and leaks: somebody who is handed out
 * without the right credentials, or with a body that nobody sent; answers that
 * nobody gave; connections that outlive their client; a worker that would spin.
 *
 * listener.c is included, not linked, to see its lists.
 *
 * test/fuzz/listener_fuzz.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <poll.h>
#include <sys/socket.h>
#include <time.h>

static int	our_clock(clockid_t id, struct timespec *now);
static void *our_palloc0(Size size);
static char *our_pstrdup(const char *text);

#define clock_gettime our_clock
#define palloc0 our_palloc0
#define pstrdup our_pstrdup
#include "../../src/listener.c"
#undef clock_gettime
#undef palloc0
#undef pstrdup

/* One more than are served at once, and two more. */
#define CLIENTS 8
#define SERVED (CLIENTS - 3)
#define HELD_MAX 16
#define MEMORY_MAX 8
/* Laps after which whatever the clients sent must have been dealt with. */
#define LAPS_MAX 2000
#define FILLER (200 * 1024)
/* Of all clients of an input: enough for bodies that are too large, and slow. */
#define SENT_MAX (16 * FILLER)

#define PATH "/bandwidth"
#define OPEN_PATH "/open"
/* Of nine characters, so that no other base64 text means the same. */
#define USERNAME "bw"
#define PASSWORD "secret"
#define ENCODED "Ync6c2VjcmV0"

/* What follows a byte 0xff.  Any other byte: that byte is sent. */
enum Order
{
	ORDER_CLIENT = '0',			/* to '7': this client goes on */
	ORDER_RUN = 'r',
	ORDER_ANSWER = 'a',			/* all that are parked: 200 */
	ORDER_FAIL = 'f',			/* all that are parked: 500 */
	ORDER_HOLD = 'h',			/* take one, and let it wait */
	ORDER_RELEASE = 'l',		/* answer the one that waits longest: 503 */
	ORDER_VANISH = 'v',
	ORDER_HALF_CLOSE = 's',
	ORDER_FILL = 'b',			/* send a lot */
	ORDER_SECOND = 'c',			/* a second passes */
	ORDER_LONG = 'd',			/* a minute and more */
	ORDER_KEYS = 'k',			/* credentials are replaced by others, or back */
	ORDER_LEAVE = 'p',			/* the port is left */
	ORDER_NO_FD = 'n',			/* no more descriptors, or again some */
	ORDER_END = 'q'				/* the listener is closed as it is */
};

/* Bytes that become more. */
typedef struct Bytes
{
	char	   *data;
	size_t		len;
	size_t		room;			/* stays from one input to the next */
} Bytes;

/* One client, that connects with the first byte it sends. */
typedef struct Client
{
	int			fd;				/* -1: not yet, or not any more */
	int			server_fd;		/* of our end, as the listener knows it */
	Bytes		sent;
	Bytes		received;
	size_t		pending;		/* of sent: not written yet, from the end */
	bool		finished;		/* sends nothing more */
	bool		gone;
	int			accepted;		/* handed out, and answered 200 */
} Client;

int			LLVMFuzzerInitialize(int *argc, char ***argv);
int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static long clock_ms;
static int	external_fds;
static bool no_fds;
static bool other_keys;
static BwListener *listener;
static Client clients[CLIENTS];
static BwParked *held[HELD_MAX];
static int	held_count;
static uint8 salt[BW_LISTENER_SALT_LEN];
static void *memory[MEMORY_MAX];	/* a memory context */
static int	memory_count;
static MemoryContextCallback *guard;
static size_t sent_total;
static char filler[FILLER];

#define CHECK(condition) \
	do { \
		if (!(condition)) \
		{ \
			fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

/* --- the server functions that the listener calls --- */

MemoryContext CurrentMemoryContext;
ResourceOwner CurrentResourceOwner;

static void *
our_palloc0(Size size)
{
	CHECK(memory_count < MEMORY_MAX);
	memory[memory_count] = calloc(1, size);
	CHECK(memory[memory_count] != NULL);
	return memory[memory_count++];
}

static char *
our_pstrdup(const char *text)
{
	return strcpy(our_palloc0(strlen(text) + 1), text);
}

static void
reset_memory(void)
{
	guard->func(guard->arg);
	while (memory_count > 0)
		free(memory[--memory_count]);
}

void
MemoryContextRegisterResetCallback(MemoryContext context, MemoryContextCallback *cb)
{
	guard = cb;
}

ResourceOwner
ResourceOwnerCreate(ResourceOwner parent, const char *name)
{
	return NULL;
}

void
ResourceOwnerDelete(ResourceOwner owner)
{
}

bool
AcquireExternalFD(void)
{
	if (no_fds)
		return false;
	external_fds++;
	return true;
}

void
ReleaseExternalFD(void)
{
	CHECK(external_fds > 0);
	external_fds--;
}

/* Nothing that is tried here may be an error. */
bool
errstart(int elevel, const char *domain)
{
	abort();
}

bool
errstart_cold(int elevel, const char *domain)
{
	abort();
}

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	abort();
}

int
errcode(int sqlerrcode)
{
	return 0;
}

int
errmsg(const char *fmt,...)
{
	return 0;
}

int
errmsg_internal(const char *fmt,...)
{
	return 0;
}

static int
our_clock(clockid_t id, struct timespec *now)
{
	now->tv_sec = clock_ms / 1000;
	now->tv_nsec = clock_ms % 1000 * 1000000;
	return 0;
}

/* --- clients --- */

static void
open_listener(void)
{
	BwListenerOptions options = {.addresses = "127.0.0.1",.max_connections = SERVED};
	char		error[256];

	clock_ms = 1000000;
	external_fds = 0;
	no_fds = false;
	listener = bw_listener_open(&options, error, sizeof(error));
	CHECK(listener != NULL);
}

static void
set_keys(bool others)
{
	static BwListenerKey keys[3];
	static bool made;

	if (!made)
	{
		strlcpy(keys[0].path, PATH, sizeof(keys[0].path));
		keys[0].has_credentials = true;
		keys[0].id = 1;
		bw_listener_hash(salt, USERNAME, "an older one", keys[0].hash);
		keys[1] = keys[0];
		keys[1].id = 2;
		bw_listener_hash(salt, USERNAME, PASSWORD, keys[1].hash);
		strlcpy(keys[2].path, OPEN_PATH, sizeof(keys[2].path));
		keys[2].id = 3;
		made = true;
	}
	other_keys = others;
	/* one that nobody knows, or all */
	bw_listener_set_keys(listener, keys, others ? 1 : 3);
}

static void
connect_client(Client *client)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int			pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (client - clients));
	/* a number that was another's before */
	for (int i = 0; i < CLIENTS; i++)
		if (clients[i].server_fd == pair[1])
			clients[i].server_fd = -1;
	client->fd = pair[0];
	client->server_fd = pair[1];
	CHECK(MHD_add_connection(listener->daemons[0], pair[1], (struct sockaddr *) &address,
							 sizeof(address)) == MHD_YES);
}

static void
append(Bytes *bytes, const void *more, size_t size)
{
	if (bytes->len + size > bytes->room)
	{
		bytes->room = 2 * (bytes->len + size);
		bytes->data = realloc(bytes->data, bytes->room);
		CHECK(bytes->data != NULL);
	}
	memcpy(bytes->data + bytes->len, more, size);
	bytes->len += size;
}

static void
send_more(Client *client, const void *data, size_t size)
{
	if (client->fd < 0 && !client->gone)
		connect_client(client);
	if (client->gone || client->finished || size == 0 || sent_total + size > SENT_MAX)
		return;
	sent_total += size;
	append(&client->sent, data, size);
	client->pending += size;
}

/* Write what is pending, read what has come; true: something moved. */
static bool
move(Client *client)
{
	char		buffer[8192];
	ssize_t		count = 0;
	bool		moved = false;

	if (client->fd < 0)
		return false;
	if (client->pending > 0)
	{
		count = send(client->fd, client->sent.data + client->sent.len - client->pending,
					 client->pending, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (count > 0)
			client->pending -= count;
		else if (count < 0 && errno != EAGAIN)
			client->pending = 0;
		moved = count > 0;
	}
	if (client->finished && client->pending == 0)
		(void) shutdown(client->fd, SHUT_WR);
	while ((count = recv(client->fd, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0)
	{
		append(&client->received, buffer, count);
		moved = true;
	}
	return moved;
}

static bool
move_all(void)
{
	bool		moved = false;

	for (int i = 0; i < CLIENTS; i++)
		moved = move(&clients[i]) || moved;
	return moved;
}

static void
vanish(Client *client)
{
	if (client->fd < 0)
		return;
	(void) move(client);
	close(client->fd);
	client->fd = -1;
	client->gone = true;
}

/* --- what must be so --- */

/* Are these bytes in there, in this order, if not in a row? */
static bool
is_within(const char *part, size_t len, const Bytes *whole)
{
	size_t		found = 0;

	if (memmem(whole->data, whole->len, part, len) != NULL)
		return true;
	for (size_t i = 0; i < whole->len && found < len; i++)
		if (whole->data[i] == part[found])
			found++;
	return found == len;
}

static Client *
client_of(BwParked *parked)
{
	const union MHD_ConnectionInfo *info =
	MHD_get_connection_info(parked->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	for (int i = 0; i < CLIENTS; i++)
		if (clients[i].server_fd == info->connect_fd)
			return &clients[i];
	return NULL;
}

/* Whoever is handed out. */
static void
check_parked(BwParked *parked)
{
	const BwCallback *callback = bw_listener_callback(parked);
	Client	   *client = client_of(parked);

	CHECK(client != NULL);
	CHECK(callback->body != NULL && callback->body_len <= BW_LISTENER_MAX_BODY);
	CHECK(strncmp(callback->peer, "127.0.0.", 8) == 0);
	CHECK(is_within("POST", 4, &client->sent));
	CHECK(is_within(callback->body, callback->body_len, &client->sent));
	if (strcmp(callback->path, PATH) == 0)
	{
		CHECK(callback->key_id == 2 && callback->authenticated);
		CHECK(is_within(ENCODED, strlen(ENCODED), &client->sent));
	}
	else
	{
		CHECK(strcmp(callback->path, OPEN_PATH) == 0);
		CHECK(callback->key_id == 3 && !callback->authenticated);
	}
}

static BwParked *
take(void)
{
	BwParked   *parked = bw_listener_take(listener);

	if (parked != NULL)
		check_parked(parked);
	return parked;
}

static void
give_answer(BwParked *parked, int status)
{
	if (status == 200)
		client_of(parked)->accepted++;
	bw_listener_answer(parked, status);
}

static void
answer_all(int status)
{
	BwParked   *parked;

	while ((parked = take()) != NULL)
		give_answer(parked, status);
}

static void
release(void)
{
	if (held_count == 0)
		return;
	give_answer(held[0], 503);
	memmove(held, held + 1, sizeof(held[0]) * --held_count);
}

/* What a client heard: 200 only if we said so. */
static void
check_received(const Client *client)
{
	static const char good[] = "HTTP/1.1 200 ";
	int			count = 0;

	for (size_t i = 0; i + sizeof(good) <= client->received.len; i++)
		if (memcmp(client->received.data + i, good, 5) == 0 &&
			memcmp(client->received.data + i + 8, good + 8, 5) == 0)
			count++;
	CHECK(count <= client->accepted);
}

/*
 * Run until nothing moves, as the worker's loop does.  Then it would sleep:
 * neither time-out nor descriptor may keep it awake.
 */
static void
settle(void)
{
	struct pollfd awake = {.events = POLLIN};
	int			laps = 0;
	bool		moved;

	do
	{
		const char *line;

		moved = move_all();
		bw_listener_run(listener);
		answer_all(200);
		while ((line = bw_listener_take_log(listener)) != NULL)
			CHECK(strlen(line) < BW_LOGBOOK_LINE_SIZE);
		awake.fd = bw_listener_fd(listener);
		CHECK(++laps < LAPS_MAX);
	} while (moved || bw_listener_timeout_ms(listener) == 0 || poll(&awake, 1, 0) > 0);
}

static void
check_lists(void)
{
	dlist_iter	iter;
	int			count = 0;

	dlist_foreach(iter, &listener->connections)
	{
		Connection *own = dlist_container(Connection, node, iter.cur);

		CHECK(own->listener == listener);
		CHECK(own->request == NULL || own->request->owner == own);
		count++;
	}
	CHECK(count == listener->connection_count);
	CHECK(external_fds <= count + 1);
}

/* --- one input --- */

/* False: the input ends here. */
static bool
obey(uint8_t order, Client **client)
{
	switch (order)
	{
		case ORDER_RUN:
			(void) move_all();
			bw_listener_run(listener);
			break;
		case ORDER_ANSWER:
			answer_all(200);
			break;
		case ORDER_FAIL:
			answer_all(500);
			break;
		case ORDER_HOLD:
			if (held_count < HELD_MAX && (held[held_count] = take()) != NULL)
				held_count++;
			break;
		case ORDER_RELEASE:
			release();
			break;
		case ORDER_VANISH:
			check_received(*client);
			vanish(*client);
			break;
		case ORDER_HALF_CLOSE:
			send_more(*client, "", 0);
			(*client)->finished = true;
			break;
		case ORDER_FILL:
			send_more(*client, filler, sizeof(filler));
			break;
		case ORDER_SECOND:
			clock_ms += 1000;
			break;
		case ORDER_LONG:
			clock_ms += 61000;
			break;
		case ORDER_KEYS:
			set_keys(!other_keys);
			break;
		case ORDER_LEAVE:
			bw_listener_leave_port(listener);
			break;
		case ORDER_NO_FD:
			no_fds = !no_fds;
			break;
		case ORDER_END:
			(void) move_all();
			return false;
		default:
			if (order >= ORDER_CLIENT && order < ORDER_CLIENT + CLIENTS)
				*client = &clients[order - ORDER_CLIENT];
			else
				send_more(*client, &order, 1);
	}
	return true;
}

static bool
play(const uint8_t *data, size_t size)
{
	Client	   *client = &clients[0];
	size_t		i = 0;

	while (i < size)
	{
		const uint8_t *mark = memchr(data + i, 0xff, size - i);
		size_t		len = mark ? (size_t) (mark - data) - i : size - i;

		if (len > 0)
			send_more(client, data + i, len);
		i += len;
		if (i + 1 < size && !obey(data[i + 1], &client))
			return false;
		i += 2;
		if (mark != NULL)
			check_lists();
	}
	return true;
}

/* All clients leave, and nothing of them is left. */
static void
end_of_clients(void)
{
	settle();
	while (held_count > 0)
		release();
	settle();
	for (int i = 0; i < CLIENTS; i++)
	{
		if (clients[i].fd >= 0)
			check_received(&clients[i]);
		vanish(&clients[i]);
	}
	settle();
	/* The library does not hear of every end; the sweep does. */
	clock_ms += 61000;
	settle();
	CHECK(dlist_is_empty(&listener->connections) && dlist_is_empty(&listener->ready));
	CHECK(listener->connection_count == 0 && external_fds == 1);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	for (int i = 0; i < CLIENTS; i++)
		clients[i].fd = clients[i].server_fd = -1;
	memset(filler, 'x', sizeof(filler));
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	sent_total = 0;
	open_listener();
	set_keys(false);
	if (play(data, size))
		end_of_clients();
	held_count = 0;
	bw_listener_close(listener);
	CHECK(external_fds == 0);
	for (int i = 0; i < CLIENTS; i++)
	{
		vanish(&clients[i]);
		clients[i] = (Client)
		{
			.fd = -1,.server_fd = -1,
				.sent =
			{
				clients[i].sent.data, 0, clients[i].sent.room
			},
				.received =
			{
				clients[i].received.data, 0, clients[i].received.room
			}
		};
	}
	reset_memory();
	return 0;
}
