/*-------------------------------------------------------------------------
 *
 * xml_test.c
 *	  What the codec reads from Bandwidth's documents, and what it writes.
 *
 * vectors/ holds one document per shape: guide_*.xml are those of the guide
 * "Search and order phone numbers with callbacks" as printed there, the
 * others follow the examples and schemas of the API's reference pages.  What
 * is read of one is printed as text, a line per member that is present, and
 * compared as a whole, so that nothing can appear unnoticed either.
 *
 * Documents are decoded from a copy that ends where the document ends, so
 * that the sanitizers see any step beyond.  libxml2's global handlers count:
 * in production they would print into the server's log.
 *
 * test/unit/xml_test.c
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <libxml/xmlerror.h>

#include "tap.h"
#include "xml_read.h"
#include "xml_write.h"

#define COUNT(array) ((int) (sizeof(array) / sizeof((array)[0])))

typedef struct Document
{
	char	   *data;			/* exactly len bytes */
	size_t		len;
} Document;

/* What was decoded, as text. */
static char dumped[65536];
static size_t dumped_len;

/* Where the vectors are. */
static char directory[1024];

/* Calls of libxml2's global handlers. */
static int	complaints;

static const char *const field_names[BW_FIELD_COUNT_OF] = {
	[BW_FIELD_NUMBER] = "number",
	[BW_FIELD_CITY] = "city",
	[BW_FIELD_STATE] = "state",
	[BW_FIELD_RATE_CENTER] = "rate_center",
	[BW_FIELD_LATA] = "lata",
	[BW_FIELD_TIER] = "tier",
	[BW_FIELD_VENDOR_ID] = "vendor_id",
	[BW_FIELD_VENDOR_NAME] = "vendor_name",
	[BW_FIELD_NPA] = "npa",
	[BW_FIELD_NXX] = "nxx",
	[BW_FIELD_QUANTITY] = "quantity",
	[BW_FIELD_ID] = "id",
	[BW_FIELD_NAME] = "name",
	[BW_FIELD_DESCRIPTION] = "description",
	[BW_FIELD_IS_DEFAULT] = "is_default",
	[BW_FIELD_ACCOUNT_ID] = "account_id",
	[BW_FIELD_CUSTOMER_ORDER_ID] = "customer_order_id",
	[BW_FIELD_USER_ID] = "user_id",
	[BW_FIELD_ORDER_TYPE] = "order_type",
	[BW_FIELD_STATUS] = "status",
	[BW_FIELD_DATE] = "date",
	[BW_FIELD_LAST_MODIFIED] = "last_modified",
	[BW_FIELD_COUNT] = "count",
	[BW_FIELD_SUMMARY] = "summary",
	[BW_FIELD_NOTE] = "note",
	[BW_FIELD_DIFFERENCE] = "difference",
	[BW_FIELD_ORDER_ID] = "order_id",
	[BW_FIELD_EVENT_TYPE] = "event_type",
	[BW_FIELD_URL] = "url",
	[BW_FIELD_EXPIRY] = "expiry",
	[BW_FIELD_USERNAME] = "username",
	[BW_FIELD_NUMBER_FORMAT] = "number_format",
	[BW_FIELD_EMAIL] = "email",
	[BW_FIELD_DIGEST] = "digest"
};

static void dump(const char *format,...)
			__attribute__((format(printf, 1, 2)));

/* ---------- documents ---------- */

static Document
document_of(const char *data, size_t len)
{
	Document	document = {malloc(len > 0 ? len : 1), len};

	if (document.data == NULL)
		abort();
	memcpy(document.data, data, len);
	return document;
}

static Document
load(const char *name)
{
	static char buffer[65536];
	char		path[2048];
	FILE	   *file;
	size_t		len;

	snprintf(path, sizeof(path), "%s/%s.xml", directory, name);
	file = fopen(path, "rb");
	if (file == NULL)
	{
		printf("Bail out! could not open %s\n", path);
		exit(1);
	}
	len = fread(buffer, 1, sizeof(buffer), file);
	fclose(file);
	return document_of(buffer, len);
}

/* The vectors lie beside the source, or beside the program's folder. */
static void
find_vectors(const char *program)
{
	static const char *const places[] = {
		"../unit/vectors", "vectors", "../../unit/vectors", "test/unit/vectors"
	};
	const char *slash = strrchr(program, '/');
	int			len = slash != NULL ? (int) (slash - program) : 0;

	for (int i = 0; i < 2 * COUNT(places); i++)
	{
		char		probe[2048];
		FILE	   *file;

		snprintf(directory, sizeof(directory), "%.*s%s%s",
				 i % 2 ? 0 : len, program, i % 2 || len == 0 ? "" : "/",
				 places[i / 2]);
		snprintf(probe, sizeof(probe), "%s/guide_order.xml", directory);
		file = fopen(probe, "rb");
		if (file != NULL)
		{
			fclose(file);
			return;
		}
	}
}

static void
count_complaint(void *arg, const char *format,...)
{
	(void) arg;
	(void) format;
	complaints++;
}

/* ---------- what was read, as text ---------- */

static void
dump(const char *format,...)
{
	va_list		args;

	va_start(args, format);
	dumped_len += vsnprintf(dumped + dumped_len, sizeof(dumped) - dumped_len,
							format, args);
	va_end(args);
	if (dumped_len >= sizeof(dumped))
		abort();
}

static void
dump_text(const char *name, const char *text)
{
	if (text != NULL)
		dump("%s=%s\n", name, text);
}

static void
dump_count(const char *name, int64_t count)
{
	if (count != -1)
		dump("%s=%" PRId64 "\n", name, count);
}

static void
dump_texts(const char *name, const BwTexts *texts)
{
	if (texts->count > 0)
		dump("%s=", name);
	for (int i = 0; i < texts->count; i++)
		dump("%s%s", texts->items[i], i + 1 < texts->count ? "," : "\n");
}

static void
dump_errors(const BwReplyErrors *errors)
{
	for (int i = 0; i < errors->count; i++)
	{
		const BwReplyError *error = &errors->items[i];

		dump("error=%s: %s\n", error->code ? error->code : "-",
			 error->text ? error->text : "-");
		dump_texts(" of", &error->numbers);
	}
}

static void
read_errors(const Document *document)
{
	BwReplyErrors errors;
	BwXmlProblem problem;

	if (bw_xml_decode_errors(document->data, document->len, &errors, &problem))
		dump_errors(&errors);
	else
		dump("problem=%s\n", problem.text);
	bw_xml_free_errors(&errors);
}

static void
dump_criteria(const BwOrderReply *reply)
{
	dump_count("quantity", reply->quantity);
	dump_count("enable_lca", reply->enable_lca);
	dump_text("area_code", reply->area_code);
	dump_text("npanxx", reply->npanxx);
	dump_text("npanxxx", reply->npanxxx);
	dump_text("rate_center", reply->rate_center);
	dump_text("city", reply->city);
	dump_text("state", reply->state);
	dump_text("zip", reply->zip);
	dump_text("lata", reply->lata);
	dump_text("toll_free_vanity", reply->toll_free_vanity);
	dump_text("toll_free_wildcard_pattern", reply->toll_free_wildcard_pattern);
	dump_text("local_vanity", reply->local_vanity);
	dump_count("ends_in", reply->ends_in);
	dump_texts("requested", &reply->requested);
	dump_texts("reservation_ids", &reply->reservation_ids);
}

static void
dump_order(const BwOrderReply *reply)
{
	dump_text("root", reply->root);
	dump_text("id", reply->id);
	dump_text("customer_order_id", reply->customer_order_id);
	dump_text("name", reply->name);
	dump_text("status", reply->status);
	dump_text("type", reply->type);
	dump_criteria(reply);
	dump_text("site_id", reply->site_id);
	dump_text("peer_id", reply->peer_id);
	dump_text("created_by", reply->created_by);
	dump_text("created", reply->created);
	dump_text("completed_at", reply->completed_at);
	dump_text("last_modified", reply->last_modified);
	dump_text("summary", reply->summary);
	dump_count("completed_quantity", reply->completed_quantity);
	dump_count("failed_quantity", reply->failed_quantity);
	dump_count("pending_quantity", reply->pending_quantity);
	dump_count("partial_allowed", reply->partial_allowed);
	dump_count("back_order_requested", reply->back_order_requested);
	dump_texts("completed", &reply->completed);
	dump_texts("failed", &reply->failed);
	dump_errors(&reply->errors);
}

