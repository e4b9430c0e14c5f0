/*
 * callbacks.c
 *	  Delivery of callbacks.
 *
 * Bandwidth's "Webhooks": the first request carries no credentials and wants a
 * challenge, only 200 counts, nothing is repeated, and the outcome of the last
 * delivery is the subscription's Status.
 */
#include "sandbox.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* One under way: waiting for its time, held back, or on the wire. */
typedef struct Flight
{
	struct Flight *next;
	long		seq;
	char		subscription[40];
	char		order_id[40];
	char	   *url;
	char	   *body;
	char	   *certificate;	/* PEM; NULL: any will do */
	char	   *username;
	char	   *password;
	bool		with_credentials;
	bool		held;			/* until a later one has ended */
	CURL	   *easy;
	struct curl_slist *headers;
	int64_t		at_us;
	Text		answer;			/* the first bytes of it */
} Flight;

typedef struct Delivered
{
	char		subscription[40];
	char		order_id[40];
	long		status;
	int64_t		at_us;
} Delivered;

/* Bytes of an answer that the subscription's Status shows. */
#define ANSWER_MAX 100

static Flight *flights;
static long next_seq = 1;

static Delivered *delivered;
static long delivered_count;
static long delivered_room;

static CURLM *multi;
static int	epoll_set = -1;
static int64_t curl_due_us = -1;

static void send_flight(void *arg);

/* --- one delivery --- */

void
delivery_start(const Delivery *delivery)
{
	Flight	   *f = calloc(1, sizeof(Flight));

	f->seq = next_seq++;
	snprintf(f->subscription, sizeof(f->subscription), "%s", delivery->subscription);
	snprintf(f->order_id, sizeof(f->order_id), "%s",
			 delivery->order_id ? delivery->order_id : "");
	f->url = strdup(delivery->url);
	f->body = strdup(delivery->body);
	f->certificate = copy_string(delivery->certificate);
	f->username = copy_string(delivery->username);
	f->password = copy_string(delivery->password);
	f->with_credentials = f->username != NULL && config.eager_credentials;
	f->held = delivery->hold;
	f->next = flights;
	flights = f;
	/* One that is held without a delay waits for its successor alone. */
	if (!f->held || delivery->delay_ms > 0)
		timer_add(now_us() + delivery->delay_ms * 1000, send_flight, f);
}

bool
deliveries_open(const char *order_id)
{
	for (const Flight *f = flights; f != NULL; f = f->next)
		if (!f->held && strcmp(f->order_id, order_id) == 0)
			return true;
	return false;
}

static void
end_request(Flight *f)
{
	if (f->easy != NULL)
	{
		curl_multi_remove_handle(multi, f->easy);
		curl_easy_cleanup(f->easy);
	}
	f->easy = NULL;
	text_free(&f->answer);
}

static void
free_flight(Flight *f)
{
	Flight	  **link = &flights;

	while (*link != f)
		link = &(*link)->next;
	*link = f->next;
	if (f->at_us == 0)
		timer_cancel(send_flight, f);
	end_request(f);
	curl_slist_free_all(f->headers);
	free(f->url);
	free(f->body);
	free(f->certificate);
	free(f->username);
	free(f->password);
	free(f);
}

static size_t
take_answer(char *data, size_t size, size_t count, void *arg)
{
	Flight	   *f = arg;
	size_t		room = ANSWER_MAX - f->answer.len;

	text_add_bytes(&f->answer, data, size * count < room ? size * count : room);
	return size * count;
}

static bool
to_loopback(const char *url)
{
	const char *host = strstr(url, "://");

	return host != NULL && (strncmp(host + 3, "127.", 4) == 0 ||
							strncmp(host + 3, "localhost", 9) == 0);
}

/*
 * Loopback only: without a PublicKey, a certificate of the test's own is as
 * good as any.
 */
static void
trust(CURL *easy, const char *certificate)
{
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, certificate != NULL ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	if (certificate != NULL)
	{
		struct curl_blob blob = {(void *) certificate, strlen(certificate), CURL_BLOB_COPY};

		curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
	}
}

static void
send_flight(void *arg)
{
	Flight	   *f = arg;
	CURL	   *easy = curl_easy_init();

	f->easy = easy;
	f->held = false;
	f->at_us = now_us();
	if (f->headers == NULL)
	{
		f->headers = curl_slist_append(NULL, "Content-Type: application/xml; charset=utf-8");
		f->headers = curl_slist_append(f->headers, "Expect:");
	}
	curl_easy_setopt(easy, CURLOPT_URL, to_loopback(f->url) ? f->url : "http://127.0.0.1:1/refused");
	curl_easy_setopt(easy, CURLOPT_PRIVATE, f);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, f->body);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, f->headers);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_answer);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, f);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 10000L);
	trust(easy, f->certificate);
	if (f->with_credentials)
	{
		curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC);
		curl_easy_setopt(easy, CURLOPT_USERNAME, f->username);
		curl_easy_setopt(easy, CURLOPT_PASSWORD, f->password);
	}
	curl_multi_add_handle(multi, easy);
}

