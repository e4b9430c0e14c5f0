/*-------------------------------------------------------------------------
 *
 * xml.c
 *	  Codec for the XML of Bandwidth's phone number API, version 1.
 *
 * Reading is one pull reader that reports three things: an element begins, an
 * element ends with its trimmed text, the document ends.  What is wanted from
 * a document stands in tables that name elements and, where that matters, the
 * element around them.  Names are compared without letter case, because
 * Bandwidth's documents differ in it (orderId, OrderId; LATA, Lata).
 *
 * Documents come from the network: no DTD, no entities, no external access,
 * limited depth and text, and a document that breaks off is an error however
 * much of it was read.
 *
 * The only file that includes libxml2.
 *
 * src/xml.c
 *-------------------------------------------------------------------------
 */
#include "xml.h"

#include <libxml/parser.h>
#include <libxml/xmlreader.h>
#include <libxml/xmlwriter.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define COUNT(array) ((int) (sizeof(array) / sizeof((array)[0])))
#define NAME_MAX_LEN 80

/* --- the reader --- */

typedef enum Event
{
	EVENT_BEGIN,				/* of the innermost open element */
	EVENT_LEAF,					/* "closed" ended, and held text only */
	EVENT_LEAVE,				/* "closed" ended, and held elements */
	EVENT_END,					/* of the document */
	EVENT_ERROR
} Event;

typedef struct Level
{
	char		name[NAME_MAX_LEN];
	bool		has_children;
} Level;

typedef struct Reader
{
	xmlTextReaderPtr xml;
	Level		levels[BW_XML_MAX_DEPTH];
	int			depth;			/* open elements */
	bool		pending_end;	/* an empty element: its end is still to come */
	char	   *text;			/* of the innermost element */
	size_t		text_len;
	size_t		text_room;
	bool		saw_root;
	bool		failed;
	char		problem[256];
	char		closed[NAME_MAX_LEN];	/* the element that just ended */
} Reader;

/* The handler's type differs: its argument is const from libxml2 2.12 on. */
#if LIBXML_VERSION >= 21200
typedef const xmlError *LibraryError;
#else
typedef xmlErrorPtr LibraryError;
#endif

static Event
fail(Reader *reader, const char *why)
{
	if (!reader->failed && reader->problem[0] == '\0')
		snprintf(reader->problem, sizeof(reader->problem), "%s", why);
	reader->failed = true;
	return EVENT_ERROR;
}

/* libxml2's own words, on one line. */
static void
keep_error(void *arg, LibraryError error)
{
	Reader	   *reader = arg;
	size_t		len;

	if (reader->problem[0] != '\0' || error == NULL || error->message == NULL)
		return;
	snprintf(reader->problem, sizeof(reader->problem), "line %d: %s",
			 error->line, error->message);
	len = strlen(reader->problem);
	while (len > 0 && (unsigned char) reader->problem[len - 1] <= 0x20)
		reader->problem[--len] = '\0';
	for (char *p = reader->problem; *p != '\0'; p++)
		if ((unsigned char) *p < 0x20)
			*p = ' ';
}

/* UTF-16 has NUL bytes by nature; libxml2 knows it by its first bytes. */
static bool
has_stray_nul(const char *data, size_t len)
{
	bool		utf16 = len > 1 && ((unsigned char) data[0] >= 0xFE ||
									data[0] == '\0' || data[1] == '\0');

	return !utf16 && memchr(data, '\0', len) != NULL;
}

static bool
reader_open(Reader *reader, const char *data, size_t len)
{
	memset(reader, 0, sizeof(*reader));
	xmlInitParser();
	if (len > INT_MAX / 2)
		fail(reader, "document is too large");
	else if (len == 0)
		fail(reader, "document is empty");
	else if (has_stray_nul(data, len))
		fail(reader, "document holds a NUL byte");
	if (reader->failed)
		return true;
	reader->xml = xmlReaderForMemory(data, (int) len, NULL, NULL,
									 XML_PARSE_NONET | XML_PARSE_NOCDATA);
	if (reader->xml == NULL)
		return false;
	xmlTextReaderSetStructuredErrorHandler(reader->xml,
										   (xmlStructuredErrorFunc) keep_error,
										   reader);
	return true;
}

static void
reader_close(Reader *reader)
{
	if (reader->xml != NULL)
		xmlFreeTextReader(reader->xml);
	free(reader->text);
}

static void
clear_text(Reader *reader)
{
	reader->text_len = 0;
	if (reader->text != NULL)
		reader->text[0] = '\0';
}

static bool
append_text(Reader *reader, const char *text)
{
	size_t		len = strlen(text);

	if (reader->text_len + len > BW_XML_MAX_TEXT)
	{
		fail(reader, "text of an element is too long");
		return false;
	}
	if (reader->text_len + len + 1 > reader->text_room)
	{
		size_t		room = (reader->text_len + len + 1) * 2;
		char	   *bigger = realloc(reader->text, room);

		if (bigger == NULL)
		{
			fail(reader, "out of memory");
			return false;
		}
		reader->text = bigger;
		reader->text_room = room;
	}
	memcpy(reader->text + reader->text_len, text, len + 1);
	reader->text_len += len;
	return true;
}

static Event
begin_element(Reader *reader)
{
	const char *name = (const char *) xmlTextReaderConstLocalName(reader->xml);

	if (reader->depth == BW_XML_MAX_DEPTH)
		return fail(reader, "elements are nested too deeply");
	if (reader->depth > 0)
		reader->levels[reader->depth - 1].has_children = true;
	snprintf(reader->levels[reader->depth].name, NAME_MAX_LEN, "%s", name ? name : "");
	reader->levels[reader->depth].has_children = false;
	reader->depth++;
	reader->saw_root = true;
	reader->pending_end = xmlTextReaderIsEmptyElement(reader->xml) == 1;
	clear_text(reader);
	return EVENT_BEGIN;
}

