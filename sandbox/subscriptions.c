/*
 * subscriptions.c
 *	  Subscriptions, and the callbacks that they cause.
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

typedef struct Subscription
{
	char		id[40];
	char	   *order_type;
	char	   *order_id;
	char	   *url;
	char	   *email;
	char	   *digest;
	char	   *username;
	char	   *password;
	char	   *public_key;
	char	   *number_format;
	char		status[200];
	int64_t		expires_us;
	bool		removed;
} Subscription;

typedef struct Delivery
{
	char		subscription[40];
	char		order_id[40];
	char	   *url;
	char	   *body;
	char	   *username;
	char	   *password;
	bool		with_credentials;
	CURL	   *easy;
	struct curl_slist *headers;
	int64_t		at_us;
} Delivery;

typedef struct Delivered
{
	char		subscription[40];
	char		order_id[40];
	long		status;
	int64_t		at_us;
} Delivered;

static Subscription **subscriptions;
static long subscription_count;

static Delivered *delivered;
static long delivered_count;
static long delivered_room;

static CURLM *multi;
static int	epoll_set = -1;
static int64_t curl_due_us = -1;

static void send_delivery(Delivery *delivery);

/* --- the resource --- */

static void
free_parts(Subscription *s)
{
	free(s->order_type);
	free(s->order_id);
	free(s->url);
	free(s->email);
	free(s->digest);
	free(s->username);
	free(s->password);
	free(s->public_key);
	free(s->number_format);
}

void
subscriptions_reset(void)
{
	for (long i = 0; i < subscription_count; i++)
	{
		free_parts(subscriptions[i]);
		free(subscriptions[i]);
	}
	free(subscriptions);
	subscriptions = NULL;
	subscription_count = 0;
	free(delivered);
	delivered = NULL;
	delivered_count = delivered_room = 0;
}

static bool
alive(const Subscription *s)
{
	return !s->removed && s->expires_us > now_us();
}

static Subscription *
find(const char *id)
{
	for (long i = 0; i < subscription_count; i++)
		if (strcmp(subscriptions[i]->id, id) == 0 && alive(subscriptions[i]))
			return subscriptions[i];
	return NULL;
}

