/*
 * limits.c
 *	  The enforced rate limit.
 *
 * Bandwidth's "Rate limits": calls are counted per account and class of
 * endpoints, and some classes have no limit.  The published figure, 100 a
 * minute or 800 in a burst over 8 minutes, says: at most "burst" calls in any
 * burst / per_minute minutes.
 */
#include "sandbox.h"

#include <stdlib.h>
#include <string.h>

/* Times of the calls of an account's class within the window, oldest first. */
typedef struct Window
{
	char		account[40];
	Class		class;
	int64_t    *times;
	size_t		first;
	size_t		count;
	size_t		room;
} Window;

static Window *windows;
static size_t window_count;

static bool
is_limited(Class class)
{
	return class != CLASS_RESERVATION && class != CLASS_TOKEN && class != CLASS_OTHER;
}

static Window *
find_window(const Request *request)
{
	const char *account = request->part_count > 1 &&
	strcmp(request->parts[0], "accounts") == 0 ? request->parts[1] : "";
	Window	   *w;

	for (size_t i = 0; i < window_count; i++)
		if (windows[i].class == request->class && strcmp(windows[i].account, account) == 0)
			return &windows[i];
	windows = realloc(windows, (window_count + 1) * sizeof(Window));
	w = &windows[window_count++];
	memset(w, 0, sizeof(*w));
	w->class = request->class;
	snprintf(w->account, sizeof(w->account), "%.39s", account);
	return w;
}

static void
note_time(Window *w, int64_t now)
{
	if (w->first + w->count == w->room)
	{
		if (w->count > 0)
			memmove(w->times, w->times + w->first, w->count * sizeof(int64_t));
		w->first = 0;
		w->room = (w->count + 1) * 2;
		w->times = realloc(w->times, w->room * sizeof(int64_t));
	}
	w->times[w->first + w->count++] = now;
}

bool
limit_allows(const Request *request, long *reset_epoch_s)
{
	Window	   *w;
	int64_t		now = now_us();
	int64_t		length = (int64_t) config.burst * 60000000 / config.per_minute;

	if (!is_limited(request->class))
		return true;
	w = find_window(request);
	while (w->count > 0 && w->times[w->first] <= now - length)
	{
		w->first++;
		w->count--;
	}
	if (w->count >= (size_t) config.burst)
	{
		/* When enough of them have left the window; whole seconds, later. */
		int64_t		leaves = w->times[w->first + w->count - (size_t) config.burst];

		*reset_epoch_s = (long) ((leaves + length) / 1000000) + 1;
		return false;
	}
	note_time(w, now);
	return true;
}

void
limits_clear(void)
{
	for (size_t i = 0; i < window_count; i++)
		free(windows[i].times);
	free(windows);
	windows = NULL;
	window_count = 0;
}
