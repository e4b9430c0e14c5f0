/*-------------------------------------------------------------------------
 *
 * echo.c
 *	  Did Bandwidth understand an order as it was sent?
 *
 * src/echo.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "echo.h"
#include "encoding.h"
#include "numbers.h"

/* A field of both orders; a "criterion" must come back, others may be left out. */
typedef struct EchoedText
{
	const char *name;
	size_t		offset;
	bool		criterion;
} EchoedText;

static const EchoedText texts[] = {
	{"SiteId", offsetof(BwOrderReply, site_id), false},
	{"PeerId", offsetof(BwOrderReply, peer_id), false},
	{"CustomerOrderId", offsetof(BwOrderReply, customer_order_id), false},
	{"order type", offsetof(BwOrderReply, type), true},
	{"AreaCode", offsetof(BwOrderReply, area_code), true},
	{"NpaNxx", offsetof(BwOrderReply, npanxx), true},
	{"NpaNxxX", offsetof(BwOrderReply, npanxxx), true},
	{"RateCenter", offsetof(BwOrderReply, rate_center), true},
	{"City", offsetof(BwOrderReply, city), true},
	{"State", offsetof(BwOrderReply, state), true},
	{"Zip", offsetof(BwOrderReply, zip), true},
	{"LATA", offsetof(BwOrderReply, lata), true},
	{"TollFreeVanity", offsetof(BwOrderReply, toll_free_vanity), true},
	{"TollFreeWildCardPattern", offsetof(BwOrderReply, toll_free_wildcard_pattern), true},
	{"LocalVanity", offsetof(BwOrderReply, local_vanity), true},
};

typedef struct EchoedFlag
{
	const char *name;
	size_t		offset;
} EchoedFlag;

static const EchoedFlag flags[] = {
	{"PartialAllowed", offsetof(BwOrderReply, partial_allowed)},
	{"BackOrderRequested", offsetof(BwOrderReply, back_order_requested)},
	{"EnableLCA", offsetof(BwOrderReply, enable_lca)},
};

static bool is_echo(const BwOrderReply *echo);
static void compare_texts(StringInfo found, const BwOrderReply *sent,
						  const BwOrderReply *echo);
static void compare_criteria(StringInfo found, const BwOrderReply *sent,
							 const BwOrderReply *echo);
static bool says_enough(const BwOrderReply *sent, const BwOrderReply *found);
static void compare_flags(StringInfo found, const BwOrderReply *sent,
						  const BwOrderReply *echo);
static void compare_numbers(StringInfo found, const BwTexts *sent,
							const BwTexts *echo);
static void add(StringInfo found, const char *name, const char *sent,
				const char *echo);

char *
bw_echo_difference(const char *sent, const BwOrderReply *echo)
{
	BwXmlProblem problem;
	BwOrderReply *order;
	StringInfoData found;

	if (!is_echo(echo))
		return NULL;
	order = bw_xml_decode_order(sent, strlen(sent), &problem);
	if (order == NULL)
		return NULL;
	initStringInfo(&found);
	compare_texts(&found, order, echo);
	compare_flags(&found, order, echo);
	if (order->quantity != echo->quantity && order->quantity >= 0)
		add(&found, "Quantity", psprintf(INT64_FORMAT, (int64) order->quantity),
			echo->quantity < 0 ? NULL : psprintf(INT64_FORMAT, (int64) echo->quantity));
	compare_numbers(&found, &order->requested, &echo->requested);
	bw_xml_free_order(order);
	return found.len == 0 ? NULL
		: psprintf("Bandwidth understood the order otherwise: %s", found.data);
}

