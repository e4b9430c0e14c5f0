/*-------------------------------------------------------------------------
 *
 * guards.h
 *	  What holds orders back: pauses and the limit per day.
 *
 * src/guards.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_GUARDS_H
#define BW_GUARDS_H

#include "work.h"

/*
 * Is the group paused still?  Ends automatic pauses whose server or mapping
 * was changed since.
 */
extern bool bw_guards_paused(const char *server_name, const char *ordered_by);

/* Pause a mapping (ordered_by given) or a server (NULL) after an error. */
extern void bw_guards_pause(const BwAccount *account, const char *ordered_by,
							const char *error_code, const char *reason);

/* Numbers that may still be ordered, or disconnected, within 24 hours. */
extern int64 bw_guards_room(BwWork *work, const BwServer *server, BwOrderKind kind);

/* Why orders of that kind are held when there is no room: bw_held.reason. */
extern const char *bw_guards_limit_name(BwOrderKind kind);

/*
 * So many were claimed; and so many of a request were not sent after all, of which
 * those that counted until now are returned.
 */
extern void bw_guards_spent(BwWork *work, const char *server, BwOrderKind kind,
							int numbers);
extern int	bw_guards_give_back(BwWork *work, const char *server, BwOrderKind kind,
								int64 request_id, int numbers);

/* The transaction failed: what was counted was not. */
extern void bw_guards_forget(BwWork *work);

/* Held orders go back to the queue where there is room again, or their time has come. */
extern void bw_guards_lap(BwWork *work);

#endif							/* BW_GUARDS_H */
