/*-------------------------------------------------------------------------
 *
 * store_prune.h
 *	  Statements that delete what is old.
 *
 * Each walks a table by its id, which grows with time, one page after the
 * other; "after" is the last id of the page before, and 0 when there is no
 * further one.  They return how many rows were deleted.
 *
 * src/store_prune.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_STORE_PRUNE_H
#define BW_STORE_PRUNE_H

#include "bandwidth.h"

#include "datatype/timestamp.h"
#include "store.h"

/* From now on, what Bandwidth has of that age was not lost (store_timeline.h). */
extern void bw_store_note_pruned(TimestampTz before);

/* Final orders with their numbers and events; not those that are locked. */
extern int64 bw_store_prune_orders(TimestampTz before, int64 *after);

/* Closed requests all of whose orders are gone. */
extern int64 bw_store_prune_requests(TimestampTz before, int64 *after);

/* Callbacks that were applied. */
extern int64 bw_store_prune_notifications(TimestampTz before, int64 *after);

#endif							/* BW_STORE_PRUNE_H */
