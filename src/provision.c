/*-------------------------------------------------------------------------
 *
 * provision.c
 *	  A telephone number for a row of a user's table.
 *
 * The row goes on the list of those that wait for a number (bw_provisions),
 * with all that is needed to find it again, and the order is made in the same
 * transaction.  What follows when the order has ended is write_back.c's.
 *
 * A row may be removed again by the transaction that inserted it.  That is looked
 * at right before the commit, and not by a deferred trigger: another one may come
 * after it, and SET CONSTRAINTS may call it early.
 *
 * src/provision.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "provision.h"
#include "registry.h"
#include "request.h"
#include "store.h"
#include "store_orders.h"
#include "store_provisions.h"

/* An order of this transaction, until it ends. */
typedef struct Made
{
	int64		order_id;		/* hash key; must be first */
	Oid			role;			/* who ordered */
	BwRowRef	row;
} Made;

static HTAB *made = NULL;

/* What an error is about. */
typedef struct Place
{
	const BwProvisionRule *rule;
	const char *key;			/* NULL: not read yet */
} Place;

static void tell_place(void *arg);
static void read_row(const BwProvisionRule *rule, TupleTableSlot *row,
					 BwProvision *provision);
static bool is_plain(Oid type);
static int	set_plain_formats(void);
static char *column_text(TupleTableSlot *row, AttrNumber column);
static void add_to_key(StringInfo key, const BwProvisionRule *rule, int i,
					   const char *value, Oid type);
static void remember(const BwProvision *provision);
static HTAB *create_memory(void);
static BwRowRef copy_row(const BwRowRef *row);
static void at_transaction_end(XactEvent event, void *arg);
static void cancel_orders_of_nothing(void);
static void cancel_unless_exists(const Made *entry);
static bool says_complete(const BwProvisionRule *rule, TupleTableSlot *row);
static bool has_its_number(const BwProvisionRule *rule, TupleTableSlot *row,
						   const BwProvision *provision);
static bool another_row_has(const BwProvision *provision, const BwBought *bought,
							const BwNumber *number, Oid role);
static int64 place(const BwProvisionRule *rule, TupleTableSlot *row,
				   const BwProvision *provision);

void
bw_provision_row(const BwProvisionRule *rule, TupleTableSlot *row, bool is_new)
{
	Place		where = {.rule = rule};
	BwProvision provision = {.is_new = is_new};
	ErrorContextCallback context;

	context.callback = tell_place;
	context.arg = &where;
	context.previous = error_context_stack;
	error_context_stack = &context;
	read_row(rule, row, &provision);
	where.key = provision.key;
	provision.order_id = place(rule, row, &provision);
	if (provision.order_id != 0)
		remember(&provision);
	error_context_stack = context.previous;
}

static void
tell_place(void *arg)
{
	Place	   *where = (Place *) arg;

	errcontext("trigger \"%s\" for row %s of table %s", where->rule->trigger->tgname,
			   where->key ? where->key : "?", where->rule->target_name);
}

static void
read_row(const BwProvisionRule *rule, TupleTableSlot *row, BwProvision *provision)
{
	StringInfoData key;
	int			level = 0;

	initStringInfo(&key);
	provision->table = rule->target_name;
	provision->row.relation = rule->target;
	provision->row.key_count = rule->key_count;
	provision->row.key_columns = rule->target_key;
	provision->row.key_values = palloc(sizeof(char *) * rule->key_count);
	provision->row.key_types = palloc(sizeof(Oid) * rule->key_count);
	provision->row.key_datums = palloc(sizeof(Datum) * rule->key_count);
	for (int i = 0; i < rule->key_count; i++)
	{
		AttrNumber	column = rule->source_key[i];
		Oid			type = TupleDescAttr(row->tts_tupleDescriptor, column - 1)->atttypid;
		bool		isnull;

		provision->row.key_types[i] = type;
		provision->row.key_datums[i] = slot_getattr(row, column, &isnull);
		if (level == 0 && !is_plain(type))
			level = set_plain_formats();
		provision->row.key_values[i] = column_text(row, column);
		add_to_key(&key, rule, i, provision->row.key_values[i], type);
	}
	if (level != 0)
		AtEOXact_GUC(true, level);
	appendStringInfoChar(&key, '}');
	provision->key = key.data;
	provision->number_column = rule->number_column;
	provision->status_column = rule->status_column;
	provision->error_column = rule->error_column;
	provision->e164 = rule->e164;
	provision->number_before = column_text(row, rule->source_number);
}

