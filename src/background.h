/*-------------------------------------------------------------------------
 *
 * background.h
 *	  Settings for processes that no user started.
 *
 * src/background.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_BACKGROUND_H
#define BW_BACKGROUND_H

/* Override what the database has set and a background process cannot bear. */
extern void bw_background_settings(void);

/* For pg_stat_activity, and %a of log_line_prefix. */
extern void bw_background_name(const char *name);

#endif							/* BW_BACKGROUND_H */
