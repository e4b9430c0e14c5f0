/*-------------------------------------------------------------------------
 *
 * xml.c
 *	  Reads and writes the XML of Bandwidth's phone number API, version 1.
 *
 * The only file that knows libxml2, and plain C: nothing here throws, prints,
 * keeps global state or touches the network.  Documents come from strangers
 * (anybody may call the listener), so they are pulled through an
 * xmlTextReader element by element and nothing is believed about them:
 *
 * - Bytes are looked at before libxml2 sees them (see inspect()).  A DOCTYPE
 *   ends the reading there, so that libxml2's DTD code never runs; and only
 *   encodings pass whose conversion cannot fail, because libxml2 reports a
 *   failed conversion to a global handler, which prints.
 * - Depth and the length of a text are limited.
 * - A document that is cut short or goes on after its end is an error even if
 *   its rows were handed out before: a short list must not look complete.
 *
 * What is read stands in tables: a Shape says which element goes into which
 * member of a struct.  Bandwidth's pages disagree about letter case, wrappers
 * and order, so names are compared without case, some wrappers may or may
 * not be there, and order means nothing.
 *
 * src/xml.c
 *-------------------------------------------------------------------------
 */
#include "xml.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/chvalid.h>
#include <libxml/tree.h>
#include <libxml/xmlreader.h>
#include <libxml/xmlwriter.h>

#define COUNT(array) ((int) (sizeof(array) / sizeof((array)[0])))

#define OUT_OF_MEMORY "out of memory"
#define HAS_NUL "document has a NUL character"

/* Level 1 is the document element. */
#define LEVELS (BW_XML_MAX_DEPTH + 1)

/* "<?xml ...?>" in full; encoding, version and standalone need half of it. */
#define MAX_DECLARATION 128

/* libxml2 2.12 made the error of a handler const. */
#if LIBXML_VERSION >= 21200
typedef const xmlError LibraryError;
#else
typedef xmlError LibraryError;
#endif

/* Those before STEP_END go on. */
typedef enum Step
{
	STEP_NONE,
	STEP_OPEN,					/* an element begins */
	STEP_CLOSE,					/* an element ends */
	STEP_END,					/* the document ended well */
	STEP_ERROR					/* it did not; "problem" says why */
} Step;

/*
 * A document on its way through the reader.
 *
 * After STEP_CLOSE, "value" is the trimmed text of the element that ends, or
 * NULL if it has none or has elements inside.
 */
typedef struct Stream
{
	xmlTextReaderPtr reader;
	const char *name[LEVELS];	/* local names; they live as long as reader */
	int			depth;
	bool		closing;		/* the innermost element was reported closed */
	bool		empty;			/* it is "<a/>", its end is yet to be reported */
	bool		leaf;			/* it has no element inside so far */
	bool		failed;
	BwXmlProblem problem;
	const char *value;
	size_t		text_len;
	char		text[BW_XML_MAX_TEXT + 1];
} Stream;

/* The bytes of a document as characters of one or, in UTF-16, two bytes. */
typedef struct Glance
{
	const unsigned char *data;
	size_t		count;
	size_t		at;
	int			width;
	int			low;			/* which of two bytes is the lower one */
} Glance;

/*
 * Errors being read.  One is open from its element's start to its end; they
 * nest, as in Errors/Error.
 */
typedef enum FrameKind
{
	FRAME_ERROR,
	FRAME_WRAPPER,				/* Errors: is one only if it has a code */
	FRAME_BARE					/* has a code without an element around it */
} FrameKind;

typedef struct ErrorFrame
{
	FrameKind	kind;
	int			depth;
	BwReplyError error;
} ErrorFrame;

typedef struct ErrorReader
{
	BwReplyErrors *found;		/* NULL: nobody asks */
	ErrorFrame	frames[LEVELS];
	int			open;
} ErrorReader;

/* How an element's text is stored. */
typedef enum BindKind
{
	BIND_TEXT,					/* char * */
	BIND_NAME,					/* char *, the element's name itself */
	BIND_QUANTITY,				/* int64_t, -1: absent */
	BIND_FLAG,					/* int, -1: absent */
	BIND_TEXTS					/* BwTexts */
} BindKind;

/*
 * An element's place and the member that takes its text; the first element
 * that has one wins.
 *
 * "path" is relative: names joined by '/'; one that begins with '*' is the
 * end of a longer name; a last '#' is a telephone number at any depth.
 */
typedef struct Binding
{
	const char *path;
	BindKind	kind;
	size_t		offset;
} Binding;

/* A document of one thing.  Paths begin below the root or below wrappers. */
typedef struct Shape
{
	const char *const *wrappers;
	const Binding *bindings;
	int			count;
} Shape;

/* A document of many things.  Paths begin below the row's element. */
typedef struct ListShape
{
	const char *const *rows;
	const Binding *bindings;
	int			count;
	int			needs;			/* field that a row must have; -1: any one */
} ListShape;

typedef struct RowValues
{
	char	   *field[BW_FIELD_COUNT_OF];
} RowValues;

struct BwList
{
	Stream		stream;
	Step		last;
	ErrorReader reader;
	BwReplyErrors errors;
	const ListShape *shape;
	RowValues	row;
	int			row_depth;		/* 0: between rows */
	bool		row_complete;	/* "row" waits to be handed out */
	char	   *next_query;
	int64_t		total;
};

/* A body being written. */
typedef struct Writer
{
	xmlBufferPtr buffer;
	xmlTextWriterPtr writer;
	bool		failed;
} Writer;

#define IN_ORDER(member) offsetof(BwOrderReply, member)

/* "Orders" and "Disconnects": POST echoes and GET reads the same elements. */
static const char *const order_wrappers[] = {
	"Orders", "Order", "orderRequest", "DisconnectTelephoneNumberOrder", NULL
};
static const Binding order_bindings[] = {
	{"id", BIND_TEXT, IN_ORDER(id)},
	{"orderId", BIND_TEXT, IN_ORDER(id)},
	{"CustomerOrderId", BIND_TEXT, IN_ORDER(customer_order_id)},
	{"Name", BIND_TEXT, IN_ORDER(name)},
	{"OrderStatus", BIND_TEXT, IN_ORDER(status)},
	{"*OrderType", BIND_NAME, IN_ORDER(type)},
	{"SiteId", BIND_TEXT, IN_ORDER(site_id)},
	{"PeerId", BIND_TEXT, IN_ORDER(peer_id)},
	{"CreatedByUser", BIND_TEXT, IN_ORDER(created_by)},
	{"OrderCreateDate", BIND_TEXT, IN_ORDER(created)},
	{"OrderCompleteDate", BIND_TEXT, IN_ORDER(completed_at)},
	{"LastModifiedDate", BIND_TEXT, IN_ORDER(last_modified)},
	{"Summary", BIND_TEXT, IN_ORDER(summary)},
	{"CompletedQuantity", BIND_QUANTITY, IN_ORDER(completed_quantity)},
	{"FailedQuantity", BIND_QUANTITY, IN_ORDER(failed_quantity)},
	{"PendingQuantity", BIND_QUANTITY, IN_ORDER(pending_quantity)},
	{"PartialAllowed", BIND_FLAG, IN_ORDER(partial_allowed)},
	{"BackOrderRequested", BIND_FLAG, IN_ORDER(back_order_requested)},
	{"*OrderType/Quantity", BIND_QUANTITY, IN_ORDER(quantity)},
	{"*OrderType/EnableLCA", BIND_FLAG, IN_ORDER(enable_lca)},
	{"*OrderType/AreaCode", BIND_TEXT, IN_ORDER(area_code)},
	{"*OrderType/NpaNxx", BIND_TEXT, IN_ORDER(npanxx)},
	{"*OrderType/NpaNxxX", BIND_TEXT, IN_ORDER(npanxxx)},
	{"*OrderType/RateCenter", BIND_TEXT, IN_ORDER(rate_center)},
	{"*OrderType/City", BIND_TEXT, IN_ORDER(city)},
	{"*OrderType/State", BIND_TEXT, IN_ORDER(state)},
	{"*OrderType/Zip", BIND_TEXT, IN_ORDER(zip)},
	{"*OrderType/LATA", BIND_TEXT, IN_ORDER(lata)},
	{"*OrderType/TollFreeVanity", BIND_TEXT, IN_ORDER(toll_free_vanity)},
	{"*OrderType/TollFreeWildCardPattern", BIND_TEXT,
	IN_ORDER(toll_free_wildcard_pattern)},
	{"*OrderType/LocalVanity", BIND_TEXT, IN_ORDER(local_vanity)},
	{"*OrderType/EndsIn", BIND_FLAG, IN_ORDER(ends_in)},
	{"*OrderType/TelephoneNumberList/#", BIND_TEXTS, IN_ORDER(requested)},
	{"*OrderType/ReservationIdList/ReservationId", BIND_TEXTS,
	IN_ORDER(reservation_ids)},
	{"CompletedNumbers/#", BIND_TEXTS, IN_ORDER(completed)},
	{"DisconnectedTelephoneNumberList/#", BIND_TEXTS, IN_ORDER(completed)},
	{"FailedNumbers/#", BIND_TEXTS, IN_ORDER(failed)}
};
static const Shape order_shape = {
	order_wrappers, order_bindings, COUNT(order_bindings)
};

