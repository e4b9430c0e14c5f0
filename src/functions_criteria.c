/*-------------------------------------------------------------------------
 *
 * functions_criteria.c
 *	  bw_order_search(): an order by criteria instead of numbers.
 *
 * By default the worker searches, and then orders exact numbers; "direct"
 * sends Bandwidth's own search-and-order type, whose unknown outcome only a
 * person can decide (bw_resolve, bw_adopt).
 *
 * src/functions_criteria.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "compat.h"
#include "functions.h"
#include "registry.h"
#include "store.h"
#include "store_orders.h"

PG_FUNCTION_INFO_V1(bw_order_search);

/* More are asked for than wanted: others may want the same ones. */
#define SPARE_NUMBERS 20

static char *criteria_json(const BwSearch *search, int max_tier);
static void read_options(FunctionCallInfo fcinfo, const BwServer *server,
						 BwOrderOptions *options);

Datum
bw_order_search(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	BwServer   *server;
	BwSearch	search = {.ends_in = -1};
	BwOrderOptions options = {0};
	BwNewOrder	order = {0};
	BwProblem	problem;
	BwStoreScope scope;
	int64		id;

	bw_init_materialized_srf(fcinfo);
	server = bw_config_server(bw_arg_text(fcinfo, 15));
	bw_config_check_usage(server, GetUserId());
	search.quantity = PG_ARGISNULL(0) ? 1 : PG_GETARG_INT32(0);
	search.npanxx = bw_arg_text(fcinfo, 1);
	search.area_code = bw_arg_text(fcinfo, 2);
	search.lca = search.npanxx == NULL ? -1 : bw_arg_flag(fcinfo, 3) == 1;
	order.direct = bw_arg_flag(fcinfo, 5) == 1;
	read_options(fcinfo, server, &options);
	if (!bw_order_search_check(&search, &options, order.direct, !PG_ARGISNULL(4),
							   &problem))
		bw_problem_raise(&problem);
	bw_check_guards(server, &options, search.quantity);

	order.server = server->name;
	order.account_id = server->account_id;
	order.ordered_by = GetUserNameFromId(GetUserId(), false);
	order.status = server->ordering == BW_ORDERING_HOLD ? BW_ORDER_HELD : BW_ORDER_QUEUED;
	order.quantity = search.quantity;
	order.site_id = options.site_id;
	order.peer_id = options.peer_id;
	order.name = options.name;
	order.customer_order_id = options.customer_order_id;
	order.idempotency_key = bw_arg_text(fcinfo, 13);
	order.tag = PG_ARGISNULL(14) ? (Datum) 0 : PG_GETARG_DATUM(14);
	order.criteria = criteria_json(&search, PG_ARGISNULL(4) ? -1 : PG_GETARG_INT32(4));
	order.partial_allowed = options.partial_allowed;
	order.back_order_requested = options.back_order_requested;
	order.attempts = options.attempts;
	order.numbers = bw_store_text_array(NULL, 0);
	order.own_request = order.direct;

	bw_store_enter(&scope);
	id = bw_store_insert_order(&order);
	bw_return_order(rsinfo, id != 0 ? id : bw_store_same_order(&order));
	bw_store_leave(&scope);
	bw_registry_wake_at_commit(BW_TOPIC_QUEUE);
	bw_warn_without_worker("the order stays QUEUED");
	return (Datum) 0;
}

static void
read_options(FunctionCallInfo fcinfo, const BwServer *server,
			 BwOrderOptions *options)
{
	options->site_id = PG_ARGISNULL(6) ? server->site_id : bw_arg_text(fcinfo, 6);
	options->peer_id = PG_ARGISNULL(7) ? server->peer_id : bw_arg_text(fcinfo, 7);
	options->name = bw_arg_text(fcinfo, 8);
	options->customer_order_id = bw_arg_text(fcinfo, 9);
	options->partial_allowed = bw_arg_flag(fcinfo, 10) == 1;
	options->back_order_requested = bw_arg_flag(fcinfo, 11) == 1;
	options->attempts = PG_ARGISNULL(12) ? 1 : PG_GETARG_INT32(12);
}

/* What was asked for, and the query that the worker sends for it. */
static char *
criteria_json(const BwSearch *search, int max_tier)
{
	BwSearch	wanted = *search;
	StringInfoData json;

	wanted.quantity = Min(search->quantity + SPARE_NUMBERS, BW_QUANTITY_MAX);
	wanted.detail = max_tier >= 0;
	initStringInfo(&json);
	appendStringInfoString(&json, "{\"query\": ");
	escape_json(&json, bw_api_search_query(&wanted));
	if (search->npanxx != NULL)
	{
		appendStringInfoString(&json, ", \"npanxx\": ");
		escape_json(&json, search->npanxx);
		appendStringInfo(&json, ", \"lca\": %s", search->lca == 1 ? "true" : "false");
	}
	if (search->area_code != NULL)
	{
		appendStringInfoString(&json, ", \"area_code\": ");
		escape_json(&json, search->area_code);
	}
	if (max_tier >= 0)
		appendStringInfo(&json, ", \"max_tier\": %d", max_tier);
	appendStringInfoChar(&json, '}');
	return json.data;
}
