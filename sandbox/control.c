/*
 * control.c
 *	  /sandbox/...: what a test asks of the sandbox itself.
 */
#include "sandbox.h"

#include <stdlib.h>
#include <string.h>

static bool
at(const Request *request, const char *method, const char *path)
{
	return strcmp(request->method, method) == 0 &&
		strcmp(request->path + strlen("/sandbox/"), path) == 0;
}

static void
set_long(const Request *request, const char *name, long *target)
{
	*target = parameter_int(request, name, *target);
}

static void
set_flag(const Request *request, const char *name, bool *target)
{
	char	   *value = parameter(request, name);

	if (value != NULL)
		*target = strcmp(value, "1") == 0 || strcmp(value, "on") == 0 ||
			strcmp(value, "true") == 0 || strcmp(value, "eager") == 0;
	free(value);
}

static void
change_config(const Request *request, Reply *reply)
{
	set_long(request, "order_delay_ms", &config.order_delay_ms);
	set_long(request, "toll_free_delay_ms", &config.toll_free_delay_ms);
	set_long(request, "token_expires_in", &config.token_expires_in);
	set_long(request, "per_minute", &config.per_minute);
	set_long(request, "burst", &config.burst);
	set_long(request, "list_lag_ms", &config.list_lag_ms);
	set_long(request, "list_max", &config.list_max);
	set_long(request, "reservation_s", &config.reservation_s);
	set_long(request, "snatch_every", &config.snatch_every);
	set_long(request, "snatch_count", &config.snatch_count);
	set_flag(request, "enforce_limits", &config.enforce_limits);
	set_flag(request, "open_inventory", &config.open_inventory);
	set_flag(request, "callback_auth", &config.eager_credentials);
	set_flag(request, "callbacks", &config.callbacks);
	set_flag(request, "gzip", &config.gzip);
	set_long(request, "seed", &config.seed);
	if (config.per_minute < 1 || config.burst < 1)
	{
		config.per_minute = config.burst = 1;
		reply->status = 400;
		text_json(&reply->body, "per_minute and burst must be at least 1");
	}
}

/* One number, or every N-th available one with a prefix. */
static void
sell(const Request *request, Reply *reply)
{
	char	   *tn = parameter(request, "tn");
	char	   *prefix = parameter(request, "prefix");
	long		every = parameter_int(request, "every", 1);
	Number		number;
	long		sold = 0;

	if (number_parse(tn, &number))
	{
		number_set(number, NUMBER_SOLD, -1);
		sold = 1;
	}
	else if (prefix != NULL && strlen(prefix) <= 10)
	{
		char		digits[16];
		Number		first;
		Number		last;

		snprintf(digits, sizeof(digits), "%-10s", prefix);
		for (char *p = digits; *p != '\0'; p++)
			*p = *p == ' ' ? '0' : *p;
		first = strtoull(digits, NULL, 10);
		for (size_t i = strlen(prefix); i < 10; i++)
			digits[i] = '9';
		last = strtoull(digits, NULL, 10);
		for (Number n = first; n <= last; n += (Number) every)
			if (number_state(n) == NUMBER_AVAILABLE)
			{
				number_set(n, NUMBER_SOLD, -1);
				sold++;
			}
	}
	else
		reply->status = 400;
	text_add(&reply->body, "{\"sold\":%ld}", sold);
	free(tn);
	free(prefix);
}

/* The number is the account's, as if it had been ordered long ago. */
static void
own(const Request *request, Reply *reply)
{
	char	   *tn = parameter(request, "tn");
	Number		number;

	if (number_parse(tn, &number))
		number_set(number, NUMBER_OURS, -1);
	else
		reply->status = 400;
	free(tn);
}

/* Orders that hold the number are refused from now on. */
static void
spoil(const Request *request, Reply *reply)
{
	char	   *tn = parameter(request, "tn");
	Number		number;

	if (number_parse(tn, &number))
		number_set(number, parameter_int(request, "named", 0)
				   ? NUMBER_SPOILT_NAMED : NUMBER_SPOILT, -1);
	else
		reply->status = 400;
	free(tn);
}

static void
restock(const Request *request, Reply *reply)
{
	char	   *tn = parameter(request, "tn");
	Number		number;

	if (number_parse(tn, &number))
	{
		number_set(number, NUMBER_AVAILABLE, -1);
		orders_restocked();
	}
	else
		reply->status = 400;
	free(tn);
}

static void
show_number(const Request *request, Reply *reply)
{
	char	   *tn = parameter(request, "tn");
	Number		number;
	long		order;

	if (!number_parse(tn, &number))
		reply->status = 400;
	else
	{
		order = number_order(number);
		text_add(&reply->body, "{\"tn\":\"%llu\",\"state\":\"%s\",\"bought\":%ld,\"order\":",
				 (unsigned long long) number, number_state_names[number_state(number)],
				 number_times_bought(number));
		text_json(&reply->body, order >= 0 ? order_id(order) : NULL);
		text_add(&reply->body, "}");
	}
	free(tn);
}

static void
reset_all(void)
{
	callbacks_reset();
	front_hang_up();
	orders_reset();
	reservations_reset();
	subscriptions_reset();
	inventory_reset();
	faults_clear();
	journal_clear();
	limits_clear();
	config_reset();
}

void
control_answer(Request *request, Reply *reply)
{
	char	   *value;

	reply->content_type = "application/json";
	if (at(request, "GET", "ping"))
		text_add(&reply->body, "\"pong\"");
	else if (at(request, "POST", "reset"))
		reset_all();
	else if (at(request, "GET", "journal"))
		journal_json(request, &reply->body);
	else if (at(request, "GET", "journal/count"))
		text_add(&reply->body, "%ld", journal_count(request));
	else if (at(request, "DELETE", "journal"))
		journal_clear();
	else if (at(request, "GET", "orders"))
		orders_json(&reply->body);
	else if (at(request, "GET", "orders/count"))
	{
		value = parameter(request, "status");
		text_add(&reply->body, "%ld", orders_count(value));
		free(value);
	}
	else if (at(request, "GET", "numbers"))
		show_number(request, reply);
	else if (at(request, "GET", "callbacks"))
		callbacks_json(&reply->body);
	else if (at(request, "GET", "subscriptions"))
		subscriptions_json(&reply->body);
	else if (at(request, "POST", "subscriptions"))
		subscriptions_alter(request, reply);
	else if (at(request, "POST", "sell"))
		sell(request, reply);
	else if (at(request, "POST", "spoil"))
		spoil(request, reply);
	else if (at(request, "POST", "own"))
		own(request, reply);
	else if (at(request, "POST", "restock"))
		restock(request, reply);
	else if (at(request, "POST", "notify"))
	{
		value = parameter(request, "subscription");
		notify_raw(request->body, value);
		free(value);
	}
	else if (at(request, "POST", "config"))
		change_config(request, reply);
	else if (at(request, "POST", "faults"))
		fault_add(request, reply);
	else if (at(request, "GET", "faults"))
		faults_json(&reply->body);
	else if (at(request, "DELETE", "faults"))
		faults_clear();
	else
	{
		reply->status = 404;
		text_add(&reply->body, "\"no such control; see bw-sandbox --help\"");
	}
}
