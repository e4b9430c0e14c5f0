/*-------------------------------------------------------------------------
 *
 * budget_test.c
 *	  No window of time sees more calls than it may.
 *
 * test/unit/budget_test.c
 *-------------------------------------------------------------------------
 */
#include "budget.h"
#include "tap.h"

#include <stdlib.h>

/* Bandwidth's figures: 800 calls in 8 minutes. */
#define WINDOW (INT64_C(480) * 1000000)
#define BURST 800
/* Any time will do. */
#define START (INT64_C(1800000000) * 1000000)

/* Calls of one run of a simulation, in the order of their times. */
typedef struct Calls
{
	int64_t		at[100000];
	int			count;
} Calls;

static Calls calls;

/* One call, if it may go out; else when. */
static bool
take(BwBudget *budget, int64_t now, int64_t window, int burst, int64_t *retry_at)
{
	if (bw_budget_left(budget, now, window, burst, retry_at) == 0)
		return false;
	bw_budget_count(budget, now, window);
	return true;
}

/* The most calls that any window saw. */
static int
busiest(const Calls *c, int64_t window)
{
	int			most = 0;
	int			first = 0;

	for (int i = 0; i < c->count; i++)
	{
		while (c->at[first] <= c->at[i] - window)
			first++;
		if (i - first + 1 > most)
			most = i - first + 1;
	}
	return most;
}

static void
test_burst(void)
{
	BwBudget	budget = {0};
	int64_t		retry_at;
	int			taken = 0;

	is_int(bw_budget_left(&budget, START, WINDOW, BURST, &retry_at), BURST,
		   "a new budget has its whole burst");
	is_int(bw_budget_left(&budget, START, WINDOW, BURST, &retry_at), BURST,
		   "and looking takes nothing");
	is_int(retry_at, START, "nor makes wait");
	while (take(&budget, START, WINDOW, BURST, &retry_at))
		taken++;
	is_int(taken, BURST, "all of it can be taken at once");
	ok(retry_at >= START + WINDOW, "the next one waits until the window has passed");
	ok(retry_at <= START + WINDOW + WINDOW / 32, "and not much longer");
	is_int(bw_budget_left(&budget, retry_at - 1, WINDOW, BURST, &retry_at), 0,
		   "none is left right before that");
	is_int(bw_budget_left(&budget, retry_at, WINDOW, BURST, &retry_at), BURST,
		   "then all are there again");
}

/* Calls leave the window as they came, not all at once. */
static void
test_sliding(void)
{
	BwBudget	budget = {0};
	int64_t		half = START + WINDOW / 2;
	int64_t		retry_at;

	for (int i = 0; i < 3; i++)
		take(&budget, START, WINDOW, 5, &retry_at);
	for (int i = 0; i < 2; i++)
		take(&budget, half, WINDOW, 5, &retry_at);
	is_int(bw_budget_left(&budget, half, WINDOW, 5, &retry_at), 0, "used up in two steps");
	ok(retry_at >= START + WINDOW && retry_at < half + WINDOW, "the first step makes room first");
	is_int(bw_budget_left(&budget, retry_at, WINDOW, 5, &retry_at), 3, "for as many as it had");
	is_int(bw_budget_left(&budget, half + 2 * WINDOW, WINDOW, 5, &retry_at), 5,
		   "after two windows everything is forgotten");
	is_int(bw_budget_left(&budget, half + 1000 * WINDOW, WINDOW, 5, &retry_at), 5,
		   "and after a thousand too");
}

/* What Bandwidth said stands above what we counted. */
static void
test_blocked(void)
{
	BwBudget	budget = {0};
	int64_t		until = START + 60000000;
	int64_t		retry_at;

	budget.blocked_until = until;
	is_int(bw_budget_left(&budget, START, WINDOW, BURST, &retry_at), 0, "nothing goes out after 429");
	is_int(retry_at, until, "before the time that came with it");
	is_int(bw_budget_left(&budget, until - 1, WINDOW, BURST, &retry_at), 0, "not a microsecond");
	is_int(bw_budget_left(&budget, until, WINDOW, BURST, &retry_at), BURST, "then everything does");

	for (int i = 0; i < BURST; i++)
		take(&budget, until, WINDOW, BURST, &retry_at);
	budget.blocked_until = until + 1;
	is_int(bw_budget_left(&budget, until + 1, WINDOW, BURST, &retry_at), 0,
		   "the end of a block gives back nothing that was used");
	ok(retry_at >= until + WINDOW, "and says when there will be something");
}

