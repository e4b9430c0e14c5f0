/*-------------------------------------------------------------------------
 *
 * pages.h
 *	  Reads a list of Bandwidth's to its end, page by page.
 *
 * src/pages.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_PAGES_H
#define BW_PAGES_H

#include "bandwidth.h"

#include "api.h"
#include "xml_read.h"

/* Which list, and how it is called when it cannot be had. */
typedef struct BwPages
{
	const BwAccount *account;
	BwCallSpec	call;			/* of the first page */
	BwListKind	kind;
	const char *what;			/* "could not list the sites" */
	const char *subject;		/* "the list of sites" */
	bool		(*is_empty) (const BwOutcome *outcome); /* NULL: see below */
} BwPages;

/* Good until it returns; palloc'd memory goes with the page. */
typedef void (*BwTakeRow) (const BwRow *row, void *arg);

/*
 * Hand out every row of the list, with one page in memory at a time.
 *
 * Returns only when the list was read to its end: whatever goes wrong on any
 * page is raised.  Without is_empty(), an answer other than 2xx means "there
 * are none" only if it is a 404 with a list in it.
 */
extern void bw_pages_read(const BwPages *pages, BwTakeRow take, void *arg);

#endif							/* BW_PAGES_H */