/* Read a body into "s"; false: it was refused. */
static bool
read_subscription(const Request *request, Subscription *s, Reply *reply)
{
	xmlDoc	   *doc = xml_read(request->body, request->body_len);
	xmlNode    *root = doc ? xmlDocGetRootElement(doc) : NULL;
	xmlNode    *callback = root ? xml_child(root, "CallbackSubscription") : NULL;
	xmlNode    *email = root ? xml_child(root, "EmailSubscription") : NULL;
	xmlNode    *credentials = xml_child(callback, "CallbackCredentials");
	xmlNode    *basic = xml_child(credentials, "BasicAuthentication");

	s->order_type = root ? xml_child_text(root, "OrderType") : NULL;
	s->order_id = root ? xml_child_text(root, "OrderId") : NULL;
	s->url = xml_child_text(callback, "URL");
	s->number_format = xml_child_text(callback, "NumberFormat");
	s->email = xml_child_text(email, "Email");
	s->digest = xml_child_text(email, "DigestRequested");
	s->username = xml_child_text(basic, "Username");
	if (s->username == NULL)
		s->username = xml_child_text(basic, "UserName");
	s->password = xml_child_text(basic, "Password");
	s->public_key = xml_child_text(credentials, "PublicKey");
	s->expires_us = now_us() + (int64_t) xml_child_int(callback, "Expiry", 86400) * 1000000;
	if (email != NULL)
		s->expires_us = INT64_MAX;
	snprintf(s->status, sizeof(s->status), "READY");
	xmlFreeDoc(doc);
	if (s->order_type == NULL)
		reply_status(reply, 404, "SubscriptionsResponse", "14508", "OrderType or EventType is missing");
	else if (s->url == NULL && s->email == NULL)
		reply_status(reply, 404, "SubscriptionsResponse", "14503", "The URL is empty");
	else if (s->url != NULL && strncmp(s->url, "http", 4) != 0)
		reply_status(reply, 404, "SubscriptionsResponse", "14506", "The URL is invalid");
	else if ((s->username == NULL) != (s->password == NULL))
		reply_status(reply, 404, "SubscriptionsResponse", "14505", "User and password are both needed");
	else
		return true;
	return false;
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void
create(Request *request, Reply *reply)
{
	Subscription *s = calloc(1, sizeof(Subscription));

	if (!read_subscription(request, s, reply))
	{
		free_parts(s);
		free(s);
		return;
	}
	for (long i = 0; i < subscription_count; i++)
	{
		Subscription *other = subscriptions[i];

		if (alive(other) && same_text(other->order_type, s->order_type) &&
			same_text(other->url, s->url) && same_text(other->email, s->email) &&
			same_text(other->order_id, s->order_id))
		{
			reply_status(reply, 409, "SubscriptionsResponse", "16008", "Duplicate subscription");
			free_parts(s);
			free(s);
			return;
		}
	}
	snprintf(s->id, sizeof(s->id), "%08lx-5ub5-4000-8000-%012llx", subscription_count,
			 (unsigned long long) (random_unit() * 281474976710656.0));
	subscriptions = realloc(subscriptions,
							((size_t) subscription_count + 1) * sizeof(Subscription *));
	subscriptions[subscription_count++] = s;
	reply->status = 201;
	snprintf(reply->location, sizeof(reply->location),
			 "https://dashboard.bandwidth.com/api/accounts/%s/subscriptions/%s",
			 request->parts[1], s->id);
}

static void
add_subscription(Text *out, const Subscription *s)
{
	text_add(out, "<Subscription>");
	text_element(out, "SubscriptionId", s->id);
	text_element(out, "OrderType", s->order_type);
	text_element(out, "OrderId", s->order_id);
	if (s->email != NULL)
	{
		text_add(out, "<EmailSubscription>");
		text_element(out, "Email", s->email);
		text_element(out, "DigestRequested", s->digest);
		text_add(out, "</EmailSubscription>");
	}
	else
	{
		text_add(out, "<CallbackSubscription>");
		text_element(out, "URL", s->url);
		text_element_int(out, "Expiry", (long) ((s->expires_us - now_us()) / 1000000));
		text_element(out, "Status", s->status);
		if (s->username != NULL)
		{
			text_add(out, "<CallbackCredentials><BasicAuthentication>");
			text_element(out, "Username", s->username);
			text_add(out, "</BasicAuthentication></CallbackCredentials>");
		}
		text_element(out, "NumberFormat", s->number_format);
		text_add(out, "</CallbackSubscription>");
	}
	text_add(out, "</Subscription>");
}

static void
list(Reply *reply)
{
	long		shown = 0;

	text_add(&reply->body, "<SubscriptionsResponse><Subscriptions>");
	for (long i = 0; i < subscription_count; i++)
		if (alive(subscriptions[i]))
		{
			add_subscription(&reply->body, subscriptions[i]);
			shown++;
		}
	text_add(&reply->body, "</Subscriptions></SubscriptionsResponse>");
	if (shown == 0)
	{
		text_free(&reply->body);
		reply_status(reply, 404, "SubscriptionsResponse", "16000", "No subscriptions found for the account");
	}
}

static void
replace(Subscription *s, Request *request, Reply *reply)
{
	Subscription fresh = {0};

	if (!read_subscription(request, &fresh, reply))
	{
		free_parts(&fresh);
		return;
	}
	snprintf(fresh.id, sizeof(fresh.id), "%s", s->id);
	free_parts(s);
	*s = fresh;
}

void
subscriptions_answer(Request *request, Reply *reply)
{
	Subscription *s = request->part_count > 3 ? find(request->parts[3]) : NULL;

	if (request->part_count == 3 && strcmp(request->method, "POST") == 0)
		create(request, reply);
	else if (request->part_count == 3)
		list(reply);
	else if (s == NULL)
		reply_status(reply, 404, "SubscriptionsResponse", "16000", "The subscription is not found");
	else if (strcmp(request->method, "PUT") == 0)
		replace(s, request, reply);
	else if (strcmp(request->method, "DELETE") == 0)
		s->removed = true;
	else
	{
		text_add(&reply->body, "<SubscriptionsResponse>");
		add_subscription(&reply->body, s);
		text_add(&reply->body, "</SubscriptionsResponse>");
	}
}

/* --- deliveries --- */

static size_t
ignore_body(char *data, size_t size, size_t count, void *arg)
{
	(void) data;
	(void) arg;
	return size * count;
}

static void
free_delivery(Delivery *d)
{
	if (d->easy != NULL)
	{
		curl_multi_remove_handle(multi, d->easy);
		curl_easy_cleanup(d->easy);
	}
	curl_slist_free_all(d->headers);
	free(d->url);
	free(d->body);
	free(d->username);
	free(d->password);
	free(d);
}

static bool
to_loopback(const char *url)
{
	const char *host = strstr(url, "://");

	return host != NULL && (strncmp(host + 3, "127.", 4) == 0 ||
							strncmp(host + 3, "localhost", 9) == 0);
}

static void
send_delivery(Delivery *d)
{
	CURL	   *easy = curl_easy_init();

	d->easy = easy;
	d->at_us = now_us();
	if (d->headers == NULL)
	{
		d->headers = curl_slist_append(NULL, "Content-Type: application/xml; charset=utf-8");
		d->headers = curl_slist_append(d->headers, "Expect:");
	}
	curl_easy_setopt(easy, CURLOPT_URL, to_loopback(d->url) ? d->url : "http://127.0.0.1:1/refused");
	curl_easy_setopt(easy, CURLOPT_PRIVATE, d);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, d->body);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, d->headers);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore_body);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 10000L);
	/* Loopback only: a certificate of the test's own is as good as any. */
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	if (d->with_credentials)
	{
		curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC);
		curl_easy_setopt(easy, CURLOPT_USERNAME, d->username);
		curl_easy_setopt(easy, CURLOPT_PASSWORD, d->password);
	}
	curl_multi_add_handle(multi, easy);
}

