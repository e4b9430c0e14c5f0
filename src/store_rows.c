/*-------------------------------------------------------------------------
 *
 * store_rows.c
 *	  Statements on rows of users' tables, found by their primary key.
 *
 * src/store_rows.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "compat.h"
#include "store_rows.h"

/* A partition that somebody has locked is not waited for. */
#define LOCK_TIMEOUT_MS 5

/* A statement that is being put together. */
typedef struct Draft
{
	StringInfoData text;
	int			nargs;
	Oid			types[BW_STATEMENT_MAX_ARGS];
	Datum		values[BW_STATEMENT_MAX_ARGS];
	bool		nulls[BW_STATEMENT_MAX_ARGS];
} Draft;

static uint64 look(const BwRowRef *row, Oid role, const char *verb);
static bool is_gone(Relation table, BwRowRef *row);
static bool read_builtin_key(BwRowRef *row);
static bool is_primary_key(Relation table, const BwRowRef *row);
static bool find_by_index(Relation table, const BwRowRef *row);
static bool is_same_key(Relation table, Relation index, const BwRowRef *row);
static bool scan_index(Relation table, Relation index, const BwRowRef *row);
static Datum read_value(Oid relation, AttrNumber column, const char *value, Oid *type);
static void begin(Draft *draft, const char *verb, Oid relation);
static char *table_name(Oid relation);
static char *column_name(Oid relation, AttrNumber column);
static void add_value(Draft *draft, Oid relation, AttrNumber column,
					  const char *value);
static void add_key(Draft *draft, const BwRowRef *row);
static uint64 run(Draft *draft);

Oid
bw_store_row_owner(const BwRowRef *row)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(row->relation));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

bool
bw_store_has_column(Oid relation, AttrNumber column)
{
	HeapTuple	tuple = SearchSysCacheAttNum(relation, column);

	if (!HeapTupleIsValid(tuple))
		return false;
	ReleaseSysCache(tuple);
	return true;
}

bool
bw_store_row_exists(const BwRowRef *row, Oid role)
{
	return look(row, role, "SELECT FROM") > 0;
}

bool
bw_store_row_is_single(const BwRowRef *row, Oid role)
{
	Relation	table = try_table_open(row->relation, AccessShareLock);
	bool		is_key;

	if (table == NULL)
		return false;
	is_key = is_primary_key(table, row);
	table_close(table, NoLock);
	return is_key || look(row, role, "SELECT FROM") == 1;
}

/* In whatever order its columns are. */
static bool
is_primary_key(Relation table, const BwRowRef *row)
{
	Bitmapset  *left = NULL;
	Oid			oid = bw_primary_key_index(table);
	Relation	index;
	bool		same;

	if (!OidIsValid(oid))
		return false;
	for (int i = 0; i < row->key_count; i++)
		left = bms_add_member(left, row->key_columns[i]);
	index = index_open(oid, AccessShareLock);
	same = index->rd_index->indnkeyatts == row->key_count;
	for (int i = 0; same && i < row->key_count; i++)
		left = bms_del_member(left, index->rd_index->indkey.values[i]);
	index_close(index, NoLock);
	return same && bms_is_empty(left);
}

bool
bw_store_row_says(const BwRowRef *row, Oid role, AttrNumber column, char **value)
{
	if (!bw_store_has_column(row->relation, column) ||
		look(row, role, psprintf("SELECT %s FROM",
								 column_name(row->relation, column))) == 0)
		return false;
	*value = bw_store_text(0, 0);
	return true;
}

/* How many rows there are, as the table's owner sees them. */
static uint64
look(const BwRowRef *row, Oid role, const char *verb)
{
	Oid			owner = bw_store_row_owner(row);
	BwActor		before;
	Draft		draft;
	uint64		count;

	if (!OidIsValid(owner))
		return 0;
	for (int i = 0; i < row->key_count; i++)
		if (!bw_store_has_column(row->relation, row->key_columns[i]))
			return 0;
	bw_store_act_as(&before, role, SECURITY_RESTRICTED_OPERATION);
	begin(&draft, verb, row->relation);
	add_key(&draft, row);
	bw_store_act_again(&before);
	bw_store_act_as(&before, owner, SECURITY_NOFORCE_RLS);
	count = run(&draft);
	bw_store_act_again(&before);
	return count;
}

