/*-------------------------------------------------------------------------
 *
 * functions_operator.c
 *	  Levers for operators: pause, approve, retry, resolve, adopt, close.
 *
 * All of them only write rows, in the caller's transaction; the worker acts
 * on them after the commit.
 *
 * src/functions_operator.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "compat.h"
#include "functions.h"
#include "registry.h"
#include "store.h"
#include "store_guards.h"
#include "store_operator.h"
#include "store_orders.h"

PG_FUNCTION_INFO_V1(bw_pause);
PG_FUNCTION_INFO_V1(bw_resume);
PG_FUNCTION_INFO_V1(bw_approve);
PG_FUNCTION_INFO_V1(bw_resolve);
PG_FUNCTION_INFO_V1(bw_adopt);
PG_FUNCTION_INFO_V1(bw_close_order);
PG_FUNCTION_INFO_V1(bw_take_over);

static BwOrderRow *operators_order(int64 id, Oid role);
static void check_ownership(const BwOrderRow *order, Oid role);

/*
 * bw_pause(server, reason): no claim starts after this commits.  What was
 * sent already goes on.
 */
Datum
bw_pause(PG_FUNCTION_ARGS)
{
	BwServer   *server;
	BwPause		pause = {.ordered_by = "",.automatic = false};
	BwStoreScope scope;

	PreventCommandIfReadOnly("bw_pause()");
	server = bw_config_server(bw_arg_text(fcinfo, 0));
	bw_config_check_usage(server, GetUserId());
	pause.server = server->name;
	pause.reason = bw_arg_text(fcinfo, 1);
	if (pause.reason == NULL || pause.reason[0] == '\0')
		pause.reason = "paused by bw_pause()";
	pause.paused_by = GetUserNameFromId(GetUserId(), false);
	bw_store_enter(&scope);
	bw_store_require_identity();
	bw_store_pause(&pause);
	bw_store_leave(&scope);
	PG_RETURN_VOID();
}

/* bw_resume(server): ends every pause of the server; false: there was none. */
Datum
bw_resume(PG_FUNCTION_ARGS)
{
	BwServer   *server;
	BwStoreScope scope;
	bool		found;

	PreventCommandIfReadOnly("bw_resume()");
	server = bw_config_server(bw_arg_text(fcinfo, 0));
	bw_config_check_usage(server, GetUserId());
	bw_store_enter(&scope);
	bw_store_require_identity();
	found = bw_store_resume(server->name, NULL);
	bw_store_leave(&scope);
	bw_registry_wake_at_commit(BW_TOPIC_QUEUE | BW_TOPIC_REQUESTS);
	PG_RETURN_BOOL(found);
}

/* An order of whomever, on a server that the caller may use. */
static BwOrderRow *
operators_order(int64 id, Oid role)
{
	BwOrderRow *order = bw_store_own_order(id, InvalidOid);
	BwServer   *server = bw_config_server_if_exists(order->server);

	if (server != NULL)
		bw_config_check_usage(server, role);
	else
		check_ownership(order, role);
	return order;
}

/* Without a server nobody has its USAGE: who ordered decides, or who may all. */
static void
check_ownership(const BwOrderRow *order, Oid role)
{
	Oid			orderer = get_role_oid(order->ordered_by, true);

	if (bw_store_owns_extension(role) ||
		(OidIsValid(orderer) && has_privs_of_role(role, orderer)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for order " INT64_FORMAT, order->id),
			 errdetail("Its foreign server \"%s\" does not exist any more.", order->server),
			 errhint("The role that ordered, or the owner of the extension, can call the function.")));
}

/* bw_approve(id): an order that waits for approval goes out. */
Datum
bw_approve(PG_FUNCTION_ARGS)
{
	Oid			role = GetUserId();
	BwStoreScope scope;
	bool		done;

	PreventCommandIfReadOnly("bw_approve()");
	bw_store_enter(&scope);
	done = bw_store_approve(operators_order(PG_GETARG_INT64(0), role)->id);
	bw_store_leave(&scope);
	bw_registry_wake_at_commit(BW_TOPIC_QUEUE);
	PG_RETURN_BOOL(done);
}