#define IN_NOTIFICATION(member) offsetof(BwNotification, member)

/* "Order webhooks" and "Event webhooks" */
static const char *const no_wrappers[] = {NULL};
static const Binding notification_bindings[] = {
	{"SubscriptionId", BIND_TEXT, IN_NOTIFICATION(subscription_id)},
	{"OrderType", BIND_TEXT, IN_NOTIFICATION(order_type)},
	{"OrderId", BIND_TEXT, IN_NOTIFICATION(order_id)},
	{"CustomerOrderId", BIND_TEXT, IN_NOTIFICATION(customer_order_id)},
	{"Status", BIND_TEXT, IN_NOTIFICATION(status)},
	{"Message", BIND_TEXT, IN_NOTIFICATION(message)},
	{"Note", BIND_TEXT, IN_NOTIFICATION(note)},
	{"LastModifiedDate", BIND_TEXT, IN_NOTIFICATION(last_modified)},
	{"EventType", BIND_TEXT, IN_NOTIFICATION(event_type)},
	{"CompletedTelephoneNumbers/#", BIND_TEXTS, IN_NOTIFICATION(numbers)},
	{"ImpactedTelephoneNumbers/#", BIND_TEXTS, IN_NOTIFICATION(impacted)}
};
static const Shape notification_shape = {
	no_wrappers, notification_bindings, COUNT(notification_bindings)
};

#define IN_NUMBER(member) offsetof(BwNumberReply, member)

/*
 * "Get phone number", "Get phone number details" and "Reservations".  Details
 * have a Status of features deeper down, so depth matters here.
 */
static const char *const number_wrappers[] = {
	"TelephoneNumberDetails", "TelephoneNumberDetail", "TelephoneNumbers",
	"TelephoneNumber", "Reservation", "TNReservation", NULL
};
static const Binding number_bindings[] = {
	{"FullNumber", BIND_TEXT, IN_NUMBER(telephone_number)},
	{"TelephoneNumber", BIND_TEXT, IN_NUMBER(telephone_number)},
	{"ReservedTn", BIND_TEXT, IN_NUMBER(telephone_number)},
	{"Status", BIND_TEXT, IN_NUMBER(status)},
	{"OrderId", BIND_TEXT, IN_NUMBER(order_id)},
	{"OrderType", BIND_TEXT, IN_NUMBER(order_type)},
	{"OrderCreateDate", BIND_TEXT, IN_NUMBER(order_created)},
	{"InServiceDate", BIND_TEXT, IN_NUMBER(in_service_date)},
	{"LastModifiedDate", BIND_TEXT, IN_NUMBER(last_modified)},
	{"LastModified", BIND_TEXT, IN_NUMBER(last_modified)},
	{"SiteId", BIND_TEXT, IN_NUMBER(site_id)},
	{"Site/Id", BIND_TEXT, IN_NUMBER(site_id)},
	{"PeerId", BIND_TEXT, IN_NUMBER(peer_id)},
	{"SipPeer/PeerId", BIND_TEXT, IN_NUMBER(peer_id)},
	{"SipPeer/Id", BIND_TEXT, IN_NUMBER(peer_id)},
	{"AccountId", BIND_TEXT, IN_NUMBER(account_id)},
	{"Account", BIND_TEXT, IN_NUMBER(account_id)},
	{"City", BIND_TEXT, IN_NUMBER(city)},
	{"State", BIND_TEXT, IN_NUMBER(state)},
	{"RateCenter", BIND_TEXT, IN_NUMBER(rate_center)},
	{"LATA", BIND_TEXT, IN_NUMBER(lata)},
	{"Tier", BIND_TEXT, IN_NUMBER(tier)},
	{"VendorId", BIND_TEXT, IN_NUMBER(vendor_id)},
	{"VendorName", BIND_TEXT, IN_NUMBER(vendor_name)},
	{"ReservationId", BIND_TEXT, IN_NUMBER(reservation_id)},
	{"ReservationExpires", BIND_TEXT, IN_NUMBER(reservation_expires)}
};
static const Shape number_shape = {
	number_wrappers, number_bindings, COUNT(number_bindings)
};

#define FIELD(name) \
	BIND_TEXT, offsetof(RowValues, field) + (name) * sizeof(char *)

/*
 * "Search for numbers".  A row is a detail, or a TelephoneNumber that holds
 * either the number or, in older replies, the details.
 */
static const char *const number_rows[] = {
	"TelephoneNumberDetail", "TelephoneNumberDetails", "TelephoneNumber",
	"FullNumber", NULL
};
static const Binding number_row[] = {
	{"#", FIELD(BW_FIELD_NUMBER)},
	{"City", FIELD(BW_FIELD_CITY)},
	{"State", FIELD(BW_FIELD_STATE)},
	{"RateCenter", FIELD(BW_FIELD_RATE_CENTER)},
	{"LATA", FIELD(BW_FIELD_LATA)},
	{"Tier", FIELD(BW_FIELD_TIER)},
	{"VendorId", FIELD(BW_FIELD_VENDOR_ID)},
	{"VendorName", FIELD(BW_FIELD_VENDOR_NAME)}
};
static const char *const npanxx_rows[] = {"AvailableNpaNxx", NULL};
static const Binding npanxx_row[] = {
	{"City", FIELD(BW_FIELD_CITY)},
	{"State", FIELD(BW_FIELD_STATE)},
	{"Npa", FIELD(BW_FIELD_NPA)},
	{"Nxx", FIELD(BW_FIELD_NXX)},
	{"Quantity", FIELD(BW_FIELD_QUANTITY)}
};
static const char *const order_rows[] = {"OrderIdUserIdDate", NULL};
static const Binding order_row[] = {
	{"orderId", FIELD(BW_FIELD_ID)},
	{"id", FIELD(BW_FIELD_ID)},
	{"accountId", FIELD(BW_FIELD_ACCOUNT_ID)},
	{"CustomerOrderId", FIELD(BW_FIELD_CUSTOMER_ORDER_ID)},
	{"userId", FIELD(BW_FIELD_USER_ID)},
	{"OrderType", FIELD(BW_FIELD_ORDER_TYPE)},
	{"OrderStatus", FIELD(BW_FIELD_STATUS)},
	{"OrderDate", FIELD(BW_FIELD_DATE)},
	{"lastModifiedDate", FIELD(BW_FIELD_LAST_MODIFIED)},
	{"CountOfTNs", FIELD(BW_FIELD_COUNT)},
	{"Summary", FIELD(BW_FIELD_SUMMARY)}
};
static const char *const site_rows[] = {"Site", NULL};
static const Binding site_row[] = {
	{"Id", FIELD(BW_FIELD_ID)},
	{"SiteId", FIELD(BW_FIELD_ID)},
	{"Name", FIELD(BW_FIELD_NAME)},
	{"Description", FIELD(BW_FIELD_DESCRIPTION)}
};
static const char *const peer_rows[] = {"SipPeer", NULL};
static const Binding peer_row[] = {
	{"PeerId", FIELD(BW_FIELD_ID)},
	{"Id", FIELD(BW_FIELD_ID)},
	{"PeerName", FIELD(BW_FIELD_NAME)},
	{"Name", FIELD(BW_FIELD_NAME)},
	{"Description", FIELD(BW_FIELD_DESCRIPTION)},
	{"IsDefaultPeer", FIELD(BW_FIELD_IS_DEFAULT)}
};

