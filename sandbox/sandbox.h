/*
 * sandbox.h
 *	  What the parts of the sandbox share.
 *
 * The sandbox plays Bandwidth's phone number API on loopback, in memory, from
 * Bandwidth's public documentation.  One thread, one loop.  It shares no code
 * with the extension, so that a misreading cannot cancel out.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <libxml/tree.h>

typedef uint64_t Number;		/* a ten-digit telephone number */

/* --- text.c: growing strings --- */
typedef struct Text
{
	char	   *data;
	size_t		len;
	size_t		room;
} Text;

void		text_add(Text *text, const char *format,...) __attribute__((format(printf, 2, 3)));
void		text_add_bytes(Text *text, const char *bytes, size_t len);

/* <name>value</name>, escaped; NULL: nothing */
void		text_element(Text *text, const char *name, const char *value);
void		text_element_int(Text *text, const char *name, long value);
void		text_element_bool(Text *text, const char *name, bool value);
void		text_json(Text *text, const char *value);	/* quoted */
void		text_free(Text *text);
char	   *copy_string(const char *text);	/* NULL stays NULL */

/* --- main.c: options, clock, timers --- */
typedef struct Options
{
	const char *username;
	const char *password;
	const char *client_id;
	const char *client_secret;
	const char *account;		/* NULL: every account exists */
	uint64_t	seed;
	bool		journal_bodies;
} Options;

/* What POST /sandbox/config changes. */
typedef struct Config
{
	long		order_delay_ms;
	long		toll_free_delay_ms;
	long		token_expires_in;
	bool		enforce_limits;
	long		per_minute;
	long		burst;
	bool		open_inventory;
	bool		eager_credentials;	/* callbacks carry them at once */
	bool		callbacks;
	long		list_lag_ms;
	long		snatch_every;	/* so manieth number that is listed goes; 0:
								 * none */
	long		snatch_count;	/* but no more than these; negative: any */
	long		list_max;		/* rows of a page of orders, at the most */
	long		reservation_s;	/* how long a number is kept */
	bool		gzip;
	long		seed;			/* of the faults to come */
} Config;

extern Options options;
extern Config config;

int64_t		now_us(void);
typedef void (*TimerFunction) (void *arg);
void		timer_add(int64_t due_us, TimerFunction function, void *arg);
void		timer_cancel(TimerFunction function, void *arg);	/* NULL: every arg */
void		config_reset(void);

/* 0 <= x < 1.  Every user of it has a state of its own, and its own order. */
double		random_unit(uint64_t *state);
uint64_t	random_start(uint64_t seed);

/* --- requests and replies --- */
typedef enum Class
{
	CLASS_ORDER, CLASS_SEARCH, CLASS_DISCONNECT, CLASS_SUBSCRIPTION,
	CLASS_HISTORY, CLASS_INSERVICE_NPANXX, CLASS_AVAILABLE_NPANXX,
	CLASS_COVERED_RATECENTERS, CLASS_MOVE_TNS, CLASS_RESERVATION,
	CLASS_TOKEN, CLASS_CALLBACK, CLASS_OTHER, CLASS_COUNT
} Class;

extern const char *const class_names[CLASS_COUNT];

#define MAX_PARTS 12

typedef struct Request
{
	const char *method;
	const char *path;			/* whole */
	const char *query;			/* raw, never NULL */
	const char *authorization;	/* NULL: none */
	const char *host;			/* as the client calls us, NULL: not said */
	const char *body;
	size_t		body_len;
	char	   *parts[MAX_PARTS];	/* path below the prefix, split */
	int			part_count;
	Class		class;
	const struct Fault *fault;	/* that strikes it, NULL: none */
} Request;

typedef enum Fate
{
	FATE_ANSWER,
	FATE_CLOSE,					/* connection closed without a reply */
	FATE_RESET,					/* connection reset */
	FATE_HANG					/* no reply, ever */
} Fate;

typedef struct Reply
{
	int			status;
	Text		body;
	const char *content_type;
	char		location[400];
	long		rate_limit_reset;	/* 0: no header */
	Fate		fate;
	long		delay_ms;
	bool		drip;			/* a byte a second */
	char		after[40];		/* the order whose callbacks go first */
} Reply;

