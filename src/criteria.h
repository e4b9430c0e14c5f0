/*-------------------------------------------------------------------------
 *
 * criteria.h
 *	  The criteria of an order as bw_orders.criteria holds them.
 *
 * src/criteria.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_CRITERIA_H
#define BW_CRITERIA_H

#include "bandwidth.h"

#include "request.h"

/* What numbers are wanted; how many is not part of it. */
typedef struct BwCriteria
{
	BwSearch	search;
	int			max_tier;		/* -1: any */
} BwCriteria;

/* Without any criterion; all of them are to be filled in, or read. */
extern void bw_criteria_init(BwCriteria *criteria);

/* As the text of a jsonb: {"npanxx": "919200", "lca": false}. */
extern char *bw_criteria_to_json(const BwCriteria *criteria);

/* The inverse; texts are palloc'd. */
extern void bw_criteria_from_json(const char *json, BwCriteria *criteria);

/* Their texts, as Bandwidth wants them. */
extern void bw_criteria_to_utf8(BwSearch *search);

/* Bandwidth's search-and-order type for them, a static string. */
extern const char *bw_criteria_order_type(const BwSearch *search);

/* Has that type an element EnableLCA? */
extern bool bw_criteria_has_lca(const BwSearch *search);

#endif							/* BW_CRITERIA_H */
