/*-------------------------------------------------------------------------
 *
 * inquiry.h
 *	  What does Bandwidth know of a request?  A chain of GETs.
 *
 * An inquiry reads the orders that are bound to the request or may be.  For a
 * request of unknown outcome, and for a direct one that was sent twice, it first
 * asks for the orders that carry its CustomerOrderId, and reads the one that
 * bw_adopt() named, which is the request's only if it asks for the same; for one
 * that was sent twice it also asks which orders put the numbers into service that
 * the second copy did not get, because the copy that was lost may have got them.
 *
 * It changes nothing; reconcile.c draws the conclusions.
 *
 * src/inquiry.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_INQUIRY_H
#define BW_INQUIRY_H

#include "bandwidth.h"

#include "order.h"
#include "store_requests.h"
#include "work.h"
#include "xml_read.h"

/* An order at Bandwidth that is the request's, or may be. */
typedef struct BwFound
{
	char	   *id;
	bool		bound;			/* recorded before: certainly ours */
	bool		named;			/* by bw_adopt() */
	bool		asked;
	bool		gone;			/* Bandwidth says that there is none */
	BwOrderReply *reply;		/* NULL: could not be read */
	TimestampTz created;		/* by our clock; DT_NOBEGIN: not known */
	char	   *difference;		/* of one that was named: why it is not the
								 * request's; NULL: it is */
} BwFound;

typedef struct BwInquiry BwInquiry;

/*
 * A task that asks about the request; "account" of the task is read.  "numbers"
 * are those that the request asked for, "sent" is what it was sent as (needed
 * where bw_adopt() named an order).
 */
extern BwTask *bw_inquiry_create(BwWork *work, const BwRequestRow *request,
								 bool look_up, char **numbers, int number_count,
								 const char *sent);

/* Send the first, or the next, question; false when there is none left. */
extern bool bw_inquiry_next(BwWork *work, BwTask *task);

/* Take in the answer to the last question. */
extern void bw_inquiry_take(BwTask *task);

/* Was the request sent again since the inquiry began? */
extern bool bw_inquiry_is_outdated(const BwTask *task, const BwRequestRow *request);

/* False after a call that failed, or an answer that could not be read. */
extern bool bw_inquiry_is_complete(const BwTask *task);

/* What an incomplete one has learnt. */
extern void bw_inquiry_progress(const BwTask *task, BwProgress *learnt);

/* Without matches: does that mean that there is no order, by a clean list? */
extern bool bw_inquiry_found_nothing(const BwTask *task);

/* The found orders that are the request's as far as their content tells. */
extern BwFound **bw_inquiry_matches(const BwTask *task, int *count);

/* The order that bw_adopt() had named when it began; NULL: none. */
extern const BwFound *bw_inquiry_named(const BwTask *task);

#endif							/* BW_INQUIRY_H */
