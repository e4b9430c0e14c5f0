/*
 * subscriptions.c
 *	  Subscriptions, and whom an order's new state is told to.
 */
#include "sandbox.h"

#include <stdlib.h>
#include <string.h>

typedef struct Subscription
{
	char		id[40];
	char	   *account;
	char	   *order_type;
	char	   *order_id;
	char	   *url;
	char	   *email;
	char	   *digest;
	char	   *username;
	char	   *password;
	char	   *public_key;
	char	   *certificate;	/* in public_key */
	char	   *number_format;
	char		status[200];
	int64_t		expires_us;
	bool		removed;
} Subscription;

static Subscription **subscriptions;
static long subscription_count;
static uint64_t id_random = 1;

/* --- the resource --- */

static void
free_parts(Subscription *s)
{
	free(s->account);
	free(s->order_type);
	free(s->order_id);
	free(s->url);
	free(s->email);
	free(s->digest);
	free(s->username);
	free(s->password);
	free(s->public_key);
	free(s->certificate);
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
}

static bool
alive(const Subscription *s)
{
	return !s->removed && s->expires_us > now_us();
}

/* Of an account, or of any (NULL). */
static Subscription *
find(const char *account, const char *id)
{
	for (long i = 0; i < subscription_count; i++)
		if (strcmp(subscriptions[i]->id, id) == 0 && alive(subscriptions[i]) &&
			(account == NULL || strcmp(subscriptions[i]->account, account) == 0))
			return subscriptions[i];
	return NULL;
}

/* Give it an id and a place among the others. */
static void
add(Subscription *s)
{
	snprintf(s->id, sizeof(s->id), "%08lx-5ub5-4000-8000-%012llx", subscription_count,
			 (unsigned long long) (random_unit(&id_random) * 281474976710656.0));
	subscriptions = realloc(subscriptions,
							((size_t) subscription_count + 1) * sizeof(Subscription *));
	subscriptions[subscription_count++] = s;
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

	s->account = strdup(request->parts[1]);
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
	if (s->public_key != NULL)
		s->certificate = pinned_certificate(s->public_key);
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
	else if (s->public_key != NULL && s->certificate == NULL)
		reply_status(reply, 404, "SubscriptionsResponse", "14504", "The certificate is unreadable");
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

		if (alive(other) && same_text(other->account, s->account) &&
			same_text(other->order_type, s->order_type) &&
			same_text(other->url, s->url) && same_text(other->email, s->email) &&
			same_text(other->order_id, s->order_id))
		{
			reply_status(reply, 409, "SubscriptionsResponse", "16008", "Duplicate subscription");
			free_parts(s);
			free(s);
			return;
		}
	}
	add(s);
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
list(const char *account, Reply *reply)
{
	long		shown = 0;

	text_add(&reply->body, "<SubscriptionsResponse><Subscriptions>");
	for (long i = 0; i < subscription_count; i++)
		if (alive(subscriptions[i]) && strcmp(subscriptions[i]->account, account) == 0)
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
	Subscription *s = request->part_count > 3
	? find(request->parts[1], request->parts[3]) : NULL;

	if (request->part_count == 3 && strcmp(request->method, "POST") == 0)
		create(request, reply);
	else if (request->part_count == 3)
		list(request->parts[1], reply);
	else if (s == NULL)
		reply_status(reply, 404, "SubscriptionsResponse", "16000", "The subscription is not found");
	else if (strcmp(request->method, "PUT") == 0)
		replace(s, request, reply);
	else if (strcmp(request->method, "DELETE") == 0)
		s->removed = true;
	else
	{
		text_add(&reply->body, "<SubscriptionsResponse><Subscriptions>");
		add_subscription(&reply->body, s);
		text_add(&reply->body, "</Subscriptions></SubscriptionsResponse>");
	}
}

/* --- what others do with them --- */

static void
set_text(const Request *request, const char *name, char **target)
{
	char	   *value = parameter(request, name);

	if (value == NULL)
		return;
	free(*target);
	*target = value;
}

static void
make_copy(const Subscription *s)
{
	Subscription *copy = calloc(1, sizeof(Subscription));

	*copy = *s;
	copy->account = copy_string(s->account);
	copy->order_type = copy_string(s->order_type);
	copy->order_id = copy_string(s->order_id);
	copy->url = copy_string(s->url);
	copy->email = copy_string(s->email);
	copy->digest = copy_string(s->digest);
	copy->username = copy_string(s->username);
	copy->password = copy_string(s->password);
	copy->public_key = copy_string(s->public_key);
	copy->certificate = copy_string(s->certificate);
	copy->number_format = copy_string(s->number_format);
	add(copy);
}

