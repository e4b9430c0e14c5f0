/*
 * main.c
 *	  Options, the clock and its timers, and the loop.
 */
#include "sandbox.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

Options		options = {.seed = 1,.journal_bodies = true};
Config		config;

typedef struct Timer
{
	int64_t		due_us;
	TimerFunction function;
	void	   *arg;
} Timer;

/* A heap, the soonest first. */
static Timer *timers;
static size_t timer_count;
static size_t timer_room;

static long default_order_delay_ms = 300;
static volatile sig_atomic_t stopping;

static const char help[] =
"bw-sandbox plays Bandwidth's phone number API on loopback, in memory.\n"
"\n"
"Usage: bw-sandbox --listen 127.0.0.1:PORT [OPTION]...\n"
"\n"
"  --listen ADDRESS:PORT   loopback only; port 0 picks a free one\n"
"  --username U --password P           accept this API user (HTTP Basic)\n"
"  --client-id C --client-secret S     accept this client (OAuth2)\n"
"                          without either, any credentials are accepted\n"
"  --account ID            only this account exists (default: every one)\n"
"  --order-delay MS        how long an order takes (default 300)\n"
"  --seed N                of faults with a probability (default 1)\n"
"  --no-journal-bodies     keep no request bodies in the journal\n"
"  --help                  this text\n"
"\n"
"The API is served below /api, /api/v1 and /v1.0, the token endpoint at\n"
"/api/v1/oauth2/token.  When ready it prints: listening on http://ADDRESS:PORT\n"
"\n"
"Control, without credentials; parameters in the query or as a form:\n"
"  GET    /sandbox/ping\n"
"  POST   /sandbox/reset                back to the start\n"
"  GET    /sandbox/journal              requests, as JSON; filters: method,\n"
"                                       class, path, query, status, since\n"
"  GET    /sandbox/journal/count        how many, with the same filters\n"
"  DELETE /sandbox/journal\n"
"  GET    /sandbox/orders               all orders, as JSON\n"
"  GET    /sandbox/orders/count         with status\n"
"  GET    /sandbox/numbers?tn=          state of one number\n"
"  GET    /sandbox/callbacks            deliveries, as JSON\n"
"  GET    /sandbox/subscriptions        all of them, as JSON\n"
"  POST   /sandbox/subscriptions[?id=]  somebody else changes it, or all: url,\n"
"                                       order_type, username, password, status,\n"
"                                       expiry (seconds), removed=1, copy=1\n"
"  POST   /sandbox/sell?tn=             someone else takes the number;\n"
"                                       or prefix= and every=N\n"
"  POST   /sandbox/spoil?tn=[&named=1]  orders with the number are refused (5071)\n"
"  POST   /sandbox/restock?tn=          the number is available again\n"
"  POST   /sandbox/own?tn=              the account has the number already\n"
"  POST   /sandbox/notify[?subscription=]   deliver the body as a callback\n"
"  POST   /sandbox/config?...           order_delay_ms, toll_free_delay_ms,\n"
"                                       token_expires_in, enforce_limits=on|off,\n"
"                                       per_minute, burst, open_inventory=on|off,\n"
"                                       callback_auth=eager|challenge, gzip=on|off,\n"
"                                       callbacks=on|off, list_lag_ms, list_max,\n"
"                                       snatch_every, snatch_count, reservation_s, seed\n"
"  POST   /sandbox/faults?kind=...      class, method, path: which requests;\n"
"                                       skip, count, probability, seed: how often\n"
"                                       (default: always); status, delay_ms, code,\n"
"                                       text, retry_after_s, bytes, stored: below\n"
"  GET, DELETE /sandbox/faults\n"
"\n"
"Classes of requests: ORDER, SEARCH, DISCONNECT, SUBSCRIPTION, HISTORY,\n"
"INSERVICE_NPANXX, AVAILABLE_NPANXX, COVERED_RATECENTERS, MOVE_TNS,\n"
"RESERVATION, TOKEN, OTHER; reading and listing orders is HISTORY.\n"
"\n"
"Kinds of faults of requests:\n"
"  delay            the reply comes after delay_ms; so it does with every kind\n"
"  status           status (500) and, if given, code and text; not executed\n"
"  status_after     the same, but executed\n"
"  refuse           a refusal by Bandwidth: code, text, status (400)\n"
"  drop_reply       executed, then the connection is closed without a reply\n"
"  reset_before     connection reset, not executed\n"
"  reset_after      connection reset, but executed\n"
"  hang             no reply, ever; not executed\n"
"  hang_after       no reply, ever; but executed\n"
"  rate_limit       429; with retry_after_s also X-RateLimit-Reset\n"
"  code_5086        \"timed out, please resubmit\"; executed only with stored=1\n"
"  redirect         status (303) to text, or a list without page to its first\n"
"                   page, or to where nobody listens; executed only with stored=1\n"
"  malformed        half of the reply\n"
"  oversize         the reply and then blanks, up to bytes (64 MB)\n"
"  drip             a byte a second\n"
"  html             status (500) and a page of HTML; not executed\n"
"  unauthorized     401\n"
"  lost_echo        the reply lacks the elements called text, or has text's value\n"
"                   if that is NAME=VALUE; without text the order type's criteria;\n"
"                   with stored=1 the request lost them before it was executed\n"
"  ignore_filter    a list of orders ignores customerOrderId\n"
"  list_lag         this order is in lists only after delay_ms; or this list\n"
"                   lacks orders younger than delay_ms\n"
"\n"
"Kinds of faults of callbacks (class=CALLBACK):\n"
"  drop             never sent\n"
"  delay            sent after delay_ms\n"
"  duplicate        sent twice\n"
"  before_reply     this order runs at once, and its callbacks are answered\n"
"                   before the reply to its POST is sent; counts orders\n"
"  reorder          sent after a later one has ended, or after delay_ms if given\n"
"  malformed        half of it\n"
"  wrong_credentials   with another password\n";

