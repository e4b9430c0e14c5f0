/*-------------------------------------------------------------------------
 *
 * functions_account.c
 *	  What an account has at Bandwidth: sites, SIP peers, orders; and where
 *	  there are numbers to be had.
 *
 * Lists, read to their end: rows are returned only if all of them are there.
 * Sources: "Get orders", "Get disconnects", "Get order history", "Get sites",
 * "Get SIP peers" and "Get available NPA-NXX" of the numbers API.
 *
 * src/functions_account.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "encoding.h"
#include "functions.h"
#include "order.h"
#include "pages.h"
#include "store.h"
#include "store_orders.h"

PG_FUNCTION_INFO_V1(bw_sites);
PG_FUNCTION_INFO_V1(bw_sip_peers);
PG_FUNCTION_INFO_V1(bw_available_npanxx);
PG_FUNCTION_INFO_V1(bw_list_orders);
PG_FUNCTION_INFO_V1(bw_order_history);

/* The most that "Get orders" gives at once. */
#define ORDERS_PAGE_SIZE "1000"

/* What bw_list_orders() was asked for, beside days. */
typedef struct OrdersWanted
{
	ReturnSetInfo *rsinfo;
	const char *customer_order_id;	/* UTF-8, NULL: any; as the next */
	const char *user_id;
	const char *status_word;
	BwOrderStatus status;
} OrdersWanted;

static void put_site(const BwRow *row, void *arg);
static void put_sip_peer(const BwRow *row, void *arg);
static void put_npanxx(const BwRow *row, void *arg);
static void read_orders_wanted(FunctionCallInfo fcinfo, OrdersWanted *wanted);
static char *orders_query(FunctionCallInfo fcinfo, const OrdersWanted *wanted);
static const char *orders_resource(const char *kind);
static void put_order(const BwRow *row, void *arg);
static bool is_wanted(const BwRow *row, const OrdersWanted *wanted);
static void put_change(const BwRow *row, void *arg);

Datum
bw_sites(PG_FUNCTION_ARGS)
{
	BwPages		pages = {.kind = BW_LIST_SITES,
		.what = "could not list the sites",
	.subject = "the list of sites"};

	bw_init_materialized_srf(fcinfo);
	pages.account = bw_account(bw_arg_text(fcinfo, 0), GetUserId());
	pages.call.class = BW_CLASS_OTHER;
	pages.call.method = "GET";
	pages.call.path = bw_api_path(pages.account, "sites", NULL);
	bw_pages_read(&pages, put_site, fcinfo->resultinfo);
	return (Datum) 0;
}

static void
put_site(const BwRow *row, void *arg)
{
	ReturnSetInfo *rsinfo = arg;
	Datum		v[3];
	bool		n[3];

	v[0] = bw_text_or_null(row->field[BW_FIELD_ID], &n[0]);
	v[1] = bw_text_or_null(row->field[BW_FIELD_NAME], &n[1]);
	v[2] = bw_text_or_null(row->field[BW_FIELD_DESCRIPTION], &n[2]);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, v, n);
}

Datum
bw_sip_peers(PG_FUNCTION_ARGS)
{
	BwPages		pages = {.kind = BW_LIST_SIP_PEERS,
		.what = "could not list the SIP peers",
	.subject = "the list of SIP peers"};
	BwAccount  *account;
	const char *site;

	bw_init_materialized_srf(fcinfo);
	pages.account = account = bw_account(bw_arg_text(fcinfo, 1), GetUserId());
	site = PG_ARGISNULL(0) ? account->server->site_id : bw_arg_text(fcinfo, 0);
	if (site == NULL || site[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no site is given"),
				 errhint("Give site_id, or set the server option \"site_id\".")));
	bw_check_site_id(site);
	pages.call.class = BW_CLASS_OTHER;
	pages.call.method = "GET";
	pages.call.path = psprintf("%s/sippeers", bw_api_path(account, "sites", site));
	bw_pages_read(&pages, put_sip_peer, fcinfo->resultinfo);
	return (Datum) 0;
}

static void
put_sip_peer(const BwRow *row, void *arg)
{
	ReturnSetInfo *rsinfo = arg;
	const char *is_default = row->field[BW_FIELD_IS_DEFAULT];
	Datum		v[4];
	bool		n[4];

	v[0] = bw_text_or_null(row->field[BW_FIELD_ID], &n[0]);
	v[1] = bw_text_or_null(row->field[BW_FIELD_NAME], &n[1]);
	v[2] = bw_text_or_null(row->field[BW_FIELD_DESCRIPTION], &n[2]);
	n[3] = (is_default == NULL);
	v[3] = BoolGetDatum(!n[3] && pg_strcasecmp(is_default, "true") == 0);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, v, n);
}

