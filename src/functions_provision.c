/*-------------------------------------------------------------------------
 *
 * functions_provision.c
 *	  The triggers that give a row a telephone number: bw_provision() on a
 *	  user's table, and one on bw_orders that belongs to it.
 *
 * src/functions_provision.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "functions.h"
#include "provision.h"
#include "registry.h"
#include "store.h"
#include "store_orders.h"
#include "store_provisions.h"

PG_FUNCTION_INFO_V1(bw_provision);
PG_FUNCTION_INFO_V1(bw_order_ended);

static void require_trigger(FunctionCallInfo fcinfo, const char *name);
static void check_event(const TriggerData *trigger);
pg_noreturn static void refuse(const TriggerData *trigger, const char *why, const char *hint);
static void provision_batch(const BwProvisionRule *rule, Tuplestorestate *rows);
static int64 order_of(const TriggerData *trigger);

/*
 * bw_provision(name, value, ...): AFTER INSERT, for each statement with
 * REFERENCING NEW TABLE or for each row; AFTER UPDATE for each row with WHEN.
 */
Datum
bw_provision(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	BwProvisionRule *rule;

	require_trigger(fcinfo, "bw_provision");
	check_event(trigger);
	rule = bw_provision_rule(trigger->tg_trigger, trigger->tg_relation);
	if (TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
		provision_batch(rule, trigger->tg_newtable);
	else if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		bw_provision_row(rule, trigger->tg_newslot, false);
	else
		bw_provision_row(rule, trigger->tg_trigslot, true);
	bw_warn_without_worker("the order stays QUEUED");
	return PointerGetDatum(NULL);
}

static void
require_trigger(FunctionCallInfo fcinfo, const char *name)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager", name)));
}

/*
 * All events of the trigger, not only the one that fired it: what an INSERT has
 * bought is written into the row by an UPDATE, which fires it as well.
 */
static void
check_event(const TriggerData *trigger)
{
	TriggerEvent event = trigger->tg_event;
	int16		type = trigger->tg_trigger->tgtype;

	if (!TRIGGER_FIRED_AFTER(event))
		refuse(trigger, "must be fired AFTER",
			   "A BEFORE trigger fires also for rows that ON CONFLICT drops, and would buy for nobody; declare it AFTER INSERT.");
	if (TRIGGER_FOR_DELETE(type) || TRIGGER_FOR_TRUNCATE(type))
		refuse(trigger, "must be fired by INSERT, or by UPDATE",
			   "Call bw_disconnect() to give up a telephone number.");
	if (TRIGGER_FIRED_FOR_STATEMENT(event) && TRIGGER_FOR_UPDATE(type))
		refuse(trigger, "must be fired for each row by UPDATE",
			   "Declare it FOR EACH ROW WHEN (NEW.phone_status = 'retry'), or the like.");
	if (TRIGGER_FIRED_FOR_STATEMENT(event) && trigger->tg_newtable == NULL)
		refuse(trigger, "needs the new rows",
			   "Add REFERENCING NEW TABLE AS inserted, or declare it FOR EACH ROW.");
	if (TRIGGER_FOR_UPDATE(type) && trigger->tg_trigger->tgqual == NULL)
		refuse(trigger, "needs a WHEN condition if it is fired by UPDATE",
			   "Without one each UPDATE of a row would buy a telephone number; add WHEN (NEW.phone_status = 'retry'), or the like.");
}

static void
refuse(const TriggerData *trigger, const char *why, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("trigger \"%s\": bw_provision() %s", trigger->tg_trigger->tgname, why),
			 errdetail("It is a trigger of table \"%s\".",
					   RelationGetRelationName(trigger->tg_relation)),
			 errhint("%s", hint)));
}

/* Other triggers of the statement may read the same rows. */
static void
provision_batch(const BwProvisionRule *rule, Tuplestorestate *rows)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rule->source),
													&TTSOpsMinimalTuple);
	MemoryContext row_cxt = AllocSetContextCreate(CurrentMemoryContext, "bandwidth row",
												  ALLOCSET_DEFAULT_SIZES);
	int			pointer = tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND);

	tuplestore_select_read_pointer(rows, pointer);
	tuplestore_rescan(rows);
	/* A tuple that comes from disk is the slot's own, and outlives row_cxt. */
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(row_cxt);

		bw_provision_row(rule, slot, true);
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_cxt);
		tuplestore_select_read_pointer(rows, pointer);
	}
	MemoryContextDelete(row_cxt);
	ExecDropSingleTupleTableSlot(slot);
}

/* bw_orders.id of the row that fired the trigger. */
static int64
order_of(const TriggerData *trigger)
{
	bool		isnull;
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	TupleTableSlot *row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event)
	? trigger->tg_newslot : trigger->tg_trigslot;

	for (int i = 0; i < desc->natts; i++)
		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), "id") == 0)
			return DatumGetInt64(slot_getattr(row, i + 1, &isnull));
	elog(ERROR, "bw_orders has no column \"id\"");
}

/* On bw_orders: the outcome of an order can be written into its row. */
Datum
bw_order_ended(PG_FUNCTION_ARGS)
{
	BwStoreScope scope;

	require_trigger(fcinfo, "bw_order_ended");
	bw_store_enter(&scope);
	bw_store_write_back_due(order_of((TriggerData *) fcinfo->context));
	bw_store_leave(&scope);
	bw_registry_wake_at_commit(BW_TOPIC_WRITE_BACKS);
	return PointerGetDatum(NULL);
}
