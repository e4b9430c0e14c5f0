/*-------------------------------------------------------------------------
 *
 * store_guards.h
 *	  Statements on what holds orders back: limits, times, pauses.
 *
 * All of them run between bw_store_begin() and bw_store_commit(), or in a
 * user's call.  Those that move orders return the ids of the moved ones.
 *
 * src/store_guards.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_STORE_GUARDS_H
#define BW_STORE_GUARDS_H

#include "bandwidth.h"

#include "order.h"
#include "store.h"

/*
 * Do the numbers of a minute count yet?  Those of its last second, too, do so for
 * a whole day.
 */
#define BW_COUNTS_YET(minute) minute " > now() - interval '1 day 1 minute'"

/*
 * Back into the queue: orders held for "reason", of up to "room" numbers in all,
 * but none of more numbers than "limit" has.
 */
extern int64 *bw_store_release_held(const char *server, const char *reason,
									int limit, int64 room, int *count);

/* Into the queue: orders that were held for a time, which has come. */
extern int64 *bw_store_release_due(int limit, int *count);

/* When the next one's comes; DT_NOEND: there is none. */
extern TimestampTz bw_store_next_release(void);

/*
 * Numbers of a server that were sent in the last 24 hours.  A claim counts
 * those that it orders by the minute; "spend" counts others.
 */
extern void bw_store_spend(const char *server, BwOrderKind kind, int numbers);

/*
 * So many numbers of a request, as it was claimed last, do not count any more;
 * returns how many of them did until now.
 */
extern int	bw_store_give_back(const char *server, BwOrderKind kind,
							   int64 request_id, int numbers);

/* Do the numbers of a request, as it was claimed last, count yet? */
extern bool bw_store_counts_yet(int64 request_id);
extern int64 bw_store_spent(const char *server, BwOrderKind kind);

/* Minutes that count no more. */
extern void bw_store_forget_spending(void);

/* Why a server, or a role's orders on it, are not sent. */
typedef struct BwPause
{
	char	   *server;
	char	   *ordered_by;		/* "": everybody's */
	bool		automatic;		/* ends when the configuration changes */
	char	   *reason;
	const char *error_code;		/* NULL: none */
	const char *paused_by;		/* NULL: the worker */
	char	   *fingerprint;	/* of the configuration that met the error */
} BwPause;

extern BwPause *bw_store_pauses(const char *server, const char *ordered_by,
								int *count);
extern void bw_store_pause(const BwPause *pause);

/* End all pauses of a server, or (ordered_by not NULL) one automatic one. */
extern bool bw_store_resume(const char *server, const char *ordered_by);

#endif							/* BW_STORE_GUARDS_H */