static bool
trim_text(Reader *reader)
{
	static const char blank[] = " \t\r\n";
	size_t		lead;

	if (reader->text == NULL)
		return append_text(reader, "");
	while (reader->text_len > 0 && strchr(blank, reader->text[reader->text_len - 1]))
		reader->text[--reader->text_len] = '\0';
	lead = strspn(reader->text, blank);
	memmove(reader->text, reader->text + lead, reader->text_len - lead + 1);
	reader->text_len -= lead;
	return true;
}

static Event
end_element(Reader *reader)
{
	Level	   *level = &reader->levels[--reader->depth];

	reader->pending_end = false;
	memcpy(reader->closed, level->name, NAME_MAX_LEN);
	if (level->has_children)
	{
		clear_text(reader);
		return EVENT_LEAVE;
	}
	return trim_text(reader) ? EVENT_LEAF : EVENT_ERROR;
}

/* The next event; after EVENT_END or EVENT_ERROR nothing more comes. */
static Event
reader_next(Reader *reader)
{
	if (reader->failed)
		return EVENT_ERROR;
	if (reader->pending_end)
		return end_element(reader);
	for (;;)
	{
		int			result = xmlTextReaderRead(reader->xml);

		if (result == 0)
			return reader->saw_root && reader->depth == 0 ? EVENT_END
				: fail(reader, "document is empty or breaks off");
		if (result < 0)
			return fail(reader, "document is not well formed");
		switch (xmlTextReaderNodeType(reader->xml))
		{
			case XML_READER_TYPE_ELEMENT:
				return begin_element(reader);
			case XML_READER_TYPE_END_ELEMENT:
				return end_element(reader);
			case XML_READER_TYPE_TEXT:
			case XML_READER_TYPE_CDATA:
			case XML_READER_TYPE_SIGNIFICANT_WHITESPACE:
				if (!append_text(reader, (const char *) xmlTextReaderConstValue(reader->xml)))
					return EVENT_ERROR;
				break;
			case XML_READER_TYPE_DOCUMENT_TYPE:
				return fail(reader, "document type declarations are not allowed");
			case XML_READER_TYPE_ENTITY:
			case XML_READER_TYPE_ENTITY_REFERENCE:
				return fail(reader, "entities are not allowed");
			default:
				break;
		}
	}
}

/* Name of the innermost open element. */
static const char *
open_name(const Reader *reader)
{
	return reader->depth > 0 ? reader->levels[reader->depth - 1].name : "";
}

static bool
same(const char *a, const char *b)
{
	return strcasecmp(a, b) == 0;
}

/* Is an element of this name open? */
static bool
inside(const Reader *reader, const char *name)
{
	for (int i = 0; i < reader->depth; i++)
		if (same(reader->levels[i].name, name))
			return true;
	return false;
}

/* --- strings --- */

static bool
add_text(BwTexts *texts, const char *text)
{
	/* Room grows at powers of two, so that it need not be stored. */
	if ((texts->count & (texts->count - 1)) == 0)
	{
		int			room = texts->count == 0 ? 1 : texts->count * 2;
		char	  **items = realloc(texts->items, sizeof(char *) * (size_t) room);

		if (items == NULL)
			return false;
		texts->items = items;
	}
	texts->items[texts->count] = strdup(text);
	if (texts->items[texts->count] == NULL)
		return false;
	texts->count++;
	return true;
}

static void
free_texts(BwTexts *texts)
{
	for (int i = 0; i < texts->count; i++)
		free(texts->items[i]);
	free(texts->items);
	texts->items = NULL;
	texts->count = 0;
}

/* Keep the reader's text unless it is empty. */
static bool
set_text(char **field, const Reader *reader)
{
	if (reader->text_len == 0)
		return true;
	free(*field);
	*field = strdup(reader->text);
	return *field != NULL;
}

/* --- errors, collected beside whatever else is read from a document --- */

typedef struct ErrorReader
{
	BwReplyErrors *errors;
	BwReplyError current;
	int			depth;			/* of the error's element; 0: none is open */
} ErrorReader;

void
bw_xml_free_errors(BwReplyErrors *errors)
{
	for (int i = 0; i < errors->count; i++)
	{
		free(errors->items[i].code);
		free(errors->items[i].text);
		free_texts(&errors->items[i].numbers);
	}
	free(errors->items);
	errors->items = NULL;
	errors->count = 0;
}

static bool
is_error_element(const char *name)
{
	return same(name, "Error") || same(name, "Errors") || same(name, "ResponseStatus");
}

static bool
push_error(ErrorReader *er)
{
	BwReplyErrors *errors = er->errors;
	BwReplyError *items;

	if (er->current.code == NULL && er->current.text == NULL)
	{
		free_texts(&er->current.numbers);
		return true;
	}
	items = realloc(errors->items, sizeof(BwReplyError) * (size_t) (errors->count + 1));
	if (items == NULL)
		return false;
	errors->items = items;
	errors->items[errors->count++] = er->current;
	memset(&er->current, 0, sizeof(er->current));
	return true;
}

static void
abandon_error(ErrorReader *er)
{
	free(er->current.code);
	free(er->current.text);
	free_texts(&er->current.numbers);
	memset(&er->current, 0, sizeof(er->current));
}

static bool
error_begins(ErrorReader *er, const Reader *reader)
{
	const char *name = open_name(reader);

	if (!is_error_element(name) || (er->depth > 0 && !same(name, "Error")))
		return true;
	er->depth = reader->depth;
	return push_error(er);
}

