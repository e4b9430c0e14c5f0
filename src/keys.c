/*-------------------------------------------------------------------------
 *
 * keys.c
 *	  Credentials that callbacks come with: made, used, ended.
 *
 * Each request that makes or changes a subscription carries a fresh pair: 256
 * random bits under a user name of its own, so that Bandwidth's list, which
 * shows no password, tells which pair it has, and from which database.  Where
 * the mapping gives a pair, for a gateway, it is that one.
 *
 * Only salted hashes are stored.  When Bandwidth has accepted a pair, those
 * before it are honoured until the new one was used or an hour went by: a
 * callback with the old one may be on its way, or held up behind a proxy.
 *
 * src/keys.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "keys.h"

#define PASSWORD_BYTES 32
#define USERNAME_BYTES 4

static char *random_hex(int bytes);

void
bw_keys_make(const BwSubscriptionRow *row, const BwCredentials *given, BwKeyPair *pair)
{
	BwKey		key = {0};
	char	   *scheme;
	char	   *host;
	char	   *path;
	int			port;

	if (!bw_http_split_url(row->url, &scheme, &host, &port, &path))
		elog(ERROR, "invalid callback URL");
	pair->username = pair->password = NULL;
	if (strcmp(row->credentials, "none") != 0)
	{
		if (given->callback_username != NULL)
		{
			pair->username = given->callback_username;
			pair->password = given->callback_password;
		}
		else
		{
			pair->username = psprintf("%s" INT64_FORMAT "-%s", row->mark, row->id,
									  random_hex(USERNAME_BYTES));
			pair->password = random_hex(PASSWORD_BYTES);
		}
		if (!pg_strong_random(key.salt, sizeof(key.salt)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random values")));
		key.username = pstrdup(pair->username);
		bw_listener_hash(key.salt, pair->username, pair->password, key.hash);
	}
	bw_store_add_key(row->id, path, &key);
	pair->id = key.id;
}

static char *
random_hex(int bytes)
{
	char	   *raw = palloc(bytes);
	char	   *hex = palloc(2 * bytes + 1);

	if (!pg_strong_random(raw, bytes))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	hex_encode(raw, bytes, hex);
	hex[2 * bytes] = '\0';
	explicit_bzero(raw, bytes);
	return hex;
}

bool
bw_keys_are_current(const BwSubscriptionRow *row, const BwCredentials *given,
					const BwKey *newest)
{
	uint8		hash[BW_LISTENER_HASH_LEN];

	if (strcmp(row->credentials, "none") == 0)
		return newest->username == NULL;
	if (newest->username == NULL)
		return false;
	if (given->callback_username == NULL)
		return strncmp(newest->username, row->mark, strlen(row->mark)) == 0;
	bw_listener_hash(newest->salt, given->callback_username, given->callback_password,
					 hash);
	return memcmp(hash, newest->hash, sizeof(hash)) == 0;
}

static void
end_keys_before(BwWork *work, void *arg)
{
	bw_store_end_keys_before(*(int64 *) arg);
	work->keys_changed = true;
}

void
bw_keys_note_used(BwWork *work)
{
	int64		id;

	while (work->listener != NULL && (id = bw_listener_take_used(work->listener)) != 0)
		(void) bw_work_transaction(work, end_keys_before, &id,
								   "ending old credentials of callbacks");
}

void
bw_keys_end_old(BwWork *work)
{
	if (bw_store_end_keys() > 0)
		work->keys_changed = true;
}
