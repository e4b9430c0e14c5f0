/*-------------------------------------------------------------------------
 *
 * request.c
 *	  What a user may ask for: telephone numbers, searches and orders,
 *	  checked before anything is written or sent.
 *
 * The rules are those of Bandwidth's "Searching for Numbers", "Ordering
 * numbers" and "Errors" pages and of its OpenAPI description.  What is
 * refused here would be refused there, after a round trip or, for an order,
 * after the user's transaction is gone.  Where Bandwidth's documents differ
 * (how long a vanity may be, which wildcards it may have, which area codes
 * exist) the server decides: a rule too strict would lock users out of numbers
 * that are for sale.
 *
 * Every argument of a search is a row of a table, and so is every rule about
 * which may stand together.  Values come from users and may hold anything;
 * they reach a message only through clip().
 *
 * src/request.c
 *-------------------------------------------------------------------------
 */
#include "request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) ((int) (sizeof(array) / sizeof((array)[0])))

/* As much of a value as a message shows: a number with all its decoration. */
#define SHOWN_MAX 60

/* No place or vanity is longer, and a URL with a few of them stays short. */
#define TEXT_MAX 100

/* Identifiers of sites and SIP peers are integers; these fit into 64 bits. */
#define ID_DIGITS_MAX 18

#define ATTEMPTS_MAX 100

/* Error 4016. */
#define TIER_MAX 5

#define DIGITS "0123456789"
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/*
 * Arguments of a search in the order in which they are sent, and after them
 * what only orders have.
 */
typedef enum Argument
{
	AREA_CODE,
	NPANXX,
	NPANXXX,
	RATE_CENTER,
	CITY,
	STATE,
	ZIP,
	LATA,
	LOCAL_VANITY,
	TOLL_FREE_VANITY,
	TOLL_FREE_WILDCARD_PATTERN,
	ORDER_BY,
	PROTECTED,
	ENDS_IN,
	LCA,
	QUANTITY,
	DETAIL,
	DIRECT,
	MAX_TIER,
	ATTEMPTS,
	BACK_ORDER
} Argument;

#define TEXT_COUNT (PROTECTED + 1)
#define PARAMETER_COUNT (DETAIL + 1)
#define ARGUMENT_COUNT (BACK_ORDER + 1)
#define NO_ARGUMENT ARGUMENT_COUNT

/* A set of arguments. */
#define SET(argument) (1u << (argument))

#define PREFIXES (SET(AREA_CODE) | SET(NPANXX) | SET(NPANXXX))
#define PLACES \
	(SET(RATE_CENTER) | SET(CITY) | SET(STATE) | SET(ZIP) | SET(LATA))
#define TOLL_FREE (SET(TOLL_FREE_VANITY) | SET(TOLL_FREE_WILDCARD_PATTERN))
#define CRITERIA (PREFIXES | PLACES | SET(LOCAL_VANITY) | TOLL_FREE)

static bool is_area_code(const char *value);
static bool is_npanxx(const char *value);
static bool is_npanxxx(const char *value);
static bool is_place(const char *value);
static bool is_state(const char *value);
static bool is_zip(const char *value);
static bool is_lata(const char *value);
static bool is_vanity(const char *value);
static bool is_wildcard_pattern(const char *value);
static bool is_order_by(const char *value);
static bool is_protected(const char *value);

/*
 * What SQL and Bandwidth call an argument.  Those that are texts say where
 * they are, what they may look like, and how a message puts it; orders' own
 * have no parameter.
 */
