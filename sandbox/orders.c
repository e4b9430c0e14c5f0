/*
 * orders.c
 *	  Orders and disconnects: taken in, carried out after a while, read and
 *	  listed; and the numbers that they brought.
 *
 * From Bandwidth's "Ordering numbers", "Advanced ordering" and "Errors".
 */
#include "sandbox.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define QUANTITY_MAX 5000
#define ID_LEN 36

/* Changes of one order that its history keeps. */
#define CHANGES_MAX 8

typedef struct Change
{
	int64_t		at_us;
	const char *status;
	char		note[160];
} Change;

typedef struct Order
{
	char		id[ID_LEN + 1];
	bool		disconnect;
	char	   *customer_order_id;
	char	   *name;
	char	   *type;			/* element of the order type */
	char	   *site;
	char	   *peer;
	bool		partial;
	bool		back_order;
	Criteria	criteria;
	char	   *echo;			/* XML of the order type, as echoed */
	Number	   *requested;
	long		requested_count;
	long		quantity;
	const char *status;
	Number	   *completed;
	long		completed_count;
	Number	   *failed;
	const char **failed_codes;
	long		failed_count;
	int64_t		created_us;
	int64_t		listed_us;		/* not in lists before */
	int64_t		modified_us;
	Change		changes[CHANGES_MAX];
	int			change_count;
} Order;

static Order **orders;
static long order_count;
static long order_room;
static uint64_t id_random;

static void run_order(void *arg);

/* The index is in the id, so that no search is needed. */
const char *
order_id(long index)
{
	return orders[index]->id;
}

static Order *
find_order(const char *id, bool disconnect)
{
	char	   *end;
	long		index = strtol(id, &end, 16);

	if (*end != '-' || index < 0 || index >= order_count ||
		strcmp(orders[index]->id, id) != 0 || orders[index]->disconnect != disconnect)
		return NULL;
	return orders[index];
}

void
add_date(Text *out, const char *name, int64_t us)
{
	time_t		seconds = us / 1000000;
	struct tm	tm;
	char		text[40];

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	text_add(out, "<%s>%s.%03dZ</%s>", name, text, (int) (us / 1000 % 1000), name);
}

static const char *
text_of_code(const char *code)
{
	if (strcmp(code, "5005") == 0)
		return "The telephone number is unavailable for ordering";
	if (strcmp(code, "5218") == 0)
		return "The telephone number is already being processed on another order";
	if (strcmp(code, "5006") == 0)
		return "The telephone number is not associated with the account";
	if (strcmp(code, "5018") == 0)
		return "The quantity of telephone numbers requested is not available";
	return "Error";
}

static Order *
new_order(void)
{
	Order	   *order = calloc(1, sizeof(Order));

	if (order_count == order_room)
	{
		order_room = order_room ? order_room * 2 : 1024;
		orders = realloc(orders, (size_t) order_room * sizeof(Order *));
	}
	/* Other ids than before a restart, which a database may remember. */
	if (id_random == 0)
		id_random = random_start((uint64_t) now_us() ^ (uint64_t) getpid() << 40);
	snprintf(order->id, sizeof(order->id), "%08lx-%04x-%04x-%04x-%012llx",
			 (unsigned long) order_count, (unsigned) (random_unit(&id_random) * 65536),
			 (unsigned) (random_unit(&id_random) * 65536), (unsigned) (random_unit(&id_random) * 65536),
			 (unsigned long long) (random_unit(&id_random) * 281474976710656.0));
	order->status = "RECEIVED";
	order->created_us = order->modified_us = order->listed_us = now_us();
	orders[order_count++] = order;
	return order;
}

static void
free_order(Order *order)
{
	free(order->customer_order_id);
	free(order->name);
	free(order->type);
	free(order->site);
	free(order->peer);
	free(order->echo);
	free(order->requested);
	free(order->completed);
	free(order->failed);
	free(order->failed_codes);
	free(order);
}

void
orders_reset(void)
{
	for (long i = 0; i < order_count; i++)
		free_order(orders[i]);
	free(orders);
	orders = NULL;
	order_count = order_room = 0;
	timer_cancel(run_order, NULL);
}

static bool
is_final(const Order *order)
{
	return strcmp(order->status, "RECEIVED") != 0 && strcmp(order->status, "BACKORDERED") != 0;
}

/* --- taking orders in --- */

static xmlNode *
order_type(xmlNode *order)
{
	for (xmlNode *child = order->children; child != NULL; child = child->next)
	{
		size_t		len = strlen((const char *) child->name);

		if (child->type == XML_ELEMENT_NODE && len > 9 &&
			strcmp((const char *) child->name + len - 9, "OrderType") == 0)
			return child;
	}
	return NULL;
}

static void
take_text(xmlNode *node, const char *name, char *target, size_t size)
{
	char	   *value = xml_child_text(node, name);

	if (value != NULL)
		snprintf(target, size, "%s", value);
	free(value);
}

