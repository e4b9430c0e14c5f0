/*-------------------------------------------------------------------------
 *
 * callback-load.c
 *	  Posts callbacks over many connections at once, and counts the answers.
 *
 * One thread, one epoll.  A call that got no answer is not made again, as
 * Bandwidth makes none again; a connection that is lost is opened anew, and
 * while nobody listens no call is spent.  So a receiver can be stopped and
 * started under it, and the log says of each call what its sender knows.
 *
 * bench/callback-load.c
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifdef HAVE_GNUTLS
#include <gnutls/gnutls.h>
#endif

#include "peer.h"

#define MAX_CONNECTIONS 1024
/* A receiver that does not listen is tried again after this. */
#define RETRY_MS 20
#define PROGRESS_MS 2000
/* Room for the head of an answer; the bodies of answers are dropped. */
#define ANSWER_SIZE 4096
/* A call's number takes the place of this in its body. */
#define NUMBER_MARK "{n}"

typedef enum ConnState
{
	CONN_WAITING,				/* no socket: opened at retry_ms */
	CONN_CONNECTING,
	CONN_HANDSHAKE,
	CONN_IDLE,					/* no call is left */
	CONN_SENDING,
	CONN_READING
} ConnState;

typedef struct Conn
{
	int			fd;
	ConnState	state;
	long		retry_ms;
	long		call;			/* being made, -1: none */
	long		began_us;
	char	   *out;
	size_t		out_len;
	size_t		out_room;
	size_t		sent;
	char		in[ANSWER_SIZE];
	size_t		in_len;
	bool		want_write;		/* as epoll was told */
#ifdef HAVE_GNUTLS
	gnutls_session_t tls;
#endif
} Conn;

/* What became of a call; status 0: no answer. */
typedef struct Result
{
	int			status;
	int			us;
} Result;

static struct
{
	struct sockaddr_in address;
	char		host[64];
	char		path[256];
	char		authorization[512];
	int			connections;
	int			repeat;
	int			limit_s;
	bool		tls;
	const char *log_file;
}			options = {.connections = 1,.repeat = 1,.limit_s = 60};

static char **bodies;
static long body_count;
static long call_count;
static long next_call;
static long finished;
static long reconnects;
static Result *results;
static Conn *conns;
static int	epoll_fd;
#ifdef HAVE_GNUTLS
static gnutls_certificate_credentials_t credentials;
#endif

static void read_options(int argc, char **argv);
static void read_bodies(void);
static bool run(void);
static void open_conn(Conn *conn);
static void lose_conn(Conn *conn);
static void on_event(Conn *conn);
static void begin_call(Conn *conn);
static void build_call(Conn *conn);
static void go_on_sending(Conn *conn);
static void go_on_reading(Conn *conn);
static bool answer_is_whole(Conn *conn, int *status, bool *close_after);
static void finish_call(Conn *conn, int status);
static void report(long began_us);

static long
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000L + now.tv_nsec / 1000L;
}

int
main(int argc, char **argv)
{
	long		began_us;
	bool		whole;

	read_options(argc, argv);
	read_bodies();
#ifdef HAVE_GNUTLS
	if (options.tls && (gnutls_certificate_allocate_credentials(&credentials) < 0))
		die("TLS");
#endif
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		die("epoll");
	conns = need(calloc(options.connections, sizeof(Conn)));
	results = need(calloc(call_count, sizeof(Result)));
	for (int i = 0; i < options.connections; i++)
	{
		conns[i].fd = conns[i].call = -1;
		open_conn(&conns[i]);
	}
	began_us = now_us();
	whole = run();
	report(began_us);
	if (!whole)
		fprintf(stderr, "callback-load: not done after %d s\n", options.limit_s);
	return whole ? 0 : 1;
}

static void
usage(FILE *file)
{
	fprintf(file,
			"Usage: callback-load [OPTION]... ADDRESS:PORT/PATH <bodies\n\n"
			"Posts each line of its input as a callback, and counts the answers.\n"
			"%s in a body is replaced by the call's number.\n\n"
			"  --connections N    how many at once (default 1)\n"
			"  --user NAME:PASSWORD\n"
			"  --repeat N         make all the calls N times (default 1)\n"
			"  --limit SECONDS    give up after that (default 60)\n"
			"  --log FILE         a line for each call: number, status (0: no answer),\n"
			"                     microseconds\n"
			"  --tls              certificates are not looked at\n", NUMBER_MARK);
}