/*
 * Where nothing matches Bandwidth says 4000, "bad area code"; that cannot be
 * told from an area code that there is not, and is an error here as well.
 */
Datum
bw_available_npanxx(PG_FUNCTION_ARGS)
{
	BwPages		pages = {.kind = BW_LIST_AVAILABLE_NPANXX,
		.what = "could not list the available exchanges",
	.subject = "the list of available exchanges"};
	const char *area_code = bw_arg_text(fcinfo, 0);
	const char *state = bw_arg_text(fcinfo, 1);
	StringInfoData query;

	bw_init_materialized_srf(fcinfo);
	bw_check_digits("area_code", area_code, 3, 3);
	bw_check_state(state);
	if (!PG_ARGISNULL(2) && PG_GETARG_INT32(2) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("quantity %d is out of range", PG_GETARG_INT32(2)),
				 errdetail("A quantity is at least 1.")));
	pages.account = bw_account(bw_arg_text(fcinfo, 3), GetUserId());
	initStringInfo(&query);
	if (area_code != NULL)
		bw_api_append(&query, "areaCode", area_code);
	if (state != NULL)
		bw_api_append(&query, "state", state);
	if (!PG_ARGISNULL(2))
		bw_api_append(&query, "quantity", psprintf("%d", PG_GETARG_INT32(2)));
	pages.call.class = BW_CLASS_AVAILABLE_NPANXX;
	pages.call.method = "GET";
	pages.call.path = bw_api_path(pages.account, "availableNpaNxx", NULL);
	pages.call.query = query.len > 0 ? query.data : NULL;
	bw_pages_read(&pages, put_npanxx, fcinfo->resultinfo);
	return (Datum) 0;
}

static void
put_npanxx(const BwRow *row, void *arg)
{
	ReturnSetInfo *rsinfo = arg;
	const char *npa = row->field[BW_FIELD_NPA];
	const char *nxx = row->field[BW_FIELD_NXX];
	Datum		v[4];
	bool		n[4];

	v[0] = bw_text_or_null(npa && nxx ? psprintf("%s%s", npa, nxx) : NULL, &n[0]);
	v[1] = bw_text_or_null(row->field[BW_FIELD_CITY], &n[1]);
	v[2] = bw_text_or_null(row->field[BW_FIELD_STATE], &n[2]);
	v[3] = bw_int_or_null(row->field[BW_FIELD_QUANTITY], &n[3]);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, v, n);
}

/* Orders of the whole account, whoever made them. */
Datum
bw_list_orders(PG_FUNCTION_ARGS)
{
	BwPages		pages = {.kind = BW_LIST_ORDERS,
		.what = "could not list the orders",
	.subject = "the list of orders"};
	OrdersWanted wanted = {.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo};
	const char *resource = orders_resource(bw_arg_text(fcinfo, 5));

	bw_init_materialized_srf(fcinfo);
	read_orders_wanted(fcinfo, &wanted);
	pages.call.query = orders_query(fcinfo, &wanted);
	pages.account = bw_account(bw_arg_text(fcinfo, 6), GetUserId());
	pages.call.class = BW_CLASS_HISTORY;
	pages.call.method = "GET";
	pages.call.path = bw_api_path(pages.account, resource, NULL);
	bw_pages_read(&pages, put_order, &wanted);
	return (Datum) 0;
}

static const char *
orders_resource(const char *kind)
{
	if (kind == NULL || strcmp(kind, bw_order_kind_name(BW_KIND_ORDER)) == 0)
		return bw_api_resource(BW_KIND_ORDER);
	if (strcmp(kind, bw_order_kind_name(BW_KIND_DISCONNECT)) == 0)
		return bw_api_resource(BW_KIND_DISCONNECT);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized kind: \"%s\"", kind),
			 errhint("Kinds are \"order\" and \"disconnect\".")));
}

static void
read_orders_wanted(FunctionCallInfo fcinfo, OrdersWanted *wanted)
{
	const char *status = bw_arg_text(fcinfo, 1);

	wanted->customer_order_id = bw_to_utf8(bw_arg_text(fcinfo, 0));
	wanted->user_id = bw_to_utf8(bw_arg_text(fcinfo, 4));
	if (status == NULL)
		return;
	if (!bw_order_status_from_bandwidth(status, &wanted->status))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized status: \"%s\"", status),
				 errhint("Bandwidth's are RECEIVED, BACKORDERED, COMPLETE, PARTIAL and FAILED.")));
	wanted->status_word = bw_order_status_name(wanted->status);
}

