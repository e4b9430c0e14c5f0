/*-------------------------------------------------------------------------
 *
 * order.c
 *	  The life of an order: its states, the moves between them, and what
 *	  Bandwidth's error codes mean for it.
 *
 * Everything here is a table and a look-up in it, so that the tables can be
 * read next to the diagram in src/README.md and Bandwidth's documentation.
 * Nothing here decides what to do about a state or an error.
 *
 * src/order.c
 *-------------------------------------------------------------------------
 */
#include "order.h"

#include <stddef.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#define TO(status) (1u << BW_ORDER_##status)

#define TO_BANDWIDTH_FINAL (TO(COMPLETE) | TO(PARTIAL) | TO(FAILED))
#define TO_BANDWIDTH (TO(RECEIVED) | TO(BACKORDERED) | TO_BANDWIDTH_FINAL)

/*
 * The state machine.  A state that leads nowhere is final.
 *
 * SENDING goes back to QUEUED only when its first request certainly was not
 * executed.  UNKNOWN never does: its request may have bought something, and
 * whatever is sent for it is that same request again.  RECEIVED goes back
 * when a number was taken and another one may be tried; if none is to be had,
 * the order then ends with what it got.  That it goes back to UNKNOWN, as does
 * BACKORDERED, is a person's decision alone, see store_operator.c.  A callback may overtake the reply, hence
 * every state of Bandwidth's right from SENDING.
 */
static const unsigned int order_moves[BW_ORDER_STATUS_COUNT] = {
	[BW_ORDER_QUEUED] =
	TO(SENDING) | TO(HELD) | TO(REJECTED) | TO(CANCELLED) | TO(PARTIAL) | TO(FAILED),
	[BW_ORDER_HELD] =
	TO(QUEUED) | TO(REJECTED) | TO(CANCELLED),
	[BW_ORDER_SENDING] =
	TO_BANDWIDTH | TO(REJECTED) | TO(UNKNOWN) | TO(QUEUED),
	[BW_ORDER_UNKNOWN] =
	TO_BANDWIDTH | TO(REJECTED),
	[BW_ORDER_RECEIVED] =
	TO(BACKORDERED) | TO_BANDWIDTH_FINAL | TO(QUEUED),
	[BW_ORDER_BACKORDERED] =
	TO_BANDWIDTH_FINAL,
	[BW_ORDER_COMPLETE] = 0,
	[BW_ORDER_PARTIAL] = 0,
	[BW_ORDER_FAILED] = 0,
	[BW_ORDER_REJECTED] = 0,
	[BW_ORDER_CANCELLED] = 0
};

static const char *const status_names[BW_ORDER_STATUS_COUNT] = {
	[BW_ORDER_QUEUED] = "QUEUED",
	[BW_ORDER_HELD] = "HELD",
	[BW_ORDER_SENDING] = "SENDING",
	[BW_ORDER_UNKNOWN] = "UNKNOWN",
	[BW_ORDER_RECEIVED] = "RECEIVED",
	[BW_ORDER_BACKORDERED] = "BACKORDERED",
	[BW_ORDER_COMPLETE] = "COMPLETE",
	[BW_ORDER_PARTIAL] = "PARTIAL",
	[BW_ORDER_FAILED] = "FAILED",
	[BW_ORDER_REJECTED] = "REJECTED",
	[BW_ORDER_CANCELLED] = "CANCELLED"
};

/*
 * Bandwidth's words.  The synonyms belong to other kinds of orders
 * ("LNP error codes", 15518) or to prose; none is documented for number
 * orders.  CANCELLED is a failure and not our CANCELLED, which promises that
 * Bandwidth never heard of the order.
 */
