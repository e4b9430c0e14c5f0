/*-------------------------------------------------------------------------
 *
 * statistics.h
 *	  What was called, how that went, and what the workers are doing.
 *
 * Cumulative, and counted for the worker and for sessions alike.  In shared
 * memory when the library is preloaded, else private to the process.
 * Nothing here throws.
 *
 * src/statistics.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_STATISTICS_H
#define BW_STATISTICS_H

#include "bandwidth.h"

#include "datatype/timestamp.h"

/* Calls by how long they took: upper bounds in ms; one more has the rest. */
#define BW_LATENCY_BOUNDS 11
extern const int bw_latency_bounds_ms[BW_LATENCY_BOUNDS];

/* Room for the text of an error, its end included. */
#define BW_ERROR_SIZE 200

/* Called from _PG_init() while shared_preload_libraries are loaded. */
extern void bw_statistics_init(void);

/* --- calls, by database, server and endpoint class --- */
/* One request that left, or tried to, and how it ended. */
typedef struct BwCallRecord
{
	Oid			server;
	BwEndpointClass class;
	BwOutcomeKind outcome;
	bool		again;			/* a repetition of one that failed */
	int64		bytes_sent;
	int64		bytes_received;
	int64		elapsed_us;
	const char *error;			/* what went wrong, if something did */
} BwCallRecord;

extern void bw_statistics_count(const BwCallRecord *record);

/* The worker sends nothing of this class until then, because a call failed. */
extern void bw_statistics_retry_at(Oid server, BwEndpointClass class,
								   TimestampTz at);

typedef struct BwCallStatistics
{
	Oid			server;
	BwEndpointClass class;
	TimestampTz since;			/* first call, or last reset */
	TimestampTz used_at;		/* last call */
	int64		calls;
	int64		outcomes[BW_OUTCOME_COUNT];
	int64		retries;
	int64		bytes_sent;
	int64		bytes_received;
	int64		total_us;
	int64		latency[BW_LATENCY_BOUNDS + 1];
	TimestampTz succeeded_at;	/* DT_NOBEGIN: never */
	TimestampTz failed_at;		/* DT_NOBEGIN: never */
	char		error[BW_ERROR_SIZE];
	TimestampTz retry_at;		/* see bw_statistics_retry_at() */
} BwCallStatistics;

/*
 * The counters of this database one by one, from *position 0 on; false: that
 * were all.
 */
extern bool bw_statistics_next(int *position, BwCallStatistics *copy);

/* Those of one server and class; false: nothing was called. */
extern bool bw_statistics_of(Oid server, BwEndpointClass class,
							 BwCallStatistics *copy);

/* Back to 0, in this database; InvalidOid: all servers, and the worker. */
extern void bw_statistics_reset(Oid server);

/* --- workers --- */
typedef struct BwWorkerStatistics
{
	int			in_flight;		/* calls */
	int			port;			/* for callbacks; 0: closed */
	TimestampTz next_wake_at;	/* by itself, to look for work */
	TimestampTz succeeded_at;	/* last call; DT_NOBEGIN: never */
	TimestampTz failed_at;		/* last call without an answer that helps, or
								 * step of its own; DT_NOBEGIN: never */
	char		error[BW_ERROR_SIZE];
} BwWorkerStatistics;

/* This process is the worker of its database from now on. */
extern void bw_statistics_worker_enter(void);

/* It is about to sleep. */
extern void bw_statistics_worker_sleeps(int in_flight, int port,
										TimestampTz next_wake_at);

/* A step of its own failed.  Nothing happens in other processes. */
extern void bw_statistics_worker_failed(const char *error);

/* The worker of this database; false: there was none since the start. */
extern bool bw_statistics_worker(BwWorkerStatistics *copy);

#endif							/* BW_STATISTICS_H */
