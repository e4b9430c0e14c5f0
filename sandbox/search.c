/*
 * search.c
 *	  GET availableNumbers and availableNpaNxx, with the parameter rules of
 *	  Bandwidth's "Searching for numbers".
 */
#include "sandbox.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define QUANTITY_MAX 5000

static void
error(Reply *reply, const char *code, const char *text)
{
	reply->status = 400;
	text_add(&reply->body, "<SearchResult><Error>");
	text_element(&reply->body, "Code", code);
	text_element(&reply->body, "Description", text);
	text_add(&reply->body, "</Error></SearchResult>");
}

static void
take(const Request *request, const char *name, char *target, size_t size)
{
	char	   *value = parameter(request, name);

	snprintf(target, size, "%s", value ? value : "");
	free(value);
}

static bool
flag(const Request *request, const char *name, bool otherwise)
{
	char	   *value = parameter(request, name);
	bool		result = value ? strcasecmp(value, "true") == 0 : otherwise;

	free(value);
	return result;
}

/* A vanity pattern over the last seven digits: letters are keypad digits. */
static bool
vanity_match(const char *pattern, bool ends_in, Number number)
{
	static const char keypad[] = "22233344455566677778889999";
	char		digits[16];
	char		wanted[16] = "";
	size_t		n = 0;

	snprintf(digits, sizeof(digits), "%07llu", (unsigned long long) (number % 10000000));
	for (const char *p = pattern; *p != '\0' && n < sizeof(wanted) - 1; p++)
		wanted[n++] = isalpha((unsigned char) *p)
			? keypad[toupper((unsigned char) *p) - 'A'] : *p;
	wanted[n] = '\0';
	if (ends_in)
		return n <= 7 && strcmp(digits + 7 - n, wanted) == 0;
	return strstr(digits, wanted) != NULL;
}

static bool
prefix_match(const Criteria *c, const Block *block, Number number)
{
	char		digits[16];

	snprintf(digits, sizeof(digits), "%010llu", (unsigned long long) number);
	if (c->area_code[0] && strncmp(digits, c->area_code, 3) != 0)
		return false;
	if (c->npanxx[0] || c->npanxxx[0])
	{
		const char *prefix = c->npanxxx[0] ? c->npanxxx : c->npanxx;
		char		whole[16];
		Number		like;
		const Block *home;

		if (strncmp(digits, prefix, strlen(prefix)) == 0)
			return true;
		/* Neighbours: other prefixes of the same local calling area. */
		snprintf(whole, sizeof(whole), "%.6s0000", prefix);
		if (!c->lca || !number_parse(whole, &like))
			return false;
		home = block_of(like);
		return home != NULL && home->lca != 0 && home->lca == block->lca;
	}
	return true;
}

bool
criteria_match(const Block *block, Number number, void *criteria)
{
	const Criteria *c = criteria;
	bool		toll_free = is_toll_free(number);

	if (c->pattern[0])
	{
		char		digits[16];

		snprintf(digits, sizeof(digits), "%llu", (unsigned long long) number);
		return toll_free && (c->pattern[1] == '*' || c->pattern[1] == digits[1]);
	}
	if (c->toll_free_vanity[0])
		return toll_free && vanity_match(c->toll_free_vanity, false, number);
	if (toll_free || block == NULL)
		return false;
	return prefix_match(c, block, number) &&
		(!c->rate_center[0] || strcasecmp(c->rate_center, block->rate_center) == 0) &&
		(!c->city[0] || strcasecmp(c->city, block->city) == 0) &&
		(!c->state[0] || strcasecmp(c->state, block->state) == 0) &&
		(!c->zip[0] || strncmp(c->zip, block->zip, 5) == 0) &&
		(!c->lata[0] || strcmp(c->lata, block->lata) == 0) &&
		(!c->vanity[0] || vanity_match(c->vanity, c->ends_in, number)) &&
		(c->max_tier < 0 || block->tier <= c->max_tier);
}

static void
add_detail(Text *out, Number number)
{
	const Block *block = block_of(number);
	char		digits[16];

	snprintf(digits, sizeof(digits), "%llu", (unsigned long long) number);
	text_add(out, "<TelephoneNumberDetail>");
	if (block != NULL && !is_toll_free(number))
	{
		text_element(out, "City", block->city);
		text_element(out, "LATA", block->lata);
		text_element(out, "RateCenter", block->rate_center);
		text_element(out, "State", block->state);
	}
	text_element(out, "FullNumber", digits);
	text_element_int(out, "Tier", block ? block->tier : 0);
	text_element(out, "VendorId", is_toll_free(number) ? "67" : "49");
	text_element(out, "VendorName", is_toll_free(number) ? "Toll free vendor" : "Bandwidth CLEC");
	text_add(out, "</TelephoneNumberDetail>");
}

