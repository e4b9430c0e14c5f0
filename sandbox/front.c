/*
 * front.c
 *	  HTTP: takes requests in, lets the API or the control answer, and gives
 *	  each answer the fate that a fault wants for it.
 */
#include "sandbox.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Bodies below this gain nothing by compression. */
#define GZIP_MIN 1024

typedef struct Exchange
{
	struct Exchange *next;		/* of those that wait */
	struct MHD_Connection *connection;
	char	   *query;
	Text		body;
	bool		begun;			/* the headers are there */
	bool		answered;		/* the reply below is made */
	bool		timed;			/* a timer will end its wait */
	bool		may_gzip;
	uint64_t	dripped;		/* how much of a dripping body may go out */
	Reply		reply;
} Exchange;

static struct MHD_Daemon *front;
static Exchange *waiting;		/* suspended ones */

/* The first that is heard of a request; what it returns becomes its state. */
static void *
begin_exchange(void *arg, const char *uri, struct MHD_Connection *connection)
{
	const char *question = strchr(uri, '?');
	Exchange   *exchange = calloc(1, sizeof(Exchange));

	(void) arg;
	exchange->connection = connection;
	exchange->query = strdup(question ? question + 1 : "");
	return exchange;
}

static void timed_go_on(void *arg);

/* It may end before its time, by a delivery or by the end of the faults. */
static void
end_wait(Exchange *exchange)
{
	Exchange  **link = &waiting;

	if (exchange->timed)
		timer_cancel(timed_go_on, exchange);
	exchange->timed = false;
	while (*link != NULL && *link != exchange)
		link = &(*link)->next;
	if (*link != NULL)
		*link = exchange->next;
}

static void
go_on(Exchange *exchange)
{
	end_wait(exchange);
	MHD_resume_connection(exchange->connection);
}

static void
timed_go_on(void *arg)
{
	((Exchange *) arg)->timed = false;
	go_on(arg);
}

/* "delay_ms" below 0: until somebody calls go_on. */
static void
make_wait(Exchange *exchange, long delay_ms)
{
	exchange->next = waiting;
	waiting = exchange;
	MHD_suspend_connection(exchange->connection);
	exchange->timed = delay_ms >= 0;
	if (exchange->timed)
		timer_add(now_us() + delay_ms * 1000, timed_go_on, exchange);
}

void
front_delivered(const char *order_id)
{
	Exchange   *next;

	for (Exchange *e = waiting; e != NULL; e = next)
	{
		next = e->next;
		if (e->reply.after[0] != '\0' && strcmp(e->reply.after, order_id) == 0 &&
			!deliveries_open(order_id))
			go_on(e);
	}
}

void
front_hang_up(void)
{
	Exchange   *next;

	for (Exchange *e = waiting; e != NULL; e = next)
	{
		next = e->next;
		if (e->reply.fate == FATE_HANG || e->reply.after[0] != '\0')
			go_on(e);
	}
}

/*
 * Reset it now.  The library, which closes it afterwards, would shut it down
 * in order first, and a client would not see a reset even with SO_LINGER.
 */
static void
reset_connection(struct MHD_Connection *connection)
{
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	const union MHD_ConnectionInfo *info =
	MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (info != NULL)
		(void) connect(info->connect_fd, &nobody, sizeof(nobody));
}

static ssize_t
drip(void *arg, uint64_t position, char *buffer, size_t max)
{
	Exchange   *exchange = arg;

	(void) max;
	if (position >= exchange->reply.body.len)
		return MHD_CONTENT_READER_END_OF_STREAM;

	/*
	 * A reader that suspends must give nothing: the library would go on to
	 * send it, and could end the connection that is to be resumed later.
	 */
	if (position > exchange->dripped)
	{
		exchange->dripped = position;
		make_wait(exchange, 1000);
		return 0;
	}
	buffer[0] = exchange->reply.body.data[position];
	return 1;
}

static struct MHD_Response *
make_response(Exchange *exchange)
{
	Reply	   *reply = &exchange->reply;
	bool		packed = exchange->may_gzip && reply->body.len > GZIP_MIN &&
	!reply->drip && gzip_text(&reply->body);
	struct MHD_Response *response;

	if (reply->drip)
		return MHD_create_response_from_callback(reply->body.len, 1, drip, exchange, NULL);
	response = MHD_create_response_from_buffer(reply->body.len,
											   reply->body.data ? reply->body.data : "",
											   MHD_RESPMEM_MUST_COPY);
	if (packed)
	{
		MHD_add_response_header(response, "Content-Encoding", "gzip");
		MHD_add_response_header(response, "Vary", "Accept-Encoding");
	}
	return response;
}

