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

#endif							/* BW_BACKGROUND_H */