/* --- its end --- */

static void
note_delivered(const Flight *f, long status)
{
	Delivered  *row;

	if (delivered_count == delivered_room)
	{
		delivered_room = delivered_room ? delivered_room * 2 : 256;
		delivered = realloc(delivered, (size_t) delivered_room * sizeof(Delivered));
	}
	row = &delivered[delivered_count++];
	snprintf(row->subscription, sizeof(row->subscription), "%s", f->subscription);
	snprintf(row->order_id, sizeof(row->order_id), "%s", f->order_id);
	row->status = status;
	row->at_us = f->at_us;
}

/* What the subscription's Status says from now on. */
static void
note_status(const Flight *f, CURLcode code, long status)
{
	char		text[200];

	if (status == 200)
		snprintf(text, sizeof(text), "200 OK");
	else
		snprintf(text, sizeof(text), "%ld %s", status,
				 code != CURLE_OK ? curl_easy_strerror(code)
				 : f->answer.data ? f->answer.data : "");
	subscription_note(f->subscription, text);
}

/* Those that were held back for a later one to go first. */
static void
release_older(long seq)
{
	for (Flight *f = flights; f != NULL; f = f->next)
		if (f->held && f->seq < seq)
		{
			timer_cancel(send_flight, f);
			send_flight(f);
		}
}

/* A challenge is answered once; every other outcome is the last word. */
static void
finish_flight(Flight *f, CURLcode code)
{
	long		status = 0;
	long		seq = f->seq;
	char		order_id[40];

	if (code == CURLE_OK)
		curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status == 401 && !f->with_credentials && f->username != NULL)
	{
		end_request(f);
		f->with_credentials = true;
		send_flight(f);
		return;
	}
	note_status(f, code, status);
	note_delivered(f, status);
	memcpy(order_id, f->order_id, sizeof(order_id));
	free_flight(f);
	release_older(seq);
	front_delivered(order_id);
}

void
callbacks_reset(void)
{
	while (flights != NULL)
		free_flight(flights);
	free(delivered);
	delivered = NULL;
	delivered_count = delivered_room = 0;
}

void
callbacks_json(Text *out)
{
	text_add(out, "[");
	for (long i = 0; i < delivered_count; i++)
		text_add(out, "%s{\"subscription_id\":\"%s\",\"order_id\":\"%s\",\"status\":%ld,\"at_us\":%lld}",
				 i ? ",\n" : "", delivered[i].subscription, delivered[i].order_id,
				 delivered[i].status, (long long) delivered[i].at_us);
	text_add(out, "]");
}

/* --- libcurl's sockets in an epoll set --- */

static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct epoll_event event = {0};

	(void) easy;
	(void) arg;
	(void) known;
	if (what == CURL_POLL_REMOVE)
		return epoll_ctl(epoll_set, EPOLL_CTL_DEL, fd, NULL), 0;
	event.data.fd = fd;
	event.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
	if (epoll_ctl(epoll_set, EPOLL_CTL_MOD, fd, &event) != 0)
		epoll_ctl(epoll_set, EPOLL_CTL_ADD, fd, &event);
	return 0;
}

static int
watch_timer(CURLM *m, long timeout_ms, void *arg)
{
	(void) m;
	(void) arg;
	curl_due_us = timeout_ms < 0 ? -1 : now_us() + timeout_ms * 1000;
	return 0;
}

bool
callbacks_open(void)
{
	epoll_set = epoll_create1(EPOLL_CLOEXEC);
	multi = curl_multi_init();
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, watch_timer);
	curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, 64L);
	return epoll_set >= 0 && multi != NULL;
}

int
callbacks_fd(void)
{
	return epoll_set;
}

long
callbacks_timeout_ms(void)
{
	int64_t		wait;

	if (curl_due_us < 0)
		return -1;
	wait = (curl_due_us - now_us() + 999) / 1000;
	return wait > 0 ? (long) wait : 0;
}

void
callbacks_run(void)
{
	struct epoll_event events[64];
	int			n = epoll_wait(epoll_set, events, 64, 0);
	int			running;
	int			left;
	CURLMsg    *message;

	for (int i = 0; i < n; i++)
		curl_multi_socket_action(multi, events[i].data.fd,
								 (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
								 (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0), &running);
	if (curl_due_us >= 0 && curl_due_us <= now_us())
	{
		curl_due_us = -1;
		curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		Flight	   *flight;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &flight);
		finish_flight(flight, message->data.result);
	}
}

void
callbacks_close(void)
{
	callbacks_reset();
	curl_multi_cleanup(multi);
	close(epoll_set);
}
