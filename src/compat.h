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

/* InitMaterializedSRF() has its name from 16 on. */
static inline void
bw_init_materialized_srf(FunctionCallInfo fcinfo)
{
#if PG_VERSION_NUM >= 160000
	InitMaterializedSRF(fcinfo, 0);
#else
	SetSingleFuncCall(fcinfo, 0);
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