#define CALLBACK "CallbackSubscription/"
#define CREDENTIALS CALLBACK "CallbackCredentials/BasicAuthentication/"

static const char *const subscription_rows[] = {"Subscription", NULL};
static const Binding subscription_row[] = {
	{"SubscriptionId", FIELD(BW_FIELD_ID)},
	{"id", FIELD(BW_FIELD_ID)},
	{"OrderType", FIELD(BW_FIELD_ORDER_TYPE)},
	{"EventType", FIELD(BW_FIELD_EVENT_TYPE)},
	{"OrderId", FIELD(BW_FIELD_ORDER_ID)},
	{CALLBACK "URL", FIELD(BW_FIELD_URL)},
	{CALLBACK "Expiry", FIELD(BW_FIELD_EXPIRY)},
	{CALLBACK "Status", FIELD(BW_FIELD_STATUS)},
	{CALLBACK "NumberFormat", FIELD(BW_FIELD_NUMBER_FORMAT)},
	{CREDENTIALS "Username", FIELD(BW_FIELD_USERNAME)},
	{"EmailSubscription/Email", FIELD(BW_FIELD_EMAIL)},
	{"EmailSubscription/DigestRequested", FIELD(BW_FIELD_DIGEST)}
};
static const char *const history_rows[] = {"OrderHistory", NULL};
static const Binding history_row[] = {
	{"OrderDate", FIELD(BW_FIELD_DATE)},
	{"Note", FIELD(BW_FIELD_NOTE)},
	{"Author", FIELD(BW_FIELD_USER_ID)},
	{"Status", FIELD(BW_FIELD_STATUS)},
	{"Difference", FIELD(BW_FIELD_DIFFERENCE)}
};

#define ROW(bindings) bindings, COUNT(bindings)

static const ListShape list_shapes[] = {
	[BW_LIST_AVAILABLE_NUMBERS] = {number_rows, ROW(number_row), BW_FIELD_NUMBER},
	[BW_LIST_AVAILABLE_NPANXX] = {npanxx_rows, ROW(npanxx_row), -1},
	[BW_LIST_ORDERS] = {order_rows, ROW(order_row), -1},
	[BW_LIST_NUMBERS] = {number_rows, ROW(number_row), BW_FIELD_NUMBER},
	[BW_LIST_SITES] = {site_rows, ROW(site_row), -1},
	[BW_LIST_SIP_PEERS] = {peer_rows, ROW(peer_row), -1},
	[BW_LIST_SUBSCRIPTIONS] = {subscription_rows, ROW(subscription_row), -1},
	[BW_LIST_HISTORY] = {history_rows, ROW(history_row), -1}
};

/* Totals of lists; ResultCount does not always match the rows. */
static const char *const total_names[] = {
	"TotalCount", "ResultCount", "TelephoneNumberCount", NULL
};
static const char *const number_names[] = {
	"FullNumber", "TelephoneNumber", "TelephoneNumbers", NULL
};

/* "Errors": the same facts by many names. */
static const char *const error_names[] = {"Error", "ResponseStatus", NULL};
static const char *const code_names[] = {
	"Code", "ErrorCode", "resultCode", NULL
};
static const char *const text_names[] = {"Description", "resultMessage", NULL};
static const char *const bare_names[] = {"ErrorCode", "resultCode", NULL};

/*
 * Encodings that are read.  libxml2 knows more, but those can fail to convert
 * and then it prints.
 */
static const struct
{
	const char *name;
	int			width;
	int			last;			/* last character */
}			encodings[] = {
	{"UTF-8", 1, 0xff},
	{"ISO-8859-1", 1, 0xff},
	{"US-ASCII", 1, 0x7f},
	{"UTF-16", 2, 0xffff}
};

#define IN_BODY(member) offsetof(BwOrderBody, member)

/* "Order types": the texts among the criteria. */
static const struct
{
	const char *name;
	size_t		offset;
}			criteria[] = {
	{"AreaCode", IN_BODY(area_code)},
	{"NpaNxx", IN_BODY(npanxx)},
	{"NpaNxxX", IN_BODY(npanxxx)},
	{"RateCenter", IN_BODY(rate_center)},
	{"City", IN_BODY(city)},
	{"State", IN_BODY(state)},
	{"Zip", IN_BODY(zip)},
	{"LATA", IN_BODY(lata)},
	{"TollFreeVanity", IN_BODY(toll_free_vanity)},
	{"TollFreeWildCardPattern", IN_BODY(toll_free_wildcard_pattern)},
	{"LocalVanity", IN_BODY(local_vanity)}
};

static bool decode(const Shape *shape, const char *data, size_t len,
				   void *target, BwReplyErrors *errors, char **root,
				   BwXmlProblem *problem);
static bool decode_step(Stream *stream, Step step, const Shape *shape,
						void *target, ErrorReader *reader, char **root);
static int	wrapped_depth(const Stream *stream, const char *const *wrappers);
static void prepare_struct(const Shape *shape, void *target);
static void free_struct(const Shape *shape, void *target);
static bool bind_element(const Stream *stream, int base,
						 const Binding *bindings, int count, void *target);
static bool bind_value(const Stream *stream, BindKind kind, void *slot);
static bool lies_at(const Stream *stream, int base, const char *path);
static bool begins_otherwise(const char *name, const char *pattern);
static bool name_is(const char *name, const char *pattern, size_t len);
static bool name_in(const char *name, const char *const *names);
static bool holds_number(const Stream *stream);
static bool list_step(BwList *list);
static bool list_read_row(BwList *list);
static bool row_has(const RowValues *row, int needs);
static void list_free_row(BwList *list);
static bool list_read_head(BwList *list);
static bool query_of_link(const char *link, char **query);
static void errors_open(ErrorReader *reader, const Stream *stream);
static void errors_push(ErrorReader *reader, FrameKind kind, int depth);
static bool errors_inside(const ErrorReader *reader);
static bool errors_close(ErrorReader *reader, const Stream *stream);
static bool errors_read(ErrorReader *reader, ErrorFrame *frame,
						const Stream *stream);
static bool errors_keep(ErrorReader *reader, ErrorFrame *frame);
static void errors_abandon(ErrorReader *reader);
static void free_error(BwReplyError *error);
static bool stream_open(Stream *stream, const char *data, size_t len);
static void stream_close(Stream *stream);
static Step stream_step(Stream *stream);
static Step stream_node(Stream *stream);
static Step stream_push(Stream *stream);
static Step stream_add_text(Stream *stream);
static Step stream_end_element(Stream *stream);
static void stream_pop(Stream *stream);
static Step stream_end(Stream *stream);
static Step stream_fail(Stream *stream, const char *text);
static void on_library_error(void *arg, LibraryError *error);
static void set_problem(BwXmlProblem *problem, const char *text);
static const char *inspect(const char *data, size_t len);
static bool glance_width(Glance *glance);
static int	glance_at(const Glance *glance, size_t at);
static bool glance_skip(Glance *glance, const char *text);
static void glance_skip_past(Glance *glance, const char *text);
static const char *glance_declaration(Glance *glance,
									  char encoding[MAX_DECLARATION]);