/* A leaf inside an error, or one of the bare resultCode and resultMessage. */
static bool
error_leaf(ErrorReader *er, const Reader *reader)
{
	const char *name = reader->closed;
	bool		bare_code = same(name, "resultCode");
	bool		bare_text = same(name, "resultMessage");

	if (er->depth == 0 && !bare_code && !bare_text)
		return true;
	if (same(name, "Code") || same(name, "ErrorCode") || bare_code)
	{
		/* A second code in one element, as in <Errors>, is another error. */
		if (er->current.code != NULL && !push_error(er))
			return false;
		return set_text(&er->current.code, reader);
	}
	if (same(name, "Description") || bare_text)
		return set_text(&er->current.text, reader);
	if (reader->text_len > 0 && er->depth > 0 &&
		(same(name, "TelephoneNumber") || same(name, "FullNumber") || same(name, "Tn")))
		return add_text(&er->current.numbers, reader->text);
	return true;
}

/* Let the error reader see an event; false: out of memory. */
static bool
read_error(ErrorReader *er, const Reader *reader, Event event)
{
	if (event == EVENT_BEGIN)
		return error_begins(er, reader);
	if (er->depth > 0 && reader->depth < er->depth)
	{
		er->depth = 0;
		return push_error(er);
	}
	return event != EVENT_LEAF || error_leaf(er, reader);
}

static void
set_problem(const Reader *reader, BwXmlProblem *problem)
{
	snprintf(problem->text, sizeof(problem->text), "%s",
			 reader->problem[0] ? reader->problem : "out of memory");
}

bool
bw_xml_decode_errors(const char *data, size_t len, BwReplyErrors *errors,
					 BwXmlProblem *problem)
{
	Reader		reader;
	ErrorReader er = {.errors = errors};
	Event		event = EVENT_ERROR;

	memset(errors, 0, sizeof(*errors));
	if (reader_open(&reader, data, len))
		while ((event = reader_next(&reader)) != EVENT_END && event != EVENT_ERROR)
			if (!read_error(&er, &reader, event))
				fail(&reader, "out of memory");
	if (event == EVENT_END && !push_error(&er))
		event = fail(&reader, "out of memory");
	if (event != EVENT_END)
	{
		set_problem(&reader, problem);
		bw_xml_free_errors(errors);
	}
	abandon_error(&er);
	reader_close(&reader);
	return event == EVENT_END;
}

/* --- lists --- */

/* Which descendant of a row fills which field. */
typedef struct FieldRule
{
	const char *element;
	const char *parent;			/* NULL: whatever it stands in */
	BwField		field;
} FieldRule;

typedef struct ListShape
{
	const char *rows[3];		/* elements that are rows with children */
	const char *leaves[3];		/* elements that are rows by their text */
	const char *within;			/* leaves count only inside this; NULL: any */
	FieldRule	rules[14];
} ListShape;

static const ListShape list_shapes[] = {
	[BW_LIST_AVAILABLE_NUMBERS] = {
		.rows = {"TelephoneNumberDetail", "TelephoneNumber"},
		.leaves = {"TelephoneNumber"},
		.rules = {
			{"FullNumber", NULL, BW_FIELD_NUMBER},
			{"TelephoneNumber", "TelephoneNumberDetail", BW_FIELD_NUMBER},
			{"City", NULL, BW_FIELD_CITY},
			{"State", NULL, BW_FIELD_STATE},
			{"RateCenter", NULL, BW_FIELD_RATE_CENTER},
			{"LATA", NULL, BW_FIELD_LATA},
			{"Tier", NULL, BW_FIELD_TIER},
			{"VendorId", NULL, BW_FIELD_VENDOR_ID},
			{"VendorName", NULL, BW_FIELD_VENDOR_NAME},
		}
	},
	[BW_LIST_AVAILABLE_NPANXX] = {
		.rows = {"AvailableNpaNxx"},
		.rules = {
			{"City", NULL, BW_FIELD_CITY},
			{"State", NULL, BW_FIELD_STATE},
			{"Npa", NULL, BW_FIELD_NPA},
			{"Nxx", NULL, BW_FIELD_NXX},
			{"Quantity", NULL, BW_FIELD_QUANTITY},
		}
	},
	[BW_LIST_ORDERS] = {
		.rows = {"OrderIdUserIdDate"},
		.rules = {
			{"orderId", NULL, BW_FIELD_ID},
			{"id", "OrderIdUserIdDate", BW_FIELD_ID},
			{"accountId", NULL, BW_FIELD_ACCOUNT_ID},
			{"CustomerOrderId", NULL, BW_FIELD_CUSTOMER_ORDER_ID},
			{"userId", NULL, BW_FIELD_USER_ID},
			{"OrderType", NULL, BW_FIELD_ORDER_TYPE},
			{"OrderStatus", NULL, BW_FIELD_STATUS},
			{"OrderDate", NULL, BW_FIELD_DATE},
			{"lastModifiedDate", NULL, BW_FIELD_LAST_MODIFIED},
			{"CountOfTNs", NULL, BW_FIELD_COUNT},
			{"Summary", NULL, BW_FIELD_SUMMARY},
		}
	},
	[BW_LIST_NUMBERS] = {
		.leaves = {"TelephoneNumber", "FullNumber"},
		.within = "TelephoneNumbers",
	},
	[BW_LIST_SITES] = {
		.rows = {"Site"},
		.rules = {
			{"Id", "Site", BW_FIELD_ID},
			{"Name", "Site", BW_FIELD_NAME},
			{"Description", "Site", BW_FIELD_DESCRIPTION},
		}
	},
	[BW_LIST_SIP_PEERS] = {
		.rows = {"SipPeer"},
		.rules = {
			{"PeerId", NULL, BW_FIELD_ID},
			{"PeerName", NULL, BW_FIELD_NAME},
			{"Description", "SipPeer", BW_FIELD_DESCRIPTION},
			{"IsDefaultPeer", NULL, BW_FIELD_IS_DEFAULT},
		}
	},
	[BW_LIST_SUBSCRIPTIONS] = {
		.rows = {"Subscription"},
		.rules = {
			{"SubscriptionId", NULL, BW_FIELD_ID},
			{"OrderType", NULL, BW_FIELD_ORDER_TYPE},
			{"EventType", NULL, BW_FIELD_EVENT_TYPE},
			{"OrderId", NULL, BW_FIELD_ORDER_ID},
			{"URL", NULL, BW_FIELD_URL},
			{"Expiry", NULL, BW_FIELD_EXPIRY},
			{"Status", NULL, BW_FIELD_STATUS},
			{"Username", NULL, BW_FIELD_USERNAME},
			{"NumberFormat", NULL, BW_FIELD_NUMBER_FORMAT},
			{"Email", NULL, BW_FIELD_EMAIL},
			{"DigestRequested", NULL, BW_FIELD_DIGEST},
		}
	},
	[BW_LIST_HISTORY] = {
		.rows = {"OrderHistory"},
		.rules = {
			{"OrderDate", NULL, BW_FIELD_DATE},
			{"Note", NULL, BW_FIELD_NOTE},
			{"Author", NULL, BW_FIELD_USER_ID},
			{"Status", NULL, BW_FIELD_STATUS},
			{"Difference", NULL, BW_FIELD_DIFFERENCE},
		}
	}
};