static const struct
{
	const char *word;
	BwOrderStatus status;
}			bandwidth_words[] = {
	{"RECEIVED", BW_ORDER_RECEIVED},
	{"PROCESSING", BW_ORDER_RECEIVED},
	{"PENDING", BW_ORDER_RECEIVED},
	{"BACKORDERED", BW_ORDER_BACKORDERED},
	{"COMPLETE", BW_ORDER_COMPLETE},
	{"COMPLETED", BW_ORDER_COMPLETE},
	{"PARTIAL", BW_ORDER_PARTIAL},
	{"FAILED", BW_ORDER_FAILED},
	{"CANCELLED", BW_ORDER_FAILED},
	{"CANCELED", BW_ORDER_FAILED}
};

/*
 * "Errors" of Bandwidth's numbers API, as far as a code asks for more than
 * refusing the order.  A code that is missing here refuses it: Bandwidth has
 * answered, and gave a reason that the user can read.
 */
static const struct
{
	const char *code;
	BwErrorClass class;
}			error_classes[] = {

	/* The order goes on: pending; back-ordered, some or nothing so far. */
	{"5019", BW_ERROR_PENDING},
	{"5520", BW_ERROR_PENDING},
	{"5521", BW_ERROR_PENDING},

	/*
	 * Internal errors say nothing about what was done.  5086 is a time-out
	 * that asks to resubmit, which might buy twice.
	 */
	{"1000", BW_ERROR_UNKNOWN},
	{"1010", BW_ERROR_UNKNOWN},
	{"4009", BW_ERROR_UNKNOWN},
	{"5086", BW_ERROR_UNKNOWN},

	/*
	 * Well-formed numbers, but not to be had: gone, restricted, reserved, not
	 * for sale, or in another order.  Another number may do.
	 */
	{"4024", BW_ERROR_NUMBER_TAKEN},
	{"5005", BW_ERROR_NUMBER_TAKEN},
	{"5018", BW_ERROR_NUMBER_TAKEN},
	{"5041", BW_ERROR_NUMBER_TAKEN},
	{"5213", BW_ERROR_NUMBER_TAKEN},
	{"5218", BW_ERROR_NUMBER_TAKEN},

	/*
	 * One number, named or not, can make Bandwidth refuse a request of many;
	 * without it the others pass.  That holds for "all numbers invalid" too:
	 * where that is the whole truth, splitting costs a few calls, and where
	 * it is not, it saves orders of other users.  5002 is among them because
	 * its texts include area codes that cannot be (911, 370, 960), which we
	 * leave to Bandwidth to judge.  5095 names no number but the length of
	 * the list, and shorter lists pass.
	 *
	 * Not among them: 5073 and 5212, "no numbers given".  No number can cause
	 * that, so that every part would be refused alike.
	 */
	{"4011", BW_ERROR_NUMBER_INVALID},	/* bad telephone number */
	{"4017", BW_ERROR_NUMBER_INVALID},	/* does not exist */
	{"5001", BW_ERROR_NUMBER_INVALID},	/* invalid list */
	{"5002", BW_ERROR_NUMBER_INVALID},	/* validation */
	{"5008", BW_ERROR_NUMBER_INVALID},	/* all invalid */
	{"5070", BW_ERROR_NUMBER_INVALID},	/* malformed */
	{"5071", BW_ERROR_NUMBER_INVALID},	/* not on the system */
	{"5072", BW_ERROR_NUMBER_INVALID},	/* duplicate */
	{"5077", BW_ERROR_NUMBER_INVALID},	/* no valid ones */
	{"5090", BW_ERROR_NUMBER_INVALID},	/* toll-free not allowed */
	{"5093", BW_ERROR_NUMBER_INVALID},	/* duplicates in one order */
	{"5095", BW_ERROR_NUMBER_INVALID},	/* too many in one order */
	{"5165", BW_ERROR_NUMBER_INVALID},	/* kinds that may not mix */
	{"5214", BW_ERROR_NUMBER_INVALID},	/* zero valid ones */

	/* The same for orders that give numbers back. */
	{"5006", BW_ERROR_NUMBER_INVALID},	/* not on this account */
	{"5074", BW_ERROR_NUMBER_INVALID},	/* not in service */
	{"5076", BW_ERROR_NUMBER_INVALID},	/* not on this account */
	{"5123", BW_ERROR_NUMBER_INVALID},	/* protected, existing, ... */
	{"5124", BW_ERROR_NUMBER_INVALID},
	{"5125", BW_ERROR_NUMBER_INVALID},
	{"5126", BW_ERROR_NUMBER_INVALID},
	{"5127", BW_ERROR_NUMBER_INVALID},
	{"5128", BW_ERROR_NUMBER_INVALID},
	{"5175", BW_ERROR_NUMBER_INVALID},	/* kinds that may not mix */

	/*
	 * Whoever sent it may not.  401 and 403 are the statuses of replies that
	 * carry no code.
	 */
	{"401", BW_ERROR_MAPPING},
	{"403", BW_ERROR_MAPPING},
	{"1001", BW_ERROR_MAPPING},
	{"5051", BW_ERROR_MAPPING},
	{"5183", BW_ERROR_MAPPING},

	/* The account is invalid, locked or not known. */
	{"5000", BW_ERROR_SERVER},
	{"5012", BW_ERROR_SERVER},
	{"12020", BW_ERROR_SERVER},

	/* Site or SIP peer is missing, unknown, incomplete or locked. */
	{"5016", BW_ERROR_PLACE},
	{"5020", BW_ERROR_PLACE},
	{"5021", BW_ERROR_PLACE},
	{"5022", BW_ERROR_PLACE},
	{"5023", BW_ERROR_PLACE},
	{"5062", BW_ERROR_PLACE},
	{"5094", BW_ERROR_PLACE},
	{"12016", BW_ERROR_PLACE},
	{"12054", BW_ERROR_PLACE},
	{"13563", BW_ERROR_PLACE}
};