/* Is its text the same whatever the session's settings are? */
static bool
is_plain(Oid type)
{
	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case TEXTOID:
		case VARCHAROID:
		case UUIDOID:
			return true;
		default:
			return false;
	}
}

/* As postgres_fdw does for values that another session will read. */
static int
set_plain_formats(void)
{
	int			level = NewGUCNestLevel();
	static const char *const settings[][2] = {
		{"datestyle", "ISO"}, {"intervalstyle", "postgres"},
		{"extra_float_digits", "3"}
	};

	for (int i = 0; i < (int) lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return level;
}

static void
strip_padding(char *text)
{
	size_t		len = strlen(text);

	while (len > 0 && text[len - 1] == ' ')
		text[--len] = '\0';
}

/* NULL: null.  Blanks that pad a character(n) are no part of the value. */
static char *
column_text(TupleTableSlot *row, AttrNumber column)
{
	Oid			type = TupleDescAttr(row->tts_tupleDescriptor, column - 1)->atttypid;
	bool		isnull;
	Datum		value = slot_getattr(row, column, &isnull);
	Oid			output;
	bool		is_varlena;
	char	   *text;

	if (isnull)
		return NULL;
	getTypeOutputInfo(type, &output, &is_varlena);
	text = OidOutputFunctionCall(output, value);
	if (getBaseType(type) == BPCHAROID)
		strip_padding(text);
	return text;
}

static void
add_to_key(StringInfo key, const BwProvisionRule *rule, int i, const char *value,
		   Oid type)
{
	appendStringInfoString(key, i == 0 ? "{" : ", ");
	escape_json(key, get_attname(rule->target, rule->target_key[i], false));
	appendStringInfoString(key, ": ");
	if (type == INT2OID || type == INT4OID || type == INT8OID)
		appendStringInfoString(key, value);
	else
		escape_json(key, value);
}

/* Returns the order's id; 0: the row needs none, as was said. */
static int64
place(const BwProvisionRule *rule, TupleTableSlot *row, const BwProvision *provision)
{
	BwSearchOrder wanted = {.server = bw_config_server(rule->server),.for_row = provision};
	BwPlaced	placed;

	bw_config_check_usage(wanted.server, GetUserId());
	bw_criteria_init(&wanted.criteria);
	wanted.criteria.search.quantity = 1;
	wanted.criteria.search.lca = 0;
	wanted.options.site_id = wanted.server->site_id;
	wanted.options.peer_id = wanted.server->peer_id;
	wanted.options.attempts = 1;
	for (int i = 0; i < rule->input_count; i++)
	{
		const BwProvisionInput *input = &rule->inputs[i];
		const char *value = input->constant ? input->constant : column_text(row, input->column);

		if (value != NULL)
			bw_provision_set(input, value, &wanted);
	}
	if (provision->number_before == NULL)
		bw_place_search_order(&wanted, &placed);
	else if (has_its_number(rule, row, provision))
		return 0;
	else
	{
		const char *number = provision->number_before;
		BwNumbersOrder exact = {.server = wanted.server,.numbers = &number,.count = 1,
		.options = wanted.options,.tag = wanted.tag,.for_row = provision};

		/* The row may have it already: it never gets another one instead. */
		exact.options.attempts = Min(exact.options.attempts, 1);
		bw_place_numbers_order(&exact, &placed);
	}
	if (placed.id == 0)
		ereport(NOTICE,
				(errmsg("no number is ordered: the row waits for an order already")));
	return placed.id;
}

static bool
says_complete(const BwProvisionRule *rule, TupleTableSlot *row)
{
	AttrNumber	column;
	char	   *status;

	if (rule->status_column == InvalidAttrNumber)
		return false;
	column = get_attnum(RelationGetRelid(rule->source),
						get_attname(rule->target, rule->status_column, false));
	status = column_text(row, column);
	return status != NULL &&
		strcmp(status, bw_order_status_name(BW_ORDER_COMPLETE)) == 0;
}

/*
 * A row that moves to another partition is inserted there, and one that was
 * saved elsewhere may come back: with its number.
 */
static bool
has_its_number(const BwProvisionRule *rule, TupleTableSlot *row,
			   const BwProvision *provision)
{
	BwNumber	number;
	BwProblem	problem;
	BwBought	bought;
	bool		complete = says_complete(rule, row);
	bool		has_it = false;
	Oid			role = GetUserId();
	BwStoreScope scope;

	if (!bw_number_parse(provision->number_before, &number, &problem))
		return false;			/* the order will say so */
	bw_store_enter(&scope);
	bw_store_bought(provision, number.digits, &bought);
	if (bought.order_id != 0)
		has_it = complete || bought.same_row ||
			!another_row_has(provision, &bought, &number, role);
	bw_store_leave(&scope);
	if (has_it)
		ereport(NOTICE,
				(errmsg("no number is ordered: %s was bought for this table already, by order " INT64_FORMAT,
						provision->number_before, bought.order_id)));
	else if (complete && bought.was_pruned)
		ereport(NOTICE,
				(errmsg("no number is ordered: the row has %s, as it says", provision->number_before),
				 errdetail("Old orders were deleted by bw_prune().")));
	else
		return false;
	return true;
}

/* Does the row that the number was bought for still have it? */
static bool
another_row_has(const BwProvision *provision, const BwBought *bought,
				const BwNumber *number, Oid role)
{
	char	   *text;
	BwNumber	there;
	BwProblem	problem;

	return bought->row.key_count > 0 &&
		bw_store_row_says(&bought->row, role, provision->number_column, &text) &&
		text != NULL && bw_number_parse(text, &there, &problem) &&
		strcmp(there.digits, number->digits) == 0;
}

/* For the end of the transaction. */
static void
remember(const BwProvision *provision)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Made	   *entry;

	if (made == NULL)
		made = create_memory();
	entry = hash_search(made, &provision->order_id, HASH_ENTER, NULL);
	entry->role = GetUserId();
	entry->row = copy_row(&provision->row);
	MemoryContextSwitchTo(old);
}

