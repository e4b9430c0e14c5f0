/*-------------------------------------------------------------------------
 *
 * store.c
 *	  The one door to SQL: saved statements, run as the extension's owner.
 *
 * Users call our functions without any right on our tables, and with any
 * search_path; the worker starts as a superuser that it must not act as.
 * Both enter here: the identity becomes the owner of bw_orders (who may be
 * neither superuser nor able to log in), and the search_path is pg_catalog and,
 * last, pg_temp: not our own schema, where others may be allowed to CREATE.
 *
 * The only file that includes SPI.
 *
 * src/store.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "tcop/pquery.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "qualify.h"
#include "store.h"

/* The scope that is open; scopes nest when a trigger calls us again. */
static BwStoreScope *current_scope = NULL;

/* Name of the extension's schema when a scope was last opened. */
static const char *own_schema = NULL;

static bool find_tables(Oid *owner, Oid *schema);
static Oid	extension_schema(void);
static char *read_extension(Oid *schema);
static void lock_extension(void);
static void note_schema(Oid schema);
static SPIPlanPtr statement_plan(BwStatement *statement);
static uint64 run_plan(BwStatement *statement, const Datum *values,
					   const bool *nulls, Snapshot snapshot);
static void back_to_caller(BwStoreScope *scope);
static Datum build_array(Datum *values, bool *nulls, int count, Oid type);

bool
bw_store_installed(void)
{
	return OidIsValid(extension_schema());
}

/* Their owner and schema, by the oid that bw_orders had the last time. */
static bool
find_tables(Oid *owner, Oid *schema)
{
	static Oid	orders = InvalidOid;
	HeapTuple	tuple = NULL;

	if (OidIsValid(orders))
		tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(orders));
	if (!HeapTupleIsValid(tuple))
	{
		*schema = extension_schema();
		if (!OidIsValid(*schema))
			return false;
		orders = get_relname_relid("bw_orders", *schema);
		tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(orders));
	}
	if (!HeapTupleIsValid(tuple))
		return false;
	*owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	*schema = ((Form_pg_class) GETSTRUCT(tuple))->relnamespace;
	ReleaseSysCache(tuple);
	return true;
}

void
bw_store_enter(BwStoreScope *scope)
{
	Oid			owner;
	Oid			schema;

	if (!find_tables(&owner, &schema))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"%s\" is not installed in this database",
						"bandwidth"),
				 errhint("Run CREATE EXTENSION bandwidth.")));

	note_schema(schema);
	scope->caller = CurrentMemoryContext;
	scope->outer = current_scope;
	GetUserIdAndSecContext(&scope->user, &scope->security_context);
	SetUserIdAndSecContext(owner,
						   scope->security_context | SECURITY_LOCAL_USERID_CHANGE);
	scope->guc_nest_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	back_to_caller(scope);
}

void
bw_store_leave(BwStoreScope *scope)
{
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	current_scope = scope->outer;
	AtEOXact_GUC(true, scope->guc_nest_level);
	SetUserIdAndSecContext(scope->user, scope->security_context);
	MemoryContextSwitchTo(scope->caller);
}

void
bw_store_begin(BwStoreScope *scope)
{
	MemoryContext caller = CurrentMemoryContext;

	current_scope = NULL;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	lock_extension();
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(caller);
	bw_store_enter(scope);
}

/*
 * DROP EXTENSION locks the extension first and then its tables, in an order of
 * its own.  The worker waits for it here, before it holds any of them: else the
 * two could wait for each other, and the user's DROP might be the one to fail.
 */
static void
lock_extension(void)
{
	Oid			extension = get_extension_oid("bandwidth", true);

	if (OidIsValid(extension))
		LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
}

void
bw_store_commit(BwStoreScope *scope)
{
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	current_scope = NULL;
	PopActiveSnapshot();
	CommitTransactionCommand();
	SetUserIdAndSecContext(scope->user, scope->security_context);
	MemoryContextSwitchTo(scope->caller);
}

void
bw_store_abort(MemoryContext cxt)
{
	current_scope = NULL;
	AbortCurrentTransaction();
	MemoryContextSwitchTo(cxt);
}

void
bw_store_commit_caller(void)
{
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	SPI_commit();
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	EnsurePortalSnapshotExists();
}

