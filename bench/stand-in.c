/*-------------------------------------------------------------------------
 *
 * stand-in.c
 *	  Bandwidth's side, as far as benchmarks need it, and faster than those who
 *	  are measured.
 *
 * One thread, one epoll.  Orders are not checked, kept or ever completed: each
 * is answered at once as RECEIVED, and a line of the log says when it came.  A
 * search is answered with as many numbers as were asked for, written once.  For
 * everything else there is the sandbox.
 *
 * bench/stand-in.c
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
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

#include "peer.h"

/* The most numbers that a search shows. */
#define QUANTITY_MAX 5000
#define READ_SIZE 65536
#define ID_SIZE 64

typedef struct Buffer
{
	char	   *data;
	size_t		len;
	size_t		room;
} Buffer;

typedef struct Conn
{
	int			fd;
	gnutls_session_t tls;
	bool		shaken;			/* hands, with TLS */
	bool		want_write;
	Buffer		in;
	Buffer		out;
	size_t		sent;
} Conn;

/* A whole request, in its connection's buffer. */
typedef struct Request
{
	char	   *line;			/* method and target, terminated */
	char	   *body;			/* not terminated */
	size_t		body_len;
	size_t		len;			/* all of it */
} Request;

typedef struct LogEntry
{
	int64_t		at_us;
	char		customer_order_id[ID_SIZE];
} LogEntry;

static int	epoll_fd;
static int	listen_fd;
static gnutls_certificate_credentials_t credentials;
static bool with_tls;
static LogEntry *entries;
static size_t entry_count;
static size_t entry_room;

/* Results of searches, by quantity; with detail, because all ask for that. */
static Buffer searches[QUANTITY_MAX + 1];

static void start(int argc, char **argv);
static void accept_conns(void);
static void on_event(Conn *conn);
static void close_conn(Conn *conn);
static bool shake_hands(Conn *conn);
static bool read_all(Conn *conn);
static bool find_request(Conn *conn, size_t from, Request *request);
static void answer(Conn *conn, const Request *request);
static void answer_order(Conn *conn, const Request *request);
static void answer_search(Conn *conn, const Request *request);
static void answer_log(Conn *conn);
static bool flush_out(Conn *conn);
static void watch(Conn *conn, int operation, bool want_write);
static void reply(Conn *conn, const char *head, const char *body, size_t len);
static void add(Buffer *buffer, const char *data, size_t len);
static void add_format(Buffer *buffer, const char *format,...) __attribute__((format(printf, 2, 3)));

int
main(int argc, char **argv)
{
	struct epoll_event events[256];

	start(argc, argv);
	for (;;)
	{
		int			count = epoll_wait(epoll_fd, events, 256, -1);

		if (count < 0 && errno != EINTR)
			die("epoll");
		for (int i = 0; i < count; i++)
		{
			if (events[i].data.ptr == NULL)
				accept_conns();
			else
				on_event(events[i].data.ptr);
		}
	}
}

/* On a free port of 127.0.0.1, which is said. */
static void
start(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET,.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLIN,.data.ptr = NULL};
	socklen_t	len = sizeof(address);

	if (argc != 1 && argc != 3)
	{
		fprintf(stderr, "Usage: stand-in [CERTIFICATE KEY]\n");
		exit(2);
	}
	signal(SIGPIPE, SIG_IGN);
	with_tls = argc == 3;
	if (with_tls &&
		(gnutls_certificate_allocate_credentials(&credentials) < 0 ||
		 gnutls_certificate_set_x509_key_file(credentials, argv[1], argv[2],
											  GNUTLS_X509_FMT_PEM) < 0))
		die("certificate");
	listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listen_fd < 0 || bind(listen_fd, (struct sockaddr *) &address, len) != 0 ||
		listen(listen_fd, 512) != 0 ||
		getsockname(listen_fd, (struct sockaddr *) &address, &len) != 0)
		die("socket");
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &event) != 0)
		die("epoll");
	printf("listening on %s://127.0.0.1:%d\n", with_tls ? "https" : "http",
		   ntohs(address.sin_port));
	fflush(stdout);
}

/* --- connections --- */

