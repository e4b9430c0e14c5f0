/*
 * rules.c
 *	  What a search may ask for, and which criteria combine: the tables of
 *	  Bandwidth's "Searching for numbers", the codes of its "Errors".
 */
#include "sandbox.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* Criteria, as bits. */
enum
{
	AREA = 1, NPANXX = 2, NPANXXX = 4, RATE_CENTER = 8, CITY = 16, STATE = 32,
	ZIP = 64, LATA = 128, VANITY = 256, TOLL_FREE_VANITY = 512, PATTERN = 1024,
	PREFIX = AREA | NPANXX | NPANXXX,
	PLACE = RATE_CENTER | CITY | STATE | ZIP | LATA
};

/* What else may be given with each of them. */
static const struct
{
	unsigned	criterion;
	unsigned	others;
}			combinations[] = {
	{AREA, PLACE | VANITY},
	{NPANXX, PLACE},
	{NPANXXX, PLACE},
	{RATE_CENTER, PREFIX | PLACE},
	{CITY, PREFIX | PLACE},
	{STATE, PREFIX | PLACE | VANITY},
	{ZIP, PREFIX | PLACE},
	{LATA, PREFIX | PLACE},
	{VANITY, AREA | STATE},
	{TOLL_FREE_VANITY, 0},
	{PATTERN, 0}
};

/* Those whose results can be ordered. */
#define SORTABLE (NPANXX | NPANXXX | RATE_CENTER | CITY | ZIP | TOLL_FREE_VANITY | PATTERN)

static unsigned
given_criteria(const Criteria *c)
{
	return (c->area_code[0] ? AREA : 0u) | (c->npanxx[0] ? NPANXX : 0u) |
		(c->npanxxx[0] ? NPANXXX : 0u) | (c->rate_center[0] ? RATE_CENTER : 0u) |
		(c->city[0] ? CITY : 0u) | (c->state[0] ? STATE : 0u) | (c->zip[0] ? ZIP : 0u) |
		(c->lata[0] ? LATA : 0u) | (c->vanity[0] ? VANITY : 0u) |
		(c->toll_free_vanity[0] ? TOLL_FREE_VANITY : 0u) | (c->pattern[0] ? PATTERN : 0u);
}

static bool
are_digits(const char *text, size_t len)
{
	return strlen(text) == len && strspn(text, "0123456789") == len;
}

/* Also not: 37x, 96x, x9x and x11, which the numbering plan keeps back. */
static bool
area_code_fits(const char *text)
{
	return are_digits(text, 3) && text[0] >= '2' && text[1] != '9' &&
		strncmp(text, "37", 2) != 0 && strncmp(text, "96", 2) != 0 &&
		strcmp(text + 1, "11") != 0;
}

static bool
prefix_fits(const char *text, size_t len)
{
	char		area[4];

	snprintf(area, sizeof(area), "%.3s", text);
	return are_digits(text, len) && area_code_fits(area) && text[3] >= '2';
}

static bool
zip_fits(const char *text)
{
	char		first[6];

	snprintf(first, sizeof(first), "%.5s", text);
	return are_digits(first, 5) &&
		(text[5] == '\0' || (text[5] == '-' && are_digits(text + 6, 4)));
}

static bool
one_of(const char *value, const char *const *allowed)
{
	for (; *allowed != NULL; allowed++)
		if (strcmp(value, *allowed) == 0)
			return true;
	return false;
}

/* One value by itself; NULL: good. */
static const char *
check_values(const Criteria *c, const char **text)
{
	if (c->area_code[0] && !area_code_fits(c->area_code))
		return *text = "The area code is invalid", "4000";
	if ((c->npanxx[0] && !prefix_fits(c->npanxx, 6)) ||
		(c->npanxxx[0] && !prefix_fits(c->npanxxx, 7)))
		return *text = "The NPA NXX is invalid", "4002";
	if (c->state[0] && strlen(c->state) != 2)
		return *text = "The state is invalid", "4006";
	if (c->zip[0] && !zip_fits(c->zip))
		return *text = "The zip code is invalid", "4007";
	if (c->lata[0] && !are_digits(c->lata, strlen(c->lata)))
		return *text = "The LATA is invalid", "4008";
	if (c->vanity[0] && strlen(c->vanity) < 3)
		return *text = "The localVanity is invalid", "5002";
	if (c->toll_free_vanity[0] && strlen(c->toll_free_vanity) < 4)
		return *text = "The toll free vanity is invalid", "4003";
	if (c->pattern[0] && (strlen(c->pattern) != 3 || c->pattern[0] != '8' || c->pattern[2] != '*'))
		return *text = "The toll free wildcard pattern is invalid", "4004";
	return NULL;
}