static void
read_order(const Document *document)
{
	BwXmlProblem problem;
	BwOrderReply *reply = bw_xml_decode_order(document->data, document->len,
											  &problem);

	if (reply != NULL)
		dump_order(reply);
	else
		dump("problem=%s\n", problem.text);
	bw_xml_free_order(reply);
}

static void
dump_notification(const BwNotification *notification)
{
	dump_text("subscription_id", notification->subscription_id);
	dump_text("order_type", notification->order_type);
	dump_text("order_id", notification->order_id);
	dump_text("customer_order_id", notification->customer_order_id);
	dump_text("status", notification->status);
	dump_text("message", notification->message);
	dump_text("note", notification->note);
	dump_text("last_modified", notification->last_modified);
	dump_text("event_type", notification->event_type);
	dump_texts("numbers", &notification->numbers);
	dump_texts("impacted", &notification->impacted);
}

static void
read_notification(const Document *document)
{
	BwXmlProblem problem;
	BwNotification *notification =
	bw_xml_decode_notification(document->data, document->len, &problem);

	if (notification != NULL)
		dump_notification(notification);
	else
		dump("problem=%s\n", problem.text);
	bw_xml_free_notification(notification);
}

static void
dump_number(const BwNumberReply *reply)
{
	dump_text("telephone_number", reply->telephone_number);
	dump_text("status", reply->status);
	dump_text("order_id", reply->order_id);
	dump_text("order_type", reply->order_type);
	dump_text("order_created", reply->order_created);
	dump_text("in_service_date", reply->in_service_date);
	dump_text("last_modified", reply->last_modified);
	dump_text("site_id", reply->site_id);
	dump_text("peer_id", reply->peer_id);
	dump_text("account_id", reply->account_id);
	dump_text("city", reply->city);
	dump_text("state", reply->state);
	dump_text("rate_center", reply->rate_center);
	dump_text("lata", reply->lata);
	dump_text("tier", reply->tier);
	dump_text("vendor_id", reply->vendor_id);
	dump_text("vendor_name", reply->vendor_name);
	dump_text("reservation_id", reply->reservation_id);
	dump_text("reservation_expires", reply->reservation_expires);
	dump_errors(&reply->errors);
}

static void
read_number(const Document *document)
{
	BwXmlProblem problem;
	BwNumberReply *reply = bw_xml_decode_number(document->data, document->len,
												&problem);

	if (reply != NULL)
		dump_number(reply);
	else
		dump("problem=%s\n", problem.text);
	bw_xml_free_number(reply);
}

static void
dump_row(const BwRow *row)
{
	const char *separator = "";

	for (int i = 0; i < BW_FIELD_COUNT_OF; i++)
		if (row->field[i] != NULL)
		{
			dump("%s%s=%s", separator, field_names[i], row->field[i]);
			separator = "; ";
		}
	dump("\n");
}

static void
read_list(BwListKind kind, const Document *document)
{
	BwList	   *list = bw_xml_list_open(kind, document->data, document->len);
	BwRow		row;
	BwNext		next;

	while ((next = bw_xml_list_next(list, &row)) == BW_NEXT_ROW)
		dump_row(&row);
	if (next == BW_NEXT_ERROR)
		dump("problem=%s\n", bw_xml_list_problem(list));
	if (bw_xml_list_next(list, &row) != next || row.field[0] != NULL)
		dump("the end is not final\n");
	dump_errors(bw_xml_list_errors(list));
	dump_text("next", bw_xml_list_next_query(list));
	dump_count("total", bw_xml_list_total(list));
	bw_xml_list_close(list);
}

static const char *
read_one(void (*reader) (const Document *), const Document *document)
{
	dumped[0] = '\0';
	dumped_len = 0;
	reader(document);
	return dumped;
}

static const char *
read_rows(BwListKind kind, const Document *document)
{
	dumped[0] = '\0';
	dumped_len = 0;
	read_list(kind, document);
	return dumped;
}

static bool
is_refused(const char *text)
{
	return strstr(text, "problem=") != NULL;
}

/* ---------- what is expected ---------- */

