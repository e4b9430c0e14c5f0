/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  Differences between PostgreSQL versions, in one place.  Each names the
 *	  version from which on it is no longer needed.
 *
 * src/compat.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_COMPAT_H
#define BW_COMPAT_H

#include "postgres.h"

#include "access/genam.h"
#include "catalog/pg_extension.h"
#include "common/jsonapi.h"
#include "funcapi.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/relcache.h"
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif
#include "utils/wait_event.h"
/* VARDATA() and friends moved here with 16. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* Functions that do not return say so in front from 18 on. */
#ifndef pg_noreturn
#define pg_noreturn pg_attribute_noreturn()
#endif

/* CreateWaitEventSet() takes a resource owner from 17 on. */
static inline WaitEventSet *
bw_create_wait_event_set(MemoryContext cxt, int nevents)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(NULL, nevents);
#else
	return CreateWaitEventSet(cxt, nevents);
#endif
}

/* Wait events have names from 17 on; "known" keeps the number of one. */
static inline uint32
bw_wait_event(uint32 *known, const char *name)
{
#if PG_VERSION_NUM >= 170000
	if (*known == 0)
		*known = WaitEventExtensionNew(name);
#else
	*known = PG_WAIT_EXTENSION;
#endif
	return *known;
}

/* JSON actions return a status from 16 on, void before. */
#if PG_VERSION_NUM >= 160000
#define BW_JSON_ACTION_RESULT JsonParseErrorType
#define BW_JSON_ACTION_RETURN return JSON_SUCCESS
#else
#define BW_JSON_ACTION_RESULT void
#define BW_JSON_ACTION_RETURN return
#endif

/* A lexer over "json", with unescaped strings. */
static inline JsonLexContext *
bw_make_json_lexer(const char *json, size_t len, int encoding)
{
#if PG_VERSION_NUM >= 170000
	return makeJsonLexContextCstringLen(NULL, json, len, encoding, true);
#else
	return makeJsonLexContextCstringLen(unconstify(char *, json), (int) len,
										encoding, true);
#endif
}

/*
 * InitMaterializedSRF() has its name from 16 on.
 *
 * The columns are taken from the caller, who knows them.  To look them up costs
 * as much as reading some rows of a reply, and memory that stays until the
 * statement's end: 1 kB a call, of a function that is called for each row.
 */
static inline void
bw_init_materialized_srf(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		known = rsinfo != NULL && IsA(rsinfo, ReturnSetInfo) &&
	rsinfo->expectedDesc != NULL;

#if PG_VERSION_NUM >= 160000
	InitMaterializedSRF(fcinfo, known ? MAT_SRF_USE_EXPECTED_DESC : 0);
#else
	SetSingleFuncCall(fcinfo, known ? SRF_SINGLE_USE_EXPECTED : 0);
#endif
}

/* The same for functions whose rows are of one column, and so no row type. */
static inline void
bw_init_materialized_column(FunctionCallInfo fcinfo)
{
#if PG_VERSION_NUM >= 160000
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
#else
	SetSingleFuncCall(fcinfo, SRF_SINGLE_USE_EXPECTED);
#endif
}

/* The index of a primary key that is no deferrable one; 18 asks. */
static inline Oid
bw_primary_key_index(Relation relation)
{
#if PG_VERSION_NUM >= 180000
	return RelationGetPrimaryKeyIndex(relation, false);
#else
	return RelationGetPrimaryKeyIndex(relation);
#endif
}

/* Index scans can be instrumented from 18 on. */
static inline IndexScanDesc
bw_begin_index_scan(Relation heap, Relation index, Snapshot snapshot, int nkeys)
{
#if PG_VERSION_NUM >= 180000
	return index_beginscan(heap, index, snapshot, NULL, nkeys, 0);
#else
	return index_beginscan(heap, index, snapshot, nkeys, 0);
#endif
}

/* pg_extension_ownercheck() is object_ownercheck() from 16 on. */
static inline bool
bw_owns_extension(Oid extension, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(ExtensionRelationId, extension, role);
#else
	return pg_extension_ownercheck(extension, role);
#endif
}

#endif							/* BW_COMPAT_H */
