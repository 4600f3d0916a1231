/*
 * login_limit.c
 *	  How often somebody may present what is not valid.
 */
#include "bin/gateway/login_limit.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>

#include "bin/httpd/util.h"

#define SETS 512
#define WAYS 8

/*
 * An attempt costs GW_LOGIN_REFILL_US, and the account may be overdrawn by a burst:
 * full_us is when all of it will have been paid.
 */
typedef struct Entry
{
	GwAddress client; /* of a subscriber */
	GwLogin login;
	int64_t full_us; /* 0: the entry is free */
} Entry;

static Entry table[SETS][WAYS];
static unsigned char secret[16];

void
gw_login_limit_init(void)
{
	if (gnutls_rnd(GNUTLS_RND_KEY, secret, sizeof(secret)) != 0)
		httpd_die("no random numbers can be had");
	memset(table, 0, sizeof(table));
}

/* Clients must not be able to choose addresses that share a set. */
static Entry *
set_of(const GwAddress *subscriber)
{
	unsigned char mac[32];

	if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, secret, sizeof(secret), subscriber->bytes,
						 sizeof(subscriber->bytes), mac) != 0)
		httpd_die("HMAC-SHA256 cannot be computed");
	return table[(mac[0] << 8 | mac[1]) % SETS];
}

static Entry *
find(Entry *set, const GwAddress *subscriber, GwLogin login)
{
	for (int i = 0; i < WAYS; i++)
	{
		if (set[i].full_us != 0 && set[i].login == login &&
			memcmp(&set[i].client, subscriber, sizeof(*subscriber)) == 0)
			return &set[i];
	}
	return NULL;
}

int
gw_login_limit_wait(const GwAddress *client, GwLogin login, int64_t now_us)
{
	GwAddress subscriber = *client;
	const Entry *entry;
	int64_t over_us;

	gw_address_to_subscriber(&subscriber);
	entry = find(set_of(&subscriber), &subscriber, login);
	if (entry == NULL)
		return 0;
	over_us = entry->full_us - now_us - (GW_LOGIN_BURST - 1) * GW_LOGIN_REFILL_US;
	return over_us <= 0 ? 0 : (int) ((over_us + 999999) / 1000000);
}

void
gw_login_limit_failed(const GwAddress *client, GwLogin login, int64_t now_us)
{
	GwAddress subscriber = *client;
	Entry *set;
	Entry *entry;

	gw_address_to_subscriber(&subscriber);
	set = set_of(&subscriber);
	entry = find(set, &subscriber, login);
	if (entry == NULL)
	{
		entry = set;
		for (int i = 1; i < WAYS; i++)
		{
			if (set[i].full_us < entry->full_us)
				entry = &set[i];
		}
		*entry = (Entry){subscriber, login, 0};
	}
	if (entry->full_us < now_us)
		entry->full_us = now_us;
	entry->full_us += GW_LOGIN_REFILL_US;
}
