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

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "compat.h"
#include "functions.h"
#include "store.h"
#include "store_orders.h"

PG_FUNCTION_INFO_V1(bw_order_search);

static void read_criteria(FunctionCallInfo fcinfo, BwSearchOrder *wanted);
static void read_options(FunctionCallInfo fcinfo, BwSearchOrder *wanted);

Datum
bw_order_search(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	BwSearchOrder wanted = {0};
	BwPlaced	placed;
	BwStoreScope scope;

	PreventCommandIfReadOnly("bw_order_search()");
	bw_init_materialized_srf(fcinfo);
	wanted.server = bw_config_server(bw_arg_text(fcinfo, 27));
	bw_config_check_usage(wanted.server, GetUserId());
	read_criteria(fcinfo, &wanted);
	read_options(fcinfo, &wanted);
	bw_place_search_order(&wanted, &placed);
	bw_store_enter(&scope);
	bw_return_order(rsinfo, placed.id);
	bw_store_leave(&scope);
	bw_warn_without_worker("the order stays QUEUED");
	return (Datum) 0;
}

static void
read_criteria(FunctionCallInfo fcinfo, BwSearchOrder *wanted)
{
	BwSearch   *search = &wanted->criteria.search;

	bw_criteria_init(&wanted->criteria);
	search->quantity = PG_ARGISNULL(0) ? 1 : PG_GETARG_INT32(0);
	search->npanxx = bw_arg_text(fcinfo, 1);
	bw_arg_criteria(fcinfo, search);
	/* Numbers of a neighbouring area are bought only if that was asked for. */
	search->lca = search->lca == 1;
	wanted->has_max_tier = !PG_ARGISNULL(16);
	if (wanted->has_max_tier)
		wanted->criteria.max_tier = PG_GETARG_INT32(16);
}

static void
read_options(FunctionCallInfo fcinfo, BwSearchOrder *wanted)
{
	BwOrderOptions *options = &wanted->options;
	const BwServer *server = wanted->server;

	wanted->direct = bw_arg_flag(fcinfo, 17) == 1;
	options->site_id = PG_ARGISNULL(18) ? server->site_id : bw_arg_text(fcinfo, 18);
	options->peer_id = PG_ARGISNULL(19) ? server->peer_id : bw_arg_text(fcinfo, 19);
	options->name = bw_arg_text(fcinfo, 20);
	options->customer_order_id = bw_arg_text(fcinfo, 21);
	options->partial_allowed = bw_arg_flag(fcinfo, 22) == 1;
	options->back_order_requested = bw_arg_flag(fcinfo, 23) == 1;
	options->attempts = PG_ARGISNULL(24) ? 1 : PG_GETARG_INT32(24);
	wanted->idempotency_key = bw_arg_text(fcinfo, 25);
	wanted->tag = PG_ARGISNULL(26) ? (Datum) 0 : PG_GETARG_DATUM(26);
}
