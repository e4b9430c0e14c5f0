/*-------------------------------------------------------------------------
 *
 * write_back.h
 *	  The outcome of an order is written into the row that it was for.
 *
 * src/write_back.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_WRITE_BACK_H
#define BW_WRITE_BACK_H

#include "bandwidth.h"

#include "store_provisions.h"

/*
 * Inside a scope (store.h): write it, with the rights of the role that ordered,
 * and end the row's wait.  Where there is nothing to write to any more, the
 * order says so.  Raises whatever keeps it from being written now; then the
 * transaction, or the subtransaction, is to be ended.
 *
 * The user's code in that table is a security-restricted operation, in which
 * nothing can be put off until the transaction ends, unless it runs as
 * "trusting", whose transaction this is (InvalidOid: nobody's).
 */
extern void bw_write_back(const BwProvision *provision, Oid trusting);

#endif							/* BW_WRITE_BACK_H */