/* Change those with an id, or all; a copy is made before. */
void
subscriptions_alter(const Request *request, Reply *reply)
{
	char	   *id = parameter(request, "id");
	char	   *status = parameter(request, "status");
	long		expiry = parameter_int(request, "expiry", -1);
	long		count = subscription_count;
	long		altered = 0;

	for (long i = 0; i < count; i++)
	{
		Subscription *s = subscriptions[i];

		if (!alive(s) || (id != NULL && strcmp(s->id, id) != 0))
			continue;
		if (parameter_int(request, "copy", 0))
			make_copy(s);
		set_text(request, "url", &s->url);
		set_text(request, "order_type", &s->order_type);
		set_text(request, "username", &s->username);
		set_text(request, "password", &s->password);
		if (status != NULL)
			snprintf(s->status, sizeof(s->status), "%s", status);
		if (expiry >= 0)
			s->expires_us = now_us() + (int64_t) expiry * 1000000;
		s->removed = parameter_int(request, "removed", 0) != 0;
		altered++;
	}
	text_add(&reply->body, "{\"altered\":%ld}", altered);
	free(id);
	free(status);
}

static void
add_json(Text *out, const char *name, const char *value)
{
	text_add(out, "\"%s\":", name);
	text_json(out, value);
	text_add(out, ",");
}

void
subscriptions_json(Text *out)
{
	bool		first = true;

	text_add(out, "[");
	for (long i = 0; i < subscription_count; i++)
	{
		Subscription *s = subscriptions[i];

		if (!alive(s))
			continue;
		text_add(out, first ? "{" : ",{");
		first = false;
		add_json(out, "id", s->id);
		add_json(out, "account", s->account);
		add_json(out, "order_type", s->order_type);
		add_json(out, "url", s->url);
		add_json(out, "email", s->email);
		add_json(out, "username", s->username);
		add_json(out, "certificate", s->certificate);
		add_json(out, "password", s->password);
		add_json(out, "number_format", s->number_format);
		add_json(out, "status", s->status);
		text_add(out, "\"expiry\":%ld}", (long) ((s->expires_us - now_us()) / 1000000));
	}
	text_add(out, "]");
}

/* --- whom to tell --- */

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

static void
deliver(const Subscription *s, const char *order_id, const char *body, const Fault *fault)
{
	Delivery	delivery = {.subscription = s->id,.order_id = order_id,.url = s->url,
		.certificate = s->certificate,.username = s->username,.password = s->password,
		.body = body,
		.delay_ms = fault ? fault->delay_ms : 0,
	.hold = fault_is(fault, "reorder")};

	if (fault_is(fault, "wrong_credentials") && s->password != NULL)
		delivery.password = "wrong";
	delivery_start(&delivery);
}

static bool
concerns(const Subscription *s, const char *kind, const char *order_id)
{
	return alive(s) && s->url != NULL && same_text(s->order_type, kind) &&
		(s->order_id == NULL || strcmp(s->order_id, order_id) == 0);
}

void
notify_order(const char *kind, const char *order_id, const char *customer_order_id,
			 const char *status, const char *message,
			 const Number *numbers, long count, bool final)
{
	for (long i = 0; i < subscription_count && config.callbacks; i++)
	{
		Subscription *s = subscriptions[i];
		const Fault *fault;
		Text		body = {0};

		if (!concerns(s, kind, order_id))
			continue;
		fault = fault_for_callback(false);
		build_notification(&body, s, kind, order_id, customer_order_id, status,
						   message, numbers, count);
		if (fault_is(fault, "malformed"))
			body.data[body.len / 2] = '\0';
		if (!fault_is(fault, "drop"))
			deliver(s, order_id, body.data, fault);
		if (fault_is(fault, "duplicate"))
			deliver(s, order_id, body.data, fault);
		text_free(&body);
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
			deliver(subscriptions[i], NULL, body, NULL);
}

void
subscription_note(const char *id, const char *status)
{
	Subscription *s = find(NULL, id);

	if (s != NULL)
		snprintf(s->status, sizeof(s->status), "%s", status);
}
