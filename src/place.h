/*-------------------------------------------------------------------------
 *
 * place.h
 *	  Orders are checked and written down, in the caller's transaction and in
 *	  the name of the current role.
 *
 * Whatever is wrong with an order is raised before anything is written.
 *
 * src/place.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_PLACE_H
#define BW_PLACE_H

#include "bandwidth.h"

#include "config.h"
#include "criteria.h"
#include "order.h"
#include "request.h"
#include "store_provisions.h"

/* An order for telephone numbers. */
typedef struct BwNumbersOrder
{
	BwServer   *server;			/* the caller may use it, see
								 * bw_config_check_usage() */
	const char *const *numbers; /* in any spelling; NULL is refused */
	int			count;
	BwOrderOptions options;
	const char *idempotency_key;	/* NULL: none */
	Datum		tag;			/* jsonb, 0: null */
	Datum		reservation_ids;	/* text[], 0: null */
	const BwProvision *for_row; /* NULL: for no row of a table */
} BwNumbersOrder;

/* An order by criteria. */
typedef struct BwSearchOrder
{
	BwServer   *server;			/* as above */
	BwCriteria	criteria;		/* with its quantity */
	bool		has_max_tier;	/* then criteria.max_tier is checked as well */
	bool		direct;			/* Bandwidth's own type, not a search */
	BwOrderOptions options;
	const char *idempotency_key;	/* NULL: none */
	Datum		tag;			/* jsonb, 0: null */
	const BwProvision *for_row; /* NULL: for no row of a table */
} BwSearchOrder;

/* Numbers to be given back. */
typedef struct BwDisconnect
{
	BwServer   *server;			/* as above */
	const char *const *numbers; /* in any spelling; NULL is refused */
	int			count;
	const char *customer_order_id;	/* NULL: none of the user's own */
	const char *idempotency_key;	/* NULL: none */
	Datum		tag;			/* jsonb, 0: null */
} BwDisconnect;

/* An order that was written down. */
typedef struct BwPlaced
{
	int64		id;
	bool		is_new;			/* false: its idempotency_key was there
								 * already, or its row waits for another
								 * order; the latter has id 0 */
	BwOrderStatus status;		/* of a new one */
	BwNumber   *numbers;
	int			count;			/* 0 for an order by criteria */
} BwPlaced;

extern void bw_place_numbers_order(const BwNumbersOrder *wanted, BwPlaced *placed);
extern void bw_place_search_order(const BwSearchOrder *wanted, BwPlaced *placed);
extern void bw_place_disconnect(const BwDisconnect *wanted, BwPlaced *placed);

#endif							/* BW_PLACE_H */
