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
 * The counts are as old as the last reading of the table (sender/reach.c), and are
 * kept up with this sender's own messages in between.  Several senders may
 * therefore overshoot by what they send in that time; HEADROOM is for that, and
 * for what other programs send through the same account.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "sender/pace/messaging_limit.h"

#define HEADROOM 0.98
#define POOL_SHARE 0.5

/* Of the last count. */
static struct
{
	double guaranteed;	  /* to all tenants together */
	int64 over_guarantee; /* recipients that came out of the pool */
	TimestampTz oldest;	  /* of the recipients; 0: there is none */
} counted;

int
wa_messaging_limit_tier(const char *messaging_limit)
{
	char *end;
	long n;

	if (messaging_limit == NULL)
		return 0;
	if (strncmp(messaging_limit, "TIER_", 5) == 0)
		messaging_limit += 5;
	n = strtol(messaging_limit, &end, 10);
	if (end == messaging_limit || n <= 0 || n > 10000000)
		return 0;
	return (int) (*end == 'K' ? n * 1000 : n);
}

static double
limit_of(const WaSender *sender)
{
	return sender->reach_limit * HEADROOM;
}

void
wa_messaging_limit_counted(WaSender *sender, const WaReachRow *rows, int n)
{
	double shared = 0;
	int without = 0;

	for (int i = 0; i < n; i++)
	{
		if (rows[i].daily_share >= 0)
			shared += rows[i].daily_share;
		else
			without++;
	}

	memset(&counted, 0, sizeof(counted));
	for (int i = 0; i < n; i++)
	{
		WaTenant *tenant = wa_sender_tenant(sender, rows[i].tenant_id);
		double share = rows[i].daily_share;
		TimestampTz first = rows[i].oldest;

		if (tenant == NULL)
			continue;
		if (share < 0)
			share = Max(0, 1 - shared) * POOL_SHARE / without;
		tenant->reach_guaranteed = share * limit_of(sender);
		tenant->reach_used = rows[i].used;
		counted.guaranteed += tenant->reach_guaranteed;
		if (tenant->reach_used > tenant->reach_guaranteed)
			counted.over_guarantee += tenant->reach_used - (int64) tenant->reach_guaranteed;
		if (first != 0 && (counted.oldest == 0 || first < counted.oldest))
			counted.oldest = first;
	}
}

bool
wa_messaging_limit_admits(const WaSender *sender, const WaTenant *tenant)
{
	if (tenant->reach_used + 1 <= tenant->reach_guaranteed)
		return true;
	return counted.over_guarantee + 1 <= limit_of(sender) - counted.guaranteed;
}

void
wa_messaging_limit_use(WaTenant *tenant)
{
	if (++tenant->reach_used > tenant->reach_guaranteed)
		counted.over_guarantee++;
}

/* When the oldest recipient stops counting, but not too far off: limits also rise. */
TimestampTz
wa_messaging_limit_next(void)
{
	TimestampTz now = wa_now();
	TimestampTz turn = counted.oldest + 24 * USECS_PER_HOUR;

	return Min(Max(turn, now + USECS_PER_MINUTE), now + USECS_PER_HOUR);
}
