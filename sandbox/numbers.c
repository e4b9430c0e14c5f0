/*
 * numbers.c
 *	  Whose a number is, and which are in service.
 *
 * From Bandwidth's "Get telephone number", "Get telephone number details" and
 * "Get in-service numbers".
 */
#include "sandbox.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* "Get in-service numbers" names none; this was seen. */
#define PAGE_MAX 500

/* Of any number, whoever has it. */
static void
answer_rate_center(const Block *block, Reply *reply)
{
	if (block == NULL || block->rate_center == NULL)
	{
		reply_error(reply, 404, "TelephoneNumberResponse", "15506",
					"The telephone number does not exist");
		return;
	}
	text_add(&reply->body, "<TelephoneNumberResponse><TelephoneNumberDetails>");
	text_element(&reply->body, "State", block->state);
	text_element(&reply->body, "RateCenter", block->rate_center);
	text_add(&reply->body, "</TelephoneNumberDetails></TelephoneNumberResponse>");
}

static const char *
account(void)
{
	return options.account ? options.account : "9900000";
}

static const char *
status_of(Number number)
{
	return number_state(number) == NUMBER_OURS ? "Inservice" : "Aging";
}

static void
answer_number(Number number, Text *out)
{
	OrderFacts	order;

	text_add(out, "<TelephoneNumberResponse>");
	text_element_int(out, "TelephoneNumber", (long) number);
	text_element(out, "Status", status_of(number));
	if (order_facts(number_order(number), &order))
	{
		add_date(out, "LastModifiedDate", order.modified_us);
		add_date(out, "OrderCreateDate", order.created_us);
		text_element(out, "OrderId", order.id);
		text_element(out, "OrderType", order.disconnect ? "DISCONNECT_ORDER" : "NEW_NUMBER_ORDER");
		if (!order.disconnect)
			add_date(out, "InServiceDate", order.modified_us);
		text_element(out, "SiteId", order.site);
	}
	text_element(out, "AccountId", account());
	text_add(out, "</TelephoneNumberResponse>");
}

static void
answer_details(Number number, Text *out)
{
	const Block *block = block_of(number);
	OrderFacts	order;

	text_add(out, "<TelephoneNumberResponse><TelephoneNumberDetails>");
	if (block != NULL)
	{
		text_element(out, "City", block->city);
		text_element(out, "Lata", block->lata);
		text_element(out, "State", block->state);
	}
	text_element_int(out, "FullNumber", (long) number);
	text_element_int(out, "Tier", block ? block->tier : 0);
	text_element(out, "VendorId", is_toll_free(number) ? "67" : "49");
	text_element(out, "VendorName", is_toll_free(number) ? "Toll free vendor" : "Bandwidth CLEC");
	if (block != NULL)
		text_element(out, "RateCenter", block->rate_center);
	text_element(out, "Status", status_of(number));
	text_element(out, "AccountId", account());
	if (order_facts(number_order(number), &order))
	{
		text_add(out, "<Site><Id>%s</Id><Name>Main</Name></Site><SipPeer><PeerId>%s</PeerId>"
				 "<PeerName>Default</PeerName><IsDefaultPeer>true</IsDefaultPeer></SipPeer>",
				 order.site, order.peer);
		add_date(out, "LastModified", order.modified_us);
	}
	text_add(out, "<Features><CallForward><Status>off</Status></CallForward></Features>"
			 "</TelephoneNumberDetails></TelephoneNumberResponse>");
}

void
tns_answer(Request *request, Reply *reply)
{
	const char *part = request->part_count == 3 ? request->parts[2] : "";
	bool		valid;
	Number		number = 0;

	valid = request->part_count >= 2 && number_parse(request->parts[1], &number);
	if (strcasecmp(part, "ratecenter") == 0)
		answer_rate_center(valid ? block_of(number) : NULL, reply);
	else if (valid && strcasecmp(part, "tnreservation") == 0)
		number_reservation_answer(number, reply);
	else if (!valid || (number_state(number) != NUMBER_OURS && number_state(number) != NUMBER_AGING))
		reply_error(reply, 404, "TelephoneNumberResponse", "15610",
					"The telephone number is not found on your accounts");
	else if (strcasecmp(part, "tndetails") == 0)
		answer_details(number, &reply->body);
	else if (part[0] == '\0')
		answer_number(number, &reply->body);
	else
		reply->status = 404;
}

/* --- what is in service --- */

