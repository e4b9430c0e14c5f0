/*-------------------------------------------------------------------------
 *
 * group.h
 *	  What the worker remembers of a server and role: back-off, coalescing.
 *
 * Nothing hangs on it: a new worker begins with an empty memory.
 *
 * src/group.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_GROUP_H
#define BW_GROUP_H

#include "work.h"

typedef struct BwGroupState
{
	char	   *server;
	char	   *ordered_by;
	TimestampTz not_before;
	int			failures;
	char	   *claim_said;		/* for work->said */
	char	   *search_said;
	int			pick_limit;		/* orders in one claim; 0: no limit of its own */
	bool		paused;			/* when it was looked at last */
	TimestampTz look_for_shared_at; /* behind orders that cannot share */
	TimestampTz shared_sent_at; /* last shared request */
	TimestampTz listed_at;		/* last list of many orders */
} BwGroupState;

/* Made on first use. */
extern BwGroupState *bw_group_state(BwWork *work, const char *server,
									const char *ordered_by);

/* Wait longer after each failure, with jitter; returns when to come again. */
extern TimestampTz bw_group_back_off(BwGroupState *state);

#endif							/* BW_GROUP_H */