static void
take_criteria(const Request *request, Criteria *c)
{
	c->max_tier = -1;
	take(request, "areaCode", c->area_code, sizeof(c->area_code));
	take(request, "npaNxx", c->npanxx, sizeof(c->npanxx));
	take(request, "npaNxxx", c->npanxxx, sizeof(c->npanxxx));
	take(request, "rateCenter", c->rate_center, sizeof(c->rate_center));
	take(request, "city", c->city, sizeof(c->city));
	take(request, "state", c->state, sizeof(c->state));
	take(request, "zip", c->zip, sizeof(c->zip));
	take(request, "lata", c->lata, sizeof(c->lata));
	take(request, "localVanity", c->vanity, sizeof(c->vanity));
	take(request, "tollFreeVanity", c->toll_free_vanity, sizeof(c->toll_free_vanity));
	take(request, "tollFreeWildCardPattern", c->pattern, sizeof(c->pattern));
	c->ends_in = flag(request, "endsIn", false);
	c->lca = flag(request, "LCA", true);
}

static int
compare_numbers(const void *a, const void *b)
{
	Number		x = *(const Number *) a;
	Number		y = *(const Number *) b;

	return x < y ? -1 : x > y;
}

static void
show_numbers(Text *out, const Number *found, long count, bool detail)
{
	const char *list = detail ? "TelephoneNumberDetailList" : "TelephoneNumberList";

	text_add(out, "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>");
	if (count == 0)
	{
		text_add(out, "<SearchResult/>");
		return;
	}
	text_add(out, "<SearchResult><ResultCount>%ld</ResultCount><%s>", count, list);
	for (long i = 0; i < count; i++)
	{
		if (detail)
			add_detail(out, found[i]);
		else
			text_add(out, "<TelephoneNumber>%llu</TelephoneNumber>",
					 (unsigned long long) found[i]);
	}
	text_add(out, "</%s></SearchResult>", list);
}

/* Somebody else is quick: he orders some of what is shown here. */
static void
snatch(const Number *found, long count)
{
	static long listed;

	for (long i = 0; i < count && config.snatch_every > 0; i++)
	{
		if (++listed % config.snatch_every != 0 || config.snatch_count == 0)
			continue;
		number_set(found[i], NUMBER_SOLD, -1);
		config.snatch_count -= config.snatch_count > 0;
	}
}

static void
answer_numbers(Request *request, Reply *reply)
{
	Criteria	c = {0};
	long		quantity = parameter_int(request, "quantity", QUANTITY_MAX);
	char	   *order_by = parameter(request, "orderBy");
	const char *text = NULL;
	const char *code;
	Number	   *found;
	long		count;

	take_criteria(request, &c);
	code = search_refusal(request, &c, &text);
	if (code != NULL)
		error(reply, code, text);
	else if (quantity < 1 || quantity > QUANTITY_MAX)
		error(reply, "5009", "The quantity is invalid");
	else
	{
		found = malloc((size_t) quantity * sizeof(Number));
		count = inventory_find(criteria_match, &c, quantity, found);
		/* Every order that there is follows from that of the numbers. */
		if (order_by != NULL)
			qsort(found, (size_t) count, sizeof(Number), compare_numbers);
		show_numbers(&reply->body, found, count, flag(request, "enableTNDetail", false));
		snatch(found, count);
		free(found);
	}
	free(order_by);
}

static void
answer_npanxx(Request *request, Reply *reply)
{
	char	   *area = parameter(request, "areaCode");
	char	   *state = parameter(request, "state");
	long		least = parameter_int(request, "quantity", 1);
	int			rows = 0;
	Text		list = {0};

	for (int nxx = 200; nxx <= 999; nxx++)
	{
		static const int npas[] = {540, 919, 984, 212};

		for (size_t i = 0; i < sizeof(npas) / sizeof(npas[0]); i++)
		{
			const Block *block = block_of((Number) npas[i] * 10000000 + (Number) nxx * 10000);
			long		stock;

			if (block == NULL || (area && atoi(area) != npas[i]) ||
				(state && strcasecmp(state, block->state) != 0) ||
				(stock = inventory_stock(npas[i], nxx)) < least)
				continue;
			text_add(&list, "<AvailableNpaNxx><City>%s</City><Npa>%d</Npa><Nxx>%d</Nxx>"
					 "<Quantity>%ld</Quantity><State>%s</State></AvailableNpaNxx>",
					 block->city, npas[i], nxx, stock, block->state);
			rows++;
		}
	}
	if (rows == 0)
	{
		reply->status = 400;
		text_add(&reply->body, "<SearchResultForAvailableNpaNxx><Error><Code>4000</Code>"
				 "<Description>The area code is invalid</Description></Error></SearchResultForAvailableNpaNxx>");
	}
	else
		text_add(&reply->body, "<SearchResultForAvailableNpaNxx><AvailableNpaNxxList>%s"
				 "</AvailableNpaNxxList></SearchResultForAvailableNpaNxx>", list.data);
	text_free(&list);
	free(area);
	free(state);
}

void
search_answer(Request *request, Reply *reply)
{
	if (strcmp(request->method, "GET") != 0)
		reply->status = 405;
	else if (strcasecmp(request->parts[2], "availableNpaNxx") == 0)
		answer_npanxx(request, reply);
	else
		answer_numbers(request, reply);
}
