/*-------------------------------------------------------------------------
 *
 * functions_orders.c
 *	  bw_order(), bw_disconnect(), and what is asked of an order afterwards.
 *
 * Orders are only inserted, in the caller's transaction; nothing here sends
 * anything that changes something at Bandwidth.
 *
 * src/functions_orders.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "encoding.h"
#include "functions.h"
#include "listener.h"
#include "order.h"
#include "registry.h"
#include "store.h"
#include "store_orders.h"
#include "xml_read.h"

PG_FUNCTION_INFO_V1(bw_order);
PG_FUNCTION_INFO_V1(bw_disconnect);
PG_FUNCTION_INFO_V1(bw_cancel);
PG_FUNCTION_INFO_V1(bw_fetch_order);
PG_FUNCTION_INFO_V1(bw_recheck);
PG_FUNCTION_INFO_V1(bw_receive);
PG_FUNCTION_INFO_V1(bw_is_order_status);
PG_FUNCTION_INFO_V1(bw_is_final_status);
PG_FUNCTION_INFO_V1(bw_is_number_status);
PG_FUNCTION_INFO_V1(bw_is_order_kind);

#define FETCH_COLUMNS 15

static void read_options(FunctionCallInfo fcinfo, const BwServer *server,
						 BwOrderOptions *options);
static Datum return_placed(FunctionCallInfo fcinfo, const BwPlaced *placed,
						   const char *consequence);
static const char **read_numbers(FunctionCallInfo fcinfo, int *count);
static Datum read_reservation_ids(FunctionCallInfo fcinfo, int arg, int most);
static void return_order(ReturnSetInfo *rsinfo, const BwPlaced *placed);
static void check_notification(Size len);
static void return_reply(ReturnSetInfo *rsinfo, const BwOrderRow *order,
						 const BwOrderReply *reply);
static Datum texts_or_null(const BwTexts *texts, bool *isnull);

Datum
bw_order(PG_FUNCTION_ARGS)
{
	BwPlaced	placed;

	PreventCommandIfReadOnly("bw_order()");
	bw_init_materialized_srf(fcinfo);
	bw_place_order(fcinfo, &placed);
	return return_placed(fcinfo, &placed, "the order stays QUEUED");
}

/*
 * bw_disconnect(numbers, customer_order_id, idempotency_key, tag, server): an
 * order that gives numbers back, HELD for the server's release_after first.
 */
Datum
bw_disconnect(PG_FUNCTION_ARGS)
{
	BwDisconnect wanted = {0};
	BwPlaced	placed;

	PreventCommandIfReadOnly("bw_disconnect()");
	bw_init_materialized_srf(fcinfo);
	wanted.server = bw_config_server(bw_arg_text(fcinfo, 4));
	bw_config_check_usage(wanted.server, GetUserId());
	wanted.numbers = read_numbers(fcinfo, &wanted.count);
	wanted.customer_order_id = bw_arg_text(fcinfo, 1);
	wanted.idempotency_key = bw_arg_text(fcinfo, 2);
	wanted.tag = PG_ARGISNULL(3) ? (Datum) 0 : PG_GETARG_DATUM(3);
	bw_place_disconnect(&wanted, &placed);
	return return_placed(fcinfo, &placed, "nothing is disconnected");
}

/* The rows of a new order, or of the one that was there already. */
static Datum
return_placed(FunctionCallInfo fcinfo, const BwPlaced *placed, const char *consequence)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	BwStoreScope scope;

	if (placed->is_new)
	{
		return_order(rsinfo, placed);
		bw_warn_without_worker(consequence);
		return (Datum) 0;
	}
	bw_store_enter(&scope);
	bw_return_order(rsinfo, placed->id);
	bw_store_leave(&scope);
	return (Datum) 0;
}

void
bw_place_order(FunctionCallInfo fcinfo, BwPlaced *placed)
{
	BwNumbersOrder wanted = {0};

	wanted.server = bw_config_server(bw_arg_text(fcinfo, 11));
	bw_config_check_usage(wanted.server, GetUserId());
	wanted.numbers = read_numbers(fcinfo, &wanted.count);
	read_options(fcinfo, wanted.server, &wanted.options);
	wanted.reservation_ids = read_reservation_ids(fcinfo, 7, wanted.count);
	wanted.idempotency_key = bw_arg_text(fcinfo, 9);
	wanted.tag = PG_ARGISNULL(10) ? (Datum) 0 : PG_GETARG_DATUM(10);
	bw_place_numbers_order(&wanted, placed);
}

