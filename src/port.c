/*-------------------------------------------------------------------------
 *
 * port.c
 *	  The port on which this database's callbacks arrive.
 *
 * A port that is taken, or a certificate that cannot be used, is a warning and
 * tried again; orders are polled meanwhile.
 *
 * src/port.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/base64.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "port.h"
#include "receive.h"
#include "store_notifications.h"
#include "store_subscriptions.h"

/* A port that could not be opened is tried again after this. */
#define RETRY_MS 60000

static bool open_port(BwWork *work, const char *settings);
static bool close_port(BwWork *work);
static void renew_certificate(BwWork *work);
static void check_pinned(BwWork *work, void *arg);
static void load_keys(BwWork *work, void *arg);
static void keep_callers(BwWork *work, const BwCaller *callers, int count);

bool
bw_port_keep(BwWork *work, bool reloaded)
{
	bool		wanted = bw_listen_port > 0 && !work->fenced && !work->outdated;
	char	   *settings = psprintf("%d %s", bw_listen_port, bw_listen_addresses);

	if (reloaded)
		work->port_at = GetCurrentTimestamp();
	if (work->listener != NULL && (!wanted || strcmp(work->port, settings) != 0))
		return close_port(work);
	if (work->listener != NULL && reloaded)
		renew_certificate(work);
	else if (work->listener == NULL && wanted && work->port_at <= GetCurrentTimestamp())
		return open_port(work, settings);
	return false;
}

static bool
open_port(BwWork *work, const char *settings)
{
	BwListenerOptions options = {.addresses = bw_listen_addresses,
		.port = bw_listen_port,.tls_cert_file = bw_tls_cert_file,
	.tls_key_file = bw_tls_key_file};
	MemoryContext old;
	char		error[256];

	work->port_cxt = AllocSetContextCreate(work->cxt, "bandwidth port",
										   ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(work->port_cxt);
	work->listener = bw_listener_open(&options, error, sizeof(error));
	work->port = pstrdup(settings);
	MemoryContextSwitchTo(old);
	if (work->listener == NULL)
		MemoryContextDelete(work->port_cxt);
	work->port_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
	work->keys_changed = work->certificate_changed = true;
	if (work->listener == NULL)
		ereport(WARNING,
				(errmsg("could not listen for callbacks on port %d: %s",
						bw_listen_port, error),
				 errhint("Orders are polled meanwhile; the port is tried again every minute.")));
	else
		ereport(LOG,
				(errmsg("listening for callbacks on port %d", bw_listen_port)));
	return work->listener != NULL;
}

static bool
close_port(BwWork *work)
{
	bw_listener_close(work->listener);
	MemoryContextDelete(work->port_cxt);
	work->listener = NULL;
	work->port_at = GetCurrentTimestamp();
	ereport(LOG,
			(errmsg("the port for callbacks was closed")));
	return true;
}

static void
renew_certificate(BwWork *work)
{
	char		error[256];

	if (bw_listener_reload(work->listener, bw_tls_cert_file, bw_tls_key_file,
						   error, sizeof(error)))
		work->certificate_changed = true;
	else
		ereport(WARNING,
				(errmsg("could not load the certificate for callbacks: %s", error),
				 errhint("The one that was loaded before stays in use; correct the files and reload the configuration again.")));
}

void
bw_port_run(BwWork *work)
{
	const char *line;

	if (work->listener == NULL)
		return;
	if (work->keys_changed)
		work->keys_changed =
			!bw_work_transaction(work, load_keys, NULL, "reading callback credentials");
	if (work->certificate_changed)
		work->certificate_changed =
			!bw_work_transaction(work, check_pinned, NULL, "checking pinned certificates");
	bw_listener_run(work->listener);
	bw_receive_parked(work);
	while ((line = bw_listener_take_log(work->listener)) != NULL)
		ereport(LOG, (errmsg("callback listener: %s", line)));
}

static void
check_pinned(BwWork *work, void *arg)
{
	if (bw_store_check_pinned())
		work->subscriptions_at = GetCurrentTimestamp();
}

char *
bw_port_public_key(const BwWork *work)
{
	char	   *pem = work->listener ? bw_listener_certificate(work->listener) : NULL;
	char	   *encoded;
	int			len;
	int			room;

	if (pem == NULL)
		return NULL;
	len = strlen(pem);
	room = pg_b64_enc_len(len);
	encoded = palloc(room + 1);
	room = pg_b64_encode((const void *) pem, len, encoded, room);
	encoded[Max(room, 0)] = '\0';
	free(pem);
	return encoded;
}

static void
load_keys(BwWork *work, void *arg)
{
	BwListenerKey *keys;
	BwCaller   *callers;
	int			count;

	keys = bw_store_keys(&count);
	bw_listener_set_keys(work->listener, keys, count);
	callers = bw_store_callers(&count);
	keep_callers(work, callers, count);
}

/* Results live in the memory of the lap; these are for all callbacks to come. */
static void
keep_callers(BwWork *work, const BwCaller *callers, int count)
{
	MemoryContext old;

	if (work->callers_cxt == NULL)
		work->callers_cxt = AllocSetContextCreate(work->cxt, "bandwidth callers",
												  ALLOCSET_SMALL_SIZES);
	work->caller_count = 0;
	MemoryContextReset(work->callers_cxt);
	old = MemoryContextSwitchTo(work->callers_cxt);
	work->callers = palloc(sizeof(BwCaller) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		BwCaller   *copy = &work->callers[i];

		*copy = callers[i];
		copy->account_id = pstrdup(copy->account_id);
		if (copy->bandwidth_subscription_id != NULL)
			copy->bandwidth_subscription_id = pstrdup(copy->bandwidth_subscription_id);
	}
	work->caller_count = count;
	MemoryContextSwitchTo(old);
}