int64_t
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void
timer_add(int64_t due_us, TimerFunction function, void *arg)
{
	size_t		i = timer_count++;

	if (timer_count > timer_room)
	{
		timer_room = timer_count * 2;
		timers = realloc(timers, timer_room * sizeof(Timer));
		if (timers == NULL)
			abort();
	}
	for (; i > 0 && timers[(i - 1) / 2].due_us > due_us; i = (i - 1) / 2)
		timers[i] = timers[(i - 1) / 2];
	timers[i] = (Timer)
	{
		due_us, function, arg
	};
}

static void
do_nothing(void *arg)
{
	(void) arg;
}

void
timer_cancel(TimerFunction function, void *arg)
{
	for (size_t i = 0; i < timer_count; i++)
		if (timers[i].function == function && (arg == NULL || timers[i].arg == arg))
			timers[i].function = do_nothing;
}

static Timer
pop_timer(void)
{
	Timer		first = timers[0];
	Timer		last = timers[--timer_count];
	size_t		i = 0;

	for (;;)
	{
		size_t		child = 2 * i + 1;

		if (child >= timer_count)
			break;
		if (child + 1 < timer_count && timers[child + 1].due_us < timers[child].due_us)
			child++;
		if (timers[child].due_us >= last.due_us)
			break;
		timers[i] = timers[child];
		i = child;
	}
	if (timer_count > 0)
		timers[i] = last;
	return first;
}

static void
run_timers(void)
{
	while (timer_count > 0 && timers[0].due_us <= now_us())
	{
		Timer		timer = pop_timer();

		timer.function(timer.arg);
	}
}

/* xorshift64*: small, seeded, good enough for faults */
double
random_unit(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (double) ((*state * UINT64_C(2685821657736338717)) >> 11) /
		(double) (UINT64_C(1) << 53);
}