static bool glance_doctype(Glance *glance);
static const char *glance_characters(const Glance *glance,
									 const char *encoding);
static bool is_space(int c);
static bool set_text(char **slot, const char *text);
static bool add_text(BwTexts *texts, const char *text);
static void free_texts(BwTexts *texts);
static bool grow(void **items, int count, size_t size);
static int64_t quantity_of(const char *text);
static int	flag_of(const char *text);
static void write_numbers(Writer *writer, const BwOrderBody *body);
static void write_criteria(Writer *writer, const BwOrderBody *body);
static void write_callback(Writer *writer, const BwSubscriptionBody *body);
static void write_begin(Writer *writer, const char *root);
static char *write_end(Writer *writer);
static void write_open(Writer *writer, const char *name);
static void write_close(Writer *writer);
static void write_text(Writer *writer, const char *name, const char *text);
static void write_flag(Writer *writer, const char *name, bool flag);
static void write_number(Writer *writer, const char *name, int64_t number);
static void write_list(Writer *writer, const char *wrapper, const char *name,
					   const char *const *items, int count);

/* ---------- decoding documents of one thing ---------- */

bool
bw_xml_decode_errors(const char *data, size_t len, BwReplyErrors *errors,
					 BwXmlProblem *problem)
{
	static const Shape nothing = {no_wrappers, NULL, 0};

	memset(errors, 0, sizeof(*errors));
	if (decode(&nothing, data, len, NULL, errors, NULL, problem))
		return true;
	bw_xml_free_errors(errors);
	return false;
}

void
bw_xml_free_errors(BwReplyErrors *errors)
{
	if (errors == NULL)
		return;
	for (int i = 0; i < errors->count; i++)
		free_error(&errors->items[i]);
	free(errors->items);
	memset(errors, 0, sizeof(*errors));
}

BwOrderReply *
bw_xml_decode_order(const char *data, size_t len, BwXmlProblem *problem)
{
	BwOrderReply *reply = calloc(1, sizeof(BwOrderReply));

	if (reply == NULL)
		set_problem(problem, OUT_OF_MEMORY);
	else if (!decode(&order_shape, data, len, reply, &reply->errors,
					 &reply->root, problem))
	{
		bw_xml_free_order(reply);
		reply = NULL;
	}
	return reply;
}

void
bw_xml_free_order(BwOrderReply *reply)
{
	if (reply == NULL)
		return;
	free_struct(&order_shape, reply);
	free(reply->root);
	bw_xml_free_errors(&reply->errors);
	free(reply);
}

BwNotification *
bw_xml_decode_notification(const char *data, size_t len, BwXmlProblem *problem)
{
	BwNotification *notification = calloc(1, sizeof(BwNotification));
	char	   *root = NULL;
	bool		ok = false;

	if (notification == NULL)
		set_problem(problem, OUT_OF_MEMORY);
	else if (decode(&notification_shape, data, len, notification, NULL, &root,
					problem))
	{
		ok = root != NULL && name_is(root, "Notification", strlen("Notification"));
		if (!ok)
			set_problem(problem, "not a Notification");
	}
	free(root);
	if (ok)
		return notification;
	bw_xml_free_notification(notification);
	return NULL;
}

void
bw_xml_free_notification(BwNotification *notification)
{
	if (notification == NULL)
		return;
	free_struct(&notification_shape, notification);
	free(notification);
}

BwNumberReply *
bw_xml_decode_number(const char *data, size_t len, BwXmlProblem *problem)
{
	BwNumberReply *reply = calloc(1, sizeof(BwNumberReply));

	if (reply == NULL)
		set_problem(problem, OUT_OF_MEMORY);
	else if (!decode(&number_shape, data, len, reply, &reply->errors, NULL,
					 problem))
	{
		bw_xml_free_number(reply);
		reply = NULL;
	}
	return reply;
}

void
bw_xml_free_number(BwNumberReply *reply)
{
	if (reply == NULL)
		return;
	free_struct(&number_shape, reply);
	bw_xml_free_errors(&reply->errors);
	free(reply);
}

/*
 * Read a whole document into "target", which is zeroed, and "errors".
 *
 * "errors" and "root" may be NULL.  On failure the caller frees what was
 * stored so far.
 */
static bool
decode(const Shape *shape, const char *data, size_t len, void *target,
	   BwReplyErrors *errors, char **root, BwXmlProblem *problem)
{
	Stream		stream;
	ErrorReader reader = {.found = errors};
	Step		step = STEP_ERROR;

	prepare_struct(shape, target);
	if (stream_open(&stream, data, len))
		while ((step = stream_step(&stream)) < STEP_END)
			if (!decode_step(&stream, step, shape, target, &reader, root))
				stream_fail(&stream, OUT_OF_MEMORY);
	*problem = stream.problem;
	errors_abandon(&reader);
	stream_close(&stream);
	return step == STEP_END;
}

/* False: out of memory. */
static bool
decode_step(Stream *stream, Step step, const Shape *shape, void *target,
			ErrorReader *reader, char **root)
{
	if (step == STEP_OPEN)
	{
		errors_open(reader, stream);
		if (stream->depth == 1 && root != NULL)
			return set_text(root, stream->name[1]);
		return true;
	}
	return errors_close(reader, stream) &&
		bind_element(stream, wrapped_depth(stream, shape->wrappers),
					 shape->bindings, shape->count, target);
}

/* The level below which the shape's paths begin. */
static int
wrapped_depth(const Stream *stream, const char *const *wrappers)
{
	int			level = 1;

	while (level + 1 < stream->depth &&
		   name_in(stream->name[level + 1], wrappers))
		level++;
	return level;
}

static void
prepare_struct(const Shape *shape, void *target)
{
	for (int i = 0; i < shape->count; i++)
	{
		void	   *slot = (char *) target + shape->bindings[i].offset;

		if (shape->bindings[i].kind == BIND_QUANTITY)
			*(int64_t *) slot = -1;
		else if (shape->bindings[i].kind == BIND_FLAG)
			*(int *) slot = -1;
	}
}

/* Several bindings may share a member, so what is freed is also cleared. */
static void
free_struct(const Shape *shape, void *target)
{
	for (int i = 0; i < shape->count; i++)
	{
		void	   *slot = (char *) target + shape->bindings[i].offset;

		switch (shape->bindings[i].kind)
		{
			case BIND_TEXT:
			case BIND_NAME:
				free(*(char **) slot);
				*(char **) slot = NULL;
				break;
			case BIND_TEXTS:
				free_texts(slot);
				break;
			case BIND_QUANTITY:
			case BIND_FLAG:
				break;
		}
	}
}

/* Store the element that just ended.  False: out of memory. */
static bool
bind_element(const Stream *stream, int base, const Binding *bindings, int count,
			 void *target)
{
	const char *first = stream->depth > base ? stream->name[base + 1] : NULL;

	for (int i = 0; i < count; i++)
	{
		const char *path = bindings[i].path;

		if (*path != '#' && (first == NULL || begins_otherwise(first, path)))
			continue;
		if (lies_at(stream, base, path) &&
			!bind_value(stream, bindings[i].kind,
						(char *) target + bindings[i].offset))
			return false;
	}
	return true;
}