static const struct
{
	const char *name;
	const char *parameter;
	size_t		offset;
	bool		(*accepts) (const char *value);
	const char *detail;
}			arguments[ARGUMENT_COUNT] = {

	[AREA_CODE] = {"area_code", "areaCode",
		offsetof(BwSearch, area_code), is_area_code,
	"An area code has 3 digits and does not start with 0 or 1."},
	[NPANXX] = {"npanxx", "npaNxx",
		offsetof(BwSearch, npanxx), is_npanxx,
		"Area code and exchange are 6 digits, and neither starts with "
	"0 or 1."},
	[NPANXXX] = {"npanxxx", "npaNxxx",
		offsetof(BwSearch, npanxxx), is_npanxxx,
		"Area code, exchange and one more digit are 7 digits, and neither "
	"area code nor exchange starts with 0 or 1."},
	[RATE_CENTER] = {"rate_center", "rateCenter",
		offsetof(BwSearch, rate_center), is_place,
	"A rate center has 1 to 100 characters, none of them control characters."},
	[CITY] = {"city", "city",
		offsetof(BwSearch, city), is_place,
	"A city has 1 to 100 characters, none of them control characters."},
	[STATE] = {"state", "state",
		offsetof(BwSearch, state), is_state,
	"A state or province has two letters."},
	[ZIP] = {"zip", "zip",
		offsetof(BwSearch, zip), is_zip,
	"A ZIP code is five digits, or five digits, a dash and four digits."},
	[LATA] = {"lata", "lata",
		offsetof(BwSearch, lata), is_lata,
	"A LATA has one to five digits."},
	[LOCAL_VANITY] = {"local_vanity", "localVanity",
		offsetof(BwSearch, local_vanity), is_vanity,
	"A vanity has at least three letters, digits or wildcards."},
	[TOLL_FREE_VANITY] = {"toll_free_vanity", "tollFreeVanity",
		offsetof(BwSearch, toll_free_vanity), is_vanity,
	"A vanity has at least three letters, digits or wildcards."},
	[TOLL_FREE_WILDCARD_PATTERN] = {"toll_free_wildcard_pattern",
		"tollFreeWildCardPattern",
		offsetof(BwSearch, toll_free_wildcard_pattern), is_wildcard_pattern,
		"A pattern is \"8\", then a digit or \"*\", then \"*\", such as "
	"\"8**\" or \"83*\"."},
	[ORDER_BY] = {"order_by", "orderBy",
		offsetof(BwSearch, order_by), is_order_by,
		"Valid values are \"fullNumber\", \"npaNxxx\", \"npaNxx\" and "
	"\"areaCode\"."},
	[PROTECTED] = {"protected", "protected",
		offsetof(BwSearch, protected_numbers), is_protected,
	"Valid values are \"NONE\", \"ONLY\" and \"MIXED\"."},
	[ENDS_IN] = {"ends_in", "endsIn", 0, NULL, NULL},
	[LCA] = {"lca", "LCA", 0, NULL, NULL},
	[QUANTITY] = {"quantity", "quantity", 0, NULL, NULL},
	[DETAIL] = {"detail", "enableTNDetail", 0, NULL, NULL},
	[DIRECT] = {"direct", NULL, 0, NULL, NULL},
	[MAX_TIER] = {"max_tier", NULL, 0, NULL, NULL},
	[ATTEMPTS] = {"attempts", NULL, 0, NULL, NULL},
	[BACK_ORDER] = {"back_order_requested", NULL, 0, NULL, NULL}
};

/*
 * Which arguments may stand together.  Where all of "when" and none of
 * "unless" are given, none of "never" may be given, and "needs" must be.  The
 * message is about "subject".
 */
typedef struct Rule
{
	Argument	subject;
	unsigned int when;
	unsigned int unless;
	unsigned int never;
	Argument	needs;
	const char *hint;
} Rule;

#define PREFIX_HINT "Use one of area_code, npanxx and npanxxx."
#define LCA_HINT \
	"Use lca with npanxx, with npanxxx, or with rate_center and state, " \
	"and without other criteria."
#define TOLL_FREE_HINT \
	"A toll-free search takes order_by and quantity only."

/*
 * The table of combinations in "Searching for Numbers".  Everything that
 * names a place goes with everything else that does.  The rules for lca come
 * first: where it is the culprit, the message should be about it.
 */