struct BwList
{
	const ListShape *shape;
	Reader		reader;
	bool		ended;			/* or no document at all: no rows */
	int			row_depth;		/* of the row being read; 0: none */
	char	   *fields[BW_FIELD_COUNT_OF];
	BwReplyErrors errors;
	ErrorReader error_reader;
	char	   *next_query;
	int64_t		total;
};

BwList *
bw_xml_list_open(BwListKind kind, const char *data, size_t len)
{
	BwList	   *list = calloc(1, sizeof(BwList));

	if (list == NULL)
		return NULL;
	list->shape = &list_shapes[kind];
	list->total = -1;
	list->error_reader.errors = &list->errors;
	list->ended = (len == 0);
	if (!list->ended && !reader_open(&list->reader, data, len))
	{
		free(list);
		return NULL;
	}
	return list;
}

static void
clear_row(BwList *list)
{
	for (int i = 0; i < BW_FIELD_COUNT_OF; i++)
	{
		free(list->fields[i]);
		list->fields[i] = NULL;
	}
}

void
bw_xml_list_close(BwList *list)
{
	if (list == NULL)
		return;
	clear_row(list);
	reader_close(&list->reader);
	abandon_error(&list->error_reader);
	bw_xml_free_errors(&list->errors);
	free(list->next_query);
	free(list);
}

static bool
listed(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count && names[i] != NULL; i++)
		if (same(names[i], name))
			return true;
	return false;
}

static bool
take_field(BwList *list)
{
	const Reader *reader = &list->reader;

	for (int i = 0; i < COUNT(list->shape->rules); i++)
	{
		const FieldRule *rule = &list->shape->rules[i];

		if (rule->element == NULL)
			break;
		if (!same(rule->element, reader->closed) ||
			(rule->parent != NULL && !same(rule->parent, open_name(reader))))
			continue;
		/* The first one counts: nested counters must not overwrite it. */
		return list->fields[rule->field] != NULL ||
			set_text(&list->fields[rule->field], reader);
	}
	return true;
}

/* "Link=<https://host/path?page=...>;rel="next";": what follows '?'. */
static bool
take_link(BwList *list)
{
	const char *start = strchr(list->reader.text, '<');
	const char *end = start ? strchr(start, '>') : NULL;
	const char *query = start ? strchr(start, '?') : NULL;

	if (query == NULL || end == NULL || query > end)
		return true;
	free(list->next_query);
	list->next_query = strndup(query + 1, (size_t) (end - query - 1));
	return list->next_query != NULL;
}

static bool
is_leaf_row(const BwList *list)
{
	const Reader *reader = &list->reader;

	return list->row_depth == 0 && reader->text_len > 0 &&
		list->error_reader.depth == 0 &&
		listed(list->shape->leaves, COUNT(list->shape->leaves), reader->closed) &&
		(list->shape->within == NULL || inside(reader, list->shape->within));
}

static bool
take_leaf(BwList *list)
{
	const Reader *reader = &list->reader;

	if (list->row_depth > 0)
		return take_field(list);
	if (same(reader->closed, "next") && same(open_name(reader), "Links"))
		return take_link(list);
	if (same(reader->closed, "TotalCount") && reader->text_len > 0)
		list->total = strtoll(reader->text, NULL, 10);
	return true;
}

/* Sets *complete when a row is; false: out of memory. */
static bool
take_event(BwList *list, Event event, bool *complete)
{
	Reader	   *reader = &list->reader;

	if (event == EVENT_BEGIN)
	{
		if (list->row_depth == 0 && list->error_reader.depth == 0 &&
			listed(list->shape->rows, COUNT(list->shape->rows), open_name(reader)))
			list->row_depth = reader->depth;
		return true;
	}
	if (list->row_depth > 0 && reader->depth < list->row_depth)
	{
		/* An element that turned out to be a leaf is a row by its text. */
		list->row_depth = 0;
		*complete = (event == EVENT_LEAVE);
	}
	if (event != EVENT_LEAF)
		return true;
	if (!is_leaf_row(list))
		return take_leaf(list);
	*complete = true;
	return set_text(&list->fields[BW_FIELD_NUMBER], reader);
}