/* Value of a query or form parameter, malloc'd; NULL: not given. */
char	   *parameter(const Request *request, const char *name);
long		parameter_int(const Request *request, const char *name, long otherwise);

/* --- front.c: HTTP --- */
bool		front_open(const char *address, int port, int *bound_port);
void		front_run(void);
int			front_fd(void);
long		front_timeout_ms(void);
void		front_delivered(const char *order_id);	/* a callback has ended */
void		front_hang_up(void);	/* on those that wait without a limit */
void		front_close(void);

/* --- gzip.c --- */
bool		gzip_accepted(const char *accept_encoding); /* NULL: no header */
bool		gzip_text(Text *text);

/* --- api.c: which resource answers --- */
void		api_answer(Request *request, Reply *reply);
void		reply_error(Reply *reply, int status, const char *root, const char *code,
						const char *text);	/* ErrorList shape */
void		reply_status(Reply *reply, int status, const char *root, const char *code,
						 const char *text); /* ResponseStatus shape */

/* --- inventory.c --- */
typedef enum NumberState
{
	NUMBER_UNKNOWN,				/* not in the inventory */
	NUMBER_AVAILABLE,
	NUMBER_RESERVED,
	NUMBER_IN_FLIGHT,
	NUMBER_OURS,
	NUMBER_SOLD,				/* to someone else */
	NUMBER_SPOILT,				/* orders with it are refused, unnamed */
	NUMBER_SPOILT_NAMED,		/* the same, but the error names it */
	NUMBER_AGING
} NumberState;

extern const char *const number_state_names[];

typedef struct Block
{
	int			npa;
	int			first_nxx;
	int			last_nxx;
	const char *city;
	const char *state;
	const char *rate_center;
	const char *lata;
	const char *zip;
	int			tier;
	int			lca;			/* blocks of one local calling area share it */
} Block;

const Block *block_of(Number number);
NumberState number_state(Number number);
void		number_set(Number number, NumberState state, long order);
long		number_order(Number number);
long		number_times_bought(Number number);
bool		number_parse(const char *text, Number *number);
bool		is_toll_free(Number number);
typedef bool (*NumberFilter) (const Block *block, Number number, void *arg);

/* Available numbers that pass, in inventory order; returns how many. */
long		inventory_find(NumberFilter filter, void *arg, long limit, Number *found);
typedef void (*NumberVisitor) (Number number, void *arg);
void		inventory_each_ours(NumberVisitor visitor, void *arg);
long		inventory_stock(int npa, int nxx);
void		inventory_reset(void);

/* --- search.c --- */
void		search_answer(Request *request, Reply *reply);

/* Criteria of a search or of a search-and-order type. */
typedef struct Criteria
{
	char		area_code[8];
	char		npanxx[8];
	char		npanxxx[10];
	char		rate_center[64];
	char		city[64];
	char		state[8];
	char		zip[16];
	char		lata[8];
	char		vanity[16];
	char		toll_free_vanity[16];
	char		pattern[8];
	bool		ends_in;
	bool		lca;
	int			max_tier;
} Criteria;

bool		criteria_match(const Block *block, Number number, void *criteria);

/* --- rules.c: why a search is refused --- */

/* Code and text; NULL: it is not. */
const char *search_refusal(const Request *request, const Criteria *criteria,
						   const char **text);

/* Of startdate and enddate; the same, and else the range that they mean. */
const char *days_refusal(const Request *request, int64_t *from_us, int64_t *until_us,
						 const char **text);

/* --- orders.c --- */
void		orders_answer(Request *request, Reply *reply);
void		orders_reset(void);
void		orders_restocked(void); /* back orders may fill now */
void		orders_json(Text *out);
long		orders_count(const char *status);
const char *order_id(long index);
void		disconnects_answer(Request *request, Reply *reply);
void		add_date(Text *out, const char *name, int64_t us);

/* An order, as far as the pages about numbers show it. */
typedef struct OrderFacts
{
	const char *id;
	const char *site;
	const char *peer;
	bool		disconnect;
	int64_t		created_us;
	int64_t		modified_us;
} OrderFacts;

bool		order_facts(long index, OrderFacts *facts); /* false: there is none */