static bool
bind_value(const Stream *stream, BindKind kind, void *slot)
{
	const char *value = stream->value;

	if (kind == BIND_NAME)
		return set_text(slot, stream->name[stream->depth]);
	if (value == NULL)
		return true;
	switch (kind)
	{
		case BIND_NAME:
		case BIND_TEXT:
			return set_text(slot, value);
		case BIND_TEXTS:
			return add_text(slot, value);
		case BIND_QUANTITY:
			if (*(int64_t *) slot < 0)
				*(int64_t *) slot = quantity_of(value);
			break;
		case BIND_FLAG:
			if (*(int *) slot < 0)
				*(int *) slot = flag_of(value);
			break;
	}
	return true;
}

static bool
lies_at(const Stream *stream, int base, const char *path)
{
	for (int level = base + 1;; level++)
	{
		size_t		len = strcspn(path, "/");

		if (*path == '#')
			return holds_number(stream);
		if (level > stream->depth || !name_is(stream->name[level], path, len))
			return false;
		if (path[len] == '\0')
			return level == stream->depth;
		path += len + 1;
	}
}

/*
 * Most names are told from most patterns by their first letters alone, and this
 * is asked many times for each element.
 */
static bool
begins_otherwise(const char *name, const char *pattern)
{
	return *pattern != '*' && ((*name ^ *pattern) & ~('a' ^ 'A')) != 0;
}

/* "pattern" has "len" bytes; '*' stands for at least one of the name's. */
static bool
name_is(const char *name, const char *pattern, size_t len)
{
	size_t		name_len = strlen(name);

	if (*pattern == '*')
	{
		pattern++;
		len--;
		if (name_len <= len)
			return false;
		name += name_len - len;
	}
	else if (name_len != len)
		return false;
	return xmlStrncasecmp(BAD_CAST name, BAD_CAST pattern, (int) len) == 0;
}

static bool
name_in(const char *name, const char *const *names)
{
	for (; *names != NULL; names++)
		if (!begins_otherwise(name, *names) && name_is(name, *names, strlen(*names)))
			return true;
	return false;
}

/*
 * Is this a telephone number?  TelephoneNumber also wraps FullNumber, and
 * then has no value of its own; TelephoneNumbers is the name of a number in
 * one schema of "Order webhooks".
 */
static bool
holds_number(const Stream *stream)
{
	return stream->value != NULL &&
		name_in(stream->name[stream->depth], number_names) &&
		strpbrk(stream->value, "0123456789") != NULL;
}

/* ---------- decoding lists ---------- */

BwList *
bw_xml_list_open(BwListKind kind, const char *data, size_t len)
{
	BwList	   *list = malloc(sizeof(BwList));

	if (list == NULL)
		return NULL;
	/* all but the room for a text, most of which is never touched */
	memset(list, 0, offsetof(BwList, stream.text));
	memset(&list->last, 0, sizeof(BwList) - offsetof(BwList, last));
	list->shape = &list_shapes[kind];
	list->reader.found = &list->errors;
	list->total = -1;
	if (len == 0)				/* status 204: no rows */
		list->last = STEP_END;
	else if (!stream_open(&list->stream, data, len))
		list->last = STEP_ERROR;
	return list;
}

/* An error is final, as is the end. */
BwNext
bw_xml_list_next(BwList *list, BwRow *row)
{
	list_free_row(list);
	memset(row, 0, sizeof(*row));
	while (list->last < STEP_END)
	{
		list->last = stream_step(&list->stream);
		if (!list_step(list))
			list->last = stream_fail(&list->stream, OUT_OF_MEMORY);
		if (list->row_complete)
		{
			list->row_complete = false;
			for (int i = 0; i < BW_FIELD_COUNT_OF; i++)
				row->field[i] = list->row.field[i];
			return BW_NEXT_ROW;
		}
	}
	return list->last == STEP_END ? BW_NEXT_END : BW_NEXT_ERROR;
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
	return list->stream.problem.text;
}

void
bw_xml_list_close(BwList *list)
{
	if (list == NULL)
		return;
	list_free_row(list);
	errors_abandon(&list->reader);
	bw_xml_free_errors(&list->errors);
	stream_close(&list->stream);
	free(list->next_query);
	free(list);
}

/* Take in one step of the stream.  False: out of memory. */
static bool
list_step(BwList *list)
{
	Stream	   *stream = &list->stream;

	if (list->last == STEP_OPEN)
	{
		/* of a proxy or a login, and no list without rows */
		if (stream->depth == 1 && name_is(stream->name[1], "html", strlen("html")))
			list->last = stream_fail(stream, "document is a web page");
		errors_open(&list->reader, stream);
		if (list->row_depth == 0 && !errors_inside(&list->reader) &&
			name_in(stream->name[stream->depth], list->shape->rows))
			list->row_depth = stream->depth;
		return true;
	}
	if (list->last != STEP_CLOSE)
		return true;
	if (!errors_close(&list->reader, stream))
		return false;
	if (list->row_depth == 0)
		return list_read_head(list);
	return list_read_row(list);
}

static bool
list_read_row(BwList *list)
{
	if (!bind_element(&list->stream, list->row_depth, list->shape->bindings,
					  list->shape->count, &list->row))
		return false;
	if (list->stream.depth > list->row_depth)
		return true;
	list->row_depth = 0;
	list->row_complete = row_has(&list->row, list->shape->needs);
	if (!list->row_complete)
		list_free_row(list);
	return true;
}

/* Empty elements are no rows; "needs" -1 asks for any field. */
static bool
row_has(const RowValues *row, int needs)
{
	if (needs >= 0)
		return row->field[needs] != NULL;
	for (int i = 0; i < BW_FIELD_COUNT_OF; i++)
		if (row->field[i] != NULL)
			return true;
	return false;
}

static void
list_free_row(BwList *list)
{
	for (int i = 0; i < BW_FIELD_COUNT_OF; i++)
		free(list->row.field[i]);
	memset(&list->row, 0, sizeof(list->row));
}

/* What stands around the rows. */
static bool
list_read_head(BwList *list)
{
	const Stream *stream = &list->stream;

	if (stream->value == NULL)
		return true;
	if (list->total < 0 && name_in(stream->name[stream->depth], total_names))
		list->total = quantity_of(stream->value);
	if (list->next_query == NULL && stream->depth > 1 &&
		lies_at(stream, stream->depth - 2, "Links/next"))
		return query_of_link(stream->value, &list->next_query);
	return true;
}

/*
 * Get the query of 'Link=<https://host/path?query>;rel="next";'.
 *
 * It goes into an URL of ours, so what has no place in one is escaped.  Left
 * alone when there is none.  False: out of memory.
 */
static bool
query_of_link(const char *link, char **query)
{
	static const char hex[] = "0123456789ABCDEF";
	const char *begin = strchr(link, '<');
	const char *end = begin ? strchr(begin, '>') : NULL;
	char	   *to;

	begin = end ? memchr(begin, '?', end - begin) : NULL;
	if (begin == NULL || begin + 1 == end)
		return true;
	*query = to = malloc(3 * (end - begin));
	if (to == NULL)
		return false;
	while (++begin < end)
	{
		unsigned char c = *begin;

		if (c > ' ' && c < 0x7f && strchr("\"#<\\^`{|}", c) == NULL)
			*to++ = c;
		else
		{
			*to++ = '%';
			*to++ = hex[c >> 4];
			*to++ = hex[c & 15];
		}
	}
	*to = '\0';
	return true;
}

/* ---------- errors, in the shapes of "Errors" ---------- */

static void
errors_open(ErrorReader *reader, const Stream *stream)
{
	const char *name = stream->name[stream->depth];

	if (reader->found == NULL)
		return;
	if (name_in(name, error_names))
		errors_push(reader, FRAME_ERROR, stream->depth);
	else if (name_is(name, "Errors", strlen("Errors")))
		errors_push(reader, FRAME_WRAPPER, stream->depth);
}

