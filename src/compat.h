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

#include "catalog/pg_extension.h"
#include "common/jsonapi.h"
#include "funcapi.h"
#include "storage/latch.h"
#include "utils/acl.h"
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif
#include "utils/wait_event.h"

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
