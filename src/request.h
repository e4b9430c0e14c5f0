/*-------------------------------------------------------------------------
 *
 * request.h
 *	  What a user may ask for: telephone numbers, searches and orders,
 *	  checked before anything is written or sent.
 *
 * Plain C without postgres.h, so that unit tests can drive it.  Nothing here
 * allocates: callers own all memory.  A refusal is described in a BwProblem,
 * which the SQL layer turns into an ereport().
 *
 * src/request.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_REQUEST_H
#define BW_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

/* Limits of Bandwidth's ordering guide and OpenAPI. */
#define BW_NUMBER_DIGITS 10
#define BW_NAME_MAX 50
#define BW_CUSTOMER_ORDER_ID_MAX 40
#define BW_QUANTITY_MAX 5000
/* Ours: Bandwidth's are UUIDs. */
#define BW_RESERVATION_ID_MAX 100
/* Ours, so that a key fits into an index. */
#define BW_IDEMPOTENCY_KEY_MAX 255

/* A telephone number as the API's version 1 writes it: ten digits. */
typedef struct BwNumber
{
	char		digits[BW_NUMBER_DIGITS + 1];
} BwNumber;

/* Why an argument was refused, in PostgreSQL's message style. */
typedef enum BwProblemKind
{
	BW_PROBLEM_INVALID_PARAMETER,	/* 22023 */
	BW_PROBLEM_INVALID_TEXT,	/* 22P02 */
	BW_PROBLEM_NULL,			/* 22004 */
	BW_PROBLEM_NOT_SUPPORTED	/* 0A000 */
} BwProblemKind;

typedef struct BwProblem
{
	BwProblemKind kind;
	char		message[256];
	char		detail[256];	/* empty: none */
	char		hint[256];		/* empty: none */
} BwProblem;

/*
 * Read a North American number in any usual spelling: "5405514342",
 * "15405514342", "+15405514342", "(540) 551-4342", "540.551.4342".
 * Letters, extensions and other country codes are refused, as are area codes
 * and exchanges that start with 0 or 1.
 */
extern bool bw_number_parse(const char *text, BwNumber *number,
							BwProblem *problem);

/*
 * A search: query of GET availableNumbers.  NULL or 0 means "not given".
 * "lca" and the other three-state flags: -1 not given, 0 false, 1 true.
 */
typedef struct BwSearch
{
	const char *area_code;
	const char *npanxx;
	const char *npanxxx;
	const char *rate_center;
	const char *city;
	const char *state;
	const char *zip;
	const char *lata;
	const char *local_vanity;
	const char *toll_free_vanity;
	const char *toll_free_wildcard_pattern;
	const char *order_by;
	const char *protected_numbers;	/* NONE, ONLY, MIXED */
	int			ends_in;
	int			lca;
	int			quantity;
	bool		detail;
} BwSearch;

/*
 * Check formats and combinations by the rules of Bandwidth's search
 * documentation.  Anything the documentation leaves open is let through: the
 * server decides.  A 3- or 7-digit npanxx gets a hint naming area_code or
 * npanxxx.
 */
extern bool bw_search_check(const BwSearch *search, BwProblem *problem);

/*
 * The query parameters of a search, one by one, in a fixed order, with
 * Bandwidth's spelling ("npaNxx", "enableTNDetail", "LCA", ...).  Values are
 * not percent-encoded.  "position" starts at 0; returns false at the end.
 * "value" may point into "scratch".
 */
extern bool bw_search_parameter(const BwSearch *search, int *position,
								const char **name, const char **value,
								char scratch[32]);

/* Options that every order has. */
typedef struct BwOrderOptions
{
	const char *site_id;		/* digits */
	const char *peer_id;		/* digits, or NULL: the site's default */
	const char *name;			/* NULL: generated when sent */
	const char *customer_order_id;	/* the user's own, or NULL */
	bool		partial_allowed;
	bool		back_order_requested;
	int			attempts;
} BwOrderOptions;

/*
 * Check an order for explicit numbers: at least one, none twice, all valid;
 * Name <= 50 characters, CustomerOrderId <= 40 of letters, digits, dash and
 * space, site and peer positive integers, attempts 1 to 100, no back order
 * (error 5522).  "numbers" has "count" entries; a NULL entry is refused.
 * The numbers as the API wants them go to "parsed" (count entries).
 * Duplicates are found after normalising; cost is O(n log n) or better, with
 * qsort over "order", an array of "count" entries of scratch space.
 */
extern bool bw_order_check(const char *const *numbers, int count,
						   const BwOrderOptions *options,
						   BwNumber *parsed, int *order,
						   BwProblem *problem);

/*
 * Check what is to be disconnected, as bw_order_check() does: at least one
 * number, none twice, all valid, and the CustomerOrderId (NULL: none).
 */
extern bool bw_disconnect_check(const char *const *numbers, int count,
								const char *customer_order_id,
								BwNumber *parsed, int *order,
								BwProblem *problem);

/* The same checks for options alone, used by orders by criteria. */
extern bool bw_order_options_check(const BwOrderOptions *options,
								   BwProblem *problem);

/* Check the id of a site. */
extern bool bw_site_id_check(const char *id, BwProblem *problem);

/* Check the id of a reservation; "name" is the argument's. */
extern bool bw_reservation_id_check(const char *name, const char *id,
									BwProblem *problem);

/* Check an idempotency_key (NULL: none): 1 to 255 characters. */
extern bool bw_idempotency_key_check(const char *key, BwProblem *problem);

/*
 * Check an order by criteria: quantity 1 to 5000, exactly the combinations of
 * Bandwidth's "search and order" types.  "direct" tells whether the API's own
 * type is sent (then back orders are possible, except with NPA-NXX(-X), toll
 * free vanity and local vanity; max_tier and further attempts are not).
 * "max_tier" is NULL where none was given.
 */
extern bool bw_order_search_check(const BwSearch *criteria,
								  const BwOrderOptions *options,
								  bool direct, const int *max_tier,
								  BwProblem *problem);

#endif							/* BW_REQUEST_H */
