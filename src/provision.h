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
 * row names, or one by the rule's criteria.  Nothing if the row waits for an
 * order already.  Raises what bw_order() and bw_order_search() raise.
 */
extern void bw_provision_row(const BwProvisionRule *rule, TupleTableSlot *row);

/*
 * The row that this transaction made an order for; NULL: it was another one, or
 * for no row.
 */
extern const BwRowRef *bw_provision_made(int64 order_id);

#endif							/* BW_PROVISION_H */
