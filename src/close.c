/*-------------------------------------------------------------------------
 *
 * close.c
 *	  Ends a back order: PUT with CloseOrder.
 *
 * The call can be repeated without harm, and its reply proves nothing: the
 * order is polled afterwards, and says itself what it ended as.  Source:
 * "Advanced ordering" of the numbers API.
 *
 * src/close.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "close.h"
#include "xml_write.h"

/* Until a call that was lost is made again ... */
#define RETRY_MS 5000
/* ... or one for which there may be other credentials by then. */
#define BARRED_MS 60000

/* What the PUT says, and what came of it. */
typedef struct Closing
{
	char	   *bandwidth_order_id;
	char	   *body;
	const char *step;
	TimestampTz due_at;
} Closing;

static void record(BwWork *work, void *arg);

BwTask *
bw_close_create(BwWork *work, const BwRequestRow *request)
{
	BwTask	   *task = bw_task_create(work, BW_TASK_CLOSE, request->id);
	Closing    *closing = MemoryContextAllocZero(task->cxt, sizeof(Closing));
	char	   *xml = bw_xml_encode_close(NULL, request->customer_order_id);

	task->detail = closing;
	if (xml == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	closing->body = MemoryContextStrdup(task->cxt, xml);
	free(xml);
	closing->bandwidth_order_id =
		MemoryContextStrdup(task->cxt, request->bandwidth_order_id);
	bw_task_account(task, request->server, request->ordered_by, request->account_id);
	return task;
}

void
bw_close_send(BwWork *work, BwTask *task)
{
	Closing    *closing = task->detail;
	BwCallSpec	spec = {.class = BW_CLASS_ORDER,.method = "PUT"};

	spec.path = bw_api_path(&task->account, "orders", closing->bandwidth_order_id);
	spec.body = closing->body;
	bw_task_start(work, task, &spec);
}

void
bw_close_finished(BwWork *work, BwTask *task)
{
	Closing    *closing = task->detail;
	const BwOutcome *outcome = bw_call_outcome(task->call);
	bool		barred = outcome->kind == BW_OUTCOME_UNAUTHORIZED;
	bool		again = barred || outcome->kind == BW_OUTCOME_LATER ||
	outcome->kind == BW_OUTCOME_UNKNOWN;

	closing->step = again ? "close" : "poll";
	closing->due_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), barred ? BARRED_MS
												  : again ? RETRY_MS : 0);
	if (outcome->kind == BW_OUTCOME_LATER)
		closing->due_at = Max(closing->due_at, outcome->retry_at);
	if (bw_work_transaction(work, record, task, "closing a back order"))
		work->reconcile_at = Min(work->reconcile_at, closing->due_at);
	bw_task_free(task);
}

static void
record(BwWork *work, void *arg)
{
	BwTask	   *task = arg;
	Closing    *closing = task->detail;

	bw_store_schedule(&task->id, closing->step, &closing->due_at, 1);
}