static const Rule search_rules[] = {
	{LCA, SET(LCA), 0,
		SET(AREA_CODE) | SET(CITY) | SET(ZIP) | SET(LATA) |
		SET(LOCAL_VANITY) | TOLL_FREE | SET(ORDER_BY),
	NO_ARGUMENT, LCA_HINT},
	{LCA, SET(LCA), SET(RATE_CENTER), SET(STATE),
	NO_ARGUMENT, LCA_HINT},
	{LCA, SET(LCA) | SET(RATE_CENTER), 0, SET(NPANXX) | SET(NPANXXX),
	NO_ARGUMENT, LCA_HINT},

	{AREA_CODE, SET(AREA_CODE), 0, SET(NPANXX) | SET(NPANXXX),
	NO_ARGUMENT, PREFIX_HINT},
	{NPANXX, SET(NPANXX), 0, SET(NPANXXX),
	NO_ARGUMENT, PREFIX_HINT},

	{RATE_CENTER, SET(RATE_CENTER), 0, 0,
	STATE, "Rate centers of different states share names."},
	{CITY, SET(CITY), 0, 0,
	STATE, "Cities of different states share names."},

	{ENDS_IN, SET(ENDS_IN), 0, 0,
	LOCAL_VANITY, "Leave out ends_in, or add local_vanity."},
	{LOCAL_VANITY, SET(LOCAL_VANITY), 0,
		(CRITERIA | SET(ORDER_BY)) &
		~(SET(LOCAL_VANITY) | SET(STATE) | SET(AREA_CODE)),
	NO_ARGUMENT, "Use local_vanity with area_code or state."},

	{TOLL_FREE_VANITY, SET(TOLL_FREE_VANITY), 0,
		(CRITERIA | SET(PROTECTED)) & ~SET(TOLL_FREE_VANITY),
	NO_ARGUMENT, TOLL_FREE_HINT},
	{TOLL_FREE_WILDCARD_PATTERN, SET(TOLL_FREE_WILDCARD_PATTERN), 0,
		(CRITERIA | SET(PROTECTED)) & ~SET(TOLL_FREE_WILDCARD_PATTERN),
	NO_ARGUMENT, TOLL_FREE_HINT},

	/* error 4021 */
	{ORDER_BY, SET(ORDER_BY),
		SET(NPANXX) | SET(NPANXXX) | SET(RATE_CENTER) | SET(CITY) | SET(ZIP) |
		TOLL_FREE,
		SET(AREA_CODE) | SET(STATE) | SET(LATA),
		NO_ARGUMENT,
		"Use order_by with npanxx, npanxxx, rate_center, city, zip, "
	"toll_free_vanity or toll_free_wildcard_pattern."}
};

/*
 * What the order types of "Ordering numbers" add.  They have no elements for
 * order_by, protected and tier, and Bandwidth looks for numbers once; a local
 * vanity is a combined order, where it stands with an area code and nothing
 * else.  Back orders: error 5522.
 */
static const Rule order_rules[] = {
	{DIRECT, SET(DIRECT), 0,
		SET(ORDER_BY) | SET(PROTECTED) | SET(MAX_TIER) | SET(ATTEMPTS),
		NO_ARGUMENT,
		"Leave out direct: the numbers are then searched first and ordered "
	"one by one."},
	{LOCAL_VANITY, SET(DIRECT) | SET(LOCAL_VANITY), 0, SET(STATE),
	AREA_CODE, "A direct order takes local_vanity with area_code alone."},
	{BACK_ORDER, SET(BACK_ORDER), 0, 0,
	DIRECT, "Add direct => true to have Bandwidth search and keep trying."},
	{BACK_ORDER, SET(BACK_ORDER), 0,
		SET(NPANXX) | SET(NPANXXX) | SET(LOCAL_VANITY) | SET(TOLL_FREE_VANITY),
		NO_ARGUMENT,
		"Bandwidth keeps trying only for orders by place, area code or "
	"toll-free wildcard."}
};

/* The numbers that compare_numbers() looks up; qsort() passes no context. */
static const BwNumber *sorted_numbers;

static bool read_digits(const char *text, char digits[BW_NUMBER_DIGITS + 2],
						int *count);
static bool check_formats(const BwSearch *search, BwProblem *problem);
static bool refuse_format(Argument argument, const char *value,
						  BwProblem *problem);
static bool check_quantity(int quantity, BwProblem *problem);
static unsigned int given_arguments(const BwSearch *search);
static bool check_rules(const Rule *rules, int count, unsigned int given,
						BwProblem *problem);
static bool check_rule(const Rule *rule, unsigned int given,
					   BwProblem *problem);
static const char *text_argument(const BwSearch *search, Argument argument);
static const char *parameter_value(const BwSearch *search, Argument argument,
								   char scratch[32]);
static bool parse_numbers(const char *const *numbers, int count,
						  BwNumber *parsed, BwProblem *problem);
