/*-------------------------------------------------------------------------
 *
 * bandwidth.h
 *	  Words that every file of the extension shares: SQLSTATEs, endpoint
 *	  classes, outcomes, settings.
 *
 * src/bandwidth.h
 *-------------------------------------------------------------------------
 */
#ifndef BANDWIDTH_H
#define BANDWIDTH_H

#include "postgres.h"

#include "fmgr.h"

/* The newest bandwidth--VERSION.sql that this library serves. */
#define BW_SQL_VERSION "1.0"

/*
 * SQLSTATEs of our own, class TN, for what Bandwidth or the way to it did.
 * Everything else uses PostgreSQL's.  Published in README.md.
 */
#define ERRCODE_BW_REFUSED		MAKE_SQLSTATE('T', 'N', '0', '0', '1')
#define ERRCODE_BW_UNAUTHORIZED MAKE_SQLSTATE('T', 'N', '0', '0', '2')
#define ERRCODE_BW_RATE_LIMITED MAKE_SQLSTATE('T', 'N', '0', '0', '3')
#define ERRCODE_BW_UNAVAILABLE	MAKE_SQLSTATE('T', 'N', '0', '0', '4')
#define ERRCODE_BW_BAD_REPLY	MAKE_SQLSTATE('T', 'N', '0', '0', '5')

/*
 * Calls that share a rate limit at Bandwidth ("Rate limits" of the numbers
 * API); the last three are not on its list and only counted.
 */
typedef enum BwEndpointClass
{
	BW_CLASS_ORDER,
	BW_CLASS_SEARCH,
	BW_CLASS_DISCONNECT,
	BW_CLASS_SUBSCRIPTION,
	BW_CLASS_HISTORY,
	BW_CLASS_INSERVICE_NPANXX,
	BW_CLASS_AVAILABLE_NPANXX,
	BW_CLASS_RESERVATION,
	BW_CLASS_TOKEN,
	BW_CLASS_OTHER
} BwEndpointClass;

#define BW_CLASS_COUNT (BW_CLASS_OTHER + 1)

/* How a call ended. */
typedef enum BwOutcomeKind
{
	BW_OUTCOME_DONE,			/* 2xx */
	BW_OUTCOME_REFUSED,			/* not executed: Bandwidth says why */
	BW_OUTCOME_NOT_FOUND,		/* 404 without an error code */
	BW_OUTCOME_UNAUTHORIZED,	/* not executed: 401, 403 */
	BW_OUTCOME_LATER,			/* not executed: 429, or never reached it */
	BW_OUTCOME_UNKNOWN			/* may have been executed */
} BwOutcomeKind;

#define BW_OUTCOME_COUNT (BW_OUTCOME_UNKNOWN + 1)

/* Are both NULL, or the same text? */
static inline bool
bw_same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Settings ("bandwidth.*"), defined in bandwidth.c. */
extern bool bw_enabled;
extern char *bw_default_server;
extern char *bw_listen_addresses;
extern int	bw_listen_port;
extern char *bw_tls_cert_file;
extern char *bw_tls_key_file;
extern int	bw_coalesce_delay_ms;
extern char *bw_poll_schedule;	/* seconds, comma separated */
extern int	bw_poll_interval_s; /* after the schedule has run out */
extern int	bw_poll_interval_callbacks_s;	/* the same where callbacks come */
extern char *bw_look_up_delays; /* seconds, comma separated */
extern int	bw_max_rate_limit_wait_ms;
extern int	bw_subscription_check_interval_s;
extern int	bw_write_back_timeout_ms;
extern bool bw_notify;
extern int	bw_notification_retention_min;
extern char *bw_instance;

/*
 * Read a list of seconds like "0.5,1,2" into "seconds"; returns how many there
 * are, -1 if it is malformed or longer than "max".
 */
extern int	bw_parse_delays(const char *list, double *seconds, int max);

#endif							/* BANDWIDTH_H */
