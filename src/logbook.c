/*-------------------------------------------------------------------------
 *
 * logbook.c
 *	  Lines for the server log, from where nothing may throw; few per minute.
 *
 * src/logbook.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "logbook.h"

#define MINUTE_MS 60000

static void turn_page(BwLogbook *book, long now_ms);
static char *next_line(BwLogbook *book);

void
bw_logbook_add(BwLogbook *book, long now_ms, const char *format, va_list args)
{
	turn_page(book, now_ms);
	if (book->written == BW_LOGBOOK_LINES)
	{
		book->left_out++;
		return;
	}
	book->written++;
	vsnprintf(next_line(book), BW_LOGBOOK_LINE_SIZE, format, args);
}

const char *
bw_logbook_take(BwLogbook *book, long now_ms)
{
	turn_page(book, now_ms);
	if (book->count == 0)
		return NULL;
	strlcpy(book->taken, book->lines[book->first], sizeof(book->taken));
	book->first = (book->first + 1) % lengthof(book->lines);
	book->count--;
	return book->taken;
}

/* A new minute; what the last one left out becomes a line. */
static void
turn_page(BwLogbook *book, long now_ms)
{
	if (book->minute_ms != 0 && now_ms - book->minute_ms < MINUTE_MS)
		return;
	book->minute_ms = now_ms;
	book->written = 0;
	if (book->left_out > 0)
		snprintf(next_line(book), BW_LOGBOOK_LINE_SIZE, "%d more lines were left out",
				 book->left_out);
	book->left_out = 0;
}

/* Room for a line; the oldest one goes if nobody took it. */
static char *
next_line(BwLogbook *book)
{
	int			size = lengthof(book->lines);

	if (book->count == size)
	{
		book->first = (book->first + 1) % size;
		book->count--;
	}
	return book->lines[(book->first + book->count++) % size];
}
