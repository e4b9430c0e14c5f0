/*-------------------------------------------------------------------------
 *
 * keeper.c
 *	  Which subscriptions there shall be, because servers have a callback_url.
 *
 * The option says that its owner wants callbacks, whoever listens there.  So
 * each server with it has one subscription that is kept: a row like others,
 * made here, wanted as long as the option is there, and looked at when the
 * worker starts, when the server or its owner's mapping is altered, and every
 * few hours.  How a look goes is subscribe.c's business.
 *
 * Everything is compared with the catalogs in each lap, so that nothing hangs
 * on having seen an ALTER SERVER.
 *
 * src/keeper.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "keeper.h"
#include "keys.h"
#include "store_orders.h"
#include "store_subscriptions.h"

/* What is kept.  Disconnects are polled. */
static const char *const order_types[] = {"orders"};

static void compare(BwWork *work, void *arg);
static BwKept *wishes(int *count);

void
bw_keeper_lap(BwWork *work)
{
	if (bw_work_transaction(work, compare, NULL, "comparing servers with subscriptions"))
		work->check_interval_s = bw_subscription_check_interval_s;
}

static void
compare(BwWork *work, void *arg)
{
	int			count;
	BwKept	   *kept;

	if (!bw_store_has_identity())
		return;
	kept = wishes(&count);
	for (int i = 0; i < (int) lengthof(order_types); i++)
		bw_store_keep_subscriptions(order_types[i], kept, count);
	/* At the start, too. */
	if (work->check_interval_s != bw_subscription_check_interval_s)
		bw_store_check_subscriptions();
	bw_keys_end_old(work);
}

/* Servers that want callbacks. */
static BwKept *
wishes(int *count)
{
	List	   *names = bw_config_server_names();
	BwKept	   *kept = palloc0(sizeof(BwKept) * (list_length(names) + 1));
	ListCell   *lc;

	*count = 0;
	foreach(lc, names)
	{
		BwServer   *server = bw_config_server_if_exists(lfirst(lc));
		BwKept	   *wish = &kept[*count];

		if (server == NULL || server->callback_url == NULL)
			continue;
		wish->server = server->name;
		wish->account_id = server->account_id;
		wish->owner = GetUserNameFromId(server->owner, true);
		wish->url = server->callback_url;
		wish->version = bw_config_version(server);
		if (wish->owner != NULL)
			(*count)++;
	}
	return kept;
}