static const char *
check_combination(unsigned given, const char **text)
{
	unsigned	prefixes = given & PREFIX;

	if (given == 0)
		return *text = "No search criteria were given", "4010";
	if ((given & RATE_CENTER) && !(given & STATE))
		return *text = "State must also be specified with a rate center", "5002";
	if ((given & CITY) && !(given & STATE))
		return *text = "State must also be specified with a city", "5002";
	for (size_t i = 0; i < sizeof(combinations) / sizeof(combinations[0]); i++)
		if ((given & combinations[i].criterion) &&
			(given & ~(combinations[i].criterion | combinations[i].others)))
			return *text = "Search criteria are not supported in this combination", "4010";
	if (prefixes != AREA && prefixes != NPANXX && prefixes != NPANXXX && prefixes != 0)
		return *text = "Search criteria are not supported in this combination", "4010";
	return NULL;
}

/* The local calling area, if it is asked for in so many words. */
static const char *
check_lca(const Request *request, unsigned given, const char **text)
{
	char	   *lca = parameter(request, "LCA");
	bool		wanted = lca != NULL && strcasecmp(lca, "true") == 0;
	bool		possible = given == NPANXX || (given & NPANXXX) ||
	given == (RATE_CENTER | STATE);

	free(lca);
	if (!wanted || possible)
		return NULL;
	return *text = "LCA is not supported with these criteria", "5002";
}

static const char *
check_options(const Request *request, unsigned given, const char **text)
{
	static const char *const orders[] = {"fullNumber", "npaNxxx", "npaNxx", "areaCode", NULL};
	static const char *const protections[] = {"NONE", "ONLY", "MIXED", NULL};
	char	   *order_by = parameter(request, "orderBy");
	char	   *protection = parameter(request, "protected");
	char	   *ends_in = parameter(request, "endsIn");
	const char *code = NULL;

	if (order_by != NULL && !one_of(order_by, orders))
		code = "4020", *text = "The orderBy value is invalid";
	else if (order_by != NULL && !(given & SORTABLE))
		code = "4021", *text = "orderBy is not supported with these criteria";
	else if (protection != NULL && !one_of(protection, protections))
		code = "4022", *text = "The protected value is invalid";
	else if (ends_in != NULL && strcasecmp(ends_in, "true") == 0 && !(given & VANITY))
		code = "5002", *text = "endsIn is supported with localVanity only";
	free(order_by);
	free(protection);
	free(ends_in);
	return code;
}

const char *
search_refusal(const Request *request, const Criteria *criteria, const char **text)
{
	unsigned	given = given_criteria(criteria);
	const char *code = check_values(criteria, text);

	if (code == NULL)
		code = check_combination(given, text);
	if (code == NULL)
		code = check_lca(request, given, text);
	if (code == NULL)
		code = check_options(request, given, text);
	return code;
}

/* A day as YY-MM-DD or YYYY-MM-DD, in UTC. */
static bool
read_day(const char *text, int64_t *us)
{
	struct tm	tm = {0};
	char	   *end = strptime(text, strcspn(text, "-") == 2 ? "%y-%m-%d" : "%Y-%m-%d", &tm);

	*us = (int64_t) timegm(&tm) * 1000000;
	return end != NULL && *end == '\0';
}

const char *
days_refusal(const Request *request, int64_t *from_us, int64_t *until_us, const char **text)
{
	char	   *start = parameter(request, "startdate");
	char	   *end = parameter(request, "enddate");
	const char *code = NULL;

	*from_us = 0;
	*until_us = INT64_MAX;
	if (start == NULL && end == NULL)
		return NULL;
	if (start == NULL || end == NULL)
		code = "15508", *text = "startdate and enddate must come together";
	else if (!read_day(start, from_us) || !read_day(end, until_us))
		code = "1007", *text = "The date is invalid";
	else if (*from_us > *until_us)
		code = "15501", *text = "The start date is after the end date";
	else
		*until_us += INT64_C(86400000000);
	free(start);
	free(end);
	return code;
}
