/*-------------------------------------------------------------------------
 *
 * encoding.h
 *	  Texts to and from Bandwidth, which speaks UTF-8, in the database's encoding.
 *
 * src/encoding.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_ENCODING_H
#define BW_ENCODING_H

/*
 * A text of Bandwidth's.  What the database cannot hold becomes "?": an order
 * does not fail to be recorded because of a word in a message.  "text" itself is
 * returned if nothing changes; NULL for NULL.
 */
extern char *bw_from_utf8(const char *text);

/*
 * A text of the database's, as above; an error if it is no UTF-8 although the
 * encoding does not say so (SQL_ASCII).  Needs a transaction.
 */
extern char *bw_to_utf8(const char *text);

/* Nothing but visible ASCII characters, as in a URL? */
extern bool bw_is_visible_ascii(const char *text);

#endif							/* BW_ENCODING_H */