static char *
orders_query(FunctionCallInfo fcinfo, const OrdersWanted *wanted)
{
	StringInfoData query;
	TimestampTz start;
	TimestampTz end;

	initStringInfo(&query);
	bw_api_append(&query, "page", "1");
	bw_api_append(&query, "size", ORDERS_PAGE_SIZE);
	if (wanted->customer_order_id != NULL)
		bw_api_append(&query, "customerOrderId", wanted->customer_order_id);
	if (wanted->status_word != NULL)
		bw_api_append(&query, "status", wanted->status_word);
	if (wanted->user_id != NULL)
		bw_api_append(&query, "userid", wanted->user_id);
	if (bw_arg_days(fcinfo, 2, &start, &end))
	{
		bw_api_append(&query, "startdate", bw_api_format_day(start));
		bw_api_append(&query, "enddate", bw_api_format_day(end));
	}
	return query.data;
}

static void
put_order(const BwRow *row, void *arg)
{
	const OrdersWanted *wanted = arg;
	ReturnSetInfo *rsinfo = wanted->rsinfo;
	Datum		v[9];
	bool		n[9];

	if (!is_wanted(row, wanted))
		return;
	v[0] = bw_text_or_null(row->field[BW_FIELD_ID], &n[0]);
	v[1] = bw_text_or_null(row->field[BW_FIELD_CUSTOMER_ORDER_ID], &n[1]);
	v[2] = bw_text_or_null(row->field[BW_FIELD_STATUS], &n[2]);
	v[3] = bw_text_or_null(row->field[BW_FIELD_ORDER_TYPE], &n[3]);
	v[4] = bw_int_or_null(row->field[BW_FIELD_COUNT], &n[4]);
	v[5] = bw_text_or_null(row->field[BW_FIELD_USER_ID], &n[5]);
	v[6] = bw_date_or_null(row->field[BW_FIELD_DATE], &n[6]);
	v[7] = bw_date_or_null(row->field[BW_FIELD_LAST_MODIFIED], &n[7]);
	v[8] = bw_text_or_null(row->field[BW_FIELD_SUMMARY], &n[8]);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, v, n);
}

/*
 * Bandwidth ignores parameters that a list does not know (disconnects have no
 * customerOrderId), so each row is looked at once more.
 */
static bool
is_wanted(const BwRow *row, const OrdersWanted *wanted)
{
	const char *label = row->field[BW_FIELD_CUSTOMER_ORDER_ID];
	const char *user = row->field[BW_FIELD_USER_ID];
	BwOrderStatus status;

	if (wanted->customer_order_id != NULL &&
		(label == NULL || strcmp(label, wanted->customer_order_id) != 0))
		return false;
	if (wanted->user_id != NULL &&
		(user == NULL || strcmp(user, wanted->user_id) != 0))
		return false;
	return wanted->status_word == NULL ||
		(bw_order_status_from_bandwidth(row->field[BW_FIELD_STATUS], &status) &&
		 status == wanted->status);
}

/* GET .../orders/{orderId}/history: of an order of one's own, by our id. */
Datum
bw_order_history(PG_FUNCTION_ARGS)
{
	Oid			role = GetUserId();
	BwPages		pages = {.kind = BW_LIST_HISTORY,
		.what = "could not fetch the history of the order",
	.subject = "the history of the order"};
	BwStoreScope scope;
	BwOrderRow *order;

	bw_init_materialized_srf(fcinfo);
	bw_store_enter(&scope);
	order = bw_store_order(PG_GETARG_INT64(0), role);
	bw_store_leave(&scope);
	bw_require_order_at_bandwidth(order);
	pages.account = bw_account(order->server, role);
	pages.call.class = BW_CLASS_HISTORY;
	pages.call.method = "GET";
	pages.call.path = psprintf("%s/history",
							   bw_api_path(pages.account, bw_api_resource(order->kind),
										   order->bandwidth_order_id));
	bw_pages_read(&pages, put_change, fcinfo->resultinfo);
	return (Datum) 0;
}

static void
put_change(const BwRow *row, void *arg)
{
	ReturnSetInfo *rsinfo = arg;
	Datum		v[5];
	bool		n[5];

	v[0] = bw_date_or_null(row->field[BW_FIELD_DATE], &n[0]);
	v[1] = bw_text_or_null(row->field[BW_FIELD_STATUS], &n[1]);
	v[2] = bw_text_or_null(row->field[BW_FIELD_USER_ID], &n[2]);
	v[3] = bw_text_or_null(row->field[BW_FIELD_NOTE], &n[3]);
	v[4] = bw_text_or_null(row->field[BW_FIELD_DIFFERENCE], &n[4]);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, v, n);
}
