/*-------------------------------------------------------------------------
 *
 * launcher.h
 *	  Starts a worker for each database that has the extension.
 *
 * src/launcher.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_LAUNCHER_H
#define BW_LAUNCHER_H

#include "bandwidth.h"

/* Registers the launcher and the hooks that tell workers to come and go. */
extern void bw_launcher_init(void);
extern PGDLLEXPORT void bw_launcher_main(Datum main_arg);

#endif							/* BW_LAUNCHER_H */