/*
 * bw_resolve(id, action): an order of unknown outcome, or one that Bandwidth does
 * not know any more, is sent again ("resend") or given up ("failed").  The
 * operator has looked at Bandwidth's dashboard.
 */
Datum
bw_resolve(PG_FUNCTION_ARGS)
{
	char	   *action = bw_arg_text(fcinfo, 1);
	bool		resend = strcmp(action, "resend") == 0;
	Oid			role = GetUserId();
	BwStoreScope scope;
	BwOrderRow *order;
	bool		done;

	PreventCommandIfReadOnly("bw_resolve()");
	if (!resend && strcmp(action, "failed") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized action: \"%s\"", action),
				 errhint("Actions are \"resend\" and \"failed\".")));
	bw_store_enter(&scope);
	order = operators_order(PG_GETARG_INT64(0), role);
	done = resend ? bw_store_resend(order->id, order->request_id)
		: bw_store_give_up(order->id, order->request_id,
						   GetUserNameFromId(role, false));
	bw_store_leave(&scope);
	/* Orders for the same numbers may have waited for one that was given up. */
	bw_registry_wake_at_commit(BW_TOPIC_REQUESTS | BW_TOPIC_HELD);
	PG_RETURN_BOOL(done);
}

/* bw_adopt(id, bandwidth_order_id): that order at Bandwidth is this one. */
Datum
bw_adopt(PG_FUNCTION_ARGS)
{
	char	   *bandwidth_order_id = bw_arg_text(fcinfo, 1);
	Oid			role = GetUserId();
	BwStoreScope scope;
	BwOrderRow *order;
	bool		done;

	PreventCommandIfReadOnly("bw_adopt()");
	bw_check_bandwidth_id(bandwidth_order_id);
	bw_store_enter(&scope);
	order = operators_order(PG_GETARG_INT64(0), role);
	if (bw_store_is_bound(bandwidth_order_id, order->request_id))
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("order \"%s\" at Bandwidth belongs to another request",
						bandwidth_order_id)));
	done = bw_store_adopt(order->id, order->request_id, bandwidth_order_id);
	bw_store_leave(&scope);
	bw_registry_wake_at_commit(BW_TOPIC_REQUESTS);
	PG_RETURN_BOOL(done);
}

/*
 * bw_close_order(id): a back order shall look for no more numbers.  It ends as
 * PARTIAL, or FAILED when nothing was found ("Advanced ordering").
 */
Datum
bw_close_order(PG_FUNCTION_ARGS)
{
	Oid			role = GetUserId();
	BwStoreScope scope;
	BwOrderRow *order;
	bool		done;

	PreventCommandIfReadOnly("bw_close_order()");
	bw_store_enter(&scope);
	order = bw_store_own_order(PG_GETARG_INT64(0), role);
	done = order->status == BW_ORDER_BACKORDERED &&
		bw_store_close_order(order->request_id);
	bw_store_leave(&scope);
	bw_registry_wake_at_commit(BW_TOPIC_REQUESTS);
	PG_RETURN_BOOL(done);
}

/*
 * bw_take_over(queued): this copy of a database orders from now on, and the
 * original must not.  Orders that were queued when it was copied are cancelled
 * ("discard"), or treated as sent with an unknown outcome ("look_up").
 */
Datum
bw_take_over(PG_FUNCTION_ARGS)
{
	char	   *queued = bw_arg_text(fcinfo, 0);
	bool		discard = strcmp(queued, "discard") == 0;
	char	   *by = GetUserNameFromId(GetUserId(), false);
	BwStoreScope scope;
	bool		fenced;

	PreventCommandIfReadOnly("bw_take_over()");
	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be superuser to take over the orders of another database")));
	if (!discard && strcmp(queued, "look_up") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized value for queued orders: \"%s\"", queued),
				 errhint("Values are \"look_up\" and \"discard\".")));
	bw_store_enter(&scope);
	fenced = !bw_store_has_identity();
	if (fenced)
		bw_store_take_over(discard, by);
	bw_store_leave(&scope);
	bw_registry_wake_at_commit(BW_TOPIC_ALL | BW_TOPIC_IDENTITY);
	PG_RETURN_BOOL(fenced);
}
