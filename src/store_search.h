/*-------------------------------------------------------------------------
 *
 * store_search.h
 *	  Statements on numbers that are to be searched for.
 *
 * bw_searches says what an order lacks: numbers by its criteria or, where a
 * number was taken, one like it.  All of it is derived from the order and its
 * numbers; that is why the rows are not dumped.
 *
 * src/store_search.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_STORE_SEARCH_H
#define BW_STORE_SEARCH_H

#include "bandwidth.h"

#include "store_queue.h"

/*
 * Orders that can be searched for together: the same account and credentials,
 * and the same criteria.  Without criteria, it is the rate center of a number
 * that has to be found first, for those with the same NPA-NXX.
 */
typedef struct BwSearchGroup
{
	char	   *server;
	char	   *ordered_by;
	char	   *account_id;
	char	   *criteria;		/* jsonb as text, NULL: none yet */
	char	   *prefix;			/* NPA-NXX where there are no criteria */
	char	   *number;			/* one with that prefix */
	char	   *asks;			/* a number that was taken: by ourselves,
								 * before? That is asked first; then the three
								 * above are NULL.  NULL: none */
	int			quantity;		/* of all orders, at most BW_QUANTITY_MAX */
} BwSearchGroup;

/* All groups with something to search for, oldest order first. */
extern BwSearchGroup *bw_store_search_groups(int *count);

/* Where searches wait for the end of a pause that nobody ordered. */
extern BwGroup *bw_store_paused_searches(int *count);

/* One thing that one order lacks. */
typedef struct BwSearchRow
{
	int64		order_id;
	char	   *place;			/* number to be replaced, "": by criteria */
	int			quantity;
	char	  **replaces;		/* numbers of the order that failed, or none */
	int			replaces_count;
	bool		partial_allowed;
	int			attempt;
} BwSearchRow;

/* Those of a group that nobody has locked, with their orders; locks them. */
extern BwSearchRow *bw_store_lock_searches(const BwSearchGroup *group, int *count);

/*
 * Those of the numbers that can be given to these orders, in the same order:
 * not one that an open order wants, nor one that these had before.  "wanted"
 * counts the former.
 */
extern char **bw_store_free_numbers(const char *const *numbers, int count,
									const int64 *order_ids, int orders,
									int *free_count, int *wanted);

typedef struct BwFoundNumber
{
	int64		order_id;
	const char *telephone_number;
	int			attempt;
	const char *replaces;		/* NULL: nothing */
} BwFoundNumber;

extern void bw_store_give_numbers(const BwFoundNumber *numbers, int count);

typedef enum BwSearchNext
{
	BW_SEARCH_DONE,				/* nothing lacks, or nothing more is to be had */
	BW_SEARCH_AGAIN,
	BW_SEARCH_WIDER				/* find the rate center of its number */
} BwSearchNext;

/* What a search means for a row. */
typedef struct BwSearchStep
{
	int64		order_id;
	const char *place;
	int			given;			/* so many numbers less are lacking */
	BwSearchNext next;
} BwSearchStep;

extern void bw_store_search_steps(const BwSearchStep *steps, int count);

/* Search in that rate center, for rows of a group without criteria. */
extern void bw_store_widen(const BwSearchGroup *group, const char *rate_center,
						   const char *state);

/*
 * Whether the account has the number that these rows ask about: then nothing is
 * searched for in its place.
 */
extern void bw_store_asked(const BwSearchRow *rows, int count, const char *number,
						   bool ours, const char *text);

/* An order that was searched for. */
typedef struct BwSearchEnd
{
	int64		order_id;
	bool		certain;		/* it cannot have what it needs */
	const char *text;			/* why, where it is short of numbers */
} BwSearchEnd;

/*
 * Those that lack nothing any more, and have numbers, can be sent.  "criteria"
 * is how they were found: only orders found alike share a request.
 */
extern void bw_store_found(const BwSearchEnd *orders, int count,
						   const char *criteria);

/*
 * End those that must, and those for which nothing was found and nothing more is
 * searched: REJECTED, or, if Bandwidth had them already, PARTIAL or FAILED.
 */
extern BwEnded *bw_store_end_searches(const BwSearchEnd *orders, int orders_count,
									  const char *code, int *count);

/* A number that was taken, of an order that may try another one. */
typedef struct BwTakenNumber
{
	int64		order_id;
	const char *telephone_number;
} BwTakenNumber;

/*
 * These orders go back into the queue, to search for others in place of these
 * numbers, whose outcome is recorded already.  What they did not get counts no
 * more for the limit per day.  "sources" and "details" are of their events.
 */
extern void bw_store_substitute(const int64 *order_ids, const char *const *sources,
								const char *const *details, int orders,
								const BwTakenNumber *taken, int count);

#endif							/* BW_STORE_SEARCH_H */