static void
read_options(FunctionCallInfo fcinfo, const BwServer *server,
			 BwOrderOptions *options)
{
	options->site_id = PG_ARGISNULL(1) ? server->site_id : bw_arg_text(fcinfo, 1);
	options->peer_id = PG_ARGISNULL(2) ? server->peer_id : bw_arg_text(fcinfo, 2);
	options->name = bw_arg_text(fcinfo, 3);
	options->customer_order_id = bw_arg_text(fcinfo, 4);
	options->partial_allowed = bw_arg_flag(fcinfo, 5) == 1;
	options->back_order_requested = bw_arg_flag(fcinfo, 6) == 1;
	options->attempts = PG_ARGISNULL(8) ? 1 : PG_GETARG_INT32(8);
}

/* The array as C strings; a null element stays NULL, to be refused by name. */
static const char **
read_numbers(FunctionCallInfo fcinfo, int *count)
{
	Datum	   *items;
	bool	   *nulls;
	const char **texts;

	*count = 0;
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("telephone_numbers must not be null")));
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false,
					  TYPALIGN_INT, &items, &nulls, count);
	texts = palloc(sizeof(char *) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
		texts[i] = nulls[i] ? NULL : TextDatumGetCString(items[i]);
	return texts;
}

/*
 * As it came, 0: null.  What no reservation can be called is refused, and more
 * of them than there are numbers: each is for one.
 */
static Datum
read_reservation_ids(FunctionCallInfo fcinfo, int arg, int most)
{
	BwProblem	problem;
	Datum	   *items;
	bool	   *nulls;
	int			count;

	if (PG_ARGISNULL(arg))
		return (Datum) 0;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(arg), TEXTOID, -1, false,
					  TYPALIGN_INT, &items, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("reservation_ids must not contain null")));
		if (!bw_reservation_id_check("reservation_ids", TextDatumGetCString(items[i]), &problem))
			bw_problem_raise(&problem);
	}
	if (count > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there are more reservation_ids than telephone_numbers"),
				 errdetail("A reservation is for one telephone number.")));
	return PG_GETARG_DATUM(arg);
}

static void
return_order(ReturnSetInfo *rsinfo, const BwPlaced *placed)
{
	for (int i = 0; i < placed->count; i++)
	{
		Datum		values[3] = {Int64GetDatum(placed->id),
			CStringGetTextDatum(placed->numbers[i].digits),
		CStringGetTextDatum(bw_order_status_name(placed->status))};
		bool		nulls[3] = {false};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

Datum
bw_cancel(PG_FUNCTION_ARGS)
{
	Oid			role = GetUserId();
	BwStoreScope scope;
	BwOrderRow *order;
	bool		cancelled;

	PreventCommandIfReadOnly("bw_cancel()");
	bw_store_enter(&scope);
	order = bw_store_own_order(PG_GETARG_INT64(0), role);
	cancelled = bw_store_cancel_order(order->id);
	bw_store_leave(&scope);
	PG_RETURN_BOOL(cancelled);
}

Datum
bw_recheck(PG_FUNCTION_ARGS)
{
	Oid			role = GetUserId();
	BwStoreScope scope;
	BwOrderRow *order;
	bool		open;

	PreventCommandIfReadOnly("bw_recheck()");
	bw_store_enter(&scope);
	order = bw_store_own_order(PG_GETARG_INT64(0), role);
	open = bw_store_recheck(order->request_id);
	bw_store_leave(&scope);
	if (open)
		bw_registry_wake_at_commit(BW_TOPIC_REQUESTS);
	PG_RETURN_BOOL(open);
}

Datum
bw_receive(PG_FUNCTION_ARGS)
{
	bytea	   *body;
	BwStoreScope scope;
	int64		id;

	PreventCommandIfReadOnly("bw_receive()");
	body = (bytea *) cstring_to_text(bw_to_utf8(text_to_cstring(PG_GETARG_TEXT_PP(0))));
	check_notification(VARSIZE(body) - VARHDRSZ);
	bw_store_enter(&scope);
	bw_store_require_identity();
	id = bw_store_receive(body);
	bw_store_leave(&scope);
	bw_registry_wake_at_commit(BW_TOPIC_INBOX);
	bw_warn_without_worker("the notification stays in the inbox");
	PG_RETURN_INT64(id);
}

/* As much as the port for callbacks takes. */
static void
check_notification(Size len)
{
	if (len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("notification must not be empty"),
				 errhint("Hand in the body of the callback as it came.")));
	if (len > BW_LISTENER_MAX_BODY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("notification is too long"),
				 errdetail("It has %zu bytes; up to %d are taken.", len, BW_LISTENER_MAX_BODY)));
}

/*
 * GET /accounts/{id}/orders/{orderId}: shown, not stored.
 */