bool
bw_store_row_is_there(const BwRowRef *row)
{
	Relation	table = try_table_open(row->relation, AccessShareLock);
	bool		found;

	if (table == NULL)
		return false;
	found = find_by_index(table, row);
	table_close(table, NoLock);
	return found;
}

/* False also if the primary key is not what it was, or has no index of its own. */
static bool
find_by_index(Relation table, const BwRowRef *row)
{
	Oid			oid = bw_primary_key_index(table);
	Relation	index;
	bool		found;

	if (!OidIsValid(oid) || table->rd_rel->relkind != RELKIND_RELATION)
		return false;
	index = index_open(oid, AccessShareLock);
	found = is_same_key(table, index, row) && scan_index(table, index, row);
	index_close(index, NoLock);
	return found;
}

static bool
is_same_key(Relation table, Relation index, const BwRowRef *row)
{
	if (index->rd_index->indnkeyatts != row->key_count)
		return false;
	for (int i = 0; i < row->key_count; i++)
	{
		AttrNumber	column = row->key_columns[i];

		if (index->rd_index->indkey.values[i] != column ||
			TupleDescAttr(RelationGetDescr(table), column - 1)->atttypid != row->key_types[i])
			return false;
	}
	return true;
}

static bool
scan_index(Relation table, Relation index, const BwRowRef *row)
{
	ScanKeyData keys[INDEX_MAX_KEYS];
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(table, NULL);
	IndexScanDesc scan;
	bool		found;

	for (int i = 0; i < row->key_count; i++)
	{
		Oid			type = index->rd_opcintype[i];
		Oid			equal = get_opfamily_member(index->rd_opfamily[i], type, type,
												BTEqualStrategyNumber);

		ScanKeyInit(&keys[i], i + 1, BTEqualStrategyNumber, get_opcode(equal),
					row->key_datums[i]);
		keys[i].sk_collation = index->rd_indcollation[i];
	}
	scan = bw_begin_index_scan(table, index, snapshot, row->key_count);
	index_rescan(scan, keys, row->key_count, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, slot);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	return found;
}

const char *
bw_store_row_is_gone(BwRowRef *row)
{
	Relation	table;
	bool		gone;

	if (!ConditionalLockRelationOid(row->relation, AccessShareLock))
		return NULL;
	table = try_table_open(row->relation, NoLock);
	gone = table == NULL || is_gone(table, row);
	if (table != NULL)
		table_close(table, NoLock);
	return gone ? bw_store_why_gone(row) : NULL;
}

const char *
bw_store_why_gone(const BwRowRef *row)
{
	switch (get_rel_relkind(row->relation))
	{
		case '\0':
			return "its table was dropped";
		case RELKIND_PARTITIONED_TABLE:
			return "the row was deleted, its partition was detached, or its primary key was changed";
		default:
			return "the row was deleted, or its primary key was changed";
	}
}

/* By the primary key, if that is what it was. */
static bool
is_gone(Relation table, BwRowRef *row)
{
	Oid			oid = bw_primary_key_index(table);
	BwActor		before;
	Relation	index;
	bool		gone;

	if (!OidIsValid(oid) || !ConditionalLockRelationOid(oid, AccessShareLock))
		return false;
	index = index_open(oid, NoLock);
	gone = read_builtin_key(row) && is_same_key(table, index, row);
	if (gone && table->rd_rel->relkind == RELKIND_RELATION)
		gone = !scan_index(table, index, row);
	else if (gone)
	{
		bw_store_act_as(&before, bw_store_row_owner(row), 0);
		bw_store_lock_timeout(LOCK_TIMEOUT_MS);
		gone = look(row, bw_store_row_owner(row), "SELECT FROM") == 0;
		bw_store_act_again(&before);
	}
	index_close(index, NoLock);
	return gone;
}

