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

Options		options = {.journal_bodies = true};
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

static uint64_t random_state = 1;
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
"  --seed N                of the random choices (default 1)\n"
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
"                                       class, path, status, since\n"
"  GET    /sandbox/journal/count        how many, with the same filters\n"
"  DELETE /sandbox/journal\n"
"  GET    /sandbox/orders               all orders, as JSON\n"
"  GET    /sandbox/orders/count         with status\n"
"  GET    /sandbox/numbers?tn=          state of one number\n"
"  GET    /sandbox/callbacks            deliveries, as JSON\n"
"  POST   /sandbox/sell?tn=             someone else takes the number;\n"
"                                       or prefix= and every=N\n"
"  POST   /sandbox/restock?tn=          the number is available again\n"
"  POST   /sandbox/notify[?subscription=]   deliver the body as a callback\n"
"  POST   /sandbox/config?...           order_delay_ms, toll_free_delay_ms,\n"
"                                       token_expires_in, enforce_limits,\n"
"                                       per_minute, burst, open_inventory,\n"
"                                       callback_auth=eager|challenge,\n"
"                                       callbacks=on|off, list_lag_ms, seed\n"
"  POST   /sandbox/faults?kind=...      class, method, path, count, skip,\n"
"                                       probability, status, delay_ms, code,\n"
"                                       text, retry_after_s, bytes, stored\n"
"  GET, DELETE /sandbox/faults\n"
"\n"
"Kinds of faults: delay, status (instead of executing), status_after, refuse\n"
"(a Bandwidth error: code, text), drop_reply (executed, connection closed),\n"
"reset_before, reset_after, hang, hang_after, rate_limit (429), code_5086,\n"
"redirect, malformed, oversize, html, unauthorized, lost_echo, ignore_filter,\n"
"list_lag; for class=CALLBACK: drop, delay, duplicate, before_reply,\n"
"malformed, wrong_credentials.\n";

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
random_unit(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (double) ((random_state * UINT64_C(2685821657736338717)) >> 11) /
		(double) (UINT64_C(1) << 53);
}

void
random_seed(uint64_t seed)
{
	random_state = seed * 2 + 1;
}

void
config_reset(void)
{
	config = (Config)
	{
		.order_delay_ms = default_order_delay_ms,.toll_free_delay_ms = 5000,
			.token_expires_in = 3600,.per_minute = 100,.burst = 800,.callbacks = true
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

static void
loop(void)
{
	struct pollfd fds[2] = {{.fd = front_fd(),.events = POLLIN},
	{.fd = callbacks_fd(),.events = POLLIN}};

	while (!stopping)
	{
		long		timeout = smaller(front_timeout_ms(), callbacks_timeout_ms());

		if (timer_count > 0)
		{
			int64_t		wait = (timers[0].due_us - now_us() + 999) / 1000;

			timeout = smaller(timeout, wait > 0 ? (long) wait : 0);
		}
		poll(fds, 2, (int) smaller(timeout, 1000));
		run_timers();
		front_run();
		callbacks_run();
	}
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
	int			c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
	{
		switch (c)
		{
			case 'l':
				listen_at = optarg;
				break;
			case 'u':
				options.username = optarg;
				break;
			case 'p':
				options.password = optarg;
				break;
			case 'c':
				options.client_id = optarg;
				break;
			case 's':
				options.client_secret = optarg;
				break;
			case 'a':
				options.account = optarg;
				break;
			case 'd':
				default_order_delay_ms = atol(optarg);
				break;
			case 'r':
				random_seed(strtoull(optarg, NULL, 10));
				break;
			case 'b':
				options.journal_bodies = false;
				break;
			case 'h':
				fputs(help, stdout);
				return 0;
			default:
				fputs("Try: bw-sandbox --help\n", stderr);
				return 2;
		}
	}
	config_reset();
	signal(SIGTERM, stop);
	signal(SIGINT, stop);
	signal(SIGPIPE, SIG_IGN);
	curl_global_init(CURL_GLOBAL_ALL);
	if (!callbacks_open() || !listen_on(listen_at))
	{
		fputs("Try: bw-sandbox --help\n", stderr);
		return 2;
	}
	loop();
	front_close();
	callbacks_close();
	orders_reset();
	subscriptions_reset();
	inventory_reset();
	faults_clear();
	journal_clear();
	free(timers);
	curl_global_cleanup();
	return 0;
}
