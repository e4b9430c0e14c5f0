/*-------------------------------------------------------------------------
 *
 * bulk.h
 *	  Asks about many orders at once: Bandwidth's list of orders.
 *
 * src/bulk.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_BULK_H
#define BW_BULK_H

#include "store_requests.h"
#include "work.h"

/*
 * A task that asks about these requests, all of one server and role, and bound
 * to orders at Bandwidth.
 */
extern BwTask *bw_bulk_create(BwWork *work, const BwRequestRow *const *requests,
							  int count);
extern void bw_bulk_send(BwWork *work, BwTask *task);

/* Take a page; go on with the next one, or record what was learnt. */
extern void bw_bulk_finished(BwWork *work, BwTask *task);

#endif							/* BW_BULK_H */