/* A level opens one frame at most, so there is room. */
static void
errors_push(ErrorReader *reader, FrameKind kind, int depth)
{
	ErrorFrame *frame = &reader->frames[reader->open++];

	memset(frame, 0, sizeof(*frame));
	frame->kind = kind;
	frame->depth = depth;
}

/* Are we inside an error, whose numbers are no rows? */
static bool
errors_inside(const ErrorReader *reader)
{
	return reader->open > 0 && reader->frames[reader->open - 1].kind != FRAME_BARE;
}

/* False: out of memory. */
static bool
errors_close(ErrorReader *reader, const Stream *stream)
{
	ErrorFrame *frame;

	if (reader->found == NULL)
		return true;
	if (reader->open == 0 && stream->value != NULL && stream->depth > 1 &&
		name_in(stream->name[stream->depth], bare_names))
		errors_push(reader, FRAME_BARE, stream->depth - 1);
	if (reader->open == 0)
		return true;
	frame = &reader->frames[reader->open - 1];
	if (stream->value != NULL && !errors_read(reader, frame, stream))
		return false;
	if (frame->depth < stream->depth)
		return true;
	reader->open--;
	return errors_keep(reader, frame);
}

/* Take in an element inside the error.  False: out of memory. */
static bool
errors_read(ErrorReader *reader, ErrorFrame *frame, const Stream *stream)
{
	const char *name = stream->name[stream->depth];
	BwReplyError *error = &frame->error;

	/* the element around a bare code has other things below it */
	if (frame->kind == FRAME_BARE && stream->depth > frame->depth + 1)
		return true;
	if (name_in(name, code_names))
	{
		/* one element may hold several errors, one after the other */
		if (error->code != NULL && !errors_keep(reader, frame))
			return false;
		return set_text(&error->code, stream->value);
	}
	if (name_in(name, text_names) || stream->depth == frame->depth)
		return set_text(&error->text, stream->value);
	if (holds_number(stream))
		return add_text(&error->numbers, stream->value);
	return true;
}

/*
 * Add the frame's error to those found and clear the frame.
 *
 * Code 0 is how some replies say that all went well.  False: out of memory.
 */
static bool
errors_keep(ErrorReader *reader, ErrorFrame *frame)
{
	BwReplyErrors *found = reader->found;
	BwReplyError error = frame->error;
	bool		is_error;

	memset(&frame->error, 0, sizeof(frame->error));
	if (error.code != NULL)
		is_error = strcmp(error.code, "0") != 0;
	else
		is_error = frame->kind == FRAME_ERROR &&
			(error.text != NULL || error.numbers.count > 0);
	if (is_error && grow((void **) &found->items, found->count, sizeof(error)))
	{
		found->items[found->count++] = error;
		return true;
	}
	free_error(&error);
	return !is_error;
}

/* Free what was begun but not finished. */
static void
errors_abandon(ErrorReader *reader)
{
	while (reader->open > 0)
		free_error(&reader->frames[--reader->open].error);
}

static void
free_error(BwReplyError *error)
{
	free(error->code);
	free(error->text);
	free_texts(&error->numbers);
}

/* ---------- the stream of elements ---------- */

/*
 * Begin to read.  False: "problem" says why.  stream_close() follows in any
 * case.
 */
static bool
stream_open(Stream *stream, const char *data, size_t len)
{
	const char *refusal = inspect(data, len);

	memset(stream, 0, offsetof(Stream, text));
	if (refusal == NULL)
	{
		xmlInitParser();
		stream->reader = xmlReaderForMemory(data, (int) len, NULL, NULL,
											XML_PARSE_NONET);
		if (stream->reader == NULL)
			refusal = OUT_OF_MEMORY;
	}
	if (refusal != NULL)
	{
		stream_fail(stream, refusal);
		return false;
	}
	xmlTextReaderSetStructuredErrorHandler(stream->reader, on_library_error,
										   stream);
	return true;
}

static void
stream_close(Stream *stream)
{
	if (stream->reader != NULL)
		xmlFreeTextReader(stream->reader);
	stream->reader = NULL;
}

/* Go on to the next start or end of an element. */
static Step
stream_step(Stream *stream)
{
	Step		step = STEP_NONE;

	if (stream->failed)
		return STEP_ERROR;
	if (stream->closing)
		stream_pop(stream);
	if (stream->empty)
		return stream_end_element(stream);
	while (step == STEP_NONE)
	{
		int			result = xmlTextReaderRead(stream->reader);

		if (stream->failed || result < 0)
			return stream_fail(stream, "not well formed");
		step = result == 0 ? stream_end(stream) : stream_node(stream);
	}
	return step;
}

static Step
stream_node(Stream *stream)
{
	switch (xmlTextReaderNodeType(stream->reader))
	{
		case XML_READER_TYPE_ELEMENT:
			return stream_push(stream);
		case XML_READER_TYPE_END_ELEMENT:
			return stream_end_element(stream);
		case XML_READER_TYPE_TEXT:
		case XML_READER_TYPE_CDATA:
		case XML_READER_TYPE_WHITESPACE:
		case XML_READER_TYPE_SIGNIFICANT_WHITESPACE:
			return stream_add_text(stream);
		case XML_READER_TYPE_COMMENT:
		case XML_READER_TYPE_PROCESSING_INSTRUCTION:
		case XML_READER_TYPE_XML_DECLARATION:
			return STEP_NONE;
		default:
			return stream_fail(stream, "document has a DOCTYPE or entities");
	}
}

static Step
stream_push(Stream *stream)
{
	const char *name = (const char *) xmlTextReaderConstLocalName(stream->reader);
	const char *colon;

	if (name == NULL)
		return stream_fail(stream, OUT_OF_MEMORY);
	if (stream->depth == BW_XML_MAX_DEPTH)
		return stream_fail(stream, "elements are nested too deeply");
	/* a prefix that was never declared is part of the "local" name */
	colon = strrchr(name, ':');
	stream->name[++stream->depth] = colon != NULL ? colon + 1 : name;
	stream->empty = xmlTextReaderIsEmptyElement(stream->reader) == 1;
	stream->leaf = true;
	stream->text_len = 0;
	return STEP_OPEN;
}

/* Text between elements is not kept, however long. */
static Step
stream_add_text(Stream *stream)
{
	const char *text = (const char *) xmlTextReaderConstValue(stream->reader);
	size_t		len = text != NULL ? strlen(text) : 0;

	if (stream->depth == 0 || !stream->leaf)
		return STEP_NONE;
	if (len > BW_XML_MAX_TEXT - stream->text_len)
		return stream_fail(stream, "text of an element is too long");
	if (len > 0)
		memcpy(stream->text + stream->text_len, text, len);
	stream->text_len += len;
	return STEP_NONE;
}

static Step
stream_end_element(Stream *stream)
{
	char	   *begin = stream->text;
	char	   *end = begin + stream->text_len;

	stream->empty = false;
	stream->closing = true;
	stream->value = NULL;
	if (!stream->leaf)
		return STEP_CLOSE;
	while (begin < end && is_space(*begin))
		begin++;
	while (begin < end && is_space(end[-1]))
		end--;
	*end = '\0';
	if (!bw_xml_is_text(begin))
		return stream_fail(stream, "text is not proper UTF-8");
	if (begin < end)
		stream->value = begin;
	return STEP_CLOSE;
}

/* The element that was reported closed goes; the one around it is no leaf. */
static void
stream_pop(Stream *stream)
{
	stream->closing = false;
	stream->leaf = false;
	stream->value = NULL;
	stream->depth--;
}

/* Did the end come after the end of the document element? */
static Step
stream_end(Stream *stream)
{
	if (stream->depth > 0 || stream->name[1] == NULL)
		return stream_fail(stream, "document is cut short");
	return STEP_END;
}

