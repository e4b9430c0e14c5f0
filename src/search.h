/*-------------------------------------------------------------------------
 *
 * search.h
 *	  Finds numbers for orders by criteria.
 *
 * src/search.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_SEARCH_H
#define BW_SEARCH_H

#include "work.h"

/* Search for what is due; sets work->search_at. */
extern void bw_search_lap(BwWork *work);

/* Give an order the numbers that were found. */
extern void bw_search_finished(BwWork *work, BwTask *task);

#endif							/* BW_SEARCH_H */