static bool check_duplicates(const BwNumber *numbers, int count, int *order,
							 BwProblem *problem);
static int	compare_numbers(const void *a, const void *b);
static bool check_place(const BwOrderOptions *options, BwProblem *problem);
static bool check_name(const char *name, BwProblem *problem);
static bool check_customer_order_id(const char *id, BwProblem *problem);
static bool check_tier(const int *max_tier, BwProblem *problem);
static bool is_digits(const char *value, int min, int max);
static bool is_prefix(const char *value, int length);
static bool is_id(const char *value);
static bool has_control_character(const char *value);
static int	character_count(const char *value);
static bool refuse(BwProblem *problem, BwProblemKind kind, const char *detail,
				   const char *hint, const char *message,...)
			__attribute__((format(printf, 5, 6)));
static bool refuse_value(BwProblem *problem, BwProblemKind kind,
						 const char *what, const char *value,
						 const char *detail);
static void clip(char shown[SHOWN_MAX + 4], const char *value);


bool
bw_number_parse(const char *text, BwNumber *number, BwProblem *problem)
{
	char		digits[BW_NUMBER_DIGITS + 2];
	int			count;
	const char *national;

	if (text == NULL)
		return refuse(problem, BW_PROBLEM_NULL, NULL, NULL,
					  "telephone number must not be null");
	if (!read_digits(text, digits, &count))
		return refuse_value(problem, BW_PROBLEM_INVALID_TEXT,
							"telephone number", text,
							"A number has ten digits, as in 5405514342, "
							"(540) 551-4342 or +15405514342.");

	national = digits + count - BW_NUMBER_DIGITS;
	if (!is_prefix(national, BW_NUMBER_DIGITS))
		return refuse_value(problem, BW_PROBLEM_INVALID_TEXT,
							"telephone number", text,
							"Neither area code nor exchange starts with "
							"0 or 1.");
	memcpy(number->digits, national, BW_NUMBER_DIGITS + 1);
	return true;
}

/*
 * Take the ten digits of a number, or eleven with the country code 1, out of
 * the usual decoration.  Parentheses stand around the area code or nowhere.
 */
static bool
read_digits(const char *text, char digits[BW_NUMBER_DIGITS + 2], int *count)
{
	bool		plus;
	int			opened_at = -1;
	int			closed_at = -1;
	char		last = '\0';
	size_t		len;

	text += strspn(text, " \t\r\n");
	plus = *text == '+';
	if (plus)
		text++;
	for (len = strlen(text); len > 0 && strchr(" \t\r\n", text[len - 1]); len--)
		;

	*count = 0;
	for (size_t i = 0; i < len; i++)
	{
		last = text[i];
		if (last >= '0' && last <= '9' && *count <= BW_NUMBER_DIGITS)
			digits[(*count)++] = last;
		else if (last == '(' && opened_at < 0)
			opened_at = *count;
		else if (last == ')' && opened_at >= 0 && closed_at < 0)
			closed_at = *count;
		else if (last != ' ' && (*count == 0 || !strchr("-./", last)))
			return false;
	}
	digits[*count] = '\0';

	if (*count == BW_NUMBER_DIGITS + 1 ? digits[0] != '1'
		: (*count != BW_NUMBER_DIGITS || plus))
		return false;
	if (opened_at >= 0 && (opened_at != *count - BW_NUMBER_DIGITS ||
						   closed_at != opened_at + 3))
		return false;
	return last >= '0' && last <= '9';
}

bool
bw_search_check(const BwSearch *search, BwProblem *problem)
{
	unsigned int given = given_arguments(search);

	if (!check_formats(search, problem) ||
		!check_quantity(search->quantity, problem))
		return false;
	if ((given & CRITERIA) == 0)
		return refuse(problem, BW_PROBLEM_INVALID_PARAMETER, NULL,
					  "Use npanxx, area_code, npanxxx, rate_center and state, "
					  "city and state, state, zip, lata, local_vanity, "
					  "toll_free_vanity or toll_free_wildcard_pattern.",
					  "a search needs at least one criterion");
	return check_rules(search_rules, LENGTH(search_rules), given, problem);
}