/* The first problem is the cause, so it stays. */
static Step
stream_fail(Stream *stream, const char *text)
{
	if (!stream->failed)
		set_problem(&stream->problem, text);
	stream->failed = true;
	return STEP_ERROR;
}

/*
 * Note what libxml2 complains about.
 *
 * Prefixes without a declaration are well formed XML, and namespaces mean
 * nothing here.
 */
static void
on_library_error(void *arg, LibraryError *error)
{
	Stream	   *stream = arg;
	char		text[sizeof(stream->problem.text)];

	if (error->level < XML_ERR_ERROR || error->domain == XML_FROM_NAMESPACE)
		return;
	snprintf(text, sizeof(text), "line %d: %s", error->line,
			 error->message != NULL ? error->message : "not well formed");
	stream_fail(stream, text);
}

/* Keep it one line of plain text: it may quote the document. */
static void
set_problem(BwXmlProblem *problem, const char *text)
{
	size_t		len = 0;

	for (; text[len] != '\0' && len < sizeof(problem->text) - 1; len++)
		problem->text[len] = text[len] < ' ' || text[len] > '~' ? ' ' : text[len];
	while (len > 0 && strchr(" .", problem->text[len - 1]) != NULL)
		len--;
	problem->text[len] = '\0';
}

/* ---------- a look at the bytes before libxml2 sees them ---------- */

/* Why the document is refused; NULL: it may be read. */
static const char *
inspect(const char *data, size_t len)
{
	Glance		glance = {(const unsigned char *) data, len, 0, 1, 0};
	char		encoding[MAX_DECLARATION] = "";
	const char *refusal;

	if (len == 0)
		return "document is empty";
	if (len > INT_MAX)
		return "document is too long";
	if (!glance_width(&glance))
		return "document is cut short";
	refusal = glance_declaration(&glance, encoding);
	if (refusal == NULL && glance_doctype(&glance))
		refusal = "document has a DOCTYPE";
	if (refusal == NULL)
		refusal = glance_characters(&glance, encoding);
	return refusal;
}

/* One byte or two?  False: half a character at the end. */
static bool
glance_width(Glance *glance)
{
	static const unsigned char marks[][3] = {
		{0xfe, 0xff, 1}, {0xff, 0xfe, 0}, {0, '<', 1}, {'<', 0, 0}
	};

	for (int i = 0; i < COUNT(marks) && glance->count >= 2; i++)
		if (memcmp(glance->data, marks[i], 2) == 0)
		{
			if (glance->count % 2 != 0)
				return false;
			glance->width = 2;
			glance->low = marks[i][2];
			glance->count /= 2;
			break;
		}
	if (glance_at(glance, 0) == 0xfeff)
		glance->at = 1;
	else if (glance->count >= 3 && memcmp(glance->data, "\xef\xbb\xbf", 3) == 0)
		glance->at = 3;
	return true;
}

static int
glance_at(const Glance *glance, size_t at)
{
	const unsigned char *data = glance->data + at * glance->width;

	if (at >= glance->count)
		return -1;
	if (glance->width == 1)
		return *data;
	return data[1 - glance->low] << 8 | data[glance->low];
}

/* Pass over "text" if it comes next. */
static bool
glance_skip(Glance *glance, const char *text)
{
	size_t		len = strlen(text);

	for (size_t i = 0; i < len; i++)
		if (glance_at(glance, glance->at + i) != text[i])
			return false;
	glance->at += len;
	return true;
}

/* Pass over everything up to and with "text". */
static void
glance_skip_past(Glance *glance, const char *text)
{
	while (glance->at < glance->count && !glance_skip(glance, text))
		glance->at++;
}

/*
 * Get the encoding from the XML declaration, "" if there is none.
 *
 * The word must not come twice, so that libxml2 cannot find another one.
 */
static const char *
glance_declaration(Glance *glance, char encoding[MAX_DECLARATION])
{
	char		text[MAX_DECLARATION];
	char	   *found;
	size_t		begin = glance->at;
	size_t		len = 0;

	if (!glance_skip(glance, "<?xml"))
		return NULL;
	glance_skip_past(glance, "?>");
	if (glance->at - begin >= sizeof(text))
		return "XML declaration is too long";
	for (; begin + len < glance->at; len++)
	{
		int			c = glance_at(glance, begin + len);

		text[len] = c > 0 && c < 0x7f ? c : '?';
	}
	text[len] = '\0';
	found = strstr(text, "encoding");
	if (found == NULL)
		return NULL;
	if (strstr(found + 1, "encoding") != NULL ||
		sscanf(found, "encoding%*[ \t\r\n=]%*[\"']%127[^\"']", encoding) != 1)
		return "XML declaration is not well formed";
	return NULL;
}

static bool
glance_doctype(Glance *glance)
{
	for (;;)
	{
		while (glance->at < glance->count &&
			   is_space(glance_at(glance, glance->at)))
			glance->at++;
		if (glance_skip(glance, "<?"))
			glance_skip_past(glance, "?>");
		else if (glance_skip(glance, "<!--"))
			glance_skip_past(glance, "-->");
		else
			return glance_skip(glance, "<!DOCTYPE");
	}
}

/* Can the characters be converted?  UTF-8 is not, libxml2 checks it. */
static const char *
glance_characters(const Glance *glance, const char *encoding)
{
	int			last = -1;
	int			before = 0;

	if (*encoding == '\0')
		encoding = glance->width == 1 ? "UTF-8" : "UTF-16";
	for (int i = 0; i < COUNT(encodings); i++)
		if (encodings[i].width == glance->width &&
			xmlStrcasecmp(BAD_CAST encoding, BAD_CAST encodings[i].name) == 0)
			last = encodings[i].last;
	if (last < 0)
		return "document is in an unsupported encoding";
	if (glance->width == 1 && last == 0xff)
		return memchr(glance->data, 0, glance->count) ? HAS_NUL : NULL;
	for (size_t i = 0; i <= glance->count; i++)
	{
		int			c = glance_at(glance, i);

		if (c == 0)
			return HAS_NUL;
		if (c > last || (glance->width == 2 &&
						 (before >> 10 == 0xd800 >> 10) != (c >> 10 == 0xdc00 >> 10)))
			return "characters do not fit the encoding";
		before = c;
	}
	return NULL;
}

/* ---------- values ---------- */

