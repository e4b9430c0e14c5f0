/*-------------------------------------------------------------------------
 *
 * bandwidth.c
 *	  Start of the library: settings, and the launcher if it is preloaded.
 *
 * src/bandwidth.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/guc.h"

#include "bandwidth.h"
#include "launcher.h"
#include "registry.h"
#include "removal.h"
#include "statistics.h"

PG_MODULE_MAGIC;

#define MAX_DELAYS 32

bool		bw_enabled = true;
char	   *bw_default_server = NULL;
char	   *bw_listen_addresses = NULL;
int			bw_listen_port = 0;
char	   *bw_tls_cert_file = NULL;
char	   *bw_tls_key_file = NULL;
int			bw_coalesce_delay_ms = 600;
char	   *bw_poll_schedule = NULL;
int			bw_poll_interval_s = 60;
int			bw_poll_interval_callbacks_s = 300;
char	   *bw_look_up_delays = NULL;
int			bw_max_rate_limit_wait_ms = 2000;
int			bw_subscription_check_interval_s = 3 * 60 * 60;
int			bw_write_back_timeout_ms = 10000;
bool		bw_notify = true;
int			bw_notification_retention_min = 90 * 24 * 60;
char	   *bw_instance = NULL;

void		_PG_init(void);

static void define_worker_settings(void);
static void define_timing_settings(void);
static bool check_delays(char **newval, void **extra, GucSource source);

void
_PG_init(void)
{
	define_worker_settings();
	define_timing_settings();
	MarkGUCPrefixReserved("bandwidth");

	if (process_shared_preload_libraries_in_progress)
	{
		bw_registry_init();
		bw_statistics_init();
		bw_launcher_init();
		bw_removal_init();
	}
}

static void
define_worker_settings(void)
{
	DefineCustomBoolVariable("bandwidth.enabled",
							 "Runs a worker for each database that has the extension.",
							 NULL, &bw_enabled, true, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomStringVariable("bandwidth.default_server",
							   "Foreign server that is used when a call names none.",
							   NULL, &bw_default_server, "bandwidth",
							   PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("bandwidth.listen_addresses",
							   "Addresses on which callbacks are received.",
							   "A comma-separated list; \"*\" means all.",
							   &bw_listen_addresses, "127.0.0.1",
							   PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("bandwidth.listen_port",
							"Port on which callbacks are received; 0 is off.",
							"Set it per database, by ALTER DATABASE ... SET.",
							&bw_listen_port, 0, 0, 65535,
							PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("bandwidth.tls_cert_file",
							   "Certificate chain of the callback listener, PEM; empty: plain HTTP.",
							   NULL, &bw_tls_cert_file, "",
							   PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("bandwidth.tls_key_file",
							   "Private key of the callback listener, PEM.",
							   NULL, &bw_tls_key_file, "",
							   PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("bandwidth.notify",
							 "Sends NOTIFY on channel bw_orders when an order changes.",
							 NULL, &bw_notify, true, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("bandwidth.notification_retention",
							"Keeps the raw bodies of callbacks this long.",
							NULL, &bw_notification_retention_min,
							90 * 24 * 60, 1, INT_MAX / 60,
							PGC_SUSET, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomStringVariable("bandwidth.instance",
							   "Tells copies of a cluster's storage apart: set another value on a copy.",
							   NULL, &bw_instance, "",
							   PGC_SUSET, 0, NULL, NULL, NULL);
}

static void
define_timing_settings(void)
{
	DefineCustomIntVariable("bandwidth.coalesce_delay",
							"Single-number orders wait this long to share a request, unless none was sent just before.",
							NULL, &bw_coalesce_delay_ms, 600, 0, 60000,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomStringVariable("bandwidth.poll_schedule",
							   "Seconds between the first polls of an order.",
							   NULL, &bw_poll_schedule, "0.5,1,2,4,8,15,30",
							   PGC_SUSET, GUC_LIST_INPUT, check_delays, NULL, NULL);
	DefineCustomIntVariable("bandwidth.poll_interval",
							"Time between later polls of an order.",
							NULL, &bw_poll_interval_s, 60, 1, 86400,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("bandwidth.poll_interval_callbacks",
							"Time between later polls of an order where callbacks arrive.",
							NULL, &bw_poll_interval_callbacks_s, 300, 1, 86400,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomStringVariable("bandwidth.look_up_delays",
							   "Seconds between look-ups of a request whose outcome is unknown, before it is sent again.",
							   NULL, &bw_look_up_delays, "5,15,60",
							   PGC_SUSET, GUC_LIST_INPUT, check_delays, NULL, NULL);
	DefineCustomIntVariable("bandwidth.subscription_check_interval",
							"Time between looks at the subscriptions that are kept for servers with a callback_url.",
							NULL, &bw_subscription_check_interval_s,
							3 * 60 * 60, 1, 7 * 24 * 60 * 60,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("bandwidth.write_back_timeout",
							"Longest time that writing an outcome into a row of a user's table may take, triggers included.",
							NULL, &bw_write_back_timeout_ms, 10000, 100, 3600000,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("bandwidth.max_rate_limit_wait",
							"Longest time that a synchronous call waits for its turn under the rate limit.",
							NULL, &bw_max_rate_limit_wait_ms, 2000, 0, 600000,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
}

int
bw_parse_delays(const char *list, double *seconds, int max)
{
	int			count = 0;
	const char *p = list;

	while (*p != '\0')
	{
		char	   *end;
		double		value = strtod(p, &end);

		if (end == p || !(value > 0) || value > 86400 * 365.0 || count == max)
			return -1;
		seconds[count++] = value;
		p = end + strspn(end, " \t");
		if (*p == ',')
			p++;
		else if (*p != '\0')
			return -1;
	}
	return count;
}

static bool
check_delays(char **newval, void **extra, GucSource source)
{
	double		seconds[MAX_DELAYS];

	if (bw_parse_delays(*newval, seconds, MAX_DELAYS) > 0)
		return true;
	GUC_check_errdetail("It is a comma-separated list of up to %d positive numbers of seconds.",
						MAX_DELAYS);
	return false;
}