/* Documents of one thing. */
static const struct
{
	const char *vector;
	void		(*reader) (const Document *);
	const char *expected;
}			ones[] = {

	{"guide_order_received", read_order,
		"root=OrderResponse\n"
		"id=c9dg306c-gdh7-77j7-812c-0520c8f49123\n"
		"customer_order_id=1234567896\n"
		"name=Existing Number Order 3\n"
		"status=RECEIVED\n"
		"type=ExistingTelephoneNumberOrderType\n"
		"requested=5402278098\n"
		"site_id=13606\n"
		"created=2018-03-20T19:51:20.886Z\n"
		"partial_allowed=1\n"
	"back_order_requested=0\n"},
	{"guide_notification_complete", read_notification,
		"subscription_id=d8274fa6-e49b-469a-93bf-c7dd17615950\n"
		"order_type=orders\n"
		"order_id=a8ef295b-fcf4-44a7-945c-0520c8f49123\n"
		"status=COMPLETE\n"
		"message=Created a new number order for 1 number from "
		"WASHINGTON, VA\n"
	"numbers=5402278098\n"},
	{"guide_notification_failed", read_notification,
		"subscription_id=333643f0-3eac-4c8f-8b15-c712f49e09fe\n"
		"order_type=orders\n"
		"order_id=4a58b348-892c-4426-8900-97fc4555c42c\n"
		"status=FAILED\n"
		"message=5005: The telephone number is unavailable for ordering\n"
	"numbers=5402278098\n"},
	{"guide_order_complete", read_order,
		"root=OrderResponse\n"
		"customer_order_id=123456789\n"
		"name=Existing Number Order\n"
		"status=COMPLETE\n"
		"type=ExistingTelephoneNumberOrderType\n"
		"requested=5405511247\n"
		"site_id=13606\n"
		"peer_id=546348\n"
		"created_by=jbm\n"
		"created=2018-03-21T15:28:06.359Z\n"
		"completed_at=2018-03-21T15:28:06.438Z\n"
		"last_modified=2018-03-21T15:28:06.438Z\n"
		"summary=1 number ordered in (540)\n"
		"completed_quantity=1\n"
		"failed_quantity=0\n"
		"partial_allowed=1\n"
		"back_order_requested=0\n"
	"completed=5405511247\n"},
	{"guide_order_failed", read_order,
		"root=OrderResponse\n"
		"customer_order_id=1234567896\n"
		"name=Existing Number Order 234\n"
		"status=FAILED\n"
		"type=ExistingTelephoneNumberOrderType\n"
		"requested=5402278098\n"
		"site_id=13606\n"
		"peer_id=546348\n"
		"created_by=jbm\n"
		"created=2018-03-21T15:20:36.153Z\n"
		"completed_at=2018-03-21T15:20:36.212Z\n"
		"last_modified=2018-03-21T15:20:36.212Z\n"
		"summary=1 number requested\n"
		"completed_quantity=0\n"
		"failed_quantity=1\n"
		"partial_allowed=1\n"
		"back_order_requested=0\n"
		"failed=5402278098\n"
		"error=5005: The telephone number is unavailable for ordering\n"
	" of=5402278098\n"},
	{"guide_order_failed", read_errors,
		"error=5005: The telephone number is unavailable for ordering\n"
	" of=5402278098\n"},
	{"errors_order", read_errors,
		"error=5022: The SiteId is missing\n"
		"error=5005: The telephone number is unavailable for ordering\n"
	" of=5402278098\n"},
	{"errors_order", read_order,
		"root=OrderResponse\n"
		"name=n\n"
		"partial_allowed=1\n"
		"error=5022: The SiteId is missing\n"
		"error=5005: The telephone number is unavailable for ordering\n"
	" of=5402278098\n"},
	{"errors_search", read_errors,
		"error=4000: The area code of telephone numbers can not end "
	"with 11.\n"},
	{"errors_npanxx", read_errors,
	"error=4000: The area code is invalid.\n"},
	{"errors_npanxx_status", read_errors,
	"error=4000: The area code is invalid.\n"},
	{"errors_status", read_errors,
	"error=14506: URL is invalid\n"},
	{"errors_no_code", read_errors,
	"error=-: No history for this order\n"},
	{"errors_repeated", read_errors,
		"error=5001: first\n"
	"error=5002: second\n"},
	{"errors_run", read_errors,
		"error=5071: first\n"
	"error=5076: second\n"},
	{"errors_wrapped", read_errors,
		"error=5071: Telephone number not available.\n"
		" of=5209072451\n"
		"error=13518: CNAM for telephone number is applied at the "
	"Location level\n"},
	{"errors_result_code", read_errors,
	"error=1003: A required file is missing\n"},
	{"errors_result_zero", read_errors,
	""},
	{"errors_many_numbers", read_errors,
		"error=15610: Telephone numbers are not found on the account\n"
	" of=5405510001,5405510002,+15405510003\n"},
	{"errors_realm", read_errors,
	"error=-: Service is temporarily unavailable\n"},
	{"errors_empty", read_errors,
	""},
	{"order_received_criteria", read_order,
		"root=OrderResponse\n"
		"id=a7af704e-2ec0-4c4d-9dc5-1b77fa62c92a\n"
		"name=Local Order\n"
		"type=CombinedSearchAndOrderType\n"
		"quantity=12\n"
		"enable_lca=0\n"
		"area_code=919\n"
		"npanxx=919238\n"
		"npanxxx=9192381\n"
		"rate_center=CARY\n"
		"city=CARY\n"
		"state=NC\n"
		"zip=27511\n"
		"lata=426\n"
		"toll_free_vanity=newcars\n"
		"toll_free_wildcard_pattern=8**\n"
		"local_vanity=2424\n"
		"ends_in=1\n"
		"site_id=29976\n"
		"created=2020-05-19T00:40:38.093Z\n"
		"partial_allowed=0\n"
	"back_order_requested=1\n"},
	{"order_received_short", read_order,
		"root=OrderResponse\n"
		"id=101\n"
		"type=LATASearchAndOrderType\n"
	"quantity=3\n"},
	{"order_reserved", read_order,
		"root=OrderResponse\n"
		"id=1\n"
		"type=ExistingTelephoneNumberOrderType\n"
		"requested=9193752369,9193752720\n"
	"reservation_ids=0099ff73-da96-4303-8a0a-00ff316c07aa,2489\n"},
	{"order_detail", read_order,
		"root=OrderResponse\n"
		"status=COMPLETE\n"
		"type=CombinedSearchAndOrderType\n"
		"quantity=2\n"
		"area_code=540\n"
		"created_by=jbm\n"
		"completed_quantity=2\n"
		"pending_quantity=0\n"
	"completed=5405514342,5405514343\n"},
	{"order_failed_nothing", read_order,
		"root=OrderResponse\n"
		"status=FAILED\n"
		"type=AreaCodeSearchAndOrderType\n"
		"quantity=50\n"
		"area_code=212\n"
		"created_by=jbm\n"
		"completed_quantity=0\n"
	"error=5018: Entire quantity is not available\n"},
	{"order_failed_wrapped", read_order,
		"root=OrderResponse\n"
		"status=Failed\n"
		"type=ExistingTelephoneNumberOrderType\n"
	"failed=5402278098,5402278099,5402278100\n"},
	{"order_pending", read_order,
		"root=OrderResponse\n"
		"id=f30a31a1-1de4-4939-b094-4521bbe5c8df\n"
		"status=RECEIVED\n"
		"type=StateSearchAndOrderType\n"
		"quantity=1\n"
		"state=NC\n"
		"created_by=jbm\n"
	"error=5019: The order is pending\n"},
	{"order_odd", read_order,
		"root=OrderResponse\n"
		"id=101\n"
		"customer_order_id=Café & Bar\n"
		"name=A < B & C\n"
		"site_id=10\n"
		"created_by=test\n"
		"created=2014-03-25 12:55:11.0\n"
	"completed_at=0001-01-01T00:00:00\n"},
	{"notification_partial", read_notification,
		"subscription_id=333643f0\n"
		"order_type=orders\n"
		"order_id=4a58b348\n"
		"customer_order_id=0b0e9a3c-0000\n"
		"status=PARTIAL\n"
		"last_modified=2018-03-21T15:28:06.438Z\n"
	"numbers=5402278098,5402278099\n"},
	{"notification_note", read_notification,
		"subscription_id=1\n"
		"order_type=orders\n"
		"order_id=2\n"
		"status=BACKORDERED\n"
	"note=Please hurry <up>\n"},
	{"notification_typo", read_notification,
		"subscription_id=1\n"
		"order_type=OrderId\n"
	"status=COMPLETE\n"},
	{"notification_event", read_notification,
		"subscription_id=1\n"
		"event_type=MESSAGING_LOST\n"
	"impacted=5402278098\n"},
	{"notification_disconnect", read_notification,
		"subscription_id=1\n"
		"order_type=disconnects\n"
		"order_id=6\n"
		"status=COMPLETE\n"
	"numbers=9192381138,9192381139\n"},
	{"reservation", read_number,
		"telephone_number=4354770625\n"
		"account_id=111\n"
		"reservation_id=d3e6d4c5-0001\n"
	"reservation_expires=13157\n"},
	{"reservation_refused", read_number,
		"error=5041: Reservation failed: telephone number 4354770625 "
	"is not available.\n"},
	{"reservation_of_number", read_number,
		"telephone_number=4354770625\n"
		"account_id=111\n"
		"reservation_id=2489\n"
	"reservation_expires=13157\n"},
	{"disconnect_received", read_order,
		"root=DisconnectTelephoneNumberOrderResponse\n"
		"id=b902dee1-0585-4258-becd-5c7e51ccf5e1\n"
		"customer_order_id=out-1\n"
		"status=RECEIVED\n"
		"type=DisconnectTelephoneNumberOrderType\n"
		"requested=4158714245\n"
	"created=2018-03-21T15:28:06.359Z\n"},
	{"disconnect_partial", read_order,
		"root=DisconnectTelephoneNumberOrderResponse\n"
		"id=b902dee1\n"
		"status=PARTIAL\n"
		"type=DisconnectTelephoneNumberOrderType\n"
		"requested=9192755378,9192755703\n"
		"completed=9192755378\n"
		"error=5006: Telephone number could not be disconnected "
		"since it is not associated with your account\n"
	" of=9192755703\n"},
	{"tn", read_number,
		"telephone_number=5405514342\n"
		"status=Inservice\n"
		"order_id=5f3a4dab-aac7-4b0a-8ee4-1b6a67ae04be\n"
		"order_type=NEW_NUMBER_ORDER\n"
		"order_created=2014-05-09T21:12:03.835Z\n"
		"in_service_date=2014-05-09T21:12:03.900Z\n"
		"last_modified=2014-05-09T21:12:03.000Z\n"
		"site_id=1091\n"
	"account_id=9500149\n"},
	{"tn_details", read_number,
		"telephone_number=2018981023\n"
		"status=Inservice\n"
		"in_service_date=2014-07-30T11:29:37.000Z\n"
		"last_modified=2014-07-30T11:29:37.000Z\n"
		"site_id=2297\n"
		"peer_id=500025\n"
		"account_id=14\n"
		"city=JERSEY CITY\n"
		"state=NJ\n"
		"rate_center=JERSEYCITY\n"
		"lata=224\n"
		"tier=0\n"
		"vendor_id=49\n"
	"vendor_name=Bandwidth CLEC\n"},
	{"tn_not_ours", read_number,
		"error=15610: not found on the account\n"
	" of=5405514342\n"}
};