/* False: a column is gone, or its type may run a user's code. */
static bool
read_builtin_key(BwRowRef *row)
{
	row->key_types = palloc(sizeof(Oid) * row->key_count);
	row->key_datums = palloc(sizeof(Datum) * row->key_count);
	for (int i = 0; i < row->key_count; i++)
	{
		AttrNumber	column = row->key_columns[i];

		if (!bw_store_has_column(row->relation, column) ||
			get_atttype(row->relation, column) >= FirstNormalObjectId)
			return false;
		row->key_datums[i] = read_value(row->relation, column, row->key_values[i],
										&row->key_types[i]);
	}
	return true;
}

bool
bw_store_lock_row(const BwRowRef *row, AttrNumber column, char **value)
{
	Draft		draft;

	begin(&draft, psprintf("SELECT %s FROM", column_name(row->relation, column)),
		  row->relation);
	add_key(&draft, row);
	appendStringInfoString(&draft.text, " FOR NO KEY UPDATE NOWAIT");
	if (run(&draft) == 0)
		return false;
	*value = bw_store_text(0, 0);
	return true;
}

uint64
bw_store_update_row(const BwRowRef *row, const BwNewValue *values, int count)
{
	Draft		draft;

	begin(&draft, "UPDATE", row->relation);
	for (int i = 0; i < count; i++)
	{
		appendStringInfo(&draft.text, "%s %s = ", i == 0 ? " SET" : ",",
						 column_name(row->relation, values[i].column));
		add_value(&draft, row->relation, values[i].column, values[i].value);
		appendStringInfo(&draft.text, "$%d", draft.nargs);
	}
	add_key(&draft, row);
	return run(&draft);
}

static void
begin(Draft *draft, const char *verb, Oid relation)
{
	const char *only = get_rel_relkind(relation) == RELKIND_PARTITIONED_TABLE
	? "" : "ONLY ";

	draft->nargs = 0;
	initStringInfo(&draft->text);
	appendStringInfo(&draft->text, "%s %s%s", verb, only, table_name(relation));
}

static char *
table_name(Oid relation)
{
	char	   *name = get_rel_name(relation);

	if (name == NULL)
		elog(ERROR, "cache lookup failed for relation %u", relation);
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
									  name);
}

static char *
column_name(Oid relation, AttrNumber column)
{
	return unconstify(char *, quote_identifier(get_attname(relation, column, false)));
}

/*
 * The next argument: of the column's type, so that it is assigned as any value
 * of that type is, without a cast that would cut it to fit.
 */
static void
add_value(Draft *draft, Oid relation, AttrNumber column, const char *value)
{
	int			n = draft->nargs++;

	if (n == BW_STATEMENT_MAX_ARGS)
		elog(ERROR, "too many columns");
	draft->nulls[n] = (value == NULL);
	draft->values[n] = read_value(relation, column, value, &draft->types[n]);
}

static Datum
read_value(Oid relation, AttrNumber column, const char *value, Oid *type)
{
	int32		typmod;
	Oid			collation;
	Oid			input;
	Oid			param;

	get_atttypetypmodcoll(relation, column, type, &typmod, &collation);
	getTypeInputInfo(*type, &input, &param);
	return OidInputFunctionCall(input, unconstify(char *, value), param, -1);
}

/* With the equality that the primary key itself uses. */
static void
add_key(Draft *draft, const BwRowRef *row)
{
	for (int i = 0; i < row->key_count; i++)
	{
		AttrNumber	column = row->key_columns[i];
		Oid			type;
		char		argument[16];

		add_value(draft, row->relation, column, row->key_values[i]);
		type = draft->types[draft->nargs - 1];
		snprintf(argument, sizeof(argument), "$%d", draft->nargs);
		appendStringInfoString(&draft->text, i == 0 ? " WHERE " : " AND ");
		generate_operator_clause(&draft->text, column_name(row->relation, column), type,
								 lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr,
								 argument, type);
	}
}

static uint64
run(Draft *draft)
{
	return bw_store_run_text(draft->text.data, draft->nargs, draft->types,
							 draft->values, draft->nulls);
}
