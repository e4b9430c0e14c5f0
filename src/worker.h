/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  The worker of one database.
 *
 * src/worker.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_WORKER_H
#define BW_WORKER_H

#include "bandwidth.h"

/* Entry point for the postmaster; the argument is the database's oid. */
extern PGDLLEXPORT void bw_worker_main(Datum main_arg);

#endif							/* BW_WORKER_H */