static bool
is_space(int c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool
bw_xml_is_text(const char *text)
{
	static const int smallest[] = {0, 0, 0x80, 0x800, 0x10000};

	while (*text != '\0')
	{
		int			len;
		int			c;

		/* most text is ASCII, of which the control characters are looked at */
		if (*text >= ' ' && *text <= '~')
		{
			text++;
			continue;
		}
		len = (int) strnlen(text, 4);
		c = xmlGetUTF8Char(BAD_CAST text, &len);
		if (c < smallest[len > 0 ? len : 0] || !xmlIsCharQ(c))
			return false;
		text += len;
	}
	return true;
}

/* The first text of a member stays.  False: out of memory. */
static bool
set_text(char **slot, const char *text)
{
	if (*slot == NULL)
		*slot = strdup(text);
	return *slot != NULL;
}

/*
 * Add to a list, unless it repeats what was added last, as a number does that
 * stands beside itself as TelephoneNumber and FullNumber.
 */
static bool
add_text(BwTexts *texts, const char *text)
{
	char	   *copy;

	if (texts->count > 0 && strcmp(texts->items[texts->count - 1], text) == 0)
		return true;
	copy = strdup(text);
	if (copy == NULL || !grow((void **) &texts->items, texts->count, sizeof(char *)))
	{
		free(copy);
		return false;
	}
	texts->items[texts->count++] = copy;
	return true;
}

static void
free_texts(BwTexts *texts)
{
	for (int i = 0; i < texts->count; i++)
		free(texts->items[i]);
	free(texts->items);
	memset(texts, 0, sizeof(*texts));
}

/*
 * Make room for one more item.  Room is always a power of two, so "count"
 * tells when it is used up.
 */
static bool
grow(void **items, int count, size_t size)
{
	void	   *larger;

	if (count > 0 && (count & (count - 1)) != 0)
		return true;
	if (count > INT_MAX / 2)
		return false;
	larger = realloc(*items, (count > 0 ? 2 * (size_t) count : 1) * size);
	if (larger == NULL)
		return false;
	*items = larger;
	return true;
}

/* -1: not a count */
static int64_t
quantity_of(const char *text)
{
	char	   *end;
	long long	value;

	errno = 0;
	value = strtoll(text, &end, 10);
	return errno != 0 || end == text || *end != '\0' || value < 0 ? -1 : value;
}

/* -1: not a flag */
static int
flag_of(const char *text)
{
	if (xmlStrcasecmp(BAD_CAST text, BAD_CAST "true") == 0)
		return 1;
	if (xmlStrcasecmp(BAD_CAST text, BAD_CAST "false") == 0)
		return 0;
	return -1;
}

/* ---------- encoding ---------- */

/* Either the numbers or the criteria are written; neither is a failure. */
char *
bw_xml_encode_order(const BwOrderBody *body)
{
	Writer		writer;

	write_begin(&writer, "Order");
	write_text(&writer, "CustomerOrderId", body->customer_order_id);
	write_text(&writer, "Name", body->name);
	if (body->number_count > 0)
		write_numbers(&writer, body);
	else
		write_criteria(&writer, body);
	write_flag(&writer, "PartialAllowed", body->partial_allowed);
	write_flag(&writer, "BackOrderRequested", body->back_order_requested);
	write_text(&writer, "SiteId", body->site_id);
	write_text(&writer, "PeerId", body->peer_id);
	return write_end(&writer);
}

static void
write_numbers(Writer *writer, const BwOrderBody *body)
{
	write_open(writer, "ExistingTelephoneNumberOrderType");
	write_list(writer, "TelephoneNumberList", "TelephoneNumber",
			   body->numbers, body->number_count);
	if (body->reservation_count > 0)
		write_list(writer, "ReservationIdList", "ReservationId",
				   body->reservation_ids, body->reservation_count);
	write_close(writer);
}

static void
write_criteria(Writer *writer, const BwOrderBody *body)
{
	if (body->type == NULL || xmlValidateNCName(BAD_CAST body->type, 0) != 0)
	{
		writer->failed = true;
		return;
	}
	write_open(writer, body->type);
	for (int i = 0; i < COUNT(criteria); i++)
		write_text(writer, criteria[i].name,
				   *(const char *const *) ((const char *) body + criteria[i].offset));
	if (body->ends_in >= 0)
		write_flag(writer, "EndsIn", body->ends_in != 0);
	if (body->enable_lca >= 0)
		write_flag(writer, "EnableLCA", body->enable_lca != 0);
	if (body->quantity > 0)
		write_number(writer, "Quantity", body->quantity);
	write_close(writer);
}

char *
bw_xml_encode_close(const char *name, const char *customer_order_id)
{
	Writer		writer;

	write_begin(&writer, "Order");
	write_text(&writer, "Name", name);
	write_text(&writer, "CustomerOrderId", customer_order_id);
	write_flag(&writer, "CloseOrder", true);
	return write_end(&writer);
}

char *
bw_xml_encode_disconnect(const BwDisconnectBody *body)
{
	Writer		writer;

	write_begin(&writer, "DisconnectTelephoneNumberOrder");
	write_text(&writer, "CustomerOrderId", body->customer_order_id);
	write_open(&writer, "DisconnectTelephoneNumberOrderType");
	write_list(&writer, "TelephoneNumberList", "TelephoneNumber",
			   body->numbers, body->number_count);
	write_text(&writer, "DisconnectMode", "normal");
	write_text(&writer, "Protected", "UNCHANGED");
	write_close(&writer);
	return write_end(&writer);
}

char *
bw_xml_encode_subscription(const BwSubscriptionBody *body)
{
	Writer		writer;

	write_begin(&writer, "Subscription");
	write_text(&writer, "OrderType", body->order_type);
	write_text(&writer, "EventType", body->event_type);
	write_text(&writer, "OrderId", body->order_id);
	if (body->url != NULL)
		write_callback(&writer, body);
	if (body->email != NULL)
	{
		write_open(&writer, "EmailSubscription");
		write_text(&writer, "Email", body->email);
		write_text(&writer, "DigestRequested", body->digest);
		write_close(&writer);
	}
	return write_end(&writer);
}

static void
write_callback(Writer *writer, const BwSubscriptionBody *body)
{
	write_open(writer, "CallbackSubscription");
	write_text(writer, "URL", body->url);
	write_number(writer, "Expiry", body->expiry);
	if (body->username != NULL || body->public_key != NULL)
	{
		write_open(writer, "CallbackCredentials");
		if (body->username != NULL)
		{
			write_open(writer, "BasicAuthentication");
			write_text(writer, "Username", body->username);
			write_text(writer, "Password", body->password);
			write_close(writer);
		}
		write_text(writer, "PublicKey", body->public_key);
		write_close(writer);
	}
	write_text(writer, "NumberFormat", body->number_format);
	write_close(writer);
}

char *
bw_xml_encode_reservation(const char *telephone_number)
{
	Writer		writer;

	write_begin(&writer, "Reservation");
	write_text(&writer, "ReservedTn", telephone_number);
	return write_end(&writer);
}

/* After a failure the others do nothing, and write_end() tells. */
static void
write_begin(Writer *writer, const char *root)
{
	writer->buffer = xmlBufferCreate();
	writer->writer = writer->buffer != NULL ?
		xmlNewTextWriterMemory(writer->buffer, 0) : NULL;
	writer->failed = writer->writer == NULL ||
		xmlTextWriterStartDocument(writer->writer, NULL, "UTF-8", NULL) < 0;
	write_open(writer, root);
}

/* The document, malloc'd; NULL after a failure. */
static char *
write_end(Writer *writer)
{
	char	   *result = NULL;

	if (!writer->failed && xmlTextWriterEndDocument(writer->writer) >= 0 &&
		xmlTextWriterFlush(writer->writer) >= 0)
		result = strdup((const char *) xmlBufferContent(writer->buffer));
	if (writer->writer != NULL)
		xmlFreeTextWriter(writer->writer);
	if (writer->buffer != NULL)
		xmlBufferFree(writer->buffer);
	return result;
}

static void
write_open(Writer *writer, const char *name)
{
	if (!writer->failed &&
		xmlTextWriterStartElement(writer->writer, BAD_CAST name) < 0)
		writer->failed = true;
}

static void
write_close(Writer *writer)
{
	if (!writer->failed && xmlTextWriterEndElement(writer->writer) < 0)
		writer->failed = true;
}

/* NULL is left out. */
static void
write_text(Writer *writer, const char *name, const char *text)
{
	if (writer->failed || text == NULL)
		return;
	if (!bw_xml_is_text(text) ||
		xmlTextWriterWriteElement(writer->writer, BAD_CAST name,
								  BAD_CAST text) < 0)
		writer->failed = true;
}

static void
write_flag(Writer *writer, const char *name, bool flag)
{
	write_text(writer, name, flag ? "true" : "false");
}

static void
write_number(Writer *writer, const char *name, int64_t number)
{
	char		text[24];

	snprintf(text, sizeof(text), "%lld", (long long) number);
	write_text(writer, name, text);
}

static void
write_list(Writer *writer, const char *wrapper, const char *name,
		   const char *const *items, int count)
{
	write_open(writer, wrapper);
	for (int i = 0; i < count; i++)
		write_text(writer, name, items[i]);
	write_close(writer);
}