static bool
check_formats(const BwSearch *search, BwProblem *problem)
{
	for (int i = 0; i < TEXT_COUNT; i++)
	{
		const char *value = text_argument(search, (Argument) i);

		if (value != NULL && !arguments[i].accepts(value))
			return refuse_format((Argument) i, value, problem);
	}
	return true;
}

/* Prefixes are easily given to the wrong one of three arguments. */
static bool
refuse_format(Argument argument, const char *value, BwProblem *problem)
{
	refuse_value(problem, BW_PROBLEM_INVALID_PARAMETER,
				 arguments[argument].name, value,
				 arguments[argument].detail);
	for (int i = AREA_CODE; argument <= NPANXXX && i <= NPANXXX; i++)
	{
		if (arguments[i].accepts(value))
			snprintf(problem->hint, sizeof(problem->hint),
					 "Use %s => '%s'.", arguments[i].name, value);
	}
	return false;
}

static bool
check_quantity(int quantity, BwProblem *problem)
{
	char		digits[16];

	if (quantity >= 1 && quantity <= BW_QUANTITY_MAX)
		return true;
	refuse(problem, BW_PROBLEM_INVALID_PARAMETER,
		   "A quantity is between 1 and 5000.", NULL,
		   "quantity %d is out of range", quantity);
	/* bw_search() takes it first, bw_order_search() the quantity. */
	snprintf(digits, sizeof(digits), "%d", quantity);
	if (is_npanxx(digits))
		snprintf(problem->hint, sizeof(problem->hint),
				 "Use npanxx => '%s'.", digits);
	return false;
}

/*
 * A flag counts as given when it is true.  False is what a search without the
 * flag does anyway, or, for lca, what a base criterion without it does, so
 * that a default of false gets in nobody's way.
 */
static unsigned int
given_arguments(const BwSearch *search)
{
	unsigned int given = 0;

	for (int i = 0; i < TEXT_COUNT; i++)
	{
		if (text_argument(search, (Argument) i) != NULL)
			given |= SET(i);
	}
	if (search->ends_in > 0)
		given |= SET(ENDS_IN);
	if (search->lca > 0)
		given |= SET(LCA);
	return given;
}

static bool
check_rules(const Rule *rules, int count, unsigned int given,
			BwProblem *problem)
{
	for (int i = 0; i < count; i++)
	{
		if ((given & rules[i].when) == rules[i].when &&
			(given & rules[i].unless) == 0 &&
			!check_rule(&rules[i], given, problem))
			return false;
	}
	return true;
}

static bool
check_rule(const Rule *rule, unsigned int given, BwProblem *problem)
{
	for (int i = 0; i < ARGUMENT_COUNT; i++)
	{
		if (given & rule->never & SET(i))
			return refuse(problem, BW_PROBLEM_INVALID_PARAMETER,
						  NULL, rule->hint,
						  "%s cannot be combined with %s",
						  arguments[rule->subject].name, arguments[i].name);
	}
	if (rule->needs != NO_ARGUMENT && (given & SET(rule->needs)) == 0)
		return refuse(problem, BW_PROBLEM_INVALID_PARAMETER,
					  NULL, rule->hint,
					  "%s cannot be used without %s",
					  arguments[rule->subject].name,
					  arguments[rule->needs].name);
	return true;
}

static const char *
text_argument(const BwSearch *search, Argument argument)
{
	const char *member = (const char *) search + arguments[argument].offset;

	return *(const char *const *) member;
}

bool
bw_search_parameter(const BwSearch *search, int *position,
					const char **name, const char **value, char scratch[32])
{
	while (*position < PARAMETER_COUNT)
	{
		Argument	argument = (Argument) (*position)++;

		*value = parameter_value(search, argument, scratch);
		if (*value == NULL)
			continue;
		*name = arguments[argument].parameter;
		return true;
	}
	return false;
}

/*
 * NULL where the parameter is not sent.  The quantity always is, because
 * Bandwidth's default is 5000.  Flags are left out where Bandwidth knows no
 * such flag, and lca where it was not given: Bandwidth's default is true.
 */
