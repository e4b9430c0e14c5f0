/*-------------------------------------------------------------------------
 *
 * order.h
 *	  The life of an order: its states, the moves between them, and what
 *	  Bandwidth's error codes mean for it.
 *
 * Plain C without postgres.h, so that unit tests can drive it: no SQL, no
 * network, no allocation.
 *
 * src/order.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_ORDER_H
#define BW_ORDER_H

#include <stdbool.h>

/*
 * States of a row of bw_orders.  The first four are ours, the next two and
 * the first three final ones are Bandwidth's ("Advanced ordering"), REJECTED
 * and CANCELLED are ours again: Bandwidth never made an order of them.
 */
typedef enum BwOrderStatus
{
	BW_ORDER_QUEUED,			/* committed, not yet claimed */
	BW_ORDER_HELD,				/* waits for a limit or for bw_approve() */
	BW_ORDER_SENDING,			/* claimed: its POST may have left */
	BW_ORDER_UNKNOWN,			/* the POST's outcome is not known */
	BW_ORDER_RECEIVED,			/* Bandwidth has it and works on it */
	BW_ORDER_BACKORDERED,		/* Bandwidth keeps trying, for days */
	BW_ORDER_COMPLETE,			/* final: every number is ours */
	BW_ORDER_PARTIAL,			/* final: some numbers are ours */
	BW_ORDER_FAILED,			/* final: Bandwidth could not deliver */
	BW_ORDER_REJECTED,			/* final: refused, nothing was ordered */
	BW_ORDER_CANCELLED			/* final: taken back before it was claimed */
} BwOrderStatus;

#define BW_ORDER_STATUS_COUNT (BW_ORDER_CANCELLED + 1)

/* What an order does to telephone numbers: bw_orders.kind. */
typedef enum BwOrderKind
{
	BW_KIND_ORDER,				/* POST /orders */
	BW_KIND_DISCONNECT			/* POST /disconnects: gives numbers back */
} BwOrderKind;

#define BW_ORDER_KIND_COUNT (BW_KIND_DISCONNECT + 1)

/* Name as stored in bw_orders.kind; a static string. */
extern const char *bw_order_kind_name(BwOrderKind kind);

/* Inverse of bw_order_kind_name(), for what was read from there. */
extern BwOrderKind bw_order_kind_parse(const char *name);

/* Name as stored in bw_orders.status; a static string. */
extern const char *bw_order_status_name(BwOrderStatus status);

/* Inverse of bw_order_status_name(); false if "name" is none of them. */
extern bool bw_order_status_parse(const char *name, BwOrderStatus *status);

/*
 * Translate Bandwidth's word, in any letter case and with its synonyms
 * (COMPLETED, PROCESSING, PENDING, CANCELLED, CANCELED); false if the word is
 * not recognized, and then the state is kept.
 */
extern bool bw_order_status_from_bandwidth(const char *word,
										   BwOrderStatus *status);

extern bool bw_order_is_final(BwOrderStatus status);

/* May a row go from "from" to "to"?  Staying is not a move: false. */
extern bool bw_order_may_move(BwOrderStatus from, BwOrderStatus to);

/*
 * What a Bandwidth error code on an order asks of us.
 *
 * Codes are not unique across resources; this is for POST /orders and
 * /disconnects only.
 */
typedef enum BwErrorClass
{
	BW_ERROR_REFUSED,			/* the caller's mistake: REJECTED */
	BW_ERROR_PENDING,			/* 5019: not an error at all */
	BW_ERROR_UNKNOWN,			/* 5086, 1000: look up before anything else */
	BW_ERROR_NUMBER_TAKEN,		/* 5005, 5018, 5041, 5218, ...: try another */
	BW_ERROR_NUMBER_INVALID,	/* blames numbers: 5001, 5008, 5070, 5072, ... */
	BW_ERROR_MAPPING,			/* 5051, 5183, ...: pauses the user mapping */
	BW_ERROR_SERVER,			/* 5000, 5012: pauses the server */
	BW_ERROR_PLACE				/* site and peer codes: 5016, 5020 to 5023,
								 * ... */
} BwErrorClass;

extern BwErrorClass bw_order_error_class(const char *code);

#endif							/* BW_ORDER_H */