Datum
bw_fetch_order(PG_FUNCTION_ARGS)
{
	Oid			role = GetUserId();
	BwCallSpec	spec = {.class = BW_CLASS_HISTORY,.method = "GET"};
	BwStoreScope scope;
	BwOrderRow *order;
	BwAccount  *account;
	BwCall	   *call;
	const BwOutcome *outcome;
	BwOrderReply *reply;
	BwXmlProblem problem;

	bw_init_materialized_srf(fcinfo);
	bw_store_enter(&scope);
	order = bw_store_order(PG_GETARG_INT64(0), role);
	bw_store_leave(&scope);
	bw_require_order_at_bandwidth(order);
	account = bw_account(order->server, role);
	spec.path = bw_api_path(account, bw_api_resource(order->kind), order->bandwidth_order_id);
	call = bw_api_perform(account, &spec);
	outcome = bw_call_outcome(call);
	if (outcome->kind != BW_OUTCOME_DONE)
		bw_outcome_raise(outcome, account, "could not fetch the order");
	reply = bw_xml_decode_order(outcome->reply->body, outcome->reply->body_len, &problem);
	if (reply == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_BW_BAD_REPLY),
				 errmsg("could not read the reply about order " INT64_FORMAT, order->id),
				 errdetail("%s.", problem.text)));
	PG_TRY();
	{
		return_reply((ReturnSetInfo *) fcinfo->resultinfo, order, reply);
	}
	PG_FINALLY();
	{
		bw_xml_free_order(reply);
	}
	PG_END_TRY();
	bw_call_release(call);
	return (Datum) 0;
}

static void
return_reply(ReturnSetInfo *rsinfo, const BwOrderRow *order, const BwOrderReply *reply)
{
	const BwReplyError *error = reply->errors.count > 0 ? &reply->errors.items[0] : NULL;
	Datum		v[FETCH_COLUMNS];
	bool		n[FETCH_COLUMNS];

	v[0] = bw_text_or_null(order->bandwidth_order_id, &n[0]);
	v[1] = bw_text_or_null(reply->status, &n[1]);
	v[2] = bw_text_or_null(reply->customer_order_id, &n[2]);
	v[3] = bw_text_or_null(reply->name, &n[3]);
	v[4] = bw_text_or_null(reply->site_id, &n[4]);
	v[5] = bw_text_or_null(reply->peer_id, &n[5]);
	v[6] = Int64GetDatum(reply->completed_quantity);
	n[6] = reply->completed_quantity < 0;
	v[7] = Int64GetDatum(reply->failed_quantity);
	n[7] = reply->failed_quantity < 0;
	v[8] = texts_or_null(&reply->completed, &n[8]);
	v[9] = texts_or_null(&reply->failed, &n[9]);
	v[10] = bw_text_or_null(error ? error->code : NULL, &n[10]);
	v[11] = bw_text_or_null(error ? error->text : NULL, &n[11]);
	v[12] = bw_text_or_null(reply->summary, &n[12]);
	v[13] = bw_text_or_null(reply->created, &n[13]);
	v[14] = bw_text_or_null(reply->completed_at, &n[14]);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, v, n);
}

static Datum
texts_or_null(const BwTexts *texts, bool *isnull)
{
	*isnull = (texts->count == 0);
	return *isnull ? (Datum) 0
		: bw_store_text_array((const char *const *) texts->items, texts->count);
}

/* --- for constraints, and a generated column --- */

Datum
bw_is_order_status(PG_FUNCTION_ARGS)
{
	BwOrderStatus status;

	PG_RETURN_BOOL(bw_order_status_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), &status));
}

Datum
bw_is_final_status(PG_FUNCTION_ARGS)
{
	BwOrderStatus status;

	PG_RETURN_BOOL(bw_order_status_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), &status) &&
				   bw_order_is_final(status));
}

Datum
bw_is_number_status(PG_FUNCTION_ARGS)
{
	const char *status = text_to_cstring(PG_GETARG_TEXT_PP(0));

	PG_RETURN_BOOL(strcmp(status, "PENDING") == 0 || strcmp(status, "COMPLETE") == 0 ||
				   strcmp(status, "FAILED") == 0);
}

Datum
bw_is_order_kind(PG_FUNCTION_ARGS)
{
	const char *kind = text_to_cstring(PG_GETARG_TEXT_PP(0));

	for (int i = 0; i < BW_ORDER_KIND_COUNT; i++)
		if (strcmp(kind, bw_order_kind_name(i)) == 0)
			PG_RETURN_BOOL(true);
	PG_RETURN_BOOL(false);
}