static void
accept_conns(void)
{
	int			fd;
	int			on = 1;

	/* The kernel keeps the pointer. */
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
	while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
	{
		Conn	   *conn = need(calloc(1, sizeof(Conn)));

		conn->fd = fd;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (with_tls)
		{
			if (gnutls_init(&conn->tls, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0 ||
				gnutls_set_default_priority(conn->tls) < 0 ||
				gnutls_credentials_set(conn->tls, GNUTLS_CRD_CERTIFICATE, credentials) < 0)
				die("TLS");
			gnutls_transport_set_int(conn->tls, fd);
		}
		watch(conn, EPOLL_CTL_ADD, false);
	}
}

static void
on_event(Conn *conn)
{
	Request		request;
	size_t		done = 0;
	bool		open;

	if (with_tls && !conn->shaken && !shake_hands(conn))
		return;
	open = read_all(conn);
	while (find_request(conn, done, &request))
	{
		answer(conn, &request);
		done += request.len;
	}
	memmove(conn->in.data, conn->in.data + done, conn->in.len - done);
	conn->in.len -= done;
	if (!flush_out(conn) || !open)
		close_conn(conn);
}

static void
close_conn(Conn *conn)
{
	if (conn->tls != NULL)
		gnutls_deinit(conn->tls);
	close(conn->fd);
	free(conn->in.data);
	free(conn->out.data);
	free(conn);
}

/* Returns whether requests can come now; may have closed the connection. */
static bool
shake_hands(Conn *conn)
{
	int			code = gnutls_handshake(conn->tls);

	if (code == GNUTLS_E_SUCCESS)
		conn->shaken = true;
	else if (gnutls_error_is_fatal(code))
		close_conn(conn);
	return code == GNUTLS_E_SUCCESS;
}

/* Bytes, 0: the end, negative with EAGAIN: not now. */
static ssize_t
read_some(Conn *conn, char *to, size_t room)
{
	ssize_t		n;

	if (conn->tls == NULL)
		return recv(conn->fd, to, room, 0);
	n = gnutls_record_recv(conn->tls, to, room);
	if (n < 0)
		errno = n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED ? EAGAIN : EIO;
	return n;
}

static ssize_t
send_some(Conn *conn, const char *from, size_t len)
{
	ssize_t		n;

	if (conn->tls == NULL)
		return send(conn->fd, from, len, MSG_NOSIGNAL);
	n = gnutls_record_send(conn->tls, from, len);
	if (n < 0)
		errno = n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED ? EAGAIN : EIO;
	return n;
}

/* Returns false if the other side has ended the connection. */
static bool
read_all(Conn *conn)
{
	static char chunk[READ_SIZE];

	for (;;)
	{
		ssize_t		n = read_some(conn, chunk, sizeof(chunk));

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (n == 0)
			return false;
		add(&conn->in, chunk, n);
		if ((size_t) n < sizeof(chunk) && conn->tls == NULL)
			return true;
	}
}

/* Returns false if the connection is lost. */
static bool
flush_out(Conn *conn)
{
	while (conn->sent < conn->out.len)
	{
		ssize_t		n = send_some(conn, conn->out.data + conn->sent,
								  conn->out.len - conn->sent);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (n < 0)
		{
			if (!conn->want_write)
				watch(conn, EPOLL_CTL_MOD, true);
			return true;
		}
		conn->sent += n;
	}
	conn->out.len = conn->sent = 0;
	if (conn->want_write)
		watch(conn, EPOLL_CTL_MOD, false);
	return true;
}

static void
watch(Conn *conn, int operation, bool want_write)
{
	watch_socket(epoll_fd, operation, conn->fd, want_write, conn);
	conn->want_write = want_write;
}

/* --- requests --- */

/* Is there a whole request from here on?  Bodies come with their length. */
static bool
find_request(Conn *conn, size_t from, Request *request)
{
	char	   *begin = conn->in.data + from;
	size_t		there = conn->in.len - from;
	char	   *end = there > 0 ? memmem(begin, there, "\r\n\r\n", 4) : NULL;
	char	   *line;

	if (end == NULL)
		return false;
	request->line = begin;
	request->body = end + 4;
	request->body_len = 0;
	for (line = memmem(begin, there, "\r\n", 2); line < end;
		 line = memmem(line + 2, there - (line + 2 - begin), "\r\n", 2))
		if (strncasecmp(line + 2, "Content-Length:", 15) == 0)
			request->body_len = strtoul(line + 17, NULL, 10);
	request->len = request->body - begin + request->body_len;
	if (request->len > there)
		return false;
	*(char *) memmem(begin, there, "\r\n", 2) = '\0';
	return true;
}

static void
answer(Conn *conn, const Request *request)
{
	static const char token[] =
	"{\"access_token\":\"stand-in\",\"token_type\":\"Bearer\",\"expires_in\":3600}";
	bool		post = strncmp(request->line, "POST ", 5) == 0;

	if (post && strstr(request->line, "/oauth2/token ") != NULL)
		reply(conn, "200 OK\r\nContent-Type: application/json", token, strlen(token));
	else if (post && strstr(request->line, "/orders ") != NULL)
		answer_order(conn, request);
	else if (strstr(request->line, "/availableNumbers?") != NULL)
		answer_search(conn, request);
	else if (strncmp(request->line, "GET /log ", 9) == 0)
		answer_log(conn);
	else if (strncmp(request->line, "DELETE /log ", 12) == 0)
	{
		entry_count = 0;
		reply(conn, "200 OK", "", 0);
	}
	else
		reply(conn, "404 Not Found", "", 0);
}

static void
log_order(const Request *request)
{
	static const char element[] = "<CustomerOrderId>";
	struct timespec now;
	char	   *id = memmem(request->body, request->body_len, element, strlen(element));
	char	   *end = request->body + request->body_len;
	LogEntry   *entry;
	size_t		len = 0;

	if (entry_count == entry_room)
	{
		entry_room = entry_room ? entry_room * 2 : 65536;
		entries = need(realloc(entries, entry_room * sizeof(LogEntry)));
	}
	entry = &entries[entry_count++];
	clock_gettime(CLOCK_REALTIME, &now);
	entry->at_us = now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
	if (id != NULL)
		for (id += strlen(element); id < end && *id != '<' && len < ID_SIZE - 1; id++)
			entry->customer_order_id[len++] = *id;
	entry->customer_order_id[len] = '\0';
}

/* The reply repeats the order, as Bandwidth's does. */
static void
answer_order(Conn *conn, const Request *request)
{
	static unsigned long last;
	static Buffer body;
	static Buffer head;
	char	   *order = memmem(request->body, request->body_len, "<Order>", 7);

	log_order(request);
	if (order == NULL)
	{
		reply(conn, "400 Bad Request", "", 0);
		return;
	}
	head.len = body.len = 0;
	add_format(&head, "201 Created\r\nContent-Type: application/xml\r\n"
			   "Location: /orders/00000000-0000-0000-0000-%012lx%c", ++last, '\0');
	add_format(&body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?><OrderResponse>");
	add(&body, order, request->body + request->body_len - order);
	add_format(&body, "<OrderStatus>RECEIVED</OrderStatus></OrderResponse>");
	reply(conn, head.data, body.data, body.len);
}

static void
answer_search(Conn *conn, const Request *request)
{
	char	   *parameter = strstr(request->line, "quantity=");
	unsigned long quantity = parameter ? strtoul(parameter + 9, NULL, 10) : QUANTITY_MAX;
	Buffer	   *body;

	if (quantity < 1 || quantity > QUANTITY_MAX)
		quantity = QUANTITY_MAX;
	body = &searches[quantity];
	if (body->len == 0)
	{
		add_format(body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?><SearchResult><ResultCount>%lu"
				   "</ResultCount><TelephoneNumberDetailList>", quantity);
		for (unsigned long i = 0; i < quantity; i++)
			add_format(body, "<TelephoneNumberDetail><City>RALEIGH</City><LATA>426</LATA>"
					   "<RateCenter>RALEIGH</RateCenter><State>NC</State>"
					   "<FullNumber>919200%04lu</FullNumber><Tier>0</Tier><VendorId>49</VendorId>"
					   "<VendorName>Bandwidth CLEC</VendorName></TelephoneNumberDetail>", i);
		add_format(body, "</TelephoneNumberDetailList></SearchResult>");
	}
	reply(conn, "200 OK\r\nContent-Type: application/xml", body->data, body->len);
}

/* A line for each order: when it came, in us, and its CustomerOrderId. */
static void
answer_log(Conn *conn)
{
	Buffer		body = {0};

	for (size_t i = 0; i < entry_count; i++)
		add_format(&body, "%ld %s\n", (long) entries[i].at_us, entries[i].customer_order_id);
	reply(conn, "200 OK\r\nContent-Type: text/plain", body.data, body.len);
	free(body.data);
}

/* The head is the status and the headers that are not the same in each reply. */
static void
reply(Conn *conn, const char *head, const char *body, size_t len)
{
	add_format(&conn->out, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n", head, len);
	add(&conn->out, body, len);
}

/* --- texts --- */

static void
make_room(Buffer *buffer, size_t len)
{
	if (buffer->len + len <= buffer->room)
		return;
	buffer->room = (buffer->len + len) * 2;
	buffer->data = need(realloc(buffer->data, buffer->room));
}

static void
add(Buffer *buffer, const char *data, size_t len)
{
	if (len == 0)
		return;
	make_room(buffer, len);
	memcpy(buffer->data + buffer->len, data, len);
	buffer->len += len;
}

static void
add_format(Buffer *buffer, const char *format,...)
{
	va_list		args;
	int			len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	make_room(buffer, len + 1);
	va_start(args, format);
	buffer->len += vsnprintf(buffer->data + buffer->len, len + 1, format, args);
	va_end(args);
}
