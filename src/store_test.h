/*-------------------------------------------------------------------------
 *
 * store_test.h
 *	  Statements that play an outcome which nobody sent.
 *
 * src/store_test.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_STORE_TEST_H
#define BW_STORE_TEST_H

#include "store.h"

#include "order.h"

/*
 * Move an order that waits in the queue, or is held, to a final state, with the
 * outcomes of its numbers; those of an order by criteria are invented: 555 and
 * seven digits.  PARTIAL gets all but one.  False: it is not waiting, or PARTIAL
 * is no outcome for one number.
 */
extern bool bw_store_play_outcome(int64 order_id, BwOrderStatus status,
								  const char *error_code);

#endif							/* BW_STORE_TEST_H */
