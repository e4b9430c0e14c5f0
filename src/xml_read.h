/*-------------------------------------------------------------------------
 *
 * xml_read.h
 *	  Reads the XML of Bandwidth's phone number API, version 1.
 *
 * Plain C without postgres.h, so that it can be fuzzed; nothing here throws.
 * Everything decoded is malloc'd and freed by the matching free or close
 * function, which tolerate NULL.  Reading is tolerant: elements are known by
 * their local name in any letter case where Bandwidth's own documents differ,
 * order and unknown elements do not matter, one or many are the same, text is
 * trimmed.  DTDs, entities other than the five predefined ones, documents cut
 * short, trailing garbage and input over a limit are errors.
 *
 * src/xml_read.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_XML_READ_H
#define BW_XML_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xml.h"

/* A growing list of strings. */
typedef struct BwTexts
{
	char	  **items;
	int			count;
} BwTexts;

/* One error of a reply: code or text may be NULL. */
typedef struct BwReplyError
{
	char	   *code;
	char	   *text;
	BwTexts		numbers;		/* ten digits or +E.164, as they came */
} BwReplyError;

typedef struct BwReplyErrors
{
	BwReplyError *items;
	int			count;
} BwReplyErrors;

/*
 * Errors of any reply, in all the shapes that Bandwidth uses (Error, Errors,
 * ResponseStatus, resultCode, ...).  Returns false only when the document is
 * not well formed; a document without errors gives count 0.
 */
extern bool bw_xml_decode_errors(const char *data, size_t len,
								 BwReplyErrors *errors, BwXmlProblem *problem);
extern void bw_xml_free_errors(BwReplyErrors *errors);

/*
 * Lists: rows handed out one at a time, so that a long list needs the memory
 * of one row.  A list reader knows the shapes of all lists: search results
 * (with and without detail), NPA-NXX coverage, order and disconnect lists,
 * number lists, sites, SIP peers, subscriptions, order history, cities.
 */
typedef enum BwListKind
{
	BW_LIST_AVAILABLE_NUMBERS,
	BW_LIST_AVAILABLE_NPANXX,
	BW_LIST_ORDERS,				/* GET /orders and GET /disconnects */
	BW_LIST_NUMBERS,			/* inserviceNumbers, discnumbers */
	BW_LIST_SITES,
	BW_LIST_SIP_PEERS,
	BW_LIST_SUBSCRIPTIONS,
	BW_LIST_HISTORY
} BwListKind;

/* Fields of list rows; which ones a kind fills stands behind each. */
typedef enum BwField
{
	BW_FIELD_NUMBER,			/* numbers: ten digits or +E.164 */
	BW_FIELD_CITY,				/* numbers, npanxx */
	BW_FIELD_STATE,				/* numbers, npanxx */
	BW_FIELD_RATE_CENTER,		/* numbers */
	BW_FIELD_LATA,				/* numbers */
	BW_FIELD_TIER,				/* numbers */
	BW_FIELD_VENDOR_ID,			/* numbers */
	BW_FIELD_VENDOR_NAME,		/* numbers */
	BW_FIELD_NPA,				/* npanxx */
	BW_FIELD_NXX,				/* npanxx */
	BW_FIELD_QUANTITY,			/* npanxx */
	BW_FIELD_ID,				/* order, site, peer, subscription id */
	BW_FIELD_NAME,				/* site, peer */
	BW_FIELD_DESCRIPTION,		/* site, peer */
	BW_FIELD_IS_DEFAULT,		/* peer */
	BW_FIELD_ACCOUNT_ID,		/* orders */
	BW_FIELD_CUSTOMER_ORDER_ID, /* orders */
	BW_FIELD_USER_ID,			/* orders, history: author */
	BW_FIELD_ORDER_TYPE,		/* orders, subscriptions */
	BW_FIELD_STATUS,			/* orders, subscriptions, history */
	BW_FIELD_DATE,				/* orders: OrderDate, history */
	BW_FIELD_LAST_MODIFIED,		/* orders */
	BW_FIELD_COUNT,				/* orders: CountOfTNs */
	BW_FIELD_SUMMARY,			/* orders */
	BW_FIELD_NOTE,				/* history */
	BW_FIELD_DIFFERENCE,		/* history */
	BW_FIELD_ORDER_ID,			/* subscriptions: the order it is bound to */
	BW_FIELD_EVENT_TYPE,		/* subscriptions */
	BW_FIELD_URL,				/* subscriptions */
	BW_FIELD_EXPIRY,			/* subscriptions: seconds left */
	BW_FIELD_USERNAME,			/* subscriptions */
	BW_FIELD_NUMBER_FORMAT,		/* subscriptions */
	BW_FIELD_EMAIL,				/* subscriptions */
	BW_FIELD_DIGEST				/* subscriptions */
} BwField;