static const char *
parameter_value(const BwSearch *search, Argument argument, char scratch[32])
{
	if (argument < TEXT_COUNT)
		return text_argument(search, argument);

	if (argument == ENDS_IN)
	{
		if (search->ends_in < 0 || search->local_vanity == NULL)
			return NULL;
		return search->ends_in ? "true" : "false";
	}
	if (argument == LCA)
	{
		if (search->lca < 0 || (search->npanxx == NULL &&
								search->npanxxx == NULL &&
								search->rate_center == NULL))
			return NULL;
		return search->lca ? "true" : "false";
	}
	if (argument == DETAIL)
		return search->detail ? "true" : "false";
	snprintf(scratch, 32, "%d", search->quantity);
	return scratch;
}

bool
bw_order_check(const char *const *numbers, int count,
			   const BwOrderOptions *options, BwNumber *parsed, int *order,
			   BwProblem *problem)
{
	if (count < 1)
		return refuse(problem, BW_PROBLEM_INVALID_PARAMETER, NULL, NULL,
					  "an order needs at least one telephone number");
	if (!parse_numbers(numbers, count, parsed, problem) ||
		!check_duplicates(parsed, count, order, problem) ||
		!bw_order_options_check(options, problem))
		return false;
	if (options->back_order_requested)	/* error 5522 */
		return refuse(problem, BW_PROBLEM_INVALID_PARAMETER, NULL,
					  "Only an order by criteria can wait for numbers.",
					  "%s cannot be combined with telephone_numbers",
					  arguments[BACK_ORDER].name);
	return true;
}

bool
bw_disconnect_check(const char *const *numbers, int count,
					const char *customer_order_id, BwNumber *parsed, int *order,
					BwProblem *problem)
{
	if (count < 1)
		return refuse(problem, BW_PROBLEM_INVALID_PARAMETER, NULL, NULL,
					  "there is no telephone number to disconnect");
	return parse_numbers(numbers, count, parsed, problem) &&
		check_duplicates(parsed, count, order, problem) &&
		check_customer_order_id(customer_order_id, problem);
}

static bool
parse_numbers(const char *const *numbers, int count, BwNumber *parsed,
			  BwProblem *problem)
{
	for (int i = 0; i < count; i++)
	{
		if (numbers[i] == NULL)
		{
			refuse(problem, BW_PROBLEM_NULL, NULL, NULL,
				   "telephone_numbers must not contain nulls");
			snprintf(problem->detail, sizeof(problem->detail),
					 "The number at position %d is null.", i + 1);
			return false;
		}
		if (!bw_number_parse(numbers[i], &parsed[i], problem))
			return false;
	}
	return true;
}

/* Numbers that are spelled differently may be the same: error 5093. */
static bool
check_duplicates(const BwNumber *numbers, int count, int *order,
				 BwProblem *problem)
{
	for (int i = 0; i < count; i++)
		order[i] = i;
	sorted_numbers = numbers;
	qsort(order, (size_t) count, sizeof(int), compare_numbers);
	sorted_numbers = NULL;

	for (int i = 1; i < count; i++)
	{
		if (strcmp(numbers[order[i - 1]].digits,
				   numbers[order[i]].digits) != 0)
			continue;
		refuse(problem, BW_PROBLEM_INVALID_PARAMETER, NULL, NULL,
			   "telephone number \"%s\" is listed twice",
			   numbers[order[i]].digits);
		snprintf(problem->detail, sizeof(problem->detail),
				 "It stands at positions %d and %d.",
				 order[i - 1] + 1, order[i] + 1);
		return false;
	}
	return true;
}

/* Equal numbers in the order of the list, so that a message is stable. */
static int
compare_numbers(const void *a, const void *b)
{
	int			left = *(const int *) a;
	int			right = *(const int *) b;
	int			result = strcmp(sorted_numbers[left].digits,
								sorted_numbers[right].digits);

	return result != 0 ? result : (left > right) - (left < right);
}

bool
bw_order_options_check(const BwOrderOptions *options, BwProblem *problem)
{
	if (!check_place(options, problem) ||
		!check_name(options->name, problem) ||
		!check_customer_order_id(options->customer_order_id, problem))
		return false;
	if (options->attempts < 1 || options->attempts > ATTEMPTS_MAX)
		return refuse(problem, BW_PROBLEM_INVALID_PARAMETER,
					  "An order has between 1 and 100 attempts.", NULL,
					  "attempts %d is out of range", options->attempts);
	return true;
}