static void
read_criteria(xmlNode *type, Criteria *c)
{
	c->max_tier = -1;
	take_text(type, "AreaCode", c->area_code, sizeof(c->area_code));
	take_text(type, "NpaNxx", c->npanxx, sizeof(c->npanxx));
	take_text(type, "NpaNxxX", c->npanxxx, sizeof(c->npanxxx));
	take_text(type, "RateCenter", c->rate_center, sizeof(c->rate_center));
	take_text(type, "City", c->city, sizeof(c->city));
	take_text(type, "State", c->state, sizeof(c->state));
	take_text(type, "Zip", c->zip, sizeof(c->zip));
	take_text(type, "Lata", c->lata, sizeof(c->lata));
	take_text(type, "LATA", c->lata, sizeof(c->lata));
	take_text(type, "LocalVanity", c->vanity, sizeof(c->vanity));
	take_text(type, "TollFreeVanity", c->toll_free_vanity, sizeof(c->toll_free_vanity));
	take_text(type, "TollFreeWildCardPattern", c->pattern, sizeof(c->pattern));
	c->ends_in = xml_child_bool(type, "EndsIn", false);
	c->lca = xml_child_bool(type, "EnableLCA", true);
}

static long
read_numbers(xmlNode *list, Number **numbers, bool *bad)
{
	long		count = 0;

	for (xmlNode *n = list ? list->children : NULL; n != NULL; n = n->next)
		count += n->type == XML_ELEMENT_NODE;
	*numbers = calloc((size_t) count + 1, sizeof(Number));
	count = 0;
	for (xmlNode *n = list ? list->children : NULL; n != NULL; n = n->next)
	{
		xmlChar    *text;

		if (n->type != XML_ELEMENT_NODE)
			continue;
		text = xmlNodeGetContent(n);
		if (!number_parse((const char *) text, &(*numbers)[count++]))
			*bad = true;
		xmlFree(text);
	}
	return count;
}

static int
compare_numbers(const void *a, const void *b)
{
	Number		x = *(const Number *) a;
	Number		y = *(const Number *) b;

	return x < y ? -1 : x > y;
}

static bool
has_duplicates(const Number *numbers, long count)
{
	Number	   *sorted = malloc(((size_t) count + 1) * sizeof(Number));
	bool		found = false;

	memcpy(sorted, numbers, (size_t) count * sizeof(Number));
	qsort(sorted, (size_t) count, sizeof(Number), compare_numbers);
	for (long i = 1; i < count; i++)
		found = found || sorted[i] == sorted[i - 1];
	free(sorted);
	return found;
}