#define BW_FIELD_COUNT_OF (BW_FIELD_DIGEST + 1)

/* Values stay valid until the next call on the same reader; NULL: absent. */
typedef struct BwRow
{
	const char *field[BW_FIELD_COUNT_OF];
} BwRow;

typedef enum BwNext
{
	BW_NEXT_ROW,				/* a row was handed out */
	BW_NEXT_END,				/* the document ended well */
	BW_NEXT_ERROR				/* not well formed; see bw_xml_list_problem() */
} BwNext;

typedef struct BwList BwList;

/* "data" must outlive the reader.  NULL: out of memory. */
extern BwList *bw_xml_list_open(BwListKind kind, const char *data, size_t len);
extern BwNext bw_xml_list_next(BwList *list, BwRow *row);

/* After BW_NEXT_END: errors found, query of the next page, total (-1: none). */
extern const BwReplyErrors *bw_xml_list_errors(const BwList *list);
extern const char *bw_xml_list_next_query(const BwList *list);	/* after '?' */
extern int64_t bw_xml_list_total(const BwList *list);
extern const char *bw_xml_list_problem(const BwList *list);
extern void bw_xml_list_close(BwList *list);

/*
 * An order or disconnect, as POST echoes it and as GET reads it.  Absent
 * texts are NULL, absent quantities -1, absent flags -1.
 */
typedef struct BwOrderReply
{
	char	   *root;			/* name of the document element */
	char	   *id;
	char	   *customer_order_id;
	char	   *name;
	char	   *status;			/* Bandwidth's word as it came */
	char	   *type;			/* "ExistingTelephoneNumberOrderType", ... */
	char	   *site_id;
	char	   *peer_id;
	char	   *created_by;
	char	   *created;		/* dates as they came */
	char	   *completed_at;
	char	   *last_modified;
	char	   *summary;
	int64_t		completed_quantity;
	int64_t		failed_quantity;
	int64_t		pending_quantity;
	int64_t		quantity;		/* echoed criteria */
	int			partial_allowed;
	int			back_order_requested;
	int			enable_lca;
	char	   *area_code;
	char	   *npanxx;
	char	   *npanxxx;
	char	   *rate_center;
	char	   *city;
	char	   *state;
	char	   *zip;
	char	   *lata;
	char	   *toll_free_vanity;
	char	   *toll_free_wildcard_pattern;
	char	   *local_vanity;
	int			ends_in;
	BwTexts		requested;		/* echoed TelephoneNumberList */
	BwTexts		reservation_ids;
	BwTexts		completed;		/* CompletedNumbers, DisconnectedTelephone... */
	BwTexts		failed;
	BwReplyErrors errors;		/* 5019 included, as it came */
} BwOrderReply;

extern BwOrderReply *bw_xml_decode_order(const char *data, size_t len,
										 BwXmlProblem *problem);
extern void bw_xml_free_order(BwOrderReply *reply);

/* A callback.  Absent texts are NULL. */
typedef struct BwNotification
{
	char	   *subscription_id;
	char	   *order_type;
	char	   *order_id;
	char	   *customer_order_id;
	char	   *status;
	char	   *message;
	char	   *note;
	char	   *last_modified;
	char	   *event_type;
	BwTexts		numbers;		/* CompletedTelephoneNumbers, as listed */
	BwTexts		impacted;		/* ImpactedTelephoneNumbers of an event */
} BwNotification;

/* A document that is no Notification is a problem. */
extern BwNotification *bw_xml_decode_notification(const char *data, size_t len,
												  BwXmlProblem *problem);
extern void bw_xml_free_notification(BwNotification *notification);

/* GET /tns/{tn} and /tns/{tn}/tndetails, and a reservation. */
typedef struct BwNumberReply
{
	char	   *telephone_number;
	char	   *status;
	char	   *order_id;
	char	   *order_type;
	char	   *order_created;
	char	   *in_service_date;
	char	   *last_modified;
	char	   *site_id;
	char	   *peer_id;
	char	   *account_id;
	char	   *city;
	char	   *state;
	char	   *rate_center;
	char	   *lata;
	char	   *tier;
	char	   *vendor_id;
	char	   *vendor_name;
	char	   *reservation_id;
	char	   *reservation_expires;
	BwReplyErrors errors;
} BwNumberReply;

extern BwNumberReply *bw_xml_decode_number(const char *data, size_t len,
										   BwXmlProblem *problem);
extern void bw_xml_free_number(BwNumberReply *reply);

#endif							/* BW_XML_READ_H */
