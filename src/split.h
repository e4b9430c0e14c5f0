/*-------------------------------------------------------------------------
 *
 * split.h
 *	  A shared request that was refused because of some of its numbers.
 *
 * src/split.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_SPLIT_H
#define BW_SPLIT_H

#include "nodes/pg_list.h"
#include "store_requests.h"
#include "xml_read.h"

/* Would a request without some of its numbers not be refused by this? */
extern bool bw_may_split(const BwRequestRow *request, const char *code);

/*
 * Take apart the orders of a request that was sent once: those whose numbers the
 * errors name are REJECTED, the others are to be sent again without them, in two
 * halves if none is named.  Returns a List of BwMoved *.
 */
extern List *bw_split(const BwRequestRow *request, const BwReplyErrors *errors);

/* The same when a copy was refused and the lost one is known to nobody: halves. */
extern void bw_split_copy(const BwRequestRow *request);

#endif							/* BW_SPLIT_H */
