/*-------------------------------------------------------------------------
 *
 * echo.h
 *	  Did Bandwidth understand an order as it was sent?
 *
 * The reply to a POST repeats the order.  What Bandwidth does not know it
 * drops without a word, and a criterion or quantity that is lost buys other
 * numbers, or 5,000 of them.  Source: "Create order" of the numbers API, and
 * replies that were recorded by client libraries.
 *
 * src/echo.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_ECHO_H
#define BW_ECHO_H

#include "bandwidth.h"

#include "xml_read.h"

/*
 * What of the order in "sent" (the body of a POST) came back otherwise, as a
 * sentence for a person, palloc'd; NULL: nothing.
 */
extern char *bw_echo_difference(const char *sent, const BwOrderReply *echo);

/*
 * Why an order at Bandwidth is not the one that "sent" asks for: another type,
 * other numbers, criteria or quantity.  What it leaves out is believed of an
 * order that carries our CustomerOrderId, and of no other.  As above.
 */
extern char *bw_echo_other_order(const char *sent, const BwOrderReply *found);

#endif							/* BW_ECHO_H */