/* --- numbers.c --- */
void		tns_answer(Request *request, Reply *reply);

/* "site": of which only; NULL: of the account */
void		inservice_answer(Request *request, const char *site, Reply *reply);

/* --- reservations.c --- */
void		reservations_answer(Request *request, Reply *reply);
void		number_reservation_answer(Number number, Reply *reply);
void		reservations_reset(void);
bool		reservation_exists(const char *id);
bool		reservation_is_of(const char *id, Number number);

/* An order for the number ended; it is used up, or the number is free again. */
void		reservation_ordered(Number number, bool bought);

/* --- pinning.c: certificates of callback servers --- */

/* PEM out of a PublicKey, base64 once more; NULL: it is none.  To be freed. */
char	   *pinned_certificate(const char *public_key);

/* --- subscriptions.c: and whom they tell --- */
void		subscriptions_answer(Request *request, Reply *reply);
void		notify_order(const char *kind, const char *order_id, const char *customer_order_id,
						 const char *status, const char *message,
						 const Number *numbers, long count, bool final);
void		notify_raw(const char *body, const char *subscription);
void		subscriptions_reset(void);
void		subscriptions_alter(const Request *request, Reply *reply);
void		subscriptions_json(Text *out);
void		subscription_note(const char *id, const char *status);

/* --- callbacks.c: their delivery --- */
typedef struct Delivery
{
	const char *subscription;
	const char *order_id;		/* NULL: of none */
	const char *url;
	const char *certificate;	/* PEM: trust this one; NULL: any */
	const char *username;		/* NULL: no credentials */
	const char *password;
	const char *body;
	long		delay_ms;
	bool		hold;			/* until a later one has ended */
} Delivery;

void		delivery_start(const Delivery *delivery);	/* copies it */
bool		deliveries_open(const char *order_id);
void		callbacks_reset(void);
void		callbacks_json(Text *out);
void		callbacks_run(void);
int			callbacks_fd(void);
long		callbacks_timeout_ms(void);
bool		callbacks_open(void);
void		callbacks_close(void);

/* --- faults.c --- */
typedef struct Fault
{
	long		id;
	int			class;			/* -1: any */
	char		method[8];
	char		path[80];
	char		kind[24];
	long		count;			/* -1: without end */
	long		skip;
	double		probability;
	uint64_t	random;
	long		status;			/* 0: what is usual for the kind */
	long		delay_ms;
	char		code[12];
	char		text[120];
	long		retry_after_s;	/* -1: no header */
	long		bytes;
	bool		stored;
} Fault;

/* The fault that strikes this request, NULL: none; kinds of callbacks apart. */
const Fault *fault_for(const Request *request);

/* Of a callback; "early": whether it shall come before the order's reply. */
const Fault *fault_for_callback(bool early);
void		fault_add(const Request *request, Reply *reply);
void		faults_json(Text *out);
void		faults_clear(void);
bool		fault_is(const Fault *fault, const char *kind);

/* --- journal.c --- */
void		journal_add(const Request *request, int64_t at_us, int status,
						const char *fault);
void		journal_json(const Request *filter, Text *out);
long		journal_count(const Request *filter);
void		journal_clear(void);

/* --- limits.c --- */

/* Is this call within the enforced limit?  Counts it if so. */
bool		limit_allows(const Request *request, long *reset_epoch_s);
void		limits_clear(void);

/* --- control.c --- */
void		control_answer(Request *request, Reply *reply);

/* --- text.c: reading XML --- */
xmlDoc	   *xml_read(const char *data, size_t len);
xmlNode    *xml_child(xmlNode *node, const char *name); /* NULL: none */
char	   *xml_child_text(xmlNode *node, const char *name);	/* malloc'd, NULL: none */
bool		xml_child_bool(xmlNode *node, const char *name, bool otherwise);
long		xml_child_int(xmlNode *node, const char *name, long otherwise);

/*
 * A copy of a document without the elements called "what", or with another
 * text in them if it is "NAME=TEXT".  If it is "": without all that an order's
 * type holds, the quantity excepted.  Malloc'd; NULL: no document.
 */
char	   *xml_edit(const char *data, size_t len, const char *what);

#endif