BwNext
bw_xml_list_next(BwList *list, BwRow *row)
{
	bool		complete = false;

	clear_row(list);
	if (list->ended)
		return BW_NEXT_END;
	while (!complete)
	{
		Event		event = reader_next(&list->reader);

		if (event == EVENT_ERROR)
			return BW_NEXT_ERROR;
		if (event == EVENT_END)
		{
			list->ended = true;
			return push_error(&list->error_reader) ? BW_NEXT_END : BW_NEXT_ERROR;
		}
		if (!read_error(&list->error_reader, &list->reader, event) ||
			!take_event(list, event, &complete))
		{
			fail(&list->reader, "out of memory");
			return BW_NEXT_ERROR;
		}
	}
	for (int i = 0; i < BW_FIELD_COUNT_OF; i++)
		row->field[i] = list->fields[i];
	return BW_NEXT_ROW;
}

const BwReplyErrors *
bw_xml_list_errors(const BwList *list)
{
	return &list->errors;
}

const char *
bw_xml_list_next_query(const BwList *list)
{
	return list->next_query;
}

int64_t
bw_xml_list_total(const BwList *list)
{
	return list->total;
}

const char *
bw_xml_list_problem(const BwList *list)
{
	return list->reader.problem[0] ? list->reader.problem : "out of memory";
}

/* --- single documents --- */

typedef enum ValueType
{
	VALUE_TEXT,					/* char * */
	VALUE_NUMBER,				/* int64_t */
	VALUE_FLAG,					/* int: -1, 0, 1 */
	VALUE_LIST					/* BwTexts: one more */
} ValueType;

typedef struct ValueRule
{
	const char *element;
	const char *parent;			/* NULL: any */
	const char *ancestor;		/* NULL: any */
	ValueType	type;
	size_t		offset;
} ValueRule;

#define ORDER(field) offsetof(BwOrderReply, field)

/* Completed, failed and requested numbers come first: they are lists. */
static const ValueRule order_rules[] = {
	{"FullNumber", NULL, "CompletedNumbers", VALUE_LIST, ORDER(completed)},
	{"TelephoneNumber", NULL, "CompletedNumbers", VALUE_LIST, ORDER(completed)},
	{"TelephoneNumber", NULL, "DisconnectedTelephoneNumberList", VALUE_LIST, ORDER(completed)},
	{"FullNumber", NULL, "DisconnectedTelephoneNumberList", VALUE_LIST, ORDER(completed)},
	{"FullNumber", NULL, "FailedNumbers", VALUE_LIST, ORDER(failed)},
	{"TelephoneNumber", NULL, "FailedNumbers", VALUE_LIST, ORDER(failed)},
	{"TelephoneNumber", "TelephoneNumberList", NULL, VALUE_LIST, ORDER(requested)},
	{"ReservationId", "ReservationIdList", NULL, VALUE_LIST, ORDER(reservation_ids)},
	{"id", "Order", NULL, VALUE_TEXT, ORDER(id)},
	{"orderId", "Order", NULL, VALUE_TEXT, ORDER(id)},
	{"id", "orderRequest", NULL, VALUE_TEXT, ORDER(id)},
	{"orderId", "OrderResponse", NULL, VALUE_TEXT, ORDER(id)},
	{"CustomerOrderId", NULL, NULL, VALUE_TEXT, ORDER(customer_order_id)},
	{"Name", NULL, NULL, VALUE_TEXT, ORDER(name)},
	{"OrderStatus", NULL, NULL, VALUE_TEXT, ORDER(status)},
	{"SiteId", NULL, NULL, VALUE_TEXT, ORDER(site_id)},
	{"PeerId", NULL, NULL, VALUE_TEXT, ORDER(peer_id)},
	{"CreatedByUser", NULL, NULL, VALUE_TEXT, ORDER(created_by)},
	{"OrderCreateDate", NULL, NULL, VALUE_TEXT, ORDER(created)},
	{"OrderCompleteDate", NULL, NULL, VALUE_TEXT, ORDER(completed_at)},
	{"LastModifiedDate", NULL, NULL, VALUE_TEXT, ORDER(last_modified)},
	{"Summary", NULL, NULL, VALUE_TEXT, ORDER(summary)},
	{"CompletedQuantity", NULL, NULL, VALUE_NUMBER, ORDER(completed_quantity)},
	{"FailedQuantity", NULL, NULL, VALUE_NUMBER, ORDER(failed_quantity)},
	{"PendingQuantity", NULL, NULL, VALUE_NUMBER, ORDER(pending_quantity)},
	{"Quantity", NULL, NULL, VALUE_NUMBER, ORDER(quantity)},
	{"PartialAllowed", NULL, NULL, VALUE_FLAG, ORDER(partial_allowed)},
	{"BackOrderRequested", NULL, NULL, VALUE_FLAG, ORDER(back_order_requested)},
	{"EnableLCA", NULL, NULL, VALUE_FLAG, ORDER(enable_lca)},
	{"AreaCode", NULL, "Order", VALUE_TEXT, ORDER(area_code)},
	{"NpaNxx", NULL, "Order", VALUE_TEXT, ORDER(npanxx)},
	{"NpaNxxX", NULL, "Order", VALUE_TEXT, ORDER(npanxxx)},
	{"RateCenter", NULL, "Order", VALUE_TEXT, ORDER(rate_center)},
	{"City", NULL, "Order", VALUE_TEXT, ORDER(city)},
	{"State", NULL, "Order", VALUE_TEXT, ORDER(state)},
	{"Zip", NULL, "Order", VALUE_TEXT, ORDER(zip)},
	{"LATA", NULL, "Order", VALUE_TEXT, ORDER(lata)},
	{"TollFreeVanity", NULL, "Order", VALUE_TEXT, ORDER(toll_free_vanity)},
	{"TollFreeWildCardPattern", NULL, "Order", VALUE_TEXT, ORDER(toll_free_wildcard_pattern)},
	{"LocalVanity", NULL, "Order", VALUE_TEXT, ORDER(local_vanity)},
	{"EndsIn", NULL, "Order", VALUE_FLAG, ORDER(ends_in)}
};

