/*-------------------------------------------------------------------------
 *
 * survey.h
 *	  What Bandwidth's list of subscriptions says about one of ours.
 *
 * src/survey.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_SURVEY_H
#define BW_SURVEY_H

#include "api.h"
#include "nodes/pg_list.h"
#include "store_subscriptions.h"

typedef struct BwSurvey
{
	char	   *id;				/* ours; NULL: there is none */
	char	   *status;			/* of its last callback; NULL: not said */
	int64		left_s;			/* until it ends; -1: not said */
	bool		altered;		/* by another hand: type, user name */
	bool		stale;			/* its user name is not our newest one */
	bool		moved;			/* the one we recorded is on another URL now */
	char	   *stranger;		/* one on our target that is not ours; or NULL */
	List	   *surplus;		/* char *: ids of ours beside "id" */
} BwSurvey;

/* What we know of one of ours. */
typedef struct BwSurveyed
{
	const BwSubscriptionRow *row;
	const BwKey *keys;			/* its credentials, the newest first */
	int			key_count;
	char	  **other_ids;		/* of others of this database */
	int			other_count;
} BwSurveyed;

/*
 * Look for it in the list.  False: the list is not whole, and nothing follows
 * from it; "problem" says why.
 */
extern bool bw_survey_read(const BwOutcome *outcome, const BwSurveyed *ours,
						   BwSurvey *survey, const char **problem);

#endif							/* BW_SURVEY_H */