static void
set_user(const char *user)
{
	static const char digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t		len = strlen(user);
	char	   *out = options.authorization;

	if (len > 256)
	{
		errno = E2BIG;
		die("--user");
	}
	out += sprintf(out, "Authorization: Basic ");
	for (size_t i = 0; i < len; i += 3)
	{
		unsigned	bits = (unsigned char) user[i] << 16;

		bits |= i + 1 < len ? (unsigned char) user[i + 1] << 8 : 0;
		bits |= i + 2 < len ? (unsigned char) user[i + 2] : 0;
		*out++ = digits[bits >> 18];
		*out++ = digits[bits >> 12 & 63];
		*out++ = i + 1 < len ? digits[bits >> 6 & 63] : '=';
		*out++ = i + 2 < len ? digits[bits & 63] : '=';
	}
	strcpy(out, "\r\n");
}

static void
set_target(const char *target)
{
	char		address[32];
	int			port;

	if (sscanf(target, "%31[0-9.]:%d%255s", address, &port, options.path) != 3 ||
		inet_pton(AF_INET, address, &options.address.sin_addr) != 1)
	{
		usage(stderr);
		exit(2);
	}
	options.address.sin_family = AF_INET;
	options.address.sin_port = htons(port);
	snprintf(options.host, sizeof(options.host), "%s:%d", address, port);
}