/* Neighbouring seeds shall not begin alike. */
uint64_t
random_start(uint64_t seed)
{
	uint64_t	state = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15);

	state = (state ^ (state >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	return (state ^ (state >> 27)) | 1;
}

void
config_reset(void)
{
	config = (Config)
	{
		.order_delay_ms = default_order_delay_ms,.toll_free_delay_ms = 5000,
			.token_expires_in = 3600,.per_minute = 100,.burst = 800,.callbacks = true,
			.list_max = 1000,.reservation_s = 14400,.snatch_count = -1,.gzip = true,.seed = (long) options.seed
	};
}

static void
stop(int signal_number)
{
	(void) signal_number;
	stopping = 1;
}

static long
smaller(long a, long b)
{
	return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

/* Milliseconds to sleep, at most; -1: for ever. */
static long
sleep_ms(void)
{
	long		timeout = smaller(front_timeout_ms(), callbacks_timeout_ms());

	if (timer_count > 0)
	{
		int64_t		wait = (timers[0].due_us - now_us() + 999) / 1000;

		timeout = smaller(timeout, wait > 0 ? (long) wait : 0);
	}
	return timeout;
}

static void
loop(void)
{
	sigset_t	none;
	struct pollfd fds[2] = {{.fd = front_fd(),.events = POLLIN},
	{.fd = callbacks_fd(),.events = POLLIN}};

	sigemptyset(&none);
	while (!stopping)
	{
		long		ms = smaller(sleep_ms(), 1000);
		struct timespec timeout = {.tv_sec = ms / 1000,.tv_nsec = ms % 1000 * 1000000};

		/* Signals come in here only, and so cannot slip past the test. */
		ppoll(fds, 2, &timeout, &none);
		run_timers();
		front_run();
		callbacks_run();
	}
}

static void
catch_signals(void)
{
	sigset_t	ours;

	sigemptyset(&ours);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGINT);
	sigprocmask(SIG_BLOCK, &ours, NULL);
	signal(SIGTERM, stop);
	signal(SIGINT, stop);
	signal(SIGPIPE, SIG_IGN);
}

static bool
listen_on(const char *listen_at)
{
	char		address[64];
	const char *colon = listen_at ? strrchr(listen_at, ':') : NULL;
	int			port;

	if (colon == NULL || (size_t) (colon - listen_at) >= sizeof(address))
		return false;
	memcpy(address, listen_at, (size_t) (colon - listen_at));
	address[colon - listen_at] = '\0';
	if (strncmp(address, "127.", 4) != 0)
	{
		fprintf(stderr, "bw-sandbox: only loopback addresses (127.x.x.x) may be listened on\n");
		return false;
	}
	if (!front_open(address, atoi(colon + 1), &port))
	{
		fprintf(stderr, "bw-sandbox: could not listen on %s\n", listen_at);
		return false;
	}
	printf("listening on http://%s:%d\n", address, port);
	fflush(stdout);
	return true;
}

static void
take_option(int option, char *value)
{
	switch (option)
	{
		case 'u':
			options.username = value;
			break;
		case 'p':
			options.password = value;
			break;
		case 'c':
			options.client_id = value;
			break;
		case 's':
			options.client_secret = value;
			break;
		case 'a':
			options.account = value;
			break;
		case 'd':
			default_order_delay_ms = atol(value);
			break;
		case 'r':
			options.seed = strtoull(value, NULL, 10);
			break;
		case 'b':
			options.journal_bodies = false;
			break;
	}
}

static void
forget_everything(void)
{
	orders_reset();
	reservations_reset();
	subscriptions_reset();
	inventory_reset();
	faults_clear();
	journal_clear();
	limits_clear();
	free(timers);
}

/* Half of a pair of credentials would be one that nobody can present. */
static bool
options_fit(void)
{
	return (options.username == NULL) == (options.password == NULL) &&
		(options.client_id == NULL) == (options.client_secret == NULL);
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"listen", required_argument, NULL, 'l'},
		{"username", required_argument, NULL, 'u'},
		{"password", required_argument, NULL, 'p'},
		{"client-id", required_argument, NULL, 'c'},
		{"client-secret", required_argument, NULL, 's'},
		{"account", required_argument, NULL, 'a'},
		{"order-delay", required_argument, NULL, 'd'},
		{"seed", required_argument, NULL, 'r'},
		{"no-journal-bodies", no_argument, NULL, 'b'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	const char *listen_at = NULL;
	bool		usable = true;
	int			c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
	{
		if (c == 'h')
			return fputs(help, stdout) < 0;
		if (c == 'l')
			listen_at = optarg;
		usable = usable && c != '?';
		take_option(c, optarg);
	}
	config_reset();
	catch_signals();
	curl_global_init(CURL_GLOBAL_ALL);
	if (!usable || !options_fit() || !callbacks_open() || !listen_on(listen_at))
	{
		fputs("Try: bw-sandbox --help\n", stderr);
		return 2;
	}
	loop();
	front_close();
	callbacks_close();
	forget_everything();
	curl_global_cleanup();
	return 0;
}