/* Documents of many. */
static const struct
{
	const char *vector;
	BwListKind	kind;
	const char *expected;
}			lists[] = {

	{"guide_search", BW_LIST_AVAILABLE_NUMBERS,
		"number=5405514342\n"
		"number=5405515330\n"
		"number=5405515329\n"
		"number=5402278098\n"
		"number=5402270905\n"
		"number=5402278089\n"
		"number=5402278090\n"
	"total=7\n"},
	{"errors_search", BW_LIST_AVAILABLE_NUMBERS,
		"error=4000: The area code of telephone numbers can not end "
		"with 11.\n"
	"total=0\n"},
	{"errors_npanxx", BW_LIST_AVAILABLE_NPANXX,
	"error=4000: The area code is invalid.\n"},
	{"errors_npanxx_status", BW_LIST_AVAILABLE_NPANXX,
		"city=CARY; state=NC; npa=919; nxx=238; quantity=4\n"
	"error=4000: The area code is invalid.\n"},
	{"errors_status", BW_LIST_SUBSCRIPTIONS,
	"error=14506: URL is invalid\n"},
	{"errors_many_numbers", BW_LIST_NUMBERS,
		"number=9192381138; city=CARY; state=NC; rate_center=CARY; "
		"lata=426; tier=0; vendor_id=49; vendor_name=Bandwidth CLEC\n"
		"error=15610: Telephone numbers are not found on the account\n"
		" of=5405510001,5405510002,+15405510003\n"
	"total=1\n"},
	{"search_detail", BW_LIST_AVAILABLE_NUMBERS,
		"number=9192956932; city=KNIGHTDALE; state=NC; "
		"rate_center=KNIGHTDALE; lata=426; tier=0; vendor_id=49; "
		"vendor_name=Bandwidth CLEC\n"
		"number=8332120042; state=XX; lata=888; vendor_id=67; "
		"vendor_name=Toll free vendor\n"
	"total=2\n"},
	{"search_detail_old", BW_LIST_AVAILABLE_NUMBERS,
		"number=2012001555; city=JERSEY CITY; state=NJ; "
		"rate_center=JERSEYCITY; lata=224\n"
	"total=1\n"},
	{"search_detail_in_list", BW_LIST_AVAILABLE_NUMBERS,
		"number=9193900000; city=CARY; state=NC; rate_center=CARY; lata=426\n"
		"number=9193900001; city=CARY\n"
	"total=2\n"},
	{"search_empty", BW_LIST_AVAILABLE_NUMBERS,
	""},
	{"search_count_zero", BW_LIST_AVAILABLE_NUMBERS,
	"total=0\n"},
	{"npanxx", BW_LIST_AVAILABLE_NPANXX,
		"city=COMPTON:GARDENA DA; state=CA; npa=424; nxx=242; quantity=7\n"
	"city=COMPTON:COMPTON DA; state=CA; npa=424; nxx=260; quantity=17\n"},
	{"orders", BW_LIST_ORDERS,
		"id=016c1aef-8873-4a8c-a374-2a7e6a4fbb5e; account_id=14; "
		"customer_order_id=123456789; user_id=byo_dev; "
		"order_type=new_number; status=FAILED; "
		"date=2015-06-13T16:14:45.956Z; "
		"last_modified=2015-06-13T16:14:46.017Z; count=1; "
		"summary=1 number requested\n"
		"id=9e4b2f11; account_id=14; order_type=new_number; "
		"status=COMPLETE; date=2013-12-20T06\n"
		"next=page=cbdc8ae1-e3a2-4a2d-8f5e-1c4c4b7f3b1d&size=2\n"
	"total=122\n"},
	{"orders_empty", BW_LIST_ORDERS,
	"total=0\n"},
	{"links_only", BW_LIST_ORDERS,
	""},
	{"order_history", BW_LIST_HISTORY,
		"user_id=System; status=BACKORDERED; "
		"date=2014-05-20T14:21:43.937Z; "
		"note=Order backordered - awaiting additional numbers; "
		"difference=none\n"
	"status=COMPLETE; date=2014-05-20T14:24:43.428Z\n"},
	{"order_tns", BW_LIST_NUMBERS,
		"number=8042105666\n"
	"number=8042105667\n"},
	{"subscriptions", BW_LIST_SUBSCRIPTIONS,
		"id=390f5ae0-f0b9-4c4e-a5a2-1a7a3e3e6d5c; order_type=orders; "
		"status=200 OK; order_id=8684b1c8-7d41-4877-bfc2-6bd8ea4dc89f; "
		"url=https://host.example/path?a=1&b=2; expiry=4283455101; "
		"username=User15; number_format=LEGACY\n"
		"id=2; event_type=MESSAGING_LOST; email=ops@host.example; "
	"digest=DAILY\n"},
	{"subscription_one", BW_LIST_SUBSCRIPTIONS,
		"id=3; order_type=disconnects; status=READY; "
	"url=https://host.example\n"},
	{"subscription_bare", BW_LIST_SUBSCRIPTIONS,
	"id=4; order_type=orders\n"},
	{"disconnects", BW_LIST_ORDERS,
		"id=d96dc8ff; account_id=14; user_id=team_ua; "
		"order_type=disconnect; status=COMPLETE; "
		"date=2014-01-10T17-34-10Z; "
		"last_modified=2014-01-10T17-34-15Z; count=3\n"
	"total=1\n"},
	{"inservice", BW_LIST_NUMBERS,
		"number=8183386247\n"
		"number=+33123456789\n"
		"next=page=8183386247&size=2\n"
	"total=4\n"},
	{"sites", BW_LIST_SITES,
		"id=1; name=Main & annex\n"
	"id=2; name=Second; description=A site description\n"},
	{"site", BW_LIST_SITES,
	"id=1; name=Test Site; description=A Site Description\n"},
	{"sip_peers", BW_LIST_SIP_PEERS,
		"id=12345; name=SIP Peer 1; description=first; is_default=true\n"
	"id=12346; name=SIP Peer 2; is_default=false\n"},
	{"sip_peer", BW_LIST_SIP_PEERS,
	"id=10; name=SIP Peer 1; is_default=true\n"},
	{"sip_peer_tns", BW_LIST_NUMBERS,
		"number=3034162216\n"
	"number=3034162218\n"}
};

/* Every other vector that is read from beginning to end. */
static const char *const requests[] = {"guide_order", "guide_subscription"};

static void
test_vectors(void)
{
	for (int i = 0; i < COUNT(ones); i++)
	{
		Document	document = load(ones[i].vector);

		is_str(read_one(ones[i].reader, &document), ones[i].expected,
			   "%s", ones[i].vector);
		free(document.data);
	}
	for (int i = 0; i < COUNT(lists); i++)
	{
		Document	document = load(lists[i].vector);

		is_str(read_rows(lists[i].kind, &document), lists[i].expected,
			   "%s, as a list", lists[i].vector);
		free(document.data);
	}
}

/* ---------- small documents ---------- */

static Document
written(const char *text)
{
	return document_of(text, strlen(text));
}

static void
is_order(const char *text, const char *expected, const char *name)
{
	Document	document = written(text);

	is_str(read_one(read_order, &document), expected, "%s", name);
	free(document.data);
}

static void
is_list(BwListKind kind, const char *text, const char *expected, const char *name)
{
	Document	document = written(text);

	is_str(read_rows(kind, &document), expected, "%s", name);
	free(document.data);
}