/*
 * Whoever asks as soon as it was told to, and at random times besides, never
 * exceeds the limit, whatever the window's length, and uses most of it.
 */
static void
simulate(int64_t window, int burst)
{
	BwBudget	budget = {0};
	int64_t		now = START;
	int64_t		end = START + 20 * window;
	int64_t		retry_at;

	calls.count = 0;
	while (now < end)
	{
		if (take(&budget, now, window, burst, &retry_at))
		{
			calls.at[calls.count++] = now;
			/* sometimes at once, sometimes after a pause */
			if (rand() % 4 == 0)
				now += rand() % (window / burst + 1);
		}
		else if (rand() % 2 == 0)
			now = retry_at;
		else
			now += 1 + rand() % (window / 50 + 1);
	}
	is_int(busiest(&calls, window), burst, "at most %d calls in any %lld us",
		   burst, (long long) window);
	ok(calls.count >= 12 * burst, "and most of them are made: %d in 20 windows", calls.count);
}

static void
test_every_window(void)
{
	srand(1);
	simulate(WINDOW, BURST);
	simulate(WINDOW, 1);
	simulate(60000000, 100);
	simulate(60000000, 7);
	/* lengths that cannot be cut into 64 equal parts */
	simulate(60000000 / 7, 1);
	simulate(60000001, 100);
	simulate(6463, 50);
	simulate(127, 3);
}

/*
 * Several processes share a budget, one after the other behind a lock, each
 * with the time it read before it got the lock.
 */
static void
test_several(void)
{
	BwBudget	budget = {0};
	int64_t		retry_at;
	int			taken[3] = {0};

	for (int i = 0; i < 3 * BURST; i++)
	{
		/* up to half a second late */
		int64_t		now = START + i * 1000 - (i % 3) * 250000;

		if (take(&budget, now, WINDOW, BURST, &retry_at))
			taken[i % 3]++;
	}
	is_int(taken[0] + taken[1] + taken[2], BURST, "three share one burst");
	ok(taken[0] > 0 && taken[1] > 0 && taken[2] > 0, "and each gets some of it");
	is_int(bw_budget_left(&budget, START + WINDOW / 2, WINDOW, BURST, &retry_at), 0,
		   "late clocks make no room");
}

/* A clock that was set back far must not stop everything until it is there again. */
static void
test_clock(void)
{
	BwBudget	budget = {0};
	int64_t		retry_at;

	while (take(&budget, START, WINDOW, BURST, &retry_at))
		;
	is_int(bw_budget_left(&budget, START - WINDOW / 4, WINDOW, BURST, &retry_at), 0,
		   "a clock that goes back a little gives nothing back");
	is_int(bw_budget_left(&budget, START - 3 * WINDOW, WINDOW, BURST, &retry_at), BURST,
		   "one that goes back far starts anew");
	is_int(bw_budget_left(&budget, 0, WINDOW, BURST, &retry_at), BURST, "also at the beginning of time");
	while (take(&budget, 0, WINDOW, BURST, &retry_at))
		;
	ok(retry_at >= WINDOW && retry_at <= WINDOW + WINDOW / 32, "where windows have their length too");
}

/* A window shorter than its cells' number in microseconds still works. */
static void
test_tiny(void)
{
	BwBudget	budget = {0};
	int64_t		retry_at;

	ok(take(&budget, START, 1, 1, &retry_at), "one call in one microsecond");
	ok(!take(&budget, START, 1, 1, &retry_at), "is all");
	ok(retry_at > START, "the next one waits");
	ok(take(&budget, retry_at, 1, 1, &retry_at), "and goes");
}

int
main(void)
{
	test_burst();
	test_sliding();
	test_blocked();
	test_every_window();
	test_several();
	test_clock();
	test_tiny();
	return done_testing();
}