static bool
check_place(const BwOrderOptions *options, BwProblem *problem)
{
	if (options->site_id == NULL)	/* error 5022 */
		return refuse(problem, BW_PROBLEM_INVALID_PARAMETER, NULL,
					  "Use site_id, or set the option \"site_id\" of the "
					  "server.",
					  "an order needs a site");
	if (!bw_site_id_check(options->site_id, problem))
		return false;
	if (options->peer_id != NULL && !is_id(options->peer_id))
		return refuse_value(problem, BW_PROBLEM_INVALID_PARAMETER,
							"peer_id", options->peer_id,
							"The id of a SIP peer is a positive integer.");
	return true;
}

bool
bw_site_id_check(const char *id, BwProblem *problem)
{
	if (is_id(id))
		return true;
	return refuse_value(problem, BW_PROBLEM_INVALID_PARAMETER, "site_id", id,
						"The id of a site is a positive integer.");
}

static bool
check_name(const char *name, BwProblem *problem)
{
	if (name == NULL)
		return true;
	if (name[0] == '\0' || character_count(name) > BW_NAME_MAX)
		return refuse_value(problem, BW_PROBLEM_INVALID_PARAMETER,
							"order name", name,
							"A name has 1 to 50 characters.");
	if (has_control_character(name))	/* XML has no way to write them */
		return refuse_value(problem, BW_PROBLEM_INVALID_PARAMETER,
							"order name", name,
							"A name has no control characters.");
	return true;
}

/* Error 5052. */
static bool
check_customer_order_id(const char *id, BwProblem *problem)
{
	size_t		len;

	if (id == NULL)
		return true;
	len = strlen(id);
	if (len >= 1 && len <= BW_CUSTOMER_ORDER_ID_MAX &&
		strspn(id, LETTERS DIGITS "- ") == len)
		return true;
	return refuse_value(problem, BW_PROBLEM_INVALID_PARAMETER,
						"customer_order_id", id,
						"It has 1 to 40 letters, digits, dashes and spaces.");
}

bool
bw_reservation_id_check(const char *name, const char *id, BwProblem *problem)
{
	size_t		len = strlen(id);

	if (len >= 1 && len <= BW_RESERVATION_ID_MAX && strspn(id, LETTERS DIGITS "-_") == len)
		return true;
	return refuse_value(problem, BW_PROBLEM_INVALID_PARAMETER, name, id,
						"An id has 1 to 100 letters, digits, dashes and underscores.");
}

bool
bw_idempotency_key_check(const char *key, BwProblem *problem)
{
	if (key == NULL ||
		(key[0] != '\0' && character_count(key) <= BW_IDEMPOTENCY_KEY_MAX))
		return true;
	return refuse_value(problem, BW_PROBLEM_INVALID_PARAMETER,
						"idempotency_key", key,
						"It has 1 to 255 characters.");
}

bool
bw_order_search_check(const BwSearch *criteria, const BwOrderOptions *options,
					  bool direct, const int *max_tier, BwProblem *problem)
{
	unsigned int given = given_arguments(criteria);

	if (direct)
		given |= SET(DIRECT);
	if (max_tier != NULL)
		given |= SET(MAX_TIER);
	if (options->attempts > 1)
		given |= SET(ATTEMPTS);
	if (options->back_order_requested)
		given |= SET(BACK_ORDER);
	return bw_search_check(criteria, problem) &&
		check_rules(order_rules, LENGTH(order_rules), given, problem) &&
		check_tier(max_tier, problem) &&
		bw_order_options_check(options, problem);
}

static bool
check_tier(const int *max_tier, BwProblem *problem)
{
	if (max_tier == NULL || (*max_tier >= 0 && *max_tier <= TIER_MAX))
		return true;
	return refuse(problem, BW_PROBLEM_INVALID_PARAMETER,
				  "Tiers are numbered from 0 to 5.", NULL,
				  "max_tier %d is out of range", *max_tier);
}

static bool
is_area_code(const char *value)
{
	return is_prefix(value, 3);
}

static bool
is_npanxx(const char *value)
{
	return is_prefix(value, 6);
}

static bool
is_npanxxx(const char *value)
{
	return is_prefix(value, 7);
}

/* The beginning of a number, or all of it. */
static bool
is_prefix(const char *value, int length)
{
	return is_digits(value, length, length) && value[0] >= '2' &&
		(length <= 3 || value[3] >= '2');
}