static void
add_headers(struct MHD_Response *response, const Reply *reply)
{
	char		text[40];

	if (reply->body.len > 0)
		MHD_add_response_header(response, "Content-Type",
								reply->content_type ? reply->content_type
								: "application/xml; charset=utf-8");
	if (reply->location[0] != '\0')
		MHD_add_response_header(response, "Location", reply->location);
	if (reply->rate_limit_reset > 0)
	{
		snprintf(text, sizeof(text), "%ld", reply->rate_limit_reset);
		MHD_add_response_header(response, "X-RateLimit-Reset", text);
	}
	if (reply->status == 429)
		MHD_add_response_header(response, "Connection", "close");
	if (reply->status == 401)
		MHD_add_response_header(response, "WWW-Authenticate", "Basic realm=\"Bandwidth\"");
}

static enum MHD_Result
send_reply(Exchange *exchange)
{
	struct MHD_Response *response = make_response(exchange);
	enum MHD_Result result;

	add_headers(response, &exchange->reply);
	result = MHD_queue_response(exchange->connection, (unsigned) exchange->reply.status, response);
	MHD_destroy_response(response);
	return result;
}

static const char *
header(Exchange *exchange, const char *name)
{
	return MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
}

static void
make_reply(Exchange *exchange, const char *url, const char *method)
{
	Request		request = {.method = method,.path = url,.query = exchange->query,
		.body = exchange->body.data ? exchange->body.data : "",
	.body_len = exchange->body.len};

	request.authorization = header(exchange, "Authorization");
	request.host = header(exchange, "Host");
	exchange->reply.status = 200;
	if (strncmp(url, "/sandbox/", 9) == 0)
		control_answer(&request, &exchange->reply);
	else
	{
		exchange->may_gzip = config.gzip && gzip_accepted(header(exchange, "Accept-Encoding"));
		api_answer(&request, &exchange->reply);
	}
	for (int i = 0; i < request.part_count; i++)
		free(request.parts[i]);
	exchange->answered = true;
}

/* Suspend it if its reply shall come later, or never; false: now. */
static bool
put_off(Exchange *exchange)
{
	const Reply *reply = &exchange->reply;

	/* A hanging one ends with a reset, or with the sandbox. */
	if (reply->fate == FATE_HANG)
		make_wait(exchange, -1);
	else if (reply->after[0] != '\0' && deliveries_open(reply->after))
		make_wait(exchange, -1);
	else if (reply->delay_ms > 0)
		make_wait(exchange, reply->delay_ms);
	else
		return false;
	return true;
}

static enum MHD_Result
handle(void *arg, struct MHD_Connection *connection, const char *url,
	   const char *method, const char *version, const char *data,
	   size_t *size, void **state)
{
	Exchange   *exchange = *state;

	(void) arg;
	(void) version;
	if (!exchange->begun)
	{
		exchange->begun = true;
		return MHD_YES;
	}
	if (*size > 0)
	{
		text_add_bytes(&exchange->body, data, *size);
		*size = 0;
		return MHD_YES;
	}
	if (!exchange->answered)
	{
		make_reply(exchange, url, method);
		if (put_off(exchange))
			return MHD_YES;
	}
	if (exchange->reply.fate == FATE_RESET)
		reset_connection(connection);
	if (exchange->reply.fate != FATE_ANSWER)
		return MHD_NO;
	return send_reply(exchange);
}

static void
completed(void *arg, struct MHD_Connection *connection, void **state,
		  enum MHD_RequestTerminationCode code)
{
	Exchange   *exchange = *state;

	(void) arg;
	(void) connection;
	(void) code;
	if (exchange == NULL)
		return;
	/* later versions of the library complete what is suspended, too */
	end_wait(exchange);
	free(exchange->query);
	text_free(&exchange->body);
	text_free(&exchange->reply.body);
	free(exchange);
	*state = NULL;
}

bool
front_open(const char *address, int port, int *bound_port)
{
	struct sockaddr_in in = {.sin_family = AF_INET,.sin_port = htons((uint16_t) port)};
	const union MHD_DaemonInfo *info;

	if (inet_pton(AF_INET, address, &in.sin_addr) != 1)
		return false;
	front = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
							 handle, NULL,
							 MHD_OPTION_SOCK_ADDR, &in,
							 MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u,
							 MHD_OPTION_CONNECTION_LIMIT, 4000u,
							 MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) 64 * 1024,
							 MHD_OPTION_URI_LOG_CALLBACK, begin_exchange, NULL,
							 MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
							 MHD_OPTION_END);
	if (front == NULL)
		return false;
	info = MHD_get_daemon_info(front, MHD_DAEMON_INFO_BIND_PORT);
	*bound_port = info->port;
	return true;
}

int
front_fd(void)
{
	return MHD_get_daemon_info(front, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

long
front_timeout_ms(void)
{
	MHD_UNSIGNED_LONG_LONG ms;

	return MHD_get_timeout(front, &ms) == MHD_YES ? (long) ms : -1;
}

void
front_run(void)
{
	MHD_run(front);
}

/* Whoever still waits is cut off: the library refuses to stop over them. */
void
front_close(void)
{
	timer_cancel(timed_go_on, NULL);
	while (waiting != NULL)
		go_on(waiting);
	MHD_stop_daemon(front);
}