static void
test_tolerance(void)
{
	is_order("<orderresponse><ORDER><ORDERID>1</ORDERID></ORDER></orderresponse>",
			 "root=orderresponse\nid=1\n", "letter case");
	is_order("<Order><id>1</id><Name>n</Name></Order>",
			 "root=Order\nid=1\nname=n\n", "no wrapper at all");
	is_order("<b:R xmlns:b='urn:x'><b:Order b:a='1'><b:id>1</b:id></b:Order></b:R>",
			 "root=R\nid=1\n", "prefixes");
	is_order("<b:R><Order><b:id>1</b:id></Order></b:R>",
			 "root=R\nid=1\n", "prefixes that nobody declared");
	is_order("\xef\xbb\xbf<R><Order><id>1</id></Order></R> <!-- that is all -->\n",
			 "root=R\nid=1\n", "byte order mark, comment at the end");
	is_order("<R><Order><id/><orderId> </orderId><id>1</id><id>2</id></Order></R>",
			 "root=R\nid=1\n", "the first that is not empty");
	is_order("<R><Order>before<id>1</id>after</Order></R>",
			 "root=R\nid=1\n", "text between elements");
	is_order("<R><?target data?><Order><id>1</id></Order></R>",
			 "root=R\nid=1\n", "processing instruction");
	is_order("<R><Order><Name>&lt;&#38;&quot;&apos;&gt;</Name></Order></R>",
			 "root=R\nname=<&\"'>\n", "the five entities");
	is_order("<R><Order><Name><![CDATA[<!DOCTYPE html>]]></Name></Order></R>",
			 "root=R\nname=<!DOCTYPE html>\n", "a DOCTYPE as text");
	is_order("<R><FailedNumbers><TelephoneNumber>none</TelephoneNumber>"
			 "<FullNumber/></FailedNumbers></R>",
			 "root=R\n", "numbers have digits");
	is_order("<html><body><p>It works!</p></body></html>",
			 "root=html\n", "something else altogether");
	is_order("<R><Error>plain words</Error><Error/><Errors/><ResponseStatus/>"
			 "<Errors><Description>no code</Description></Errors></R>",
			 "root=R\nerror=-: plain words\n", "errors with nothing inside");
	is_order("<R><ErrorCode>1001</ErrorCode><Description>no</Description></R>",
			 "root=R\nerror=1001: no\n", "code without an element around it");
}

static void
test_list_tolerance(void)
{
	is_list(BW_LIST_ORDERS, "", "", "status 204: nothing at all");
	is_list(BW_LIST_SITES, "<R><Site/><Site> </Site></R>", "", "empty rows");
	is_list(BW_LIST_NUMBERS, "<TNs><TelephoneNumbers><TelephoneNumber/>"
			"<TelephoneNumber>n/a</TelephoneNumber></TelephoneNumbers></TNs>",
			"", "rows without a number");
	is_list(BW_LIST_AVAILABLE_NUMBERS, "<R><resultCode>0</resultCode>"
			"<TelephoneNumber>5405514342</TelephoneNumber></R>",
			"number=5405514342\n", "rows after a code that is none");
	is_list(BW_LIST_SITES, "<R><ErrorCode>7</ErrorCode><Sites><Site><Id>1</Id>"
			"<Description>d</Description></Site></Sites></R>",
			"id=1; description=d\nerror=7: -\n", "texts of rows are no errors");
	is_list(BW_LIST_SITES, "<R><TotalCount>many</TotalCount></R>", "",
			"total that is no number");
}

static void
test_links(void)
{
	static const struct
	{
		const char *next;
		const char *expected;
	}			links[] = {
		{"", ""},
		{"link", ""},
		{"https://host/path?page=2", ""},
		{"Link=&lt;https://host/path&gt;", ""},
		{"Link=&lt;https://host/path?&gt;", ""},
		{"Link=&lt;https://host/path?page=2", ""},
		{"Link=&gt;https://host/path?page=2&lt;", ""},
		{"&lt;/path?page=2&gt;?x=1", "next=page=2\n"},
		{"&lt;/p?city=ST PAUL&amp;x=%2B&gt;", "next=city=ST%20PAUL&x=%2B\n"},
		{"&lt;/p?a=&#10;&#13;&#9;\"&gt;", "next=a=%0A%0D%09%22\n"},
		{"&lt;/p?a=\xc3\xa9#b&gt;", "next=a=%C3%A9%23b\n"},
		{"&lt;/p?a=&lt;b&gt;", "next=a=%3Cb\n"}
	};

	for (int i = 0; i < COUNT(links); i++)
	{
		char		text[512];

		snprintf(text, sizeof(text), "<R><Links><first>&lt;?a&gt;</first>"
				 "<next>%s</next></Links></R>", links[i].next);
		is_list(BW_LIST_ORDERS, text, links[i].expected, "link to the next page");
	}
	is_list(BW_LIST_ORDERS, "<R><Links><next/></Links><Links><next>&lt;?b&gt;"
			"</next></Links><next>&lt;?c&gt;</next></R>", "next=b\n",
			"second Links");
}

static void
test_no_notification(void)
{
	static const char *const texts[] = {
		"<OrderResponse><Status>COMPLETE</Status></OrderResponse>",
		"<N><Notification><Status>COMPLETE</Status></Notification></N>",
		"<Notifications/>", ""
	};

	for (int i = 0; i < COUNT(texts); i++)
	{
		Document	document = written(texts[i]);

		ok(is_refused(read_one(read_notification, &document)),
		   "no notification %d", i);
		free(document.data);
	}
}

/* ---------- encodings ---------- */

/* Text of ASCII characters as UTF-16. */
static Document
utf16(const char *text, bool mark, bool big)
{
	size_t		len = strlen(text);
	char	   *data = calloc(len + 1, 2);
	Document	document;
	size_t		at = 0;

	if (data == NULL)
		abort();
	if (mark)
	{
		memcpy(data, big ? "\xfe\xff" : "\xff\xfe", 2);
		at = 2;
	}
	for (size_t i = 0; i < len; i++, at += 2)
		data[at + big] = text[i];
	document = document_of(data, at);
	free(data);
	return document;
}

static void
test_utf16(void)
{
	static const char text[] = "<?xml version=\"1.0\" encoding=\"UTF-16\"?>"
	"<R><Order><id>1</id><Name>&#233;</Name></Order></R>";
	char		longer[8192];

	for (int i = 0; i < 4; i++)
	{
		Document	document = utf16(i < 2 ? text : strchr(text, '>') + 1,
									 true, i % 2);

		is_str(read_one(read_order, &document), "root=R\nid=1\nname=\xc3\xa9\n",
			   "UTF-16, %s endian%s", i % 2 ? "big" : "little",
			   i < 2 ? "" : ", not declared");
		document.len--;
		ok(is_refused(read_one(read_order, &document)), "half a character");
		free(document.data);
	}
	snprintf(longer, sizeof(longer), "<R><Order>%*s<id>1</id></Order></R>", 8000, "");
	for (int i = 0; i < 2; i++)
	{
		Document	document = utf16(longer, true, i);

		is_str(read_one(read_order, &document), "root=R\nid=1\n", "long UTF-16");
		free(document.data);
	}
}

