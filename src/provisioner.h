/*-------------------------------------------------------------------------
 *
 * provisioner.h
 *	  The process that writes outcomes into rows of users' tables.
 *
 * src/provisioner.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_PROVISIONER_H
#define BW_PROVISIONER_H

#include "bandwidth.h"

#include "work.h"

/* Entry point for the postmaster; the argument is the database's oid. */
extern PGDLLEXPORT void bw_provisioner_main(Datum main_arg);

/* In the worker: start it, or wake it, if there is something to write. */
extern void bw_provisioner_lap(BwWork *work);

/* In the worker, which is leaving: it leaves as well. */
extern void bw_provisioner_stop(BwWork *work);

#endif							/* BW_PROVISIONER_H */
