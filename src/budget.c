/*-------------------------------------------------------------------------
 *
 * budget.c
 *	  How many calls may go out: at most so many in any window of time.
 *
 * Time is cut into cells of a 64th of the window.  The last 65 cells cover
 * every window that ends now, so a sum over them that stays within the limit
 * means that no window exceeds it.
 *
 * src/budget.c
 *-------------------------------------------------------------------------
 */
#include "budget.h"

#include <string.h>

#define RING (BW_BUDGET_CELLS + 1)

/* Rounded up: 64 cells are never shorter than the window. */
static int64_t
cell_length(int64_t window)
{
	int64_t		length = (window + BW_BUDGET_CELLS - 1) / BW_BUDGET_CELLS;

	return length > 0 ? length : 1;
}

/* Empty the cells that time has left behind. */
static void
move_on(BwBudget *budget, int64_t cell)
{
	if (cell - budget->newest >= RING || cell < budget->newest - RING)
		memset(budget->calls, 0, sizeof(budget->calls));
	else
		for (int64_t c = budget->newest + 1; c <= cell; c++)
			budget->calls[c % RING] = 0;
	if (cell > budget->newest || cell < budget->newest - RING)
		budget->newest = cell;
}

int
bw_budget_left(BwBudget *budget, int64_t now, int64_t window, int burst,
			   int64_t *retry_at)
{
	int64_t		length = cell_length(window);
	int			used = 0;

	if (budget->blocked_until > now)
	{
		*retry_at = budget->blocked_until;
		return 0;
	}
	move_on(budget, now / length);
	for (int i = 0; i < RING; i++)
		used += budget->calls[i];
	*retry_at = now;
	if (used < burst)
		return burst - used;
	/* The oldest cell with calls in it makes room when it leaves the ring. */
	for (int64_t c = budget->newest - BW_BUDGET_CELLS; c <= budget->newest; c++)
	{
		if (c < 0 || budget->calls[c % RING] == 0)
			continue;
		*retry_at = (c + RING) * length;
		break;
	}
	return 0;
}

void
bw_budget_count(BwBudget *budget, int64_t now, int64_t window)
{
	move_on(budget, now / cell_length(window));
	budget->calls[budget->newest % RING]++;
}