static void
test_encodings(void)
{
	static const struct
	{
		const char *text;
		const char *expected;	/* NULL: refused */
	}			cases[] = {
		{"<?xml version='1.0' encoding='ISO-8859-1'?><R><Order><id>\xe9</id></Order></R>",
		"root=R\nid=\xc3\xa9\n"},
		{"<?xml version='1.0' encoding='utf-8'?><R><Order><id>\xc3\xa9</id></Order></R>",
		"root=R\nid=\xc3\xa9\n"},
		{"<?xml version='1.0' encoding='us-ascii'?><R><Order><id>e</id></Order></R>",
		"root=R\nid=e\n"},
		{"<?xml version='1.0' encoding='us-ascii'?><R><Order><id>\xe9</id></Order></R>", NULL},
		{"<?xml version='1.0' encoding='utf-8'?><R><Order><id>\xe9</id></Order></R>", NULL},
		{"<R><Order><id>\xe9</id></Order></R>", NULL},
		{"<R><Order><id>\xc0\x80</id></Order></R>", NULL},
		{"<R><Order><id>\xed\xa0\x80</id></Order></R>", NULL},
		{"<R><Order><id>\xf5\x80\x80\x80</id></Order></R>", NULL},
		{"<R><Order><id>\xef\xbf\xbf</id></Order></R>", NULL},
		{"<R><Order><id>\x01</id></Order></R>", NULL},
		{"<R><Order><id>&#1;</id></Order></R>", NULL},
		{"<R><Order><id>&#0;</id></Order></R>", NULL},
		{"<R><Order><id>&#xD800;</id></Order></R>", NULL},
		{"<?xml version='1.0' encoding='UTF-16'?><R/>", NULL},
		{"<?xml version='1.0' encoding='UTF-7'?><R/>", NULL},
		{"<?xml version='1.0' encoding='Shift_JIS'?><R>\x81</R>", NULL},
		{"<?xml version='1.0' encoding='IBM037'?><R/>", NULL},
		{"<?xml version='1.0' encoding='nonsense'?><R/>", NULL},
		{"<?xml version='1.0' encoding=''?><R/>", NULL},
		{"<?xml version='1.0' encoding=UTF-8?><R/>", NULL},
		{"<?xml version='1.0' encoding='UTF-8' encoding='UTF-7'?><R/>", NULL},
		{"<?xml version='encoding=\"UTF-8\"' encoding='UTF-7'?><R/>", NULL},
		{"\xff\xfe\x00\x00", NULL},
		{"\x4c\x6f\xa7\x94", NULL}
	};

	for (int i = 0; i < COUNT(cases); i++)
	{
		Document	document = written(cases[i].text);
		const char *got = read_one(read_order, &document);

		if (cases[i].expected != NULL)
			is_str(got, cases[i].expected, "encoding %d", i);
		else
			ok(is_refused(got), "encoding %d is refused", i);
		free(document.data);
	}
}

/* ---------- hostile documents ---------- */

/* Refused by each of the readers, without a word to anybody else. */
static bool
all_refuse(const Document *document)
{
	static void (*const readers[]) (const Document *) = {
		read_errors, read_order, read_notification, read_number
	};
	bool		refused = true;

	for (int i = 0; i < COUNT(readers); i++)
		refused = is_refused(read_one(readers[i], document)) && refused;
	for (int kind = BW_LIST_AVAILABLE_NUMBERS; kind <= BW_LIST_HISTORY; kind++)
		refused = is_refused(read_rows((BwListKind) kind, document)) && refused;
	return refused;
}

static void
test_hostile(void)
{
	static const char *const texts[] = {
		" ", "x", "<", "<R", "<R>", "</R>", "<R></S>", "<R><S></R></S>", "<R/>x",
		"<R/><R/>", "<R/>&amp;", "<R/></R>", "<R a=1/>", "<R a='1' a='2'/>",
		"<R>&foo;</R>", "<R>&#x110000;</R>", "<R>&amp</R>", "<R>]]></R>",
		"<R><!-- -- --></R>", "<R><![CDATA[</R>", "<R><?x</R>", " <?xml version='1.0'?><R/>",
		"<?xml version='1.0'?>", "<!-- only -->",
		"{\"error\":{\"code\":5005}}",
		"<!DOCTYPE R><R/>",
		"<!DOCTYPE R SYSTEM \"http://127.0.0.1:9/x.dtd\"><R/>",
		"<?xml version='1.0'?><!-- hi --><?p?>\n<!DOCTYPE R [<!ENTITY x 'y'>]><R>&x;</R>",
		"<!DOCTYPE R [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><R>&x;</R>",
		"<!DOCTYPE R [<!ENTITY % p SYSTEM \"file:///etc/passwd\">%p;]><R/>",
		"<!DOCTYPE R [<!ENTITY a 'aaaaaaaaaa'>"
		"<!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>"
		"<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;'>"
		"<!ENTITY d '&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;'>"
		"<!ENTITY e '&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;'>]><R>&e;&e;&e;</R>"
	};

	for (int i = 0; i < COUNT(texts); i++)
	{
		Document	document = written(texts[i]);

		ok(all_refuse(&document), "hostile document %d", i);
		free(document.data);
	}
}

/* A well-formed page of a proxy or a login must not pass for an empty list. */
static void
test_pages(void)
{
	static const char *const texts[] = {
		"<html><body>Please log in.</body></html>", "<HTML/>",
		"<html xmlns='http://www.w3.org/1999/xhtml'><body/></html>"
	};

	for (int i = 0; i < COUNT(texts); i++)
	{
		Document	document = written(texts[i]);
		bool		refused = true;

		for (int kind = BW_LIST_AVAILABLE_NUMBERS; kind <= BW_LIST_HISTORY; kind++)
			refused = is_refused(read_rows((BwListKind) kind, &document)) && refused;
		ok(refused, "page %d is no list", i);
		free(document.data);
	}
}

/* Elements around a number. */
static Document
nested(int levels)
{
	char		text[8192] = "";
	Document	document;
	size_t		len = 0;

	for (int i = 0; i < levels - 1; i++)
		len += snprintf(text + len, sizeof(text) - len, "<Error>");
	len += snprintf(text + len, sizeof(text) - len, "<Code>1</Code>");
	for (int i = 0; i < levels - 1; i++)
		len += snprintf(text + len, sizeof(text) - len, "</Error>");
	document = document_of(text, len);
	return document;
}

/* One element with a text. */
static Document
wordy(size_t text_len, bool in_pieces)
{
	Document	document = {malloc(text_len * 10 + 100), 0};
	char	   *to = document.data;

	if (to == NULL)
		abort();
	to += sprintf(to, "<Error><Code>1</Code><Description>");
	for (size_t i = 0; i < text_len; i++)
		to += sprintf(to, "x%s", in_pieces && i % 100 == 0 ? "<!-- -->" : "");
	to += sprintf(to, "</Description></Error>");
	document.len = to - document.data;
	return document;
}

static void
test_limits(void)
{
	Document	document;

	document = nested(BW_XML_MAX_DEPTH);
	is_str(read_one(read_errors, &document), "error=1: -\n", "as deep as it may be");
	free(document.data);
	for (int levels = BW_XML_MAX_DEPTH + 1; levels < 500; levels += 90)
	{
		document = nested(levels);
		ok(all_refuse(&document), "%d levels", levels);
		free(document.data);
	}
	for (int pieces = 0; pieces < 2; pieces++)
	{
		document = wordy(BW_XML_MAX_TEXT, pieces);
		ok(!is_refused(read_one(read_errors, &document)), "as long as it may be");
		free(document.data);
		document = wordy(BW_XML_MAX_TEXT + 1, pieces);
		ok(all_refuse(&document), "too long by one");
		free(document.data);
	}
	document = wordy(11000000, false);
	ok(all_refuse(&document), "too long by far");
	free(document.data);
}

#define BYTES(text) text, sizeof(text) - 1

/* NUL characters, and halves of UTF-16's pairs. */
static void
test_bytes(void)
{
	static const struct
	{
		const char *data;
		size_t		len;
	}			cases[] = {
		{BYTES("<R>\0</R>")},
		{BYTES("<R/>\0")},
		{BYTES("\0<R/>")},
		{BYTES("\0")},
		{BYTES("<")},
		{BYTES("\xfe\xff")},
		{BYTES("\xff\xfe\0\0")},
		{BYTES("\0\0\0<\0\0\0R\0\0\0/\0\0\0>")},
		{BYTES("\xfe\xff\0<\0R\0>\0\0\0<\0/\0R\0>")},
		{BYTES("\xfe\xff\0<\0R\0>\xd8\x3d\0<\0/\0R\0>")},
		{BYTES("\xfe\xff\0<\0R\0>\xdc\xde\0<\0/\0R\0>")},
		{BYTES("\xfe\xff\0<\0R\0>\xdc\xde\xd8\x3d\0<\0/\0R\0>")},
		{BYTES("\xfe\xff\0<\0R\0>\xff\xff\0<\0/\0R\0>")},
		{BYTES("\xfe\xff\0<\0R\0/\0>\xd8\x3d")},
		{BYTES("\xfe\xff\0<\0!\0D\0O\0C\0T\0Y\0P\0E\0 \0R\0>\0<\0R\0/\0>")}
	};
	static const char pair[] = "\xff\xfe<\0E\0r\0r\0o\0r\0>\0\x3d\xd8\xde\xdc"
	"<\0/\0E\0r\0r\0o\0r\0>\0";
	Document	document;

	for (int i = 0; i < COUNT(cases); i++)
	{
		document = document_of(cases[i].data, cases[i].len);
		ok(all_refuse(&document), "bytes %d", i);
		free(document.data);
	}
	document = document_of(pair, sizeof(pair) - 1);
	is_str(read_one(read_errors, &document), "error=-: \xf0\x9f\x93\x9e\n",
		   "a whole pair");
	free(document.data);
}