/* Rate center or city. */
static bool
is_place(const char *value)
{
	return value[0] != '\0' && character_count(value) <= TEXT_MAX &&
		!has_control_character(value);
}

static bool
is_state(const char *value)
{
	return strspn(value, LETTERS) == 2 && value[2] == '\0';
}

static bool
is_zip(const char *value)
{
	if (is_digits(value, 5, 5))
		return true;
	return strspn(value, DIGITS) == 5 && value[5] == '-' &&
		is_digits(value + 6, 4, 4);
}

static bool
is_lata(const char *value)
{
	return is_digits(value, 1, 5);
}

/*
 * Bandwidth's texts ask for 3, for 4 to 7, or for 7 characters and more, and
 * for "*" and "?" or "*" and "_" as wildcards.
 */
static bool
is_vanity(const char *value)
{
	size_t		len = strspn(value, LETTERS DIGITS "*?_");

	return value[len] == '\0' && len >= 3 && len <= TEXT_MAX;
}

static bool
is_wildcard_pattern(const char *value)
{
	return value[0] == '8' && strspn(value, DIGITS "*") == 3 &&
		strcmp(value + 2, "*") == 0;
}

static bool
is_order_by(const char *value)
{
	return strcmp(value, "fullNumber") == 0 ||
		strcmp(value, "npaNxxx") == 0 ||
		strcmp(value, "npaNxx") == 0 ||
		strcmp(value, "areaCode") == 0;
}

static bool
is_protected(const char *value)
{
	return strcmp(value, "NONE") == 0 ||
		strcmp(value, "ONLY") == 0 ||
		strcmp(value, "MIXED") == 0;
}

static bool
is_digits(const char *value, int min, int max)
{
	size_t		len = strspn(value, DIGITS);

	return value[len] == '\0' && len >= (size_t) min && len <= (size_t) max;
}

static bool
is_id(const char *value)
{
	return is_digits(value, 1, ID_DIGITS_MAX) &&
		value[strspn(value, "0")] != '\0';
}

static bool
has_control_character(const char *value)
{
	for (; *value != '\0'; value++)
	{
		if ((unsigned char) *value < ' ' || *value == 0x7f)
			return true;
	}
	return false;
}

/*
 * Characters in UTF-8.  In another encoding the count may come out too low,
 * and then Bandwidth decides.
 */
static int
character_count(const char *value)
{
	int			count = 0;

	for (; *value != '\0'; value++)
		count += ((unsigned char) *value & 0xC0) != 0x80;
	return count;
}

/* Describe a problem; always false, so that callers can return it. */
static bool
refuse(BwProblem *problem, BwProblemKind kind, const char *detail,
	   const char *hint, const char *message,...)
{
	va_list		args;

	problem->kind = kind;
	va_start(args, message);
	vsnprintf(problem->message, sizeof(problem->message), message, args);
	va_end(args);
	snprintf(problem->detail, sizeof(problem->detail), "%s",
			 detail != NULL ? detail : "");
	snprintf(problem->hint, sizeof(problem->hint), "%s",
			 hint != NULL ? hint : "");
	return false;
}

static bool
refuse_value(BwProblem *problem, BwProblemKind kind, const char *what,
			 const char *value, const char *detail)
{
	char		shown[SHOWN_MAX + 4];

	clip(shown, value);
	return refuse(problem, kind, detail, NULL, "invalid %s: \"%s\"",
				  what, shown);
}

/*
 * The beginning of a value, for a message.
 *
 * Cut next to an ASCII byte only: in every server encoding all bytes of a
 * multibyte character have the high bit, so that no character is cut in two.
 * Half a character would make the report itself fail.
 */
static void
clip(char shown[SHOWN_MAX + 4], const char *value)
{
	size_t		len = strlen(value);

	if (len <= SHOWN_MAX)
	{
		memcpy(shown, value, len + 1);
		return;
	}
	for (len = SHOWN_MAX; len > 0; len--)
	{
		if (((unsigned char) value[len] & 0x80) == 0 ||
			((unsigned char) value[len - 1] & 0x80) == 0)
			break;
	}
	memcpy(shown, value, len);
	strcpy(shown + len, "...");
}
