/*-------------------------------------------------------------------------
 *
 * background.h
 *	  Processes that no user started: how they start, and with what settings.
 *
 * src/background.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_BACKGROUND_H
#define BW_BACKGROUND_H

#include "postmaster/bgworker.h"

/*
 * Start one for a database: "kind" is for pg_stat_activity, "function" is its
 * main one.  False: all background workers are in use.  "handle" may be NULL.
 */
extern bool bw_background_start(const char *kind, const char *function,
								Oid database, BackgroundWorkerHandle **handle);

/* Override what the database has set and a background process cannot bear. */
extern void bw_background_settings(void);

/* For pg_stat_activity, and %a of log_line_prefix. */
extern void bw_background_name(const char *name);

#endif							/* BW_BACKGROUND_H */
