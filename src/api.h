/*-------------------------------------------------------------------------
 *
 * api.h
 *	  Bandwidth's phone number API: endpoints, access tokens, and what a
 *	  reply means.
 *
 * A call is started, moved on by bw_api_run() and taken when it is finished;
 * backends use bw_api_perform(), which does all three and can be cancelled.
 * Whatever the network or Bandwidth did is a BwOutcome, not an exception.
 *
 * src/api.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_API_H
#define BW_API_H

#include "bandwidth.h"

#include "compat.h"
#include "config.h"
#include "datatype/timestamp.h"
#include "http.h"
#include "lib/stringinfo.h"
#include "order.h"
#include "request.h"

/* 5,000 rows with details are 2 MB; an order of 5,000 numbers is 1 MB. */
#define BW_API_MAX_REPLY (16 * 1024 * 1024)

typedef struct BwApi BwApi;
typedef struct BwCall BwCall;

/* Whose account, with which credentials.  Must outlive the call. */
typedef struct BwAccount
{
	BwServer   *server;
	BwCredentials *credentials;
} BwAccount;

/* One call; all texts are copied. */
typedef struct BwCallSpec
{
	BwEndpointClass class;
	const char *method;
	const char *path;			/* below base_url, from bw_api_path() */
	const char *query;			/* without '?', NULL: none */
	const char *body;			/* XML, NULL: none */
	bool		again;			/* it failed before; for the statistics */
} BwCallSpec;

typedef struct BwOutcome
{
	BwOutcomeKind kind;
	int			status;			/* HTTP, 0: no reply, or no access token */
	const char *code;			/* Bandwidth's, NULL: none */
	const char *text;			/* one line for people, never NULL */
	TimestampTz retry_at;		/* BW_OUTCOME_LATER after 429, else DT_NOBEGIN */
	const BwHttpReply *reply;	/* body and headers, NULL: no access token */
} BwOutcome;

/* An engine in "owner": connections, calls under way. */
extern BwApi *bw_api_create(MemoryContext owner, int max_connections);

/*
 * Start a call.  It lives in a memory context of its own below "owner" and is
 * ended at once when that goes away.
 */
extern BwCall *bw_api_start(BwApi *api, MemoryContext owner,
							const BwAccount *account, const BwCallSpec *spec,
							void *arg);
extern int	bw_api_fd(const BwApi *api);
extern long bw_api_timeout_ms(const BwApi *api);
extern void bw_api_run(BwApi *api);
extern BwCall *bw_api_take_finished(BwApi *api);
extern int	bw_api_in_flight(const BwApi *api);

/* Those of one server: what its max_in_flight bounds. */
extern int	bw_api_in_flight_of(const BwApi *api, Oid serverid);

extern void *bw_call_arg(const BwCall *call);
extern const BwOutcome *bw_call_outcome(const BwCall *call);
extern void bw_call_release(BwCall *call);

/*
 * For backends: one call from start to end, within the account's rate budget
 * (waits at most bandwidth.max_rate_limit_wait, then raises TN003).  The
 * result is good until bw_call_release(); errors of Bandwidth are not raised.
 * A path with an id that is none is: 22023.
 */
extern BwCall *bw_api_perform(const BwAccount *account, const BwCallSpec *spec);

/* "could not ..." as a sentence, for a detail. */
extern char *bw_sentence(const char *text);

/* Raise what went wrong as an ERROR of its own SQLSTATE; "what" as in
 * "could not search for telephone numbers". */
pg_noreturn extern void bw_outcome_raise(const BwOutcome *outcome, const BwAccount *account,
										 const char *what);

/* An account without subscriptions answers 404, with 16000 to 16002. */
extern bool bw_outcome_is_no_subscriptions(const BwOutcome *outcome);

/* Resource that takes such orders, and shows them: "orders", "disconnects". */
extern const char *bw_api_resource(BwOrderKind kind);

/* "/accounts/9900000/orders/abc": each argument after format is escaped. */
extern char *bw_api_path(const BwAccount *account, const char *resource,
						 const char *id);

/* Append "name=value" to a query, percent-encoded. */
extern void bw_api_append(StringInfo query, const char *name, const char *value);
extern char *bw_api_search_query(const BwSearch *search);

/* A date in any of Bandwidth's spellings; DT_NOBEGIN if it is none. */
extern TimestampTz bw_api_parse_date(const char *date);

/* A date of a reply's body, corrected by the difference of the clocks. */
extern TimestampTz bw_api_our_time(const char *date, const BwHttpReply *http);

/* A day as queries of lists take it: YY-MM-DD, in UTC. */
extern char *bw_api_format_day(TimestampTz at);

/*
 * Query of the first page of a list since then: from a day before until tomorrow,
 * whatever the zone.
 */
extern char *bw_api_dated_query(TimestampTz since, const char *page_size);

/* Id of a new resource from its Location header, palloc'd; NULL: none. */
extern char *bw_api_location_id(const BwHttpReply *reply);

#endif							/* BW_API_H */