#define NOTE(field) offsetof(BwNotification, field)

static const ValueRule notification_rules[] = {
	{"TelephoneNumber", NULL, "CompletedTelephoneNumbers", VALUE_LIST, NOTE(numbers)},
	{"TelephoneNumbers", NULL, "CompletedTelephoneNumbers", VALUE_LIST, NOTE(numbers)},
	{"TelephoneNumber", NULL, "ImpactedTelephoneNumbers", VALUE_LIST, NOTE(numbers)},
	{"SubscriptionId", NULL, NULL, VALUE_TEXT, NOTE(subscription_id)},
	{"OrderType", NULL, NULL, VALUE_TEXT, NOTE(order_type)},
	{"OrderId", NULL, NULL, VALUE_TEXT, NOTE(order_id)},
	{"CustomerOrderId", NULL, NULL, VALUE_TEXT, NOTE(customer_order_id)},
	{"Status", NULL, NULL, VALUE_TEXT, NOTE(status)},
	{"Message", NULL, NULL, VALUE_TEXT, NOTE(message)},
	{"Note", NULL, NULL, VALUE_TEXT, NOTE(note)},
	{"LastModifiedDate", NULL, NULL, VALUE_TEXT, NOTE(last_modified)},
	{"EventType", NULL, NULL, VALUE_TEXT, NOTE(event_type)}
};

#define NUMBER(field) offsetof(BwNumberReply, field)

static const ValueRule number_rules[] = {
	{"TelephoneNumber", NULL, NULL, VALUE_TEXT, NUMBER(telephone_number)},
	{"FullNumber", NULL, NULL, VALUE_TEXT, NUMBER(telephone_number)},
	{"ReservedTn", NULL, NULL, VALUE_TEXT, NUMBER(telephone_number)},
	{"Status", NULL, NULL, VALUE_TEXT, NUMBER(status)},
	{"OrderId", NULL, NULL, VALUE_TEXT, NUMBER(order_id)},
	{"OrderType", NULL, NULL, VALUE_TEXT, NUMBER(order_type)},
	{"OrderCreateDate", NULL, NULL, VALUE_TEXT, NUMBER(order_created)},
	{"InServiceDate", NULL, NULL, VALUE_TEXT, NUMBER(in_service_date)},
	{"LastModifiedDate", NULL, NULL, VALUE_TEXT, NUMBER(last_modified)},
	{"LastModified", NULL, NULL, VALUE_TEXT, NUMBER(last_modified)},
	{"SiteId", NULL, NULL, VALUE_TEXT, NUMBER(site_id)},
	{"Id", "Site", NULL, VALUE_TEXT, NUMBER(site_id)},
	{"PeerId", NULL, NULL, VALUE_TEXT, NUMBER(peer_id)},
	{"AccountId", NULL, NULL, VALUE_TEXT, NUMBER(account_id)},
	{"Account", NULL, NULL, VALUE_TEXT, NUMBER(account_id)},
	{"City", NULL, NULL, VALUE_TEXT, NUMBER(city)},
	{"State", NULL, NULL, VALUE_TEXT, NUMBER(state)},
	{"RateCenter", NULL, NULL, VALUE_TEXT, NUMBER(rate_center)},
	{"Lata", NULL, NULL, VALUE_TEXT, NUMBER(lata)},
	{"Tier", NULL, NULL, VALUE_TEXT, NUMBER(tier)},
	{"VendorId", NULL, NULL, VALUE_TEXT, NUMBER(vendor_id)},
	{"VendorName", NULL, NULL, VALUE_TEXT, NUMBER(vendor_name)},
	{"ReservationId", NULL, NULL, VALUE_TEXT, NUMBER(reservation_id)},
	{"ReservationExpires", NULL, NULL, VALUE_TEXT, NUMBER(reservation_expires)}
};

static bool
store_value(const ValueRule *rule, const Reader *reader, void *target)
{
	char	   *field = (char *) target + rule->offset;

	if (reader->text_len == 0)
		return true;
	switch (rule->type)
	{
		case VALUE_TEXT:
			return set_text((char **) field, reader);
		case VALUE_NUMBER:
			*(int64_t *) field = strtoll(reader->text, NULL, 10);
			return true;
		case VALUE_FLAG:
			*(int *) field = same(reader->text, "true") ? 1 : 0;
			return true;
		case VALUE_LIST:
			return add_text((BwTexts *) field, reader->text);
	}
	return true;
}

static bool
take_value(const ValueRule *rules, int count, const Reader *reader, void *target)
{
	for (int i = 0; i < count; i++)
	{
		const ValueRule *rule = &rules[i];

		if (same(rule->element, reader->closed) &&
			(rule->parent == NULL || same(rule->parent, open_name(reader))) &&
			(rule->ancestor == NULL || inside(reader, rule->ancestor)))
			return store_value(rule, reader, target);
	}
	return true;
}

static void
free_values(const ValueRule *rules, int count, void *target)
{
	for (int i = 0; i < count; i++)
	{
		char	   *field = (char *) target + rules[i].offset;

		if (rules[i].type == VALUE_TEXT)
		{
			free(*(char **) field);
			*(char **) field = NULL;
		}
		else if (rules[i].type == VALUE_LIST)
			free_texts((BwTexts *) field);
	}
}

/* What decode() finds besides the values. */
typedef struct Found
{
	BwReplyErrors errors;
	char		root[NAME_MAX_LEN]; /* document element */
	char		type[NAME_MAX_LEN]; /* first element "...OrderType" with children */
} Found;

