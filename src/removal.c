/*-------------------------------------------------------------------------
 *
 * removal.c
 *	  A word to whom drops the extension while orders are open.
 *
 * DROP EXTENSION takes the tables with it: what Bandwidth has received it will
 * carry out and bill, and nobody here will hear of it.  The command is not
 * refused, because it can be rolled back, and its user may know all that.
 *
 * src/removal.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"

#include "removal.h"
#include "store.h"
#include "store_operator.h"

static ProcessUtility_hook_type previous_utility_hook = NULL;

static void watch_utility(PlannedStmt *planned, const char *query, bool read_only_tree,
						  ProcessUtilityContext context, ParamListInfo params,
						  QueryEnvironment *environment, DestReceiver *dest,
						  QueryCompletion *completion);
static bool drops_us(const Node *statement);
static void warn(void);

void
bw_removal_init(void)
{
	previous_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = watch_utility;
}

static void
watch_utility(PlannedStmt *planned, const char *query, bool read_only_tree,
			  ProcessUtilityContext context, ParamListInfo params,
			  QueryEnvironment *environment, DestReceiver *dest,
			  QueryCompletion *completion)
{
	ProcessUtility_hook_type next = previous_utility_hook ? previous_utility_hook
	: standard_ProcessUtility;

	if (drops_us(planned->utilityStmt) && bw_store_owns_extension(GetUserId()))
		warn();
	next(planned, query, read_only_tree, context, params, environment, dest, completion);
}

static bool
drops_us(const Node *statement)
{
	ListCell   *lc;

	if (!IsA(statement, DropStmt) ||
		((const DropStmt *) statement)->removeType != OBJECT_EXTENSION)
		return false;
	foreach(lc, ((const DropStmt *) statement)->objects)
		if (strcmp(strVal(lfirst(lc)), "bandwidth") == 0)
		return true;
	return false;
}

static void
warn(void)
{
	BwStoreScope scope;
	int64		unsent;
	int64		under_way;

	bw_store_enter(&scope);
	bw_store_count_open(&unsent, &under_way);
	bw_store_leave(&scope);
	if (unsent > 0 || under_way > 0)
		ereport(WARNING,
				(errmsg("the extension is dropped with " INT64_FORMAT " orders under way, and "
						INT64_FORMAT " that wait to be sent", under_way, unsent),
				 errdetail("Bandwidth carries out what it has received, and nobody here will hear of it."),
				 errhint("Orders that wait can be cancelled, the others waited for; bw_open_orders lists them.")));
}