char *
bw_echo_other_order(const char *sent, const BwOrderReply *found)
{
	BwXmlProblem problem;
	BwOrderReply *order = bw_xml_decode_order(sent, strlen(sent), &problem);
	StringInfoData text;

	initStringInfo(&text);
	if (order == NULL)
		appendStringInfoString(&text, "ours cannot be read");
	else
	{
		compare_criteria(&text, order, found);
		compare_numbers(&text, &order->requested, &found->requested);
		if (text.len == 0 && !says_enough(order, found))
			appendStringInfoString(&text, "it does not say what it asks for");
	}
	bw_xml_free_order(order);
	return text.len == 0 ? NULL : text.data;
}

/* What both say, and say differently. */
static void
compare_criteria(StringInfo found, const BwOrderReply *sent, const BwOrderReply *echo)
{
	for (int i = 0; i < (int) lengthof(texts); i++)
	{
		const char *a = *(char *const *) ((const char *) sent + texts[i].offset);
		const char *b = *(char *const *) ((const char *) echo + texts[i].offset);

		if (texts[i].criterion && a != NULL && b != NULL && pg_strcasecmp(a, b) != 0)
			add(found, texts[i].name, a, b);
	}
	if (sent->quantity >= 0 && echo->quantity >= 0 && sent->quantity != echo->quantity)
		add(found, "Quantity", psprintf(INT64_FORMAT, (int64) sent->quantity),
			psprintf(INT64_FORMAT, (int64) echo->quantity));
}

/* Is it told by what it asks for, or else by whose it is? */
static bool
says_enough(const BwOrderReply *sent, const BwOrderReply *found)
{
	if (found->customer_order_id != NULL && sent->customer_order_id != NULL &&
		strcmp(found->customer_order_id, sent->customer_order_id) == 0)
		return true;
	return sent->requested.count > 0 ? found->requested.count > 0
		: found->type != NULL && found->quantity >= 0;
}

/* Some replies hold nothing but the order's id. */
static bool
is_echo(const BwOrderReply *echo)
{
	return echo->type != NULL || echo->site_id != NULL || echo->quantity >= 0;
}

static void
compare_texts(StringInfo found, const BwOrderReply *sent, const BwOrderReply *echo)
{
	for (int i = 0; i < (int) lengthof(texts); i++)
	{
		const char *a = *(char *const *) ((const char *) sent + texts[i].offset);
		const char *b = *(char *const *) ((const char *) echo + texts[i].offset);

		if (a == NULL || (b == NULL && !texts[i].criterion))
			continue;
		if (b == NULL || pg_strcasecmp(a, b) != 0)
			add(found, texts[i].name, a, b);
	}
}

static void
compare_flags(StringInfo found, const BwOrderReply *sent, const BwOrderReply *echo)
{
	for (int i = 0; i < (int) lengthof(flags); i++)
	{
		int			a = *(const int *) ((const char *) sent + flags[i].offset);
		int			b = *(const int *) ((const char *) echo + flags[i].offset);

		if (a >= 0 && b >= 0 && a != b)
			add(found, flags[i].name, a ? "true" : "false", b ? "true" : "false");
	}
}

/* The echo's list may be left out altogether. */
static void
compare_numbers(StringInfo found, const BwTexts *sent, const BwTexts *echo)
{
	BwNumberSet ours;
	BwNumberSet theirs;

	(void) bw_numbers_read(&ours, sent, palloc(bw_numbers_size(sent)));
	(void) bw_numbers_read(&theirs, echo, palloc(bw_numbers_size(echo)));
	if (!bw_numbers_equal(&ours, &theirs) && echo->count > 0)
		add(found, "TelephoneNumberList", psprintf("%d numbers", ours.count),
			ours.count == theirs.count ? "others" : psprintf("%d", theirs.count));
	pfree(ours.items);
	pfree(theirs.items);
}

static void
add(StringInfo found, const char *name, const char *sent, const char *echo)
{
	appendStringInfo(found, "%s%s: sent was %s, %s", found->len > 0 ? "; " : "", name,
					 bw_from_utf8(sent), echo == NULL ? "it is missing" : psprintf("it says %s", bw_from_utf8(echo)));
}