static void
note_names(Found *found, const Reader *reader)
{
	const char *name = open_name(reader);
	size_t		len = strlen(name);

	if (reader->depth == 1)
		memcpy(found->root, reader->levels[0].name, NAME_MAX_LEN);
	if (found->type[0] == '\0' && len > 9 && same(name + len - 9, "OrderType"))
		snprintf(found->type, sizeof(found->type), "%s", name);
}

/* Read a whole document into "target".  Texts inside errors are errors only. */
static bool
decode(const char *data, size_t len, const ValueRule *rules, int count,
	   void *target, Found *found, BwXmlProblem *problem)
{
	Reader		reader;
	ErrorReader er = {.errors = &found->errors};
	Event		event = EVENT_ERROR;

	if (reader_open(&reader, data, len))
	{
		while ((event = reader_next(&reader)) != EVENT_END && event != EVENT_ERROR)
		{
			bool		in_error = er.depth > 0;

			if (event == EVENT_BEGIN)
				note_names(found, &reader);
			if (!read_error(&er, &reader, event) ||
				(event == EVENT_LEAF && !in_error &&
				 !take_value(rules, count, &reader, target)))
				fail(&reader, "out of memory");
		}
		if (event == EVENT_END && !push_error(&er))
			event = fail(&reader, "out of memory");
	}
	if (event != EVENT_END)
		set_problem(&reader, problem);
	abandon_error(&er);
	reader_close(&reader);
	return event == EVENT_END;
}

static void *
new_target(size_t size, BwXmlProblem *problem)
{
	void	   *target = calloc(1, size);

	if (target == NULL)
		snprintf(problem->text, sizeof(problem->text), "out of memory");
	return target;
}

BwOrderReply *
bw_xml_decode_order(const char *data, size_t len, BwXmlProblem *problem)
{
	BwOrderReply *reply = new_target(sizeof(BwOrderReply), problem);
	Found		found = {.root = ""};
	bool		read;

	if (reply == NULL)
		return NULL;
	reply->completed_quantity = reply->failed_quantity = -1;
	reply->pending_quantity = reply->quantity = -1;
	reply->partial_allowed = reply->back_order_requested = -1;
	reply->enable_lca = reply->ends_in = -1;
	read = decode(data, len, order_rules, COUNT(order_rules), reply, &found, problem);
	reply->errors = found.errors;
	reply->root = strdup(found.root);
	reply->type = found.type[0] ? strdup(found.type) : NULL;
	if (!read)
	{
		bw_xml_free_order(reply);
		return NULL;
	}
	return reply;
}

void
bw_xml_free_order(BwOrderReply *reply)
{
	if (reply == NULL)
		return;
	free_values(order_rules, COUNT(order_rules), reply);
	free(reply->root);
	free(reply->type);
	bw_xml_free_errors(&reply->errors);
	free(reply);
}

BwNotification *
bw_xml_decode_notification(const char *data, size_t len, BwXmlProblem *problem)
{
	BwNotification *notification = new_target(sizeof(BwNotification), problem);
	Found		found = {.root = ""};
	bool		read;

	if (notification == NULL)
		return NULL;
	read = decode(data, len, notification_rules, COUNT(notification_rules),
				  notification, &found, problem);
	bw_xml_free_errors(&found.errors);
	if (read && !same(found.root, "Notification"))
	{
		snprintf(problem->text, sizeof(problem->text),
				 "document element is %.80s, not Notification", found.root);
		read = false;
	}
	if (!read)
	{
		bw_xml_free_notification(notification);
		return NULL;
	}
	return notification;
}

void
bw_xml_free_notification(BwNotification *notification)
{
	if (notification == NULL)
		return;
	free_values(notification_rules, COUNT(notification_rules), notification);
	free(notification);
}

BwNumberReply *
bw_xml_decode_number(const char *data, size_t len, BwXmlProblem *problem)
{
	BwNumberReply *reply = new_target(sizeof(BwNumberReply), problem);
	Found		found = {.root = ""};
	bool		read;

	if (reply == NULL)
		return NULL;
	read = decode(data, len, number_rules, COUNT(number_rules), reply, &found, problem);
	reply->errors = found.errors;
	if (!read)
	{
		bw_xml_free_number(reply);
		return NULL;
	}
	return reply;
}

void
bw_xml_free_number(BwNumberReply *reply)
{
	if (reply == NULL)
		return;
	free_values(number_rules, COUNT(number_rules), reply);
	bw_xml_free_errors(&reply->errors);
	free(reply);
}

/* --- writing --- */

typedef struct Writer
{
	xmlBufferPtr buffer;
	xmlTextWriterPtr xml;
	bool		failed;
} Writer;

static void
writer_open(Writer *writer, const char *root)
{
	writer->buffer = xmlBufferCreate();
	writer->xml = writer->buffer ? xmlNewTextWriterMemory(writer->buffer, 0) : NULL;
	writer->failed = writer->xml == NULL ||
		xmlTextWriterStartDocument(writer->xml, "1.0", "UTF-8", "yes") < 0 ||
		xmlTextWriterStartElement(writer->xml, (const xmlChar *) root) < 0;
}

/* XML 1.0 has no control characters but these three. */
static bool
writable(const char *text)
{
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char) *p < 0x20 && strchr("\t\r\n", *p) == NULL)
			return false;
	return xmlCheckUTF8((const unsigned char *) text) != 0;
}

/* An element with text; NULL: none. */
static void
put(Writer *writer, const char *name, const char *text)
{
	if (text == NULL || writer->failed)
		return;
	if (!writable(text) ||
		xmlTextWriterWriteElement(writer->xml, (const xmlChar *) name,
								  (const xmlChar *) text) < 0)
		writer->failed = true;
}

static void
put_flag(Writer *writer, const char *name, int flag)
{
	if (flag >= 0)
		put(writer, name, flag ? "true" : "false");
}