static bool same_word(const char *a, const char *b);
static char ascii_upper(char c);

const char *
bw_order_kind_name(BwOrderKind kind)
{
	static const char *const names[BW_ORDER_KIND_COUNT] = {
		[BW_KIND_ORDER] = "order",
		[BW_KIND_DISCONNECT] = "disconnect"
	};

	return names[kind];
}

BwOrderKind
bw_order_kind_parse(const char *name)
{
	return strcmp(name, bw_order_kind_name(BW_KIND_DISCONNECT)) == 0
		? BW_KIND_DISCONNECT : BW_KIND_ORDER;
}

const char *
bw_order_status_name(BwOrderStatus status)
{
	return status_names[status];
}

bool
bw_order_status_parse(const char *name, BwOrderStatus *status)
{
	for (size_t i = 0; name != NULL && i < LENGTH(status_names); i++)
	{
		if (strcmp(status_names[i], name) == 0)
		{
			*status = (BwOrderStatus) i;
			return true;
		}
	}
	return false;
}

bool
bw_order_status_from_bandwidth(const char *word, BwOrderStatus *status)
{
	for (size_t i = 0; word != NULL && i < LENGTH(bandwidth_words); i++)
	{
		if (same_word(bandwidth_words[i].word, word))
		{
			*status = bandwidth_words[i].status;
			return true;
		}
	}
	return false;
}

bool
bw_order_is_final(BwOrderStatus status)
{
	return order_moves[status] == 0;
}

bool
bw_order_may_move(BwOrderStatus from, BwOrderStatus to)
{
	return (order_moves[from] & (1u << to)) != 0;
}

BwErrorClass
bw_order_error_class(const char *code)
{
	/* An error that gives no reason may hide an order that was made. */
	if (code == NULL || code[0] == '\0')
		return BW_ERROR_UNKNOWN;

	for (size_t i = 0; i < LENGTH(error_classes); i++)
	{
		if (strcmp(error_classes[i].code, code) == 0)
			return error_classes[i].class;
	}
	return BW_ERROR_REFUSED;
}

/* Not strcasecmp(), whose idea of a letter depends on the locale. */
static bool
same_word(const char *a, const char *b)
{
	while (*a != '\0' && ascii_upper(*a) == ascii_upper(*b))
	{
		a++;
		b++;
	}
	return *a == *b;
}

static char
ascii_upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char) (c - 'a' + 'A') : c;
}