void
bw_store_act_as(BwActor *before, Oid role, int flags)
{
	before->guc_nest_level = NewGUCNestLevel();
	GetUserIdAndSecContext(&before->user, &before->security_context);
	SetUserIdAndSecContext(role, before->security_context |
						   SECURITY_LOCAL_USERID_CHANGE | flags);
	(void) set_config_option("search_path", GetConfigOptionResetString("search_path"),
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
}

void
bw_store_act_again(const BwActor *before)
{
	AtEOXact_GUC(false, before->guc_nest_level);
	SetUserIdAndSecContext(before->user, before->security_context);
}

void
bw_store_constraints_immediate(void)
{
	ConstraintsSetStmt *all = makeNode(ConstraintsSetStmt);

	AfterTriggerSetState(all);
}

void
bw_store_lock_timeout(int ms)
{
	char		value[16];

	snprintf(value, sizeof(value), "%d", ms);
	(void) set_config_option("lock_timeout", value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

void
bw_store_commit_lazily(void)
{
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

char *
bw_store_sql_version(void)
{
	Oid			schema;

	return read_extension(&schema);
}

/* get_extension_schema() is public from PostgreSQL 16 on only. */
static Oid
extension_schema(void)
{
	Oid			schema;

	return read_extension(&schema) != NULL ? schema : InvalidOid;
}

/* Schema and version; NULL: it is not installed. */
static char *
read_extension(Oid *schema)
{
	char	   *version = NULL;
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("bandwidth"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;

		*schema = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
		version = TextDatumGetCString(heap_getattr(tuple, Anum_pg_extension_extversion,
												   RelationGetDescr(rel), &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

bool
bw_store_owns_extension(Oid role)
{
	Oid			extension = get_extension_oid("bandwidth", true);

	return OidIsValid(extension) && bw_owns_extension(extension, role);
}

/* A schema may get another name, and the extension another schema. */
static void
note_schema(Oid schema)
{
	char	   *name = get_namespace_name(schema);

	if (name == NULL)
		elog(ERROR, "cache lookup failed for schema %u", schema);
	if (own_schema == NULL || strcmp(own_schema, name) != 0)
		own_schema = MemoryContextStrdup(TopMemoryContext, name);
	pfree(name);
}

/* A plan for a former schema is not freed: it may be running, further out. */
static SPIPlanPtr
statement_plan(BwStatement *statement)
{
	SPIPlanPtr	plan;

	if (statement->plan != NULL && statement->schema == own_schema)
		return statement->plan;
	plan = SPI_prepare(bw_qualify(statement->text, own_schema), statement->nargs,
					   statement->argtypes);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "SPI_keepplan failed");
	statement->plan = plan;
	statement->schema = own_schema;
	return plan;
}

uint64
bw_store_run(BwStatement *statement, const Datum *values, const bool *nulls)
{
	return run_plan(statement, values, nulls, InvalidSnapshot);
}

uint64
bw_store_run_latest(BwStatement *statement, const Datum *values,
					const bool *nulls)
{
	uint64		rows;

	PushActiveSnapshot(GetLatestSnapshot());
	rows = run_plan(statement, values, nulls, GetActiveSnapshot());
	PopActiveSnapshot();
	return rows;
}

static uint64
run_plan(BwStatement *statement, const Datum *values, const bool *nulls,
		 Snapshot snapshot)
{
	char		null_flags[BW_STATEMENT_MAX_ARGS];
	BwStoreScope *scope = current_scope;
	SPIPlanPtr	plan = statement_plan(statement);
	int			result;

	for (int i = 0; i < statement->nargs; i++)
		null_flags[i] = (nulls != NULL && nulls[i]) ? 'n' : ' ';
	if (SPI_tuptable != NULL)
		SPI_freetuptable(SPI_tuptable);
	result = SPI_execute_snapshot(plan, unconstify(Datum *, values), null_flags,
								  snapshot, InvalidSnapshot,
								  snapshot != InvalidSnapshot, true, 0);
	back_to_caller(scope);
	if (result < 0)
		elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(result));
	return SPI_processed;
}

uint64
bw_store_run_text(const char *text, int nargs, Oid *types, Datum *values,
				  const bool *nulls)
{
	char		null_flags[BW_STATEMENT_MAX_ARGS];
	BwStoreScope *scope = current_scope;
	int			result;

	for (int i = 0; i < nargs; i++)
		null_flags[i] = nulls[i] ? 'n' : ' ';
	if (SPI_tuptable != NULL)
		SPI_freetuptable(SPI_tuptable);
	result = SPI_execute_with_args(text, nargs, types, values, null_flags, false, 0);
	back_to_caller(scope);
	if (result < 0)
		elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(result));
	return SPI_processed;
}

/*
 * SPI leaves its own context current, which goes at the end of the scope.  A
 * trigger of the statement may have opened scopes that an error ended.
 */
static void
back_to_caller(BwStoreScope *scope)
{
	current_scope = scope;
	MemoryContextSwitchTo(scope->caller);
}

Datum
bw_store_datum(uint64 row, int column, bool *isnull)
{
	Assert(row < SPI_processed && SPI_tuptable != NULL);
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 column + 1, isnull);
}

bool
bw_store_is_null(uint64 row, int column)
{
	bool		isnull;

	(void) bw_store_datum(row, column, &isnull);
	return isnull;
}

char *
bw_store_text(uint64 row, int column)
{
	Oid			type = SPI_gettypeid(SPI_tuptable->tupdesc, column + 1);
	bool		isnull;
	Datum		value = bw_store_datum(row, column, &isnull);
	MemoryContext old;
	char	   *copy;

	if (isnull)
		return NULL;
	old = MemoryContextSwitchTo(current_scope->caller);
	switch (type)
	{
			/* Nearly all: no output function is looked up. */
		case TEXTOID:
			copy = TextDatumGetCString(value);
			break;
		case NAMEOID:
			copy = pstrdup(NameStr(*DatumGetName(value)));
			break;
		default:
			copy = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
								column + 1);
			break;
	}
	MemoryContextSwitchTo(old);
	return copy;
}

int64
bw_store_int64(uint64 row, int column)
{
	bool		isnull;
	Datum		value = bw_store_datum(row, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

int32
bw_store_int32(uint64 row, int column)
{
	bool		isnull;
	Datum		value = bw_store_datum(row, column, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

bool
bw_store_bool(uint64 row, int column)
{
	bool		isnull;
	Datum		value = bw_store_datum(row, column, &isnull);

	return !isnull && DatumGetBool(value);
}

TimestampTz
bw_store_time(uint64 row, int column)
{
	bool		isnull;
	Datum		value = bw_store_datum(row, column, &isnull);

	return isnull ? DT_NOBEGIN : DatumGetTimestampTz(value);
}

char **
bw_store_texts(uint64 row, int column, int *count)
{
	bool		isnull;
	Datum		value = bw_store_datum(row, column, &isnull);
	MemoryContext old;
	Datum	   *items;
	bool	   *nulls;
	int			n;
	char	  **texts;

	*count = 0;
	if (isnull)
		return NULL;
	old = MemoryContextSwitchTo(current_scope->caller);
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false,
					  TYPALIGN_INT, &items, &nulls, &n);
	texts = palloc(sizeof(char *) * Max(n, 1));
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			texts[(*count)++] = TextDatumGetCString(items[i]);
	MemoryContextSwitchTo(old);
	return texts;
}

int64 *
bw_store_ids(uint64 rows, int *count)
{
	int64	   *ids = palloc(sizeof(int64) * Max(rows, 1));

	*count = (int) rows;
	for (uint64 i = 0; i < rows; i++)
		ids[i] = bw_store_int64(i, 0);
	return ids;
}

bytea *
bw_store_bytea(uint64 row, int column)
{
	bool		isnull;
	Datum		value = bw_store_datum(row, column, &isnull);
	MemoryContext old;
	bytea	   *copy;

	if (isnull)
		return NULL;
	old = MemoryContextSwitchTo(current_scope->caller);
	copy = DatumGetByteaPCopy(value);
	MemoryContextSwitchTo(old);
	return copy;
}

static Datum
build_array(Datum *values, bool *nulls, int count, Oid type)
{
	int16		typlen;
	bool		typbyval;
	char		typalign;
	int			dims[1] = {count};
	int			lbs[1] = {1};

	if (count == 0)
		return PointerGetDatum(construct_empty_array(type));
	get_typlenbyvalalign(type, &typlen, &typbyval, &typalign);
	return PointerGetDatum(construct_md_array(values, nulls, 1, dims, lbs, type,
											  typlen, typbyval, typalign));
}

Datum
bw_store_int16_array(const int16 *values, int count)
{
	Datum	   *datums = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		datums[i] = Int16GetDatum(values[i]);
	return build_array(datums, NULL, count, INT2OID);
}

Datum
bw_store_int64_array(const int64 *values, int count)
{
	Datum	   *datums = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		datums[i] = Int64GetDatum(values[i]);
	return build_array(datums, NULL, count, INT8OID);
}

Datum
bw_store_int32_array(const int32 *values, int count)
{
	Datum	   *datums = palloc(sizeof(Datum) * Max(count, 1));
	bool	   *nulls = palloc0(sizeof(bool) * Max(count, 1));

	for (int i = 0; i < count; i++)
	{
		nulls[i] = (values[i] < 0);
		datums[i] = Int32GetDatum(values[i]);
	}
	return build_array(datums, nulls, count, INT4OID);
}

Datum
bw_store_text_array(const char *const *values, int count)
{
	Datum	   *datums = palloc(sizeof(Datum) * Max(count, 1));
	bool	   *nulls = palloc0(sizeof(bool) * Max(count, 1));

	for (int i = 0; i < count; i++)
	{
		nulls[i] = (values[i] == NULL);
		datums[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(values[i]);
	}
	return build_array(datums, nulls, count, TEXTOID);
}

Datum
bw_store_time_array(const TimestampTz *values, int count)
{
	Datum	   *datums = palloc(sizeof(Datum) * Max(count, 1));
	bool	   *nulls = palloc0(sizeof(bool) * Max(count, 1));

	for (int i = 0; i < count; i++)
	{
		nulls[i] = TIMESTAMP_IS_NOBEGIN(values[i]);
		datums[i] = TimestampTzGetDatum(values[i]);
	}
	return build_array(datums, nulls, count, TIMESTAMPTZOID);
}

bool
bw_store_is_own_write(const char *xmin)
{
	return TransactionIdIsCurrentTransactionId((TransactionId) strtoul(xmin, NULL, 10));
}
