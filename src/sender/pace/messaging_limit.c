/*
 * messaging_limit.c
 *	  The account's messaging limit, shared out among its tenants.
 *
 * Meta limits how many different people a whole business portfolio may write
 * to first within a moving 24 hours (Cloud API, "Messaging limits").  Without
 * care one tenant's campaign would use it up for all.  A tenant with a
 * daily_share has that part of the limit for itself; the tenants without one
 * divide a half of what is left equally among them; the rest is a pool for
 * whoever comes first.  So a tenant's guarantee is there whatever the others
 * do, and an idle account still lets one of them use most of the limit.
 *
 * What others have sent is as old as the last reading of the table
 * (sender/reach.c); this sender's own messages count at once.  Several senders may
 * therefore overshoot by what they send in that time; HEADROOM is for that, and
 * for what other programs send through the same account.  Where that is much, other
 * nodes say, whatsapp_shared.messaging_limit_share keeps their part for them.
 *
 * The sums over all tenants are kept with every change of a count: an account may
 * have ten thousand, and a million recipients.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/guc.h"
#include "sender/pace/messaging_limit.h"

#define HEADROOM 0.98

/* So many recipients nobody reaches in a day: what is said to be more is no limit. */
#define MAX_LIMIT INT64_C(10000000)

#define POOL_SHARE 0.5

/* Of all tenants together. */
static struct
{
	double guaranteed;
	int64 over_guarantee; /* recipients that came out of the pool */
	TimestampTz oldest;	  /* of the recipients; 0: there is none */
} all;

int
wa_messaging_limit_tier(const char *messaging_limit)
{
	char *end;
	int64 n;

	if (messaging_limit == NULL)
		return 0;
	if (strncmp(messaging_limit, "TIER_", 5) == 0)
		messaging_limit += 5;
	n = strtoll(messaging_limit, &end, 10);
	if (end == messaging_limit || n <= 0 || n > MAX_LIMIT)
		return 0;
	n *= *end == 'M' ? 1000000 : (*end == 'K' ? 1000 : 1);
	return n <= MAX_LIMIT ? (int) n : 0;
}

static double
limit_of(const WaSender *sender)
{
	return sender->reach_limit * wa_guc_messaging_limit_share * HEADROOM;
}

/* Of what it has used, what its guarantee does not cover. */
static int64
over_guarantee(const WaTenant *tenant)
{
	if (tenant->reach_used <= tenant->reach_guaranteed)
		return 0;
	return tenant->reach_used - (int64) tenant->reach_guaranteed;
}

void
wa_messaging_limit_configured(WaSender *sender)
{
	HASH_SEQ_STATUS scan;
	WaTenant *tenant;
	double shared = 0;
	double share;
	int without = 0;

	hash_seq_init(&scan, sender->tenants);
	while ((tenant = hash_seq_search(&scan)) != NULL)
	{
		if (tenant->listed && tenant->daily_share >= 0)
			shared += tenant->daily_share;
		else if (tenant->listed)
			without++;
	}
	share = Max(0, 1 - shared) * POOL_SHARE / Max(without, 1);

	all.guaranteed = 0;
	all.over_guarantee = 0;
	hash_seq_init(&scan, sender->tenants);
	while ((tenant = hash_seq_search(&scan)) != NULL)
	{
		tenant->reach_guaranteed = 0;
		if (tenant->listed)
			tenant->reach_guaranteed =
				(tenant->daily_share < 0 ? share : tenant->daily_share) * limit_of(sender);
		all.guaranteed += tenant->reach_guaranteed;
		all.over_guarantee += over_guarantee(tenant);
	}
}

void
wa_messaging_limit_count(WaTenant *tenant, int n)
{
	all.over_guarantee -= over_guarantee(tenant);
	tenant->reach_used = Max(0, tenant->reach_used + n);
	all.over_guarantee += over_guarantee(tenant);
}

void
wa_messaging_limit_forget(WaSender *sender)
{
	HASH_SEQ_STATUS scan;
	WaTenant *tenant;

	hash_seq_init(&scan, sender->tenants);
	while ((tenant = hash_seq_search(&scan)) != NULL)
		tenant->reach_used = 0;
	all.over_guarantee = 0;
	all.oldest = 0;
}

void
wa_messaging_limit_oldest(TimestampTz at)
{
	all.oldest = at;
}

bool
wa_messaging_limit_admits(const WaSender *sender, const WaTenant *tenant)
{
	if (tenant->reach_used + 1 <= tenant->reach_guaranteed)
		return true;
	return all.over_guarantee + 1 <= limit_of(sender) - all.guaranteed;
}

/* When the oldest recipient stops counting, but not too far off: limits also rise. */
TimestampTz
wa_messaging_limit_next(void)
{
	TimestampTz now = wa_now();
	TimestampTz turn = all.oldest + 24 * USECS_PER_HOUR;

	return Min(Max(turn, now + USECS_PER_MINUTE), now + USECS_PER_HOUR);
}