/*
 * Whatever stands after the end is seen, however far from the end and however
 * libxml2's chunks fall.
 */
static void
test_garbage(void)
{
	int			missed = 0;
	int			refused = 0;

	for (int before = 0; before < 1100; before += 7)
		for (int blanks = 0; blanks < 1100; blanks += 53)
		{
			char		text[4096];
			Document	document;

			snprintf(text, sizeof(text), "<R><Id>%*s</Id></R>%*s%s",
					 before, "", blanks, "", "");
			document = written(text);
			refused += is_refused(read_rows(BW_LIST_SITES, &document));
			free(document.data);
			snprintf(text, sizeof(text), "<R><Id>%*s</Id></R>%*s%s",
					 before, "", blanks, "", "<R/>");
			document = written(text);
			missed += !is_refused(read_rows(BW_LIST_SITES, &document));
			free(document.data);
		}
	is_int(refused, 0, "blanks after the end are fine");
	is_int(missed, 0, "elements after the end are not");
}

/* ---------- documents cut short ---------- */

static void
test_cut(const char *vector, int number)
{
	Document	whole = load(vector);
	size_t		end = whole.len;
	int			missed = 0;

	while (whole.data[end - 1] != '>')
		end--;
	for (size_t len = 1; len < end; len++)
	{
		Document	document = document_of(whole.data, len);
		BwListKind	kind = (BwListKind) ((number + len) % (BW_LIST_HISTORY + 1));

		missed += !is_refused(read_one(read_errors, &document));
		missed += !is_refused(read_one(read_order, &document));
		missed += !is_refused(read_one(len % 2 ? read_notification : read_number,
									   &document));
		missed += !is_refused(read_rows(kind, &document));
		free(document.data);
	}
	is_int(missed, 0, "%s cut at each byte", vector);
	whole.len = end;
	ok(!is_refused(read_one(read_errors, &whole)), "%s cut at its end", vector);
	free(whole.data);
}

static void
test_cuts(void)
{
	for (int i = 0; i < COUNT(ones); i++)
		test_cut(ones[i].vector, i);
	for (int i = 0; i < COUNT(lists); i++)
		test_cut(lists[i].vector, i);
	for (int i = 0; i < COUNT(requests); i++)
		test_cut(requests[i], i);
}

/* Rows may have been handed out before it is seen that more should come. */
static void
test_cut_list(void)
{
	Document	document = load("guide_search");
	BwList	   *list;
	BwRow		row;
	int			rows = 0;

	list = bw_xml_list_open(BW_LIST_AVAILABLE_NUMBERS, document.data,
							document.len - 20);
	while (bw_xml_list_next(list, &row) == BW_NEXT_ROW)
		rows++;
	ok(rows <= 7, "%d rows of a list that was cut short", rows);
	ok(bw_xml_list_next(list, &row) == BW_NEXT_ERROR, "it ends with an error");
	ok(bw_xml_list_next(list, &row) == BW_NEXT_ERROR, "for good");
	ok(strlen(bw_xml_list_problem(list)) > 0, "%s", bw_xml_list_problem(list));
	bw_xml_list_close(list);
	/* closing early frees everything, which the sanitizers check */
	list = bw_xml_list_open(BW_LIST_AVAILABLE_NUMBERS, document.data, document.len);
	ok(bw_xml_list_next(list, &row) == BW_NEXT_ROW, "a row, and no more");
	bw_xml_list_close(list);
	free(document.data);
	bw_xml_list_close(NULL);
	bw_xml_free_order(NULL);
	bw_xml_free_notification(NULL);
	bw_xml_free_number(NULL);
	bw_xml_free_errors(NULL);
}

/* ---------- encoding ---------- */

#define PROLOG "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"

/* "body" is malloc'd and freed here. */
static void
is_body(char *body, const char *expected, const char *name)
{
	is_str(body, expected, "%s", name);
	free(body);
}

static BwOrderBody
order_body(void)
{
	BwOrderBody body = {0};

	body.site_id = "743";
	body.enable_lca = -1;
	body.ends_in = -1;
	return body;
}

static void
test_encode_numbers(void)
{
	static const char *const numbers[] = {"5402278098", "5402278099"};
	static const char *const ids[] = {"2489"};
	BwOrderBody body = order_body();

	body.customer_order_id = "123456789";
	body.name = "My Custom Name or UUID of a customer session";
	body.numbers = numbers;
	body.number_count = 1;
	is_body(bw_xml_encode_order(&body),
			PROLOG "<Order><CustomerOrderId>123456789</CustomerOrderId>"
			"<Name>My Custom Name or UUID of a customer session</Name>"
			"<ExistingTelephoneNumberOrderType><TelephoneNumberList>"
			"<TelephoneNumber>5402278098</TelephoneNumber></TelephoneNumberList>"
			"</ExistingTelephoneNumberOrderType>"
			"<PartialAllowed>false</PartialAllowed>"
			"<BackOrderRequested>false</BackOrderRequested>"
			"<SiteId>743</SiteId></Order>\n", "order of the guide");
	body = order_body();
	body.numbers = numbers;
	body.number_count = 2;
	body.reservation_ids = ids;
	body.reservation_count = 1;
	body.peer_id = "546348";
	body.partial_allowed = true;
	body.back_order_requested = true;
	is_body(bw_xml_encode_order(&body),
			PROLOG "<Order><ExistingTelephoneNumberOrderType><TelephoneNumberList>"
			"<TelephoneNumber>5402278098</TelephoneNumber>"
			"<TelephoneNumber>5402278099</TelephoneNumber></TelephoneNumberList>"
			"<ReservationIdList><ReservationId>2489</ReservationId>"
			"</ReservationIdList></ExistingTelephoneNumberOrderType>"
			"<PartialAllowed>true</PartialAllowed>"
			"<BackOrderRequested>true</BackOrderRequested>"
			"<SiteId>743</SiteId><PeerId>546348</PeerId></Order>\n",
			"order with a reservation");
}

/* Every criterion comes back as it was sent. */
static void
test_encode_criteria(void)
{
	BwOrderBody body = order_body();
	Document	document;
	char	   *text;

	body.type = "CombinedSearchAndOrderType";
	body.quantity = 5000;
	body.enable_lca = 0;
	body.ends_in = 1;
	body.area_code = "919";
	body.npanxx = "919238";
	body.npanxxx = "9192381";
	body.rate_center = "CARY";
	body.city = "ST. PAUL";
	body.state = "NC";
	body.zip = "27511-0001";
	body.lata = "426";
	body.toll_free_vanity = "newcars";
	body.toll_free_wildcard_pattern = "8**";
	body.local_vanity = "2424";
	text = bw_xml_encode_order(&body);
	document = written(text);
	is_str(read_one(read_order, &document),
		   "root=Order\ntype=CombinedSearchAndOrderType\nquantity=5000\n"
		   "enable_lca=0\narea_code=919\nnpanxx=919238\nnpanxxx=9192381\n"
		   "rate_center=CARY\ncity=ST. PAUL\nstate=NC\nzip=27511-0001\n"
		   "lata=426\ntoll_free_vanity=newcars\n"
		   "toll_free_wildcard_pattern=8**\nlocal_vanity=2424\nends_in=1\n"
		   "site_id=743\npartial_allowed=0\nback_order_requested=0\n",
		   "every criterion");
	free(document.data);
	free(text);
	body = order_body();
	body.type = "LATASearchAndOrderType";
	body.lata = "426";
	body.quantity = 3;
	is_body(bw_xml_encode_order(&body),
			PROLOG "<Order><LATASearchAndOrderType><LATA>426</LATA>"
			"<Quantity>3</Quantity></LATASearchAndOrderType>"
			"<PartialAllowed>false</PartialAllowed>"
			"<BackOrderRequested>false</BackOrderRequested>"
			"<SiteId>743</SiteId></Order>\n", "nothing but what was asked for");
}

