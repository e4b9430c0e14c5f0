/*-------------------------------------------------------------------------
 *
 * xml_read.c
 *	  Reads the XML of Bandwidth's phone number API, version 1.
 *
 * What is read stands in tables: a Shape says which element goes into which
 * member of a struct.  Bandwidth's pages disagree about letter case, wrappers
 * and order, so names are compared without case, some wrappers may or may
 * not be there, and order means nothing.
 *
 * A list's rows are handed out before its document was seen to its end: if that
 * is an error then, a short list must not look complete.
 *
 * src/xml_read.c
 *-------------------------------------------------------------------------
 */
#include "xml_read.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "xml.h"

#define COUNT(array) ((int) (sizeof(array) / sizeof((array)[0])))

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
	ErrorFrame	frames[BW_XML_LEVELS];
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
	BwStream	stream;
	BwXmlStep	last;
	ErrorReader reader;
	BwReplyErrors errors;
	const ListShape *shape;
	RowValues	row;
	int			row_depth;		/* 0: between rows */
	bool		row_complete;	/* "row" waits to be handed out */
	char	   *next_query;
	int64_t		total;
};

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

static bool decode(const Shape *shape, const char *data, size_t len,
				   void *target, BwReplyErrors *errors, char **root,
				   BwXmlProblem *problem);
static bool decode_step(BwStream *stream, BwXmlStep step, const Shape *shape,
						void *target, ErrorReader *reader, char **root);
static int	wrapped_depth(const BwStream *stream, const char *const *wrappers);
static void prepare_struct(const Shape *shape, void *target);
static void free_struct(const Shape *shape, void *target);
static bool bind_element(const BwStream *stream, int base,
						 const Binding *bindings, int count, void *target);
static bool bind_value(const BwStream *stream, BindKind kind, void *slot);
static bool lies_at(const BwStream *stream, int base, const char *path);
static bool begins_otherwise(const char *name, const char *pattern);
static bool name_is(const char *name, const char *pattern, size_t len);
static bool name_in(const char *name, const char *const *names);
static bool holds_number(const BwStream *stream);
static bool list_step(BwList *list);
static bool list_read_row(BwList *list);
static bool row_has(const RowValues *row, int needs);
static void list_free_row(BwList *list);
static bool list_read_head(BwList *list);
static bool query_of_link(const char *link, char **query);
static void errors_open(ErrorReader *reader, const BwStream *stream);
static void errors_push(ErrorReader *reader, FrameKind kind, int depth);
static bool errors_inside(const ErrorReader *reader);
static bool errors_close(ErrorReader *reader, const BwStream *stream);
static bool errors_read(ErrorReader *reader, ErrorFrame *frame,
						const BwStream *stream);
static bool errors_keep(ErrorReader *reader, ErrorFrame *frame);
static void errors_abandon(ErrorReader *reader);
static void free_error(BwReplyError *error);
static bool set_text(char **slot, const char *text);
static bool add_text(BwTexts *texts, const char *text);
static void free_texts(BwTexts *texts);
static bool grow(void **items, int count, size_t size);
static int64_t quantity_of(const char *text);
static int	flag_of(const char *text);

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
		bw_stream_problem(problem, BW_XML_OUT_OF_MEMORY);
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
		bw_stream_problem(problem, BW_XML_OUT_OF_MEMORY);
	else if (decode(&notification_shape, data, len, notification, NULL, &root,
					problem))
	{
		ok = root != NULL && name_is(root, "Notification", strlen("Notification"));
		if (!ok)
			bw_stream_problem(problem, "not a Notification");
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
		bw_stream_problem(problem, BW_XML_OUT_OF_MEMORY);
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
	BwStream	stream;
	ErrorReader reader = {.found = errors};
	BwXmlStep	step = BW_XML_STEP_ERROR;

	prepare_struct(shape, target);
	if (bw_stream_open(&stream, data, len))
		while ((step = bw_stream_next(&stream)) < BW_XML_STEP_END)
			if (!decode_step(&stream, step, shape, target, &reader, root))
				bw_stream_fail(&stream, BW_XML_OUT_OF_MEMORY);
	*problem = stream.problem;
	errors_abandon(&reader);
	bw_stream_close(&stream);
	return step == BW_XML_STEP_END;
}

/* False: out of memory. */
static bool
decode_step(BwStream *stream, BwXmlStep step, const Shape *shape, void *target,
			ErrorReader *reader, char **root)
{
	if (step == BW_XML_STEP_OPEN)
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
wrapped_depth(const BwStream *stream, const char *const *wrappers)
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
bind_element(const BwStream *stream, int base, const Binding *bindings, int count,
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
bind_value(const BwStream *stream, BindKind kind, void *slot)
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
lies_at(const BwStream *stream, int base, const char *path)
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
	return bw_stream_same(name, pattern, len);
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
holds_number(const BwStream *stream)
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
		list->last = BW_XML_STEP_END;
	else if (!bw_stream_open(&list->stream, data, len))
		list->last = BW_XML_STEP_ERROR;
	return list;
}

/* An error is final, as is the end. */
BwNext
bw_xml_list_next(BwList *list, BwRow *row)
{
	list_free_row(list);
	memset(row, 0, sizeof(*row));
	while (list->last < BW_XML_STEP_END)
	{
		list->last = bw_stream_next(&list->stream);
		if (!list_step(list))
			list->last = bw_stream_fail(&list->stream, BW_XML_OUT_OF_MEMORY);
		if (list->row_complete)
		{
			list->row_complete = false;
			for (int i = 0; i < BW_FIELD_COUNT_OF; i++)
				row->field[i] = list->row.field[i];
			return BW_NEXT_ROW;
		}
	}
	return list->last == BW_XML_STEP_END ? BW_NEXT_END : BW_NEXT_ERROR;
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
	bw_stream_close(&list->stream);
	free(list->next_query);
	free(list);
}

/* Take in one step of the stream.  False: out of memory. */
static bool
list_step(BwList *list)
{
	BwStream   *stream = &list->stream;

	if (list->last == BW_XML_STEP_OPEN)
	{
		/* of a proxy or a login, and no list without rows */
		if (stream->depth == 1 && name_is(stream->name[1], "html", strlen("html")))
			list->last = bw_stream_fail(stream, "document is a web page");
		errors_open(&list->reader, stream);
		if (list->row_depth == 0 && !errors_inside(&list->reader) &&
			name_in(stream->name[stream->depth], list->shape->rows))
			list->row_depth = stream->depth;
		return true;
	}
	if (list->last != BW_XML_STEP_CLOSE)
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
	const BwStream *stream = &list->stream;

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
errors_open(ErrorReader *reader, const BwStream *stream)
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
errors_close(ErrorReader *reader, const BwStream *stream)
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
errors_read(ErrorReader *reader, ErrorFrame *frame, const BwStream *stream)
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

/* ---------- values ---------- */

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
	if (name_is(text, "true", strlen("true")))
		return 1;
	if (name_is(text, "false", strlen("false")))
		return 0;
	return -1;
}