static void
timed_delivery(void *arg)
{
	send_delivery(arg);
}

static void
start_delivery(const Subscription *s, const char *order_id, const char *body,
			   long delay_ms, bool wrong_credentials)
{
	Delivery   *d = calloc(1, sizeof(Delivery));

	snprintf(d->subscription, sizeof(d->subscription), "%s", s->id);
	snprintf(d->order_id, sizeof(d->order_id), "%s", order_id ? order_id : "");
	d->url = strdup(s->url);
	d->body = strdup(body);
	d->username = copy_string(s->username);
	d->password = wrong_credentials ? strdup("wrong") : copy_string(s->password);
	d->with_credentials = s->username != NULL && config.eager_credentials;
	timer_add(now_us() + delay_ms * 1000, timed_delivery, d);
}

static void
note_delivered(const Delivery *d, long status)
{
	Delivered  *row;

	if (delivered_count == delivered_room)
	{
		delivered_room = delivered_room ? delivered_room * 2 : 256;
		delivered = realloc(delivered, (size_t) delivered_room * sizeof(Delivered));
	}
	row = &delivered[delivered_count++];
	snprintf(row->subscription, sizeof(row->subscription), "%s", d->subscription);
	snprintf(row->order_id, sizeof(row->order_id), "%s", d->order_id);
	row->status = status;
	row->at_us = d->at_us;
}

/* A challenge is answered once; every other outcome is the last word. */
static void
finish_delivery(Delivery *d, CURLcode code)
{
	Subscription *s = find(d->subscription);
	long		status = 0;
	char		answer[200];

	if (code == CURLE_OK)
		curl_easy_getinfo(d->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status == 401 && !d->with_credentials && d->username != NULL)
	{
		curl_multi_remove_handle(multi, d->easy);
		curl_easy_cleanup(d->easy);
		d->with_credentials = true;
		send_delivery(d);
		return;
	}
	if (status == 200)
		snprintf(answer, sizeof(answer), "200 OK");
	else
		snprintf(answer, sizeof(answer), "%ld %s", status,
				 code == CURLE_OK ? "" : curl_easy_strerror(code));
	if (s != NULL)
		snprintf(s->status, sizeof(s->status), "%s", answer);
	note_delivered(d, status);
	free_delivery(d);
}

static void
build_notification(Text *body, const Subscription *s, const char *kind,
				   const char *order_id, const char *customer_order_id,
				   const char *status, const char *message,
				   const Number *numbers, long count)
{
	text_add(body, "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><Notification>");
	text_element(body, "Status", status);
	text_element(body, "SubscriptionId", s->id);
	text_element(body, "Message", message);
	text_element(body, "OrderId", order_id);
	text_element(body, "OrderType", kind);
	text_element(body, "CustomerOrderId", customer_order_id);
	text_add(body, "<CompletedTelephoneNumbers>");
	for (long i = 0; i < count; i++)
		text_add(body, "<TelephoneNumber>%s%llu</TelephoneNumber>",
				 s->number_format && strcmp(s->number_format, "E164") == 0 ? "+1" : "",
				 (unsigned long long) numbers[i]);
	text_add(body, "</CompletedTelephoneNumbers></Notification>");
}

void
notify_order(const char *kind, const char *order_id, const char *customer_order_id,
			 const char *status, const char *message,
			 const Number *numbers, long count, bool final)
{
	for (long i = 0; i < subscription_count; i++)
	{
		Subscription *s = subscriptions[i];
		const Fault *fault;
		Text		body = {0};

		if (!alive(s) || s->url == NULL || !same_text(s->order_type, kind) ||
			(s->order_id != NULL && strcmp(s->order_id, order_id) != 0) || !config.callbacks)
			continue;
		fault = fault_for_callback();
		if (!fault_is(fault, "drop"))
		{
			build_notification(&body, s, kind, order_id, customer_order_id, status,
							   message, numbers, count);
			if (fault_is(fault, "malformed"))
				body.data[body.len / 2] = '\0';
			start_delivery(s, order_id, body.data, fault ? fault->delay_ms : 0,
						   fault_is(fault, "wrong_credentials"));
			if (fault_is(fault, "duplicate"))
				start_delivery(s, order_id, body.data, fault->delay_ms, false);
			text_free(&body);
		}
		/* "Subscriptions": one that is bound to an order ends with it. */
		if (final && s->order_id != NULL)
			s->removed = true;
	}
}

void
notify_raw(const char *body, const char *subscription)
{
	for (long i = 0; i < subscription_count; i++)
		if (alive(subscriptions[i]) && subscriptions[i]->url != NULL &&
			(subscription == NULL || strcmp(subscriptions[i]->id, subscription) == 0))
			start_delivery(subscriptions[i], NULL, body, 0, false);
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
		Delivery   *delivery;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &delivery);
		finish_delivery(delivery, message->data.result);
	}
}

void
callbacks_close(void)
{
	curl_multi_cleanup(multi);
	close(epoll_set);
}
