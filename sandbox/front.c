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

static struct MHD_Daemon *front;
static char *last_query;		/* of the request whose URI is being parsed */

typedef struct Exchange
{
	struct MHD_Connection *connection;
	char	   *query;
	Text		body;
	bool		answered;		/* the reply below is made */
	Reply		reply;
	size_t		dripped;
	bool		gone;			/* the client left while we waited */
	bool		waiting;		/* suspended */
} Exchange;

static void *
note_uri(void *arg, const char *uri, struct MHD_Connection *connection)
{
	const char *question = strchr(uri, '?');

	(void) arg;
	(void) connection;
	free(last_query);
	last_query = strdup(question ? question + 1 : "");
	return NULL;
}

static void
resume(void *arg)
{
	Exchange   *exchange = arg;

	exchange->waiting = false;
	MHD_resume_connection(exchange->connection);
}

static void
reset_connection(struct MHD_Connection *connection)
{
	struct linger hard = {.l_onoff = 1,.l_linger = 0};
	const union MHD_ConnectionInfo *info =
	MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (info != NULL)
		setsockopt(info->connect_fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

static ssize_t
drip(void *arg, uint64_t position, char *buffer, size_t max)
{
	Exchange   *exchange = arg;

	(void) max;
	if (position >= exchange->reply.body.len)
		return MHD_CONTENT_READER_END_OF_STREAM;
	buffer[0] = exchange->reply.body.data[position];
	if (position > 0)
	{
		exchange->waiting = true;
		MHD_suspend_connection(exchange->connection);
		timer_add(now_us() + 1000000, resume, exchange);
	}
	return 1;
}

static enum MHD_Result
send_reply(Exchange *exchange)
{
	Reply	   *reply = &exchange->reply;
	struct MHD_Response *response;
	enum MHD_Result result;
	char		text[40];

	if (reply->drip)
		response = MHD_create_response_from_callback(reply->body.len, 1, drip, exchange, NULL);
	else
		response = MHD_create_response_from_buffer(reply->body.len,
												   reply->body.data ? reply->body.data : "",
												   MHD_RESPMEM_MUST_COPY);
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
	result = MHD_queue_response(exchange->connection, (unsigned) reply->status, response);
	MHD_destroy_response(response);
	return result;
}

static void
make_reply(Exchange *exchange, const char *url, const char *method)
{
	Request		request = {.method = method,.path = url,.query = exchange->query,
		.body = exchange->body.data ? exchange->body.data : "",
	.body_len = exchange->body.len,.connection = exchange->connection};

	request.authorization =
		MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, "Authorization");
	exchange->reply.status = 200;
	if (strncmp(url, "/sandbox/", 9) == 0)
		control_answer(&request, &exchange->reply);
	else
		api_answer(&request, &exchange->reply);
	for (int i = 0; i < request.part_count; i++)
		free(request.parts[i]);
	exchange->answered = true;
}

static enum MHD_Result
handle(void *arg, struct MHD_Connection *connection, const char *url,
	   const char *method, const char *version, const char *data,
	   size_t *size, void **state)
{
	Exchange   *exchange = *state;

	(void) arg;
	(void) version;
	if (exchange == NULL)
	{
		exchange = calloc(1, sizeof(Exchange));
		exchange->connection = connection;
		exchange->query = last_query ? last_query : strdup("");
		last_query = NULL;
		*state = exchange;
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
		if (exchange->reply.fate == FATE_HANG || exchange->reply.delay_ms > 0)
		{
			exchange->waiting = true;
			MHD_suspend_connection(connection);
			/* A hanging one ends with its client, or with the sandbox. */
			timer_add(now_us() + (exchange->reply.fate == FATE_HANG
								  ? INT64_C(3600000000)
								  : exchange->reply.delay_ms * 1000), resume, exchange);
			return MHD_YES;
		}
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
							 MHD_OPTION_URI_LOG_CALLBACK, note_uri, NULL,
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

void
front_close(void)
{
	/*
	 * Suspended connections would block a clean stop; the process ends
	 * anyway.
	 */
	MHD_quiesce_daemon(front);
	free(last_query);
	last_query = NULL;
}
