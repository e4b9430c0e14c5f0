/*-------------------------------------------------------------------------
 *
 * close.h
 *	  Ends a back order: PUT with CloseOrder.
 *
 * src/close.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_CLOSE_H
#define BW_CLOSE_H

#include "store_requests.h"
#include "work.h"

/* Inside a transaction; bw_close_send() after it. */
extern BwTask *bw_close_create(BwWork *work, const BwRequestRow *request);
extern void bw_close_send(BwWork *work, BwTask *task);

/* The next look at the order tells what became of it. */
extern void bw_close_finished(BwWork *work, BwTask *task);

#endif							/* BW_CLOSE_H */