static void
test_encode_subscription(void)
{
	BwSubscriptionBody body = {0};

	body.order_type = "orders";
	body.url = "https://your-secure-url.com";
	body.expiry = INT64_C(3153600000);
	body.username = "User15";
	body.password = "Hunter15";
	body.public_key = "LS0[...]LS0tLQ0K";
	is_body(bw_xml_encode_subscription(&body),
			PROLOG "<Subscription><OrderType>orders</OrderType>"
			"<CallbackSubscription><URL>https://your-secure-url.com</URL>"
			"<Expiry>3153600000</Expiry><CallbackCredentials>"
			"<BasicAuthentication><Username>User15</Username>"
			"<Password>Hunter15</Password></BasicAuthentication>"
			"<PublicKey>LS0[...]LS0tLQ0K</PublicKey></CallbackCredentials>"
			"</CallbackSubscription></Subscription>\n",
			"subscription of the guide");
	memset(&body, 0, sizeof(body));
	body.event_type = "MESSAGING_LOST";
	body.order_id = "o-1";
	body.url = "http://127.0.0.1/?a=1&b=2";
	body.expiry = 60;
	body.number_format = "E164";
	is_body(bw_xml_encode_subscription(&body),
			PROLOG "<Subscription><EventType>MESSAGING_LOST</EventType>"
			"<OrderId>o-1</OrderId><CallbackSubscription>"
			"<URL>http://127.0.0.1/?a=1&amp;b=2</URL><Expiry>60</Expiry>"
			"<NumberFormat>E164</NumberFormat></CallbackSubscription>"
			"</Subscription>\n", "subscription without credentials");
	memset(&body, 0, sizeof(body));
	body.order_type = "disconnects";
	body.email = "ops@host.example";
	body.digest = "DAILY";
	is_body(bw_xml_encode_subscription(&body),
			PROLOG "<Subscription><OrderType>disconnects</OrderType>"
			"<EmailSubscription><Email>ops@host.example</Email>"
			"<DigestRequested>DAILY</DigestRequested></EmailSubscription>"
			"</Subscription>\n", "subscription by email");
}

static void
test_encode_others(void)
{
	static const char *const numbers[] = {"4158714245", "4158714246"};
	BwDisconnectBody body = {"out-1", numbers, 2};

	is_body(bw_xml_encode_disconnect(&body),
			PROLOG "<DisconnectTelephoneNumberOrder>"
			"<CustomerOrderId>out-1</CustomerOrderId>"
			"<DisconnectTelephoneNumberOrderType><TelephoneNumberList>"
			"<TelephoneNumber>4158714245</TelephoneNumber>"
			"<TelephoneNumber>4158714246</TelephoneNumber></TelephoneNumberList>"
			"<DisconnectMode>normal</DisconnectMode>"
			"<Protected>UNCHANGED</Protected>"
			"</DisconnectTelephoneNumberOrderType>"
			"</DisconnectTelephoneNumberOrder>\n", "disconnect");
	is_body(bw_xml_encode_close("n", "c"),
			PROLOG "<Order><Name>n</Name><CustomerOrderId>c</CustomerOrderId>"
			"<CloseOrder>true</CloseOrder></Order>\n", "close");
	is_body(bw_xml_encode_close(NULL, NULL),
			PROLOG "<Order><CloseOrder>true</CloseOrder></Order>\n", "bare close");
	is_body(bw_xml_encode_reservation("4354770625"),
			PROLOG "<Reservation><ReservedTn>4354770625</ReservedTn>"
			"</Reservation>\n", "reservation");
}

/* What XML can hold comes back unchanged, what it cannot is refused. */
static void
test_escaping(void)
{
	static const char *const good[] = {
		"A & B", "<Order>", "a > b", "]]>", "&amp;", "\"'", "Caf\xc3\xa9",
		"\xf0\x9f\x93\x9e", "two\nlines\r\tthree", "%s%n"
	};
	static const char *const bad[] = {
		"\x01", "a\x1f", "\x0b", "\xe9", "\xc0\x80", "\xed\xa0\x80",
		"\xef\xbf\xbe", "\xf5\x80\x80\x80", "\xc3"
	};

	for (int i = 0; i < COUNT(good); i++)
	{
		BwXmlProblem problem;
		char	   *text = bw_xml_encode_close(good[i], NULL);
		BwOrderReply *reply = bw_xml_decode_order(text, strlen(text), &problem);

		is_str(reply != NULL ? reply->name : NULL, good[i], "there and back %d", i);
		bw_xml_free_order(reply);
		free(text);
	}
	for (int i = 0; i < COUNT(bad); i++)
		is_body(bw_xml_encode_close(bad[i], NULL), NULL, "cannot be written");
}

/* An order of nothing must not be sent, nor elements of a stranger's name. */
static void
test_encode_nonsense(void)
{
	BwOrderBody body = order_body();

	is_body(bw_xml_encode_order(&body), NULL, "neither numbers nor criteria");
	body.type = "Area Code/><x";
	is_body(bw_xml_encode_order(&body), NULL, "type that is no name");
}

/* ---------- speed ---------- */

/* The longest search there is; the figure is of a build with sanitizers. */
static void
test_speed(void)
{
	enum
	{
		ROWS = 5000
	};
	char	   *text = malloc(ROWS * 300);
	char	   *to = text;
	BwList	   *list;
	BwRow		row;
	clock_t		start;
	int			rows = 0;

	if (text == NULL)
		abort();
	to += sprintf(to, "<SearchResult><ResultCount>%d</ResultCount>"
				  "<TelephoneNumberDetailList>", ROWS);
	for (int i = 0; i < ROWS; i++)
		to += sprintf(to, "<TelephoneNumberDetail><City>KNIGHTDALE</City>"
					  "<LATA>426</LATA><RateCenter>KNIGHTDALE</RateCenter>"
					  "<State>NC</State><FullNumber>919295%04d</FullNumber>"
					  "<Tier>0</Tier><VendorId>49</VendorId>"
					  "<VendorName>Bandwidth CLEC</VendorName>"
					  "</TelephoneNumberDetail>", i);
	to += sprintf(to, "</TelephoneNumberDetailList></SearchResult>");
	start = clock();
	list = bw_xml_list_open(BW_LIST_AVAILABLE_NUMBERS, text, to - text);
	while (bw_xml_list_next(list, &row) == BW_NEXT_ROW)
		rows += row.field[BW_FIELD_VENDOR_NAME] != NULL;
	is_int(rows, ROWS, "%d rows in %.1f ms", ROWS,
		   (clock() - start) * 1000.0 / CLOCKS_PER_SEC);
	is_int(bw_xml_list_total(list), ROWS, "and their total");
	bw_xml_list_close(list);
	free(text);
}

int
main(int argc, char **argv)
{
	find_vectors(argc > 0 ? argv[0] : "");
	xmlSetGenericErrorFunc(NULL, count_complaint);
	test_vectors();
	test_tolerance();
	test_list_tolerance();
	test_links();
	test_no_notification();
	test_utf16();
	test_encodings();
	test_hostile();
	test_pages();
	test_limits();
	test_bytes();
	test_garbage();
	test_cuts();
	test_cut_list();
	test_encode_numbers();
	test_encode_criteria();
	test_encode_subscription();
	test_encode_others();
	test_escaping();
	test_encode_nonsense();
	test_speed();
	is_int(complaints, 0, "libxml2 never used its global handler");
	return done_testing();
}