static void
read_options(int argc, char **argv)
{
	static const struct option known[] = {
		{"connections", required_argument, NULL, 'c'},
		{"user", required_argument, NULL, 'u'},
		{"repeat", required_argument, NULL, 'r'},
		{"limit", required_argument, NULL, 'l'},
		{"log", required_argument, NULL, 'o'},
		{"tls", no_argument, NULL, 't'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	int			c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1)
		switch (c)
		{
			case 'c':
				options.connections = atoi(optarg);
				break;
			case 'u':
				set_user(optarg);
				break;
			case 'r':
				options.repeat = atoi(optarg);
				break;
			case 'l':
				options.limit_s = atoi(optarg);
				break;
			case 'o':
				options.log_file = optarg;
				break;
			case 't':
				options.tls = true;
				break;
			default:
				usage(c == 'h' ? stdout : stderr);
				exit(c == 'h' ? 0 : 2);
		}
#ifndef HAVE_GNUTLS
	if (options.tls)
	{
		fprintf(stderr, "callback-load: built without TLS\n");
		exit(2);
	}
#endif
	if (optind != argc - 1 || options.connections < 1 || options.repeat < 1 ||
		options.connections > MAX_CONNECTIONS)
	{
		usage(stderr);
		exit(2);
	}
	set_target(argv[optind]);
}

static void
read_bodies(void)
{
	long		room = 0;
	char	   *line = NULL;
	size_t		size = 0;
	ssize_t		len;

	while ((len = getline(&line, &size, stdin)) > 0)
	{
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		if (body_count == room)
		{
			room = room ? room * 2 : 1024;
			bodies = need(realloc(bodies, sizeof(char *) * room));
		}
		bodies[body_count++] = need(strdup(line));
	}
	free(line);
	call_count = body_count * options.repeat;
	if (call_count == 0)
	{
		fprintf(stderr, "callback-load: no bodies\n");
		exit(2);
	}
}

/* Open what waits for another try; returns whether anything still waits. */
static bool
open_waiting(long now_ms)
{
	bool		waiting = false;

	for (int i = 0; i < options.connections; i++)
	{
		if (conns[i].state == CONN_WAITING && conns[i].retry_ms <= now_ms)
			open_conn(&conns[i]);
		waiting = waiting || conns[i].state == CONN_WAITING;
	}
	return waiting;
}

/* Returns false if the time was over first. */
static bool
run(void)
{
	struct epoll_event events[256];
	long		began_ms = now_us() / 1000;
	long		shown_ms = began_ms;
	long		looked_ms = began_ms;
	bool		waiting = true;

	while (finished < call_count)
	{
		int			count = epoll_wait(epoll_fd, events, 256,
									   waiting ? RETRY_MS : 1000);
		long		now_ms = now_us() / 1000;

		if (count < 0 && errno != EINTR)
			die("epoll");
		for (int i = 0; i < count; i++)
			on_event(events[i].data.ptr);
		if (now_ms - looked_ms >= RETRY_MS)
		{
			waiting = open_waiting(now_ms);
			looked_ms = now_ms;
		}
		if (now_ms - shown_ms >= PROGRESS_MS)
		{
			fprintf(stderr, "%ld of %ld calls\n", finished, call_count);
			shown_ms = now_ms;
		}
		if (now_ms - began_ms > options.limit_s * 1000L)
			return false;
	}
	return true;
}

/* --- connections --- */

static void
watch(Conn *conn, int operation, bool want_write)
{
	watch_socket(epoll_fd, operation, conn->fd, want_write, conn);
	conn->want_write = want_write;
}

static void
open_conn(Conn *conn)
{
	int			on = 1;

	conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (conn->fd < 0)
		die("socket");
	setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	conn->in_len = 0;
	conn->state = CONN_CONNECTING;
	if (connect(conn->fd, (struct sockaddr *) &options.address,
				sizeof(options.address)) != 0 && errno != EINPROGRESS)
	{
		lose_conn(conn);
		return;
	}
	watch(conn, EPOLL_CTL_ADD, true);
#ifdef HAVE_GNUTLS
	if (options.tls)
	{
		if (gnutls_init(&conn->tls, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0 ||
			gnutls_set_default_priority(conn->tls) < 0 ||
			gnutls_credentials_set(conn->tls, GNUTLS_CRD_CERTIFICATE, credentials) < 0)
			die("TLS");
		gnutls_transport_set_int(conn->tls, conn->fd);
	}
#endif
}

/* A call that was under way is lost with it. */
static void
lose_conn(Conn *conn)
{
#ifdef HAVE_GNUTLS
	if (conn->tls != NULL)
		gnutls_deinit(conn->tls);
	conn->tls = NULL;
#endif
	close(conn->fd);
	conn->fd = -1;
	if (conn->state >= CONN_IDLE)
		reconnects++;
	conn->state = CONN_WAITING;
	conn->retry_ms = now_us() / 1000 + RETRY_MS;
	if (conn->call >= 0)
		finish_call(conn, 0);
}

/* Bytes, 0: would block, -1: the connection is lost. */
static ssize_t
conn_send(Conn *conn)
{
	ssize_t		n;

#ifdef HAVE_GNUTLS
	if (conn->tls != NULL)
	{
		n = gnutls_record_send(conn->tls, conn->out + conn->sent,
							   conn->out_len - conn->sent);
		return n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED ? 0 : n <= 0 ? -1 : n;
	}
#endif
	n = send(conn->fd, conn->out + conn->sent, conn->out_len - conn->sent,
			 MSG_NOSIGNAL);
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : n;
}

static ssize_t
conn_read(Conn *conn)
{
	size_t		room = sizeof(conn->in) - 1 - conn->in_len;
	ssize_t		n;

#ifdef HAVE_GNUTLS
	if (conn->tls != NULL)
	{
		n = gnutls_record_recv(conn->tls, conn->in + conn->in_len, room);
		return n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED ? 0 : n <= 0 ? -1 : n;
	}
#endif
	n = recv(conn->fd, conn->in + conn->in_len, room, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	return n == 0 ? -1 : n;
}

/* What the library has decrypted already makes no socket readable. */
static bool
more_to_read(Conn *conn)
{
#ifdef HAVE_GNUTLS
	return conn->tls != NULL && gnutls_record_check_pending(conn->tls) > 0;
#else
	return false;
#endif
}

/* Returns whether the connection can carry calls now. */
static bool
shake_hands(Conn *conn)
{
#ifdef HAVE_GNUTLS
	if (conn->tls != NULL)
	{
		int			code = gnutls_handshake(conn->tls);

		if (code == GNUTLS_E_SUCCESS)
			return true;
		if (gnutls_error_is_fatal(code))
			lose_conn(conn);
		else if (conn->want_write != (gnutls_record_get_direction(conn->tls) == 1))
			watch(conn, EPOLL_CTL_MOD, !conn->want_write);
		return false;
	}
#endif
	return conn->fd >= 0;
}

static void
on_event(Conn *conn)
{
	int			error = 0;
	socklen_t	len = sizeof(error);

	switch (conn->state)
	{
		case CONN_WAITING:
			break;
		case CONN_CONNECTING:
			if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 ||
				error != 0)
			{
				lose_conn(conn);
				break;
			}
			conn->state = CONN_HANDSHAKE;
			/* FALLTHROUGH */
		case CONN_HANDSHAKE:
			if (shake_hands(conn))
				begin_call(conn);
			break;
		case CONN_SENDING:
			go_on_sending(conn);
			break;
		case CONN_IDLE:
		case CONN_READING:
			do
				go_on_reading(conn);
			while (more_to_read(conn));
			break;
	}
}

/* --- calls --- */

static void
begin_call(Conn *conn)
{
	conn->in_len = 0;
	if (next_call == call_count)
	{
		conn->state = CONN_IDLE;
		if (conn->want_write)
			watch(conn, EPOLL_CTL_MOD, false);
		return;
	}
	conn->call = next_call++;
	build_call(conn);
	conn->state = CONN_SENDING;
	conn->began_us = now_us();
	go_on_sending(conn);
}

static void
build_call(Conn *conn)
{
	const char *body = bodies[conn->call % body_count];
	const char *mark = strstr(body, NUMBER_MARK);
	size_t		len = strlen(body);
	size_t		before = mark ? (size_t) (mark - body) : len;
	char		number[24] = "";
	int			head;

	if (mark != NULL)
	{
		int			digits = sprintf(number, "%ld", conn->call);

		len += digits - strlen(NUMBER_MARK);
	}
	if (conn->out_room < len + 2048)
	{
		conn->out_room = (len + 2048) * 2;
		conn->out = need(realloc(conn->out, conn->out_room));
	}
	head = snprintf(conn->out, conn->out_room,
					"POST %s HTTP/1.1\r\nHost: %s\r\n%s"
					"Content-Type: application/xml\r\nContent-Length: %zu\r\n\r\n",
					options.path, options.host, options.authorization, len);
	conn->out_len = head + sprintf(conn->out + head, "%.*s%s%s", (int) before, body,
								   number, mark ? mark + strlen(NUMBER_MARK) : "");
	conn->sent = 0;
}

static void
go_on_sending(Conn *conn)
{
	while (conn->sent < conn->out_len)
	{
		ssize_t		n = conn_send(conn);

		if (n < 0)
		{
			lose_conn(conn);
			return;
		}
		if (n == 0)
		{
			if (!conn->want_write)
				watch(conn, EPOLL_CTL_MOD, true);
			return;
		}
		conn->sent += n;
	}
	if (conn->want_write)
		watch(conn, EPOLL_CTL_MOD, false);
	conn->state = CONN_READING;
}

static void
go_on_reading(Conn *conn)
{
	ssize_t		n = conn_read(conn);
	int			status;
	bool		close_after;

	if (n < 0)
	{
		lose_conn(conn);
		return;
	}
	conn->in_len += n;
	if (conn->state != CONN_READING || !answer_is_whole(conn, &status, &close_after))
	{
		/* more than an answer's head, or what nobody asked for */
		if (conn->in_len == sizeof(conn->in) - 1 ||
			(conn->state == CONN_IDLE && conn->in_len > 0))
			lose_conn(conn);
		return;
	}
	finish_call(conn, status);
	if (close_after)
		lose_conn(conn);
	else
		begin_call(conn);
}

static bool
answer_is_whole(Conn *conn, int *status, bool *close_after)
{
	char	   *end;
	char	   *line;
	long		length = 0;

	conn->in[conn->in_len] = '\0';
	end = strstr(conn->in, "\r\n\r\n");
	if (end == NULL || sscanf(conn->in, "HTTP/1.%*d %d", status) != 1)
		return false;
	*close_after = false;
	for (line = strstr(conn->in, "\r\n"); line < end; line = strstr(line + 2, "\r\n"))
	{
		if (strncasecmp(line + 2, "Content-Length:", 15) == 0)
			length = atol(line + 17);
		else if (strncasecmp(line + 2, "Connection: close", 17) == 0)
			*close_after = true;
	}
	return conn->in_len >= (size_t) (end + 4 - conn->in) + length;
}

static void
finish_call(Conn *conn, int status)
{
	results[conn->call].status = status;
	results[conn->call].us = (int) (now_us() - conn->began_us);
	conn->call = -1;
	finished++;
}

/* --- what is said at the end --- */

static int
compare_ints(const void *a, const void *b)
{
	int			x = *(const int *) a;
	int			y = *(const int *) b;

	return (x > y) - (x < y);
}

static void
write_log(void)
{
	FILE	   *file = fopen(options.log_file, "w");

	if (file == NULL)
		die(options.log_file);
	for (long i = 0; i < next_call; i++)
		fprintf(file, "%ld %d %d\n", i, results[i].status, results[i].us);
	if (fclose(file) != 0)
		die(options.log_file);
}

static void
report(long began_us)
{
	double		seconds = (now_us() - began_us) / 1e6;
	int		   *times = need(malloc(sizeof(int) * call_count));
	long		good = 0;
	long		lost = 0;

	for (long i = 0; i < next_call; i++)
	{
		if (results[i].status == 200)
			times[good++] = results[i].us;
		else if (results[i].status == 0)
			lost++;
	}
	qsort(times, good, sizeof(int), compare_ints);
	printf("calls %ld\n", finished);
	printf("answered_200 %ld\n", good);
	printf("answered_else %ld\n", finished - good - lost);
	printf("lost %ld\n", lost);
	printf("reconnects %ld\n", reconnects);
	printf("seconds %.3f\n", seconds);
	printf("per_second %.0f\n", good / seconds);
	printf("p50_us %d\n", good > 0 ? times[good / 2] : 0);
	printf("p99_us %d\n", good > 0 ? times[good * 99 / 100] : 0);
	if (options.log_file != NULL)
		write_log();
}
