/*-------------------------------------------------------------------------
 *
 * provision.h
 *	  A telephone number for a row of a user's table.
 *
 * src/provision.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_PROVISION_H
#define BW_PROVISION_H

#include "bandwidth.h"

#include "executor/tuptable.h"

#include "provision_rule.h"
#include "store_rows.h"

/*
 * Order a number for a row, in the name of the current role: the one that the
 * row names, or one by the rule's criteria.  Nothing if the row waits already for
 * an order that wants the same, or names a number that was bought for its table.
 * "is_new": it was inserted.  If the row is gone when the transaction ends, the
 * order is cancelled.  Raises what bw_order() and bw_order_search() raise.
 */
extern void bw_provision_row(const BwProvisionRule *rule, TupleTableSlot *row,
							 bool is_new);

#endif							/* BW_PROVISION_H */