static BwRowRef
copy_row(const BwRowRef *row)
{
	BwRowRef	copy = *row;

	copy.key_columns = palloc(sizeof(AttrNumber) * row->key_count);
	copy.key_values = palloc(sizeof(char *) * row->key_count);
	copy.key_types = palloc(sizeof(Oid) * row->key_count);
	copy.key_datums = palloc(sizeof(Datum) * row->key_count);
	for (int i = 0; i < row->key_count; i++)
	{
		int16		length;
		bool		by_value;

		get_typlenbyval(row->key_types[i], &length, &by_value);
		copy.key_columns[i] = row->key_columns[i];
		copy.key_values[i] = pstrdup(row->key_values[i]);
		copy.key_types[i] = row->key_types[i];
		copy.key_datums[i] = datumCopy(row->key_datums[i], by_value, length);
	}
	return copy;
}

static HTAB *
create_memory(void)
{
	static bool registered = false;
	HASHCTL		ctl = {.keysize = sizeof(int64),.entrysize = sizeof(Made),
	.hcxt = TopTransactionContext};

	if (!registered)
		RegisterXactCallback(at_transaction_end, NULL);
	registered = true;
	return hash_create("orders for rows", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (made == NULL)
		return;
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		cancel_orders_of_nothing();
	else if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
			 event == XACT_EVENT_PREPARE)
		made = NULL;
}

/*
 * No trigger can be put off from here on: a user's code that tries is stopped by
 * being security-restricted (bw_store_row_exists).
 */
static void
cancel_orders_of_nothing(void)
{
	HASH_SEQ_STATUS all;
	Made	   *entry;

	CommandCounterIncrement();
	hash_seq_init(&all, made);
	while ((entry = hash_seq_search(&all)) != NULL)
		if (!bw_store_row_is_there(&entry->row))
			cancel_unless_exists(entry);
}

static void
cancel_unless_exists(const Made *entry)
{
	BwStoreScope scope;

	/* The statement that ran last has taken its own along. */
	PushActiveSnapshot(GetTransactionSnapshot());
	bw_store_enter(&scope);
	if (!bw_store_row_exists(&entry->row, entry->role))
	{
		bw_store_end_provision(entry->order_id);
		(void) bw_store_cancel_order(entry->order_id);
	}
	bw_store_leave(&scope);
	PopActiveSnapshot();
}
