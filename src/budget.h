/*-------------------------------------------------------------------------
 *
 * budget.h
 *	  How many calls may go out: at most so many in any window of time.
 *
 * Plain C without postgres.h, so that unit tests can drive it.  Times are
 * microseconds of any clock that does not go back far.
 *
 * src/budget.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_BUDGET_H
#define BW_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

/* More cells mean less waste at the window's edge. */
#define BW_BUDGET_CELLS 64

/* All zero is a good start. */
typedef struct BwBudget
{
	int64_t		newest;			/* number of the newest cell since time 0 */
	int64_t		blocked_until;	/* nothing before this */
	int32_t		calls[BW_BUDGET_CELLS + 1]; /* ring, by cell number */
} BwBudget;

/*
 * Calls that may go out at "now": "burst" in any window of "window" us.  When
 * there are none, *retry_at is when there will be.
 */
extern int	bw_budget_left(BwBudget *budget, int64_t now, int64_t window,
						   int burst, int64_t *retry_at);

/* Count one call at "now". */
extern void bw_budget_count(BwBudget *budget, int64_t now, int64_t window);

#endif							/* BW_BUDGET_H */
