/*-------------------------------------------------------------------------
 *
 * logbook.h
 *	  Lines for the server log, from where nothing may throw; few per minute.
 *
 * Whoever sends garbage shall not fill a disk: what exceeds the lines of a
 * minute is counted, and the count is the next minute's first line.
 *
 * src/logbook.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_LOGBOOK_H
#define BW_LOGBOOK_H

#include "bandwidth.h"

#define BW_LOGBOOK_LINES 16		/* per minute */
#define BW_LOGBOOK_LINE_SIZE 200

typedef struct BwLogbook
{
	char		lines[BW_LOGBOOK_LINES + 1][BW_LOGBOOK_LINE_SIZE];
	int			first;			/* of the lines that were not taken yet */
	int			count;
	long		minute_ms;		/* when this minute began; monotonic */
	int			written;		/* in this minute */
	int			left_out;
	char		taken[BW_LOGBOOK_LINE_SIZE];
} BwLogbook;

/* Add a line; allocates nothing. */
extern void bw_logbook_add(BwLogbook *book, long now_ms, const char *format,
						   va_list args) pg_attribute_printf(3, 0);

/* The next line, valid until the next call; NULL: none. */
extern const char *bw_logbook_take(BwLogbook *book, long now_ms);

#endif							/* BW_LOGBOOK_H */