static void
put_number(Writer *writer, const char *name, int64_t number)
{
	char		text[32];

	snprintf(text, sizeof(text), "%lld", (long long) number);
	put(writer, name, text);
}

static void
open_element(Writer *writer, const char *name)
{
	if (!writer->failed &&
		xmlTextWriterStartElement(writer->xml, (const xmlChar *) name) < 0)
		writer->failed = true;
}

static void
close_element(Writer *writer)
{
	if (!writer->failed && xmlTextWriterEndElement(writer->xml) < 0)
		writer->failed = true;
}

static void
put_list(Writer *writer, const char *list, const char *name,
		 const char *const *items, int count)
{
	open_element(writer, list);
	for (int i = 0; i < count; i++)
		put(writer, name, items[i]);
	close_element(writer);
}

/* The document as a string of ours; frees the writer. */
static char *
writer_finish(Writer *writer)
{
	char	   *text = NULL;

	if (!writer->failed && xmlTextWriterEndDocument(writer->xml) >= 0)
	{
		xmlTextWriterFlush(writer->xml);
		text = strdup((const char *) xmlBufferContent(writer->buffer));
	}
	if (writer->xml != NULL)
		xmlFreeTextWriter(writer->xml);
	if (writer->buffer != NULL)
		xmlBufferFree(writer->buffer);
	return text;
}

static void
put_criteria(Writer *writer, const BwOrderBody *body)
{
	open_element(writer, body->type);
	put(writer, "AreaCode", body->area_code);
	put(writer, "NpaNxx", body->npanxx);
	put(writer, "NpaNxxX", body->npanxxx);
	put(writer, "RateCenter", body->rate_center);
	put(writer, "City", body->city);
	put(writer, "State", body->state);
	put(writer, "Zip", body->zip);
	put(writer, "LATA", body->lata);
	put(writer, "TollFreeVanity", body->toll_free_vanity);
	put(writer, "TollFreeWildCardPattern", body->toll_free_wildcard_pattern);
	put(writer, "LocalVanity", body->local_vanity);
	put_flag(writer, "EndsIn", body->ends_in);
	put_number(writer, "Quantity", body->quantity);
	put_flag(writer, "EnableLCA", body->enable_lca);
	close_element(writer);
}

static void
put_numbers(Writer *writer, const BwOrderBody *body)
{
	open_element(writer, "ExistingTelephoneNumberOrderType");
	put_list(writer, "TelephoneNumberList", "TelephoneNumber",
			 body->numbers, body->number_count);
	if (body->reservation_count > 0)
		put_list(writer, "ReservationIdList", "ReservationId",
				 body->reservation_ids, body->reservation_count);
	close_element(writer);
}

char *
bw_xml_encode_order(const BwOrderBody *body)
{
	Writer		writer;

	writer_open(&writer, "Order");
	put(&writer, "CustomerOrderId", body->customer_order_id);
	put(&writer, "Name", body->name);
	if (body->number_count > 0)
		put_numbers(&writer, body);
	else
		put_criteria(&writer, body);
	put_flag(&writer, "PartialAllowed", body->partial_allowed);
	put_flag(&writer, "BackOrderRequested", body->back_order_requested);
	put(&writer, "SiteId", body->site_id);
	put(&writer, "PeerId", body->peer_id);
	return writer_finish(&writer);
}

char *
bw_xml_encode_close(const char *name, const char *customer_order_id)
{
	Writer		writer;

	writer_open(&writer, "Order");
	put(&writer, "Name", name);
	put(&writer, "CustomerOrderId", customer_order_id);
	put(&writer, "CloseOrder", "true");
	return writer_finish(&writer);
}

char *
bw_xml_encode_disconnect(const BwDisconnectBody *body)
{
	Writer		writer;

	writer_open(&writer, "DisconnectTelephoneNumberOrder");
	put(&writer, "CustomerOrderId", body->customer_order_id);
	open_element(&writer, "DisconnectTelephoneNumberOrderType");
	put_list(&writer, "TelephoneNumberList", "TelephoneNumber",
			 body->numbers, body->number_count);
	put(&writer, "DisconnectMode", "normal");
	put(&writer, "Protected", "UNCHANGED");
	close_element(&writer);
	return writer_finish(&writer);
}

static void
put_callback(Writer *writer, const BwSubscriptionBody *body)
{
	open_element(writer, "CallbackSubscription");
	put(writer, "URL", body->url);
	put_number(writer, "Expiry", body->expiry);
	if (body->username != NULL || body->public_key != NULL)
	{
		open_element(writer, "CallbackCredentials");
		if (body->username != NULL)
		{
			open_element(writer, "BasicAuthentication");
			put(writer, "Username", body->username);
			put(writer, "Password", body->password);
			close_element(writer);
		}
		put(writer, "PublicKey", body->public_key);
		close_element(writer);
	}
	put(writer, "NumberFormat", body->number_format);
	close_element(writer);
}

char *
bw_xml_encode_subscription(const BwSubscriptionBody *body)
{
	Writer		writer;

	writer_open(&writer, "Subscription");
	put(&writer, "OrderType", body->order_type);
	put(&writer, "EventType", body->event_type);
	put(&writer, "OrderId", body->order_id);
	if (body->url != NULL)
		put_callback(&writer, body);
	else
	{
		open_element(&writer, "EmailSubscription");
		put(&writer, "Email", body->email);
		put(&writer, "DigestRequested", body->digest);
		close_element(&writer);
	}
	return writer_finish(&writer);
}

char *
bw_xml_encode_reservation(const char *telephone_number)
{
	Writer		writer;

	writer_open(&writer, "Reservation");
	put(&writer, "ReservedTn", telephone_number);
	return writer_finish(&writer);
}