static bool
valid_label(const char *text)
{
	return text == NULL ||
		(strlen(text) <= 40 &&
		 strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789- ") == strlen(text));
}

static bool
site_known(const char *site)
{
	return strcmp(site, "743") == 0 || strcmp(site, "13606") == 0;
}

/* Code and text of what is wrong with an order; NULL: nothing. */
static const char *
check_order(xmlNode *root, xmlNode *type, const char **text)
{
	char	   *site = xml_child_text(root, "SiteId");
	char	   *label = xml_child_text(root, "CustomerOrderId");
	char	   *peer = xml_child_text(root, "PeerId");
	const char *code = NULL;
	bool		explicit_type = type != NULL &&
	strcmp((const char *) type->name, "ExistingTelephoneNumberOrderType") == 0;

	*text = "The order is invalid";
	if (type == NULL)
		code = "5087", *text = "The order type is not valid";
	else if (site == NULL)
		code = "5022", *text = "The SiteId is required";
	else if (!site_known(site))
		code = "5016", *text = "The SiteId is invalid";
	else if (peer != NULL && strcmp(peer, "546348") != 0 && strcmp(peer, "546349") != 0)
		code = "5023", *text = "The SIP peer is invalid";
	else if (!valid_label(label))
		code = "5052", *text = "The CustomerOrderId is invalid";
	else if (explicit_type && xml_child_bool(root, "BackOrderRequested", false))
		code = "5522", *text = "Back orders are not allowed for this order type";
	free(site);
	free(label);
	free(peer);
	return code;
}

static const char *
check_numbers(const Order *order, bool bad, const char **text)
{
	if (bad)
	{
		*text = "The telephone number is malformed";
		return "5070";
	}
	if (order->requested_count == 0)
	{
		*text = "The telephone number list is empty";
		return "5212";
	}
	if (order->requested_count > QUANTITY_MAX)
	{
		*text = "Too many telephone numbers in the order";
		return "5095";
	}
	for (long i = 0; i < order->requested_count; i++)
	{
		NumberState state = number_state(order->requested[i]);

		if (state != NUMBER_SPOILT && state != NUMBER_SPOILT_NAMED)
			continue;
		*text = "The telephone number is not found in the system";
		return "5071";
	}
	if (has_duplicates(order->requested, order->requested_count))
	{
		*text = "Duplicate telephone numbers in the order";
		return "5093";
	}
	return NULL;
}

/* The next ReservationId of a list; malloc'd, NULL: there is none. */
static char *
next_reservation(xmlNode **node)
{
	while (*node != NULL)
	{
		xmlNode    *this = *node;
		xmlChar    *content;
		char	   *id;

		*node = this->next;
		if (this->type != XML_ELEMENT_NODE)
			continue;
		content = xmlNodeGetContent(this);
		id = copy_string((const char *) content);
		xmlFree(content);
		return id;
	}
	return NULL;
}

static xmlNode *
first_reservation(xmlNode *type)
{
	xmlNode    *list = xml_child(type, "ReservationIdList");

	return list ? list->children : NULL;
}

static const char *
check_reservations(xmlNode *type, const char **text)
{
	xmlNode    *node = first_reservation(type);
	bool		known = true;
	char	   *id;

	while ((id = next_reservation(&node)) != NULL)
	{
		known = known && reservation_exists(id);
		free(id);
	}
	*text = known ? *text : "The reservation is not found";
	return known ? NULL : "5043";
}

/* May the order have it, because it names the number's reservation? */
static bool
names_reservation_of(xmlNode *type, Number number)
{
	xmlNode    *node = first_reservation(type);
	bool		found = false;
	char	   *id;

	while ((id = next_reservation(&node)) != NULL)
	{
		found = found || reservation_is_of(id, number);
		free(id);
	}
	return found;
}

static bool
is_known(const xmlNode *node)
{
	static const char *const known[] = {
		"TelephoneNumberList", "ReservationIdList", "AreaCode", "NpaNxx",
		"NpaNxxX", "RateCenter", "City", "State", "Zip", "Lata", "LATA",
		"LocalVanity", "TollFreeVanity", "TollFreeWildCardPattern", "EndsIn",
		"EnableLCA", "EnableTNDetail", "Quantity", "CountryCodeA3",
		"DisconnectMode", "Protected"
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp((const char *) node->name, known[i]) == 0)
			return true;
	return node->type != XML_ELEMENT_NODE;
}

/* Elements that nobody knows are dropped without a word. */
static void
add_type_echo(Order *order, xmlNode *type)
{
	xmlBuffer  *buffer = xmlBufferCreate();
	xmlNode    *next;

	for (xmlNode *child = type->children; child != NULL; child = next)
	{
		next = child->next;
		if (!is_known(child))
		{
			xmlUnlinkNode(child);
			xmlFreeNode(child);
		}
	}
	xmlNodeDump(buffer, type->doc, type, 0, 0);
	order->echo = strdup((const char *) xmlBufferContent(buffer));
	xmlBufferFree(buffer);
}

static void
add_order_echo(Text *out, const Order *order, bool with_id, bool with_peer)
{
	text_add(out, "<Order>");
	text_element(out, "CustomerOrderId", order->customer_order_id);
	text_element(out, "Name", order->name);
	add_date(out, "OrderCreateDate", order->created_us);
	if (with_peer)
		text_element(out, "PeerId", order->peer ? order->peer : "546348");
	text_element_bool(out, "BackOrderRequested", order->back_order);
	if (with_id)
		text_element(out, "id", order->id);
	text_add(out, "%s", order->echo);
	text_element_bool(out, "PartialAllowed", order->partial);
	text_element(out, "SiteId", order->site);
	text_add(out, "</Order>");
}

static void
remove_last_order(void)
{
	free_order(orders[--order_count]);
}

static const char *
check_criteria(const Order *order, xmlNode *type, const char **text)
{
	const Criteria *c = &order->criteria;
	bool		quantity = xml_child(type, "Quantity") != NULL;

	if (order->quantity < 1 || order->quantity > QUANTITY_MAX)
	{
		*text = "The quantity is invalid";
		return "5215";
	}
	if (strcmp(order->type, "AreaCodeSearchAndOrderType") == 0 &&
		(!quantity || !c->area_code[0]))
	{
		*text = "AreaCode and Quantity are required";
		return "5198";
	}
	if (strcmp(order->type, "TollFreeVanitySearchAndOrderType") == 0 &&
		(!quantity || !c->toll_free_vanity[0]))
	{
		*text = "TollFreeVanity and Quantity are required";
		return "5199";
	}
	return NULL;
}

static Order *
make_order(xmlNode *root, xmlNode *type, const char **code, const char **text)
{
	Order	   *order = new_order();
	bool		bad = false;

	order->customer_order_id = xml_child_text(root, "CustomerOrderId");
	order->name = xml_child_text(root, "Name");
	order->site = xml_child_text(root, "SiteId");
	order->peer = xml_child_text(root, "PeerId");
	order->partial = xml_child_bool(root, "PartialAllowed", true);
	order->back_order = xml_child_bool(root, "BackOrderRequested", false);
	order->type = strdup((const char *) type->name);
	if (strcmp(order->type, "ExistingTelephoneNumberOrderType") == 0)
	{
		order->requested_count = read_numbers(xml_child(type, "TelephoneNumberList"),
											  &order->requested, &bad);
		order->quantity = order->requested_count;
		*code = check_numbers(order, bad, text);
		if (*code == NULL)
			*code = check_reservations(type, text);
	}
	else
	{
		read_criteria(type, &order->criteria);
		order->quantity = xml_child_int(type, "Quantity", QUANTITY_MAX);
		*code = check_criteria(order, type, text);
	}
	return order;
}

/* An explicit number is in flight from now on: another order for it gets 5218. */
static void
reserve_requested(Order *order, long index, xmlNode *type)
{
	order->failed = calloc((size_t) order->requested_count + 1, sizeof(Number));
	order->failed_codes = calloc((size_t) order->requested_count + 1, sizeof(char *));
	for (long i = 0; i < order->requested_count; i++)
	{
		Number		number = order->requested[i];
		NumberState state = number_state(number);

		if (state == NUMBER_AVAILABLE ||
			(state == NUMBER_RESERVED && names_reservation_of(type, number)))
			number_set(number, NUMBER_IN_FLIGHT, index);
		else
		{
			order->failed[order->failed_count] = number;
			order->failed_codes[order->failed_count++] =
				state == NUMBER_IN_FLIGHT ? "5218" : "5005";
		}
	}
}

/* Reply to a body that is no order; NULL: it was answered. */
static xmlNode *
read_type(xmlNode *root, Reply *reply)
{
	xmlNode    *type = root ? order_type(root) : NULL;
	const char *text = NULL;
	const char *code;

	if (root == NULL || strcmp((const char *) root->name, "Order") != 0)
	{
		reply_error(reply, 400, "OrderResponse", "5087", "The order type is not valid");
		return NULL;
	}
	if (type == NULL && xml_child(root, "TelephoneNumberList") != NULL)
	{
		/* Bandwidth's CLI notes say that this ends in an internal error. */
		reply->status = 500;
		return NULL;
	}
	code = check_order(root, type, &text);
	if (code != NULL)
	{
		reply_error(reply, 400, "OrderResponse", code, text);
		return NULL;
	}
	return type;
}

static void
confirm_order(const Order *order, const char *account, Reply *reply)
{
	reply->status = 201;
	snprintf(reply->location, sizeof(reply->location),
			 "https://dashboard.bandwidth.com/api/accounts/%s/orders/%s",
			 account, order->id);
	text_add(&reply->body, "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><OrderResponse>");
	add_order_echo(&reply->body, order, true, false);
	text_add(&reply->body, "<OrderStatus>RECEIVED</OrderStatus></OrderResponse>");
}

/* After its delay; or at once, and then the reply waits for the callbacks. */
static void
schedule_order(const Order *order, long index, Reply *reply)
{
	bool		toll_free = order->criteria.pattern[0] || order->criteria.toll_free_vanity[0] ||
	(order->requested_count > 0 && is_toll_free(order->requested[0]));
	long		delay_ms = toll_free ? config.toll_free_delay_ms : config.order_delay_ms;

	if (fault_for_callback(true) != NULL)
	{
		snprintf(reply->after, sizeof(reply->after), "%s", order->id);
		run_order((void *) index);
	}
	else
		timer_add(now_us() + delay_ms * 1000, run_order, (void *) index);
}

/* A refusal of the whole order; numbers that are to blame may be named. */
static void
refuse_order(const Order *order, const char *code, const char *text, Reply *reply)
{
	reply->status = 400;
	text_add(&reply->body, "<OrderResponse><ErrorList><Error>");
	text_element(&reply->body, "Code", code);
	text_element(&reply->body, "Description", text);
	for (long i = 0; i < order->requested_count; i++)
		if (number_state(order->requested[i]) == NUMBER_SPOILT_NAMED)
			text_add(&reply->body, "<TelephoneNumber>%010llu</TelephoneNumber>",
					 (unsigned long long) order->requested[i]);
	text_add(&reply->body, "</Error></ErrorList></OrderResponse>");
}

static void
create_order(Request *request, Reply *reply)
{
	xmlDoc	   *doc = xml_read(request->body, request->body_len);
	xmlNode    *root = doc ? xmlDocGetRootElement(doc) : NULL;
	xmlNode    *type = read_type(root, reply);
	const char *text = NULL;
	const char *code = NULL;
	Order	   *order;

	if (type == NULL)
	{
		xmlFreeDoc(doc);
		return;
	}
	order = make_order(root, type, &code, &text);
	if (code != NULL)
	{
		refuse_order(order, code, text, reply);
		remove_last_order();
	}
	else
	{
		add_type_echo(order, type);
		if (fault_is(request->fault, "list_lag"))
			order->listed_us += request->fault->delay_ms * 1000;
		reserve_requested(order, order_count - 1, type);
		confirm_order(order, request->parts[1], reply);
		schedule_order(order, order_count - 1, reply);
	}
	xmlFreeDoc(doc);
}

/* --- carrying orders out --- */

static void
complete_number(Order *order, long index, Number number)
{
	number_set(number, NUMBER_OURS, index);
	order->completed = realloc(order->completed,
							   ((size_t) order->completed_count + 1) * sizeof(Number));
	order->completed[order->completed_count++] = number;
}

static void
tell(Order *order)
{
	bool		failed = strcmp(order->status, "FAILED") == 0;
	const Number *numbers = failed ? order->requested : order->completed;
	long		count = failed ? order->requested_count : order->completed_count;
	char		message[160];

	if (order->failed_count > 0)
		snprintf(message, sizeof(message), "%s: %s", order->failed_codes[0],
				 text_of_code(order->failed_codes[0]));
	else
		snprintf(message, sizeof(message), "Created a new number order for %ld number%s",
				 order->completed_count, order->completed_count == 1 ? "" : "s");
	if (order->change_count < CHANGES_MAX)
	{
		Change	   *change = &order->changes[order->change_count++];

		change->at_us = order->modified_us;
		change->status = order->status;
		memcpy(change->note, message, sizeof(message));
	}
	notify_order(order->disconnect ? "disconnects" : "orders", order->id,
				 order->customer_order_id, order->status, message, numbers, count,
				 is_final(order));
}

static void
run_explicit(Order *order, long index)
{
	bool		all = order->failed_count == 0;

	for (long i = 0; i < order->requested_count; i++)
	{
		Number		number = order->requested[i];

		if (number_order(number) != index || number_state(number) != NUMBER_IN_FLIGHT)
			continue;
		if (all || order->partial)
			complete_number(order, index, number);
		reservation_ordered(number, all || order->partial);
	}
	order->status = all ? "COMPLETE" : order->completed_count > 0 ? "PARTIAL" : "FAILED";
	/* Without PartialAllowed one missing number fails them all. */
	if (!all && !order->partial)
		for (long i = 0; i < order->requested_count; i++)
		{
			bool		known = false;

			for (long j = 0; j < order->failed_count; j++)
				known = known || order->failed[j] == order->requested[i];
			if (!known)
			{
				order->failed[order->failed_count] = order->requested[i];
				order->failed_codes[order->failed_count++] = NULL;
			}
		}
}

/* "Advanced ordering": what partial and back order make of a short supply. */
static void
run_criteria(Order *order, long index)
{
	long		wanted = order->quantity - order->completed_count;
	Number	   *found = malloc(((size_t) wanted + 1) * sizeof(Number));
	long		count = inventory_find(criteria_match, &order->criteria, wanted, found);

	if (count == wanted || order->partial)
		for (long i = 0; i < count; i++)
			complete_number(order, index, found[i]);
	free(found);
	if (order->completed_count == order->quantity)
		order->status = "COMPLETE";
	else if (order->back_order)
		order->status = "BACKORDERED";
	else
		order->status = order->completed_count > 0 ? "PARTIAL" : "FAILED";
}

static void
run_order(void *arg)
{
	long		index = (long) arg;
	Order	   *order;
	const char *before;

	if (index >= order_count)
		return;					/* a reset came between */
	order = orders[index];
	before = order->status;
	if (is_final(order))
		return;
	if (order->disconnect)
	{
		for (long i = 0; i < order->requested_count; i++)
			if (number_state(order->requested[i]) == NUMBER_OURS)
			{
				number_set(order->requested[i], NUMBER_AGING, index);
				order->completed = realloc(order->completed,
										   ((size_t) order->completed_count + 1) * sizeof(Number));
				order->completed[order->completed_count++] = order->requested[i];
			}
			else
			{
				order->failed[order->failed_count] = order->requested[i];
				order->failed_codes[order->failed_count++] = "5006";
			}
		order->status = order->failed_count == 0 ? "COMPLETE"
			: order->completed_count > 0 ? "PARTIAL" : "FAILED";
	}
	else if (order->requested_count > 0)
		run_explicit(order, index);
	else
		run_criteria(order, index);
	order->modified_us = now_us();
	if (order->status != before)
		tell(order);
}

void
orders_restocked(void)
{
	for (long i = 0; i < order_count; i++)
		if (strcmp(orders[i]->status, "BACKORDERED") == 0)
			run_order((void *) i);
}

/* --- reading --- */

static void
add_number_list(Text *out, const Number *numbers, long count, const char *wrapper)
{
	for (long i = 0; i < count; i++)
		text_add(out, wrapper ? "<%s><FullNumber>%llu</FullNumber></%s>" : "%s<FullNumber>%llu</FullNumber>%s",
				 wrapper ? wrapper : "", (unsigned long long) numbers[i], wrapper ? wrapper : "");
}

static void
add_errors(Text *out, const Order *order)
{
	text_add(out, "<ErrorList>");
	for (long i = 0; i < order->failed_count; i++)
	{
		if (order->failed_codes[i] == NULL)
			continue;
		text_add(out, "<Error>");
		text_element(out, "Code", order->failed_codes[i]);
		text_element(out, "Description", text_of_code(order->failed_codes[i]));
		text_add(out, "<TelephoneNumber>%llu</TelephoneNumber></Error>",
				 (unsigned long long) order->failed[i]);
	}
	if (order->requested_count == 0 && order->completed_count < order->quantity)
		text_add(out, "<Error><Code>5018</Code><Description>%s</Description></Error>",
				 text_of_code("5018"));
	text_add(out, "</ErrorList>");
}

static void
read_order(Order *order, Reply *reply)
{
	Text	   *out = &reply->body;

	text_add(out, "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><OrderResponse>");
	if (strcmp(order->status, "RECEIVED") == 0)
	{
		text_add(out, "<CreatedByUser>sandbox</CreatedByUser><ErrorList><Error><Code>5019</Code>"
				 "<Description>The order is pending</Description></Error></ErrorList>");
		add_order_echo(out, order, true, true);
		text_add(out, "<OrderStatus>RECEIVED</OrderStatus></OrderResponse>");
		return;
	}
	text_element_int(out, "CompletedQuantity", order->completed_count);
	text_element(out, "CreatedByUser", "sandbox");
	add_errors(out, order);
	text_add(out, "<FailedNumbers>");
	add_number_list(out, order->failed, order->failed_count, NULL);
	text_add(out, "</FailedNumbers>");
	add_date(out, "LastModifiedDate", order->modified_us);
	add_date(out, "OrderCompleteDate", order->modified_us);
	add_order_echo(out, order, false, true);
	text_element(out, "OrderStatus", order->status);
	text_add(out, "<CompletedNumbers>");
	add_number_list(out, order->completed, order->completed_count, "TelephoneNumber");
	text_add(out, "</CompletedNumbers>");
	if (order->completed_count > 0)
		text_add(out, "<Summary>%ld number%s ordered in (%d)</Summary>", order->completed_count,
				 order->completed_count == 1 ? "" : "s", (int) (order->completed[0] / 10000000));
	else
		text_add(out, "<Summary>%ld number%s requested</Summary>", order->quantity,
				 order->quantity == 1 ? "" : "s");
	text_element_int(out, "FailedQuantity", order->quantity - order->completed_count);
	text_add(out, "</OrderResponse>");
}

static void
add_row(Text *out, const Order *order, const char *account)
{
	text_add(out, "<OrderIdUserIdDate>");
	text_element(out, "accountId", account);
	text_element_int(out, "CountOfTNs", order->completed_count);
	text_element(out, "CustomerOrderId", order->customer_order_id);
	text_element(out, "userId", "sandbox");
	add_date(out, "lastModifiedDate", order->modified_us);
	add_date(out, "OrderDate", order->created_us);
	text_element(out, "OrderType", order->disconnect ? "disconnect" : "new_number");
	text_element(out, order->disconnect ? "OrderId" : "orderId", order->id);
	text_element(out, "OrderStatus", order->status);
	text_add(out, "</OrderIdUserIdDate>");
}

typedef struct Listing
{
	bool		disconnect;
	char	   *page;			/* id of the first row wanted, or "1" */
	char	   *label;
	char	   *status;
	char	   *user;
	int64_t		from_us;		/* created within */
	int64_t		until_us;
	long		size;
	long		lag_ms;
	Text		rows;
	long		shown;
	long		total;
	const char *next;
} Listing;

static bool
row_matches(const Order *order, const Listing *l)
{
	return order->disconnect == l->disconnect &&
		order->listed_us <= now_us() - l->lag_ms * 1000 &&
		order->created_us >= l->from_us && order->created_us < l->until_us &&
		(l->label == NULL || (order->customer_order_id && strcmp(order->customer_order_id, l->label) == 0)) &&
		(l->user == NULL || strcmp(l->user, "sandbox") == 0) &&
		(l->status == NULL || strcasecmp(order->status, l->status) == 0);
}

static bool
status_known(const char *status)
{
	static const char *const known[] = {
		"RECEIVED", "BACKORDERED", "COMPLETE", "PARTIAL", "FAILED"
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcasecmp(known[i], status) == 0)
			return true;
	return false;
}

/* Code and text of what is wrong with the query; NULL: nothing. */
static const char *
read_listing(const Request *request, Listing *l, const char **text)
{
	const Fault *fault = request->fault;

	l->page = parameter(request, "page");
	l->label = l->disconnect || fault_is(fault, "ignore_filter")
		? NULL : parameter(request, "customerOrderId");
	l->status = parameter(request, "status");
	l->user = parameter(request, "userid");
	l->size = parameter_int(request, "size", 300);
	if (l->size < 1 || l->size > config.list_max)
		l->size = config.list_max;
	l->lag_ms = fault_is(fault, "list_lag") ? fault->delay_ms : config.list_lag_ms;
	*text = "The status is invalid";
	if (l->status != NULL && !status_known(l->status))
		return "15518";
	return days_refusal(request, &l->from_us, &l->until_us, text);
}

static void
collect_rows(Listing *l, const char *account)
{
	bool		started = l->page == NULL || strcmp(l->page, "1") == 0;

	for (long i = 0; i < order_count; i++)
	{
		if (!row_matches(orders[i], l))
			continue;
		l->total++;
		started = started || strcmp(orders[i]->id, l->page) == 0;
		if (!started)
			continue;
		if (l->shown == l->size)
		{
			if (l->next == NULL)
				l->next = orders[i]->id;
			continue;
		}
		add_row(&l->rows, orders[i], account);
		l->shown++;
	}
}

static void
add_link(Text *out, const Listing *l, const char *account, const char *rel, const char *page)
{
	text_add(out, "<%s>Link=&lt;https://dashboard.bandwidth.com:443/v1.0/accounts/%s/%s"
			 "?page=%s&amp;size=%ld&gt;;rel=\"%s\";</%s>",
			 rel, account, l->disconnect ? "disconnects" : "orders", page, l->size, rel, rel);
}

static void
list_orders(Request *request, Reply *reply, bool disconnect)
{
	Listing		l = {.disconnect = disconnect};
	const char *account = request->parts[1];
	const char *text = NULL;
	const char *code = read_listing(request, &l, &text);

	if (code == NULL)
		collect_rows(&l, account);
	if (code != NULL)
		reply_error(reply, 400, "ResponseSelectWrapper", code, text);
	else if (l.shown == 0)
		reply->status = 204;
	else
	{
		text_add(&reply->body, "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>"
				 "<ResponseSelectWrapper><ListOrderIdUserIdDate><TotalCount>%ld</TotalCount><Links>",
				 l.total);
		add_link(&reply->body, &l, account, "first", "1");
		if (l.next != NULL)
			add_link(&reply->body, &l, account, "next", l.next);
		text_add(&reply->body, "</Links>%s</ListOrderIdUserIdDate></ResponseSelectWrapper>",
				 l.rows.data);
	}
	text_free(&l.rows);
	free(l.page);
	free(l.label);
	free(l.status);
	free(l.user);
}

static void
change_order(Order *order, Request *request, Reply *reply)
{
	xmlDoc	   *doc = xml_read(request->body, request->body_len);
	xmlNode    *root = doc ? xmlDocGetRootElement(doc) : NULL;

	if (root == NULL || strcmp(order->status, "BACKORDERED") != 0)
		reply_error(reply, 400, "OrderResponse", "5060", "Only back ordered orders can be closed");
	else
	{
		char	   *label = xml_child_text(root, "CustomerOrderId");

		if (label != NULL)
		{
			free(order->customer_order_id);
			order->customer_order_id = label;
		}
		if (xml_child_bool(root, "CloseOrder", false))
		{
			order->status = order->completed_count > 0 ? "PARTIAL" : "FAILED";
			order->modified_us = now_us();
			tell(order);
		}
		text_add(&reply->body, "<OrderResponse/>");
	}
	xmlFreeDoc(doc);
}

/* Empty as long as the order was only taken in. */
static void
read_history(const Order *order, Text *out)
{
	text_add(out, "<OrderHistoryWrapper>");
	for (int i = 0; i < order->change_count; i++)
	{
		text_add(out, "<OrderHistory>");
		add_date(out, "OrderDate", order->changes[i].at_us);
		text_element(out, "Note", order->changes[i].note);
		text_element(out, "Author", "sandbox");
		text_element(out, "Status", order->changes[i].status);
		text_add(out, "</OrderHistory>");
	}
	text_add(out, "</OrderHistoryWrapper>");
}

static void
read_numbers_of(const Order *order, Text *out)
{
	text_add(out, "<TelephoneNumbers><Count>%ld</Count>", order->completed_count);
	for (long i = 0; i < order->completed_count; i++)
		text_add(out, "<TelephoneNumber>%llu</TelephoneNumber>",
				 (unsigned long long) order->completed[i]);
	text_add(out, "</TelephoneNumbers>");
}

/* How many numbers have each prefix; "unit" 10 ** 7 makes area codes of them. */
static void
read_report(const Order *order, const char *name, Number unit, Text *out)
{
	size_t		size = (size_t) order->completed_count * sizeof(Number);
	Number	   *sorted = malloc(size + 1);
	long		first = 0;

	if (size > 0)
		memcpy(sorted, order->completed, size);
	qsort(sorted, (size_t) order->completed_count, sizeof(Number), compare_numbers);
	text_add(out, "<TelephoneDetailsReports>");
	for (long i = 1; i <= order->completed_count; i++)
	{
		if (i < order->completed_count && sorted[i] / unit == sorted[first] / unit)
			continue;
		text_add(out, "<TelephoneDetailsReport>");
		if (name != NULL)
			text_element_int(out, name, (long) (sorted[first] / unit));
		text_element_int(out, "Count", i - first);
		text_add(out, "</TelephoneDetailsReport>");
		first = i;
	}
	text_add(out, "</TelephoneDetailsReports>");
	free(sorted);
}

/* .../orders/ID/PART */
static void
read_part(const Order *order, const char *part, Reply *reply)
{
	if (strcasecmp(part, "history") == 0)
		read_history(order, &reply->body);
	else if (strcasecmp(part, "tns") == 0)
		read_numbers_of(order, &reply->body);
	else if (strcasecmp(part, "areaCodes") == 0)
		read_report(order, "AreaCode", 10000000, &reply->body);
	else if (strcasecmp(part, "npaNxx") == 0)
		read_report(order, "NPA-NXX", 10000, &reply->body);
	else if (strcasecmp(part, "totals") == 0)
		read_report(order, NULL, UINT64_C(10000000000), &reply->body);
	else if (strcasecmp(part, "notes") == 0)
		reply->status = 204;
	else
		reply->status = 404;
}

void
orders_answer(Request *request, Reply *reply)
{
	bool		get = strcmp(request->method, "GET") == 0;
	Order	   *order = request->part_count > 3 ? find_order(request->parts[3], false) : NULL;

	if (request->part_count == 3 && strcmp(request->method, "POST") == 0)
		create_order(request, reply);
	else if (request->part_count == 3 && get)
		list_orders(request, reply, false);
	else if (request->part_count == 3)
		reply->status = 405;
	else if (order == NULL)
		reply_error(reply, 404, "OrderResponse", "5035", "The order is not found");
	else if (get && request->part_count == 5)
		read_part(order, request->parts[4], reply);
	else if (get)
		read_order(order, reply);
	else if (request->part_count == 4 && strcmp(request->method, "PUT") == 0)
		change_order(order, request, reply);
	else
		reply->status = 405;
}

/* --- disconnects --- */

static void
create_disconnect(Request *request, Reply *reply)
{
	xmlDoc	   *doc = xml_read(request->body, request->body_len);
	xmlNode    *root = doc ? xmlDocGetRootElement(doc) : NULL;
	xmlNode    *type = root ? xml_child(root, "DisconnectTelephoneNumberOrderType") : NULL;
	Order	   *order;
	bool		bad = false;

	if (type == NULL)
	{
		reply_error(reply, 400, "DisconnectTelephoneNumberOrderResponse", "5001",
					"The telephone number list is invalid");
		xmlFreeDoc(doc);
		return;
	}
	order = new_order();
	order->disconnect = true;
	order->customer_order_id = xml_child_text(root, "CustomerOrderId");
	order->type = strdup("DisconnectTelephoneNumberOrderType");
	order->requested_count = read_numbers(xml_child(type, "TelephoneNumberList"),
										  &order->requested, &bad);
	order->quantity = order->requested_count;
	order->failed = calloc((size_t) order->requested_count + 1, sizeof(Number));
	order->failed_codes = calloc((size_t) order->requested_count + 1, sizeof(char *));
	add_type_echo(order, type);
	xmlFreeDoc(doc);
	reply->status = 201;
	snprintf(reply->location, sizeof(reply->location),
			 "https://dashboard.bandwidth.com/api/accounts/%s/disconnects/%s",
			 request->parts[1], order->id);
	text_add(&reply->body, "<DisconnectTelephoneNumberOrderResponse><orderRequest>");
	text_element(&reply->body, "CustomerOrderId", order->customer_order_id);
	text_element(&reply->body, "id", order->id);
	add_date(&reply->body, "OrderCreateDate", order->created_us);
	text_add(&reply->body, "%s</orderRequest><OrderStatus>RECEIVED</OrderStatus>"
			 "</DisconnectTelephoneNumberOrderResponse>", order->echo);
	timer_add(now_us() + config.order_delay_ms * 1000, run_order, (void *) (order_count - 1));
}

void
disconnects_answer(Request *request, Reply *reply)
{
	Order	   *order;

	if (request->part_count == 3)
	{
		if (strcmp(request->method, "POST") == 0)
			create_disconnect(request, reply);
		else
			list_orders(request, reply, true);
		return;
	}
	order = find_order(request->parts[3], true);
	if (order != NULL && request->part_count > 4)
	{
		reply->status = 404;
		return;
	}
	if (order == NULL)
	{
		reply_error(reply, 404, "DisconnectTelephoneNumberOrderResponse", "5035", "The order is not found");
		return;
	}
	text_add(&reply->body, "<DisconnectTelephoneNumberOrderResponse>");
	add_errors(&reply->body, order);
	text_add(&reply->body, "<orderRequest>");
	text_element(&reply->body, "CustomerOrderId", order->customer_order_id);
	text_element(&reply->body, "id", order->id);
	text_add(&reply->body, "%s</orderRequest>", order->echo);
	text_element(&reply->body, "OrderStatus", order->status);
	text_add(&reply->body, "<DisconnectedTelephoneNumberList>");
	for (long i = 0; i < order->completed_count; i++)
		text_add(&reply->body, "<TelephoneNumber>%llu</TelephoneNumber>",
				 (unsigned long long) order->completed[i]);
	text_add(&reply->body, "</DisconnectedTelephoneNumberList></DisconnectTelephoneNumberOrderResponse>");
}

/* What the pages about numbers say of the order that has one. */
bool
order_facts(long index, OrderFacts *facts)
{
	const Order *order;

	if (index < 0 || index >= order_count)
		return false;
	order = orders[index];
	*facts = (OrderFacts)
	{
		.id = order->id,.site = order->site ? order->site : "743",
			.peer = order->peer ? order->peer : "546348",.disconnect = order->disconnect,
			.created_us = order->created_us,.modified_us = order->modified_us
	};
	return true;
}

/* --- for control --- */

static void
json_numbers(Text *out, const char *name, const Number *numbers, long count)
{
	text_add(out, ",\"%s\":[", name);
	for (long i = 0; i < count; i++)
		text_add(out, "%s\"%llu\"", i ? "," : "", (unsigned long long) numbers[i]);
	text_add(out, "]");
}

void
orders_json(Text *out)
{
	text_add(out, "[");
	for (long i = 0; i < order_count; i++)
	{
		const Order *o = orders[i];

		text_add(out, "%s{\"id\":\"%s\",\"kind\":\"%s\",\"customer_order_id\":", i ? ",\n" : "",
				 o->id, o->disconnect ? "disconnect" : "order");
		text_json(out, o->customer_order_id);
		text_add(out, ",\"name\":");
		text_json(out, o->name);
		text_add(out, ",\"type\":");
		text_json(out, o->type);
		text_add(out, ",\"site\":");
		text_json(out, o->site);
		text_add(out, ",\"status\":\"%s\",\"quantity\":%ld,\"partial\":%s,\"created_us\":%lld",
				 o->status, o->quantity, o->partial ? "true" : "false", (long long) o->created_us);
		json_numbers(out, "requested", o->requested, o->requested_count);
		json_numbers(out, "completed", o->completed, o->completed_count);
		json_numbers(out, "failed", o->failed, o->failed_count);
		text_add(out, "}");
	}
	text_add(out, "]");
}

long
orders_count(const char *status)
{
	long		count = 0;

	for (long i = 0; i < order_count; i++)
		count += status == NULL || strcmp(orders[i]->status, status) == 0;
	return count;
}
