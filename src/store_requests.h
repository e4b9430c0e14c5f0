/*-------------------------------------------------------------------------
 *
 * store_requests.h
 *	  Statements of the worker on requests under way and their outcomes.
 *
 * All of them run between bw_store_begin() and bw_store_commit(), work on
 * sets, and skip rows that somebody else has locked: a user's lock delays
 * that row only.
 *
 * src/store_requests.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_STORE_REQUESTS_H
#define BW_STORE_REQUESTS_H

#include "bandwidth.h"

#include "order.h"
#include "store.h"

/*
 * Write down that a request of unknown outcome is being sent again; "count" its
 * numbers as if they were claimed now, because they count no more.
 */
extern void bw_store_send_again(int64 request_id, int patience_ms, bool count);

/* A request under way. */
typedef struct BwRequestRow
{
	int64		id;
	char	   *kind;
	char	   *server;
	char	   *account_id;
	char	   *ordered_by;
	char	   *customer_order_id;
	char	   *bandwidth_order_id; /* NULL: not known */
	char	  **other_order_ids;	/* adopted as well: a lost copy's */
	int			other_count;
	int			attempts;
	int			member_count;
	int			quantity;		/* of all members */
	TimestampTz first_sent_at;
	char	   *step;			/* NULL: closed */
	int			tries;
	char	  **candidates;		/* orders that callbacks named */
	int			candidate_count;
	char	  **checked_numbers;	/* of no lost copy, for certain */
	int			checked_count;
	char	   *refused_code;	/* a copy was refused by this, NULL: none */
	char	   *refused_text;
	bool		shared;			/* its orders were put together when it was
								 * sent */
	char	   *adopting;		/* bw_adopt() named this order, and nothing
								 * was learnt since; NULL: none */
} BwRequestRow;

/* All numbers that a request asks for, whatever became of them. */
extern char **bw_store_request_numbers(int64 request_id, int *count);

/* What an inquiry that could not end has found out. */
typedef struct BwProgress
{
	const char **candidates;	/* orders that may be the request's */
	int			candidate_count;
	const char **others;		/* orders that are not */
	int			other_count;
	const char **checked;		/* numbers that need not be asked about again */
	int			checked_count;
} BwProgress;

/* Remember it, and look at the request again by then, or earlier. */
extern void bw_store_progress(int64 request_id, const BwProgress *learnt,
							  TimestampTz due_at);

/* Those of the orders at Bandwidth that belong to another request already. */
extern char **bw_store_bound_elsewhere(int64 request_id, const char *const *ids,
									   int ids_count, int *count);

/*
 * Requests whose time has come, locked, at most "limit", without those of some
 * servers; when the next one is due in *next_due (DT_NOEND: none).
 */
extern BwRequestRow *bw_store_due_requests(int limit, const char *const *barred,
										   int barred_count, int *count,
										   TimestampTz *next_due);

/*
 * Requests by what callbacks name: Bandwidth's order id; else our CustomerOrderId,
 * if the order's id was not heard yet.  Which one each means: matches[i], -1: none.
 */
extern BwRequestRow *bw_store_match_requests(const char *const *bandwidth_ids,
											 const char *const *customer_ids, int ids,
											 int *count, int *matches);
extern BwRequestRow *bw_store_requests(const int64 *ids, int ids_count,
									   int *count);

/* After a start of the worker: whatever was being sent is overdue. */
extern void bw_store_forget_sends(void);

/* Note that a request is looked at again now, and when next. */
extern void bw_store_schedule(const int64 *request_ids, const char *step,
							  const TimestampTz *due, int count);

/*
 * The list of orders did not tell enough of these: each is read by itself then,
 * unless something else is to be done with it by now.
 */
extern void bw_store_read_each(const int64 *request_ids, const TimestampTz *due,
							   int count);

/*
 * Have a request looked at as soon as possible, unless it is being sent: then
 * the reply to its POST comes first, and a second later it is looked at.
 * "candidate" is an order that may be the request's, NULL: none.
 */
extern void bw_store_ask_now(int64 request_id, const char *candidate,
							 TimestampTz now);

/* An order as a member of a request, locked. */
typedef struct BwMember
{
	int64		request_id;
	int64		order_id;
	BwOrderStatus status;
	int			quantity;
	bool		direct;
	bool		partial_allowed;
	bool		left;			/* another request carries it now */
	bool		may_substitute; /* it has attempts left, see
								 * bw_store_substitute() */
	int			completed_before;	/* by earlier requests */
	char	  **numbers;		/* that this request asks for */
	int			number_count;
} BwMember;

/* Members of these requests that could be locked, sorted by request. */
extern BwMember *bw_store_lock_members(const int64 *request_ids, int ids,
									   int *count);

/* One request's part of such a list. */
extern const BwMember *bw_members_of(const BwMember *members, int count,
									 int64 request_id, int *part);

/* Changes; NULL texts and negative numbers leave a column as it is. */
typedef struct BwOrderChange
{
	int64		order_id;
	BwOrderStatus status;
	bool		moved;			/* the status is another one: an event */
	const char *source;			/* of the event */
	const char *detail;			/* of the event */
	const char *bandwidth_order_id;
	const char *bandwidth_status;
	int			completed_quantity;
	int			failed_quantity;
	const char *error_code;		/* "" clears it, as with the text */
	const char *error_text;
	const char *message;
	const char *summary;
	const char *warning;
	const char *attention;		/* "" clears it */
} BwOrderChange;

typedef struct BwNumberChange
{
	int64		order_id;
	const char *telephone_number;
	const char *status;
	const char *error_code;
	const char *error_text;
} BwNumberChange;

typedef struct BwRequestChange
{
	int64		request_id;
	const char *state;
	const char *bandwidth_order_id;
	const char *const *other_order_ids; /* beside it; NULL: no change */
	int			other_count;
	const char *step;			/* NULL: nothing more to do */
	TimestampTz due_at;
	int			tries;
	bool		not_executed;	/* the attempt does not count */
	const char *refused_code;	/* NULL: no change */
	const char *refused_text;
} BwRequestChange;

extern void bw_store_change_orders(const BwOrderChange *changes, int count);
extern void bw_store_change_numbers(const BwNumberChange *changes, int count);
extern void bw_store_change_requests(const BwRequestChange *changes, int count);

#endif							/* BW_STORE_REQUESTS_H */