typedef struct Page
{
	Criteria	criteria;
	const char *site;			/* NULL: any */
	int64_t		from_us;		/* changed within */
	int64_t		until_us;
	Text		rows;
	Number		from;
	long		size;
	long		shown;
	long		total;
	Number		next;
} Page;

/* Toll-free numbers, and others outside of the inventory, have no place. */
static bool
fits(const Criteria *c, Number number)
{
	const Block *block = block_of(number);
	char		digits[16];

	snprintf(digits, sizeof(digits), "%010llu", (unsigned long long) number);
	if (strncmp(digits, c->area_code, strlen(c->area_code)) != 0 ||
		strncmp(digits, c->npanxx, strlen(c->npanxx)) != 0)
		return false;
	if (!c->lata[0] && !c->state[0])
		return true;
	return block != NULL && block->state != NULL &&
		(!c->lata[0] || strcmp(c->lata, block->lata) == 0) &&
		(!c->state[0] || strcasecmp(c->state, block->state) == 0) &&
		(!c->rate_center[0] || strcasecmp(c->rate_center, block->rate_center) == 0);
}

static bool
is_listed(Number number, const Page *page)
{
	OrderFacts	order;

	return fits(&page->criteria, number) &&
		order_facts(number_order(number), &order) &&
		(page->site == NULL || strcmp(order.site, page->site) == 0) &&
		order.modified_us >= page->from_us && order.modified_us < page->until_us;
}

static void
add_to_page(Number number, void *arg)
{
	Page	   *page = arg;

	if (!is_listed(number, page))
		return;
	page->total++;
	if (number < page->from)
		return;
	if (page->shown == page->size)
	{
		if (page->next == 0)
			page->next = number;
		return;
	}
	text_add(&page->rows, "<TelephoneNumber>%llu</TelephoneNumber>", (unsigned long long) number);
	page->shown++;
}

static void
take(const Request *request, const char *name, char *target, size_t size)
{
	char	   *value = parameter(request, name);

	snprintf(target, size, "%s", value ? value : "");
	free(value);
}

/* Code and text of what is wrong with the query; NULL: nothing. */
static const char *
read_page(const Request *request, Page *page, const char **text)
{
	Criteria   *c = &page->criteria;
	char	   *from = parameter(request, "page");

	page->from = from ? strtoull(from, NULL, 10) : 0;
	free(from);
	page->size = parameter_int(request, "size", 300);
	if (page->size < 1 || page->size > PAGE_MAX)
		page->size = PAGE_MAX;
	take(request, "areacode", c->area_code, sizeof(c->area_code));
	take(request, "npanxx", c->npanxx, sizeof(c->npanxx));
	take(request, "lata", c->lata, sizeof(c->lata));
	take(request, "state", c->state, sizeof(c->state));
	take(request, "ratecenter", c->rate_center, sizeof(c->rate_center));
	*text = "The rate center has to come with a state";
	if (c->rate_center[0] && !c->state[0])
		return "15508";
	return days_refusal(request, &page->from_us, &page->until_us, text);
}

static void
show_page(const Request *request, const Page *page, Reply *reply)
{
	text_add(&reply->body, "<TNs><TotalCount>%ld</TotalCount><Links><first/>", page->total);
	if (page->next != 0)
		text_add(&reply->body, "<next>Link=&lt;https://dashboard.bandwidth.com:443/v1.0/accounts/%s/"
				 "inserviceNumbers?page=%llu&amp;size=%ld&gt;;rel=\"next\";</next>",
				 request->parts[1], (unsigned long long) page->next, page->size);
	text_add(&reply->body, "</Links><TelephoneNumbers><Count>%ld</Count>%s</TelephoneNumbers></TNs>",
			 page->shown, page->rows.data ? page->rows.data : "");
}

void
inservice_answer(Request *request, const char *site, Reply *reply)
{
	Page		page = {.site = site};
	const char *text = NULL;
	const char *code;
	Number		number;

	if (site == NULL && request->part_count == 4 && number_parse(request->parts[3], &number))
	{
		reply->status = number_state(number) == NUMBER_OURS ? 200 : 404;
		return;
	}
	code = read_page(request, &page, &text);
	if (code != NULL)
	{
		reply_error(reply, 404, "TNs", code, text);
		return;
	}
	inventory_each_ours(add_to_page, &page);
	if (page.shown == 0)
		reply->status = 204;
	else
		show_page(request, &page, reply);
	text_free(&page.rows);
}
