/*
 * The account's messaging limit, shared out among its tenants.
 */
#include "backend.h"

#include "sender/pace/messaging_limit.h"
#include "tap.h"

static WaSender *sender;

static void
begin(int limit)
{
	sender = new_sender();
	sender->reach_limit = limit;
}

static WaTenant *
tenant(const char *id)
{
	return wa_sender_tenant_get(sender, id);
}

/* How many people this tenant may write to now, and does. */
static int
use_up(const char *id)
{
	int n = 0;

	while (n < 100000 && wa_messaging_limit_admits(sender, tenant(id)))
	{
		wa_messaging_limit_count(tenant(id), 1);
		n++;
	}
	return n;
}

static void
listed(const char *id, double share)
{
	WaTenant *t = tenant(id);

	t->listed = true;
	t->daily_share = share;
}

/* Nobody has written to anybody yet. */
static void
shares(const char *a, double a_share, const char *b, double b_share)
{
	listed(a, a_share);
	listed(b, b_share);
	wa_messaging_limit_forget(sender);
	wa_messaging_limit_configured(sender);
}

static void
test_tiers(void)
{
	is_int(wa_messaging_limit_tier("TIER_250"), 250, "a tier names its number");
	is_int(wa_messaging_limit_tier("TIER_2K"), 2000, "or thousands");
	is_int(wa_messaging_limit_tier("1000"), 1000, "with or without the word");
	is_int(wa_messaging_limit_tier("TIER_UNLIMITED"), 0, "no limit");
	is_int(wa_messaging_limit_tier("TIER_99999999"), 0, "what no limit can be is none");
	is_int(wa_messaging_limit_tier("TIER_1M"), 1000000, "or millions");
	is_int(wa_messaging_limit_tier("TIER_9999999M"), 0, "nor is one that overflows");
	is_int(wa_messaging_limit_tier("TIER_99999999999999999999K"), 0, "in whatever way");
	is_int(wa_messaging_limit_tier("TIER_-5"), 0, "nor is a negative one");
	is_int(wa_messaging_limit_tier(NULL), 0, "none is known");
}

static void
test_share_of_the_installation(void)
{
	wa_guc_messaging_limit_share = 0.25;
	begin(1000);
	shares("a", -1, "b", 0.5);
	is_int(use_up("a") + use_up("b"), 244,
		   "all tenants together stay within the installation's share");
	begin(1000);
	shares("a", -1, "b", 0.5);
	use_up("a");
	is_int(use_up("b"), 122, "of which a tenant's share is a part");
	wa_guc_messaging_limit_share = 1;
}

static void
test_shares(void)
{
	begin(1000);
	shares("a", -1, "b", -1);
	is_int(use_up("a"), 735, "without shares one may use its quarter and the pool");
	is_int(use_up("b"), 245, "the other still has its quarter");

	begin(1000);
	shares("a", 0.5, "b", -1);
	is_int(use_up("b"), 490, "a share of a half is not for others");
	is_int(use_up("a"), 490, "and is there in any case");

	begin(1000);
	shares("a", 0.1, "b", 0.9);
	is_int(use_up("a"), 98, "all is shared out: there is no pool");
	is_int(use_up("b"), 882, "each has its share");

	begin(1000);
	shares("a", 0.0, "b", 1.0);
	is_int(use_up("a"), 0, "one with no share, where nothing is left, reaches nobody");
}

static void
test_counts(void)
{
	begin(1000);
	shares("a", -1, "b", -1);
	wa_messaging_limit_count(tenant("a"), 300);
	wa_messaging_limit_count(tenant("b"), 100);
	is_int(use_up("b"), 145 + 490 - 55, "what one has used of the pool is not there for another");
	is_int(use_up("a"), 0, "and the one that has used it gets no more");
	wa_messaging_limit_count(tenant("a"), -50);
	is_int(use_up("b"), 50, "what ceases to count is there again");
	wa_messaging_limit_count(tenant("b"), -1000);
	is_int(use_up("a"), 735 - 250, "fewer than none is none");

	begin(1000);
	shares("a", -1, "b", -1);
	wa_messaging_limit_count(tenant("gone"), 400);
	is_int(use_up("a"), 735 - 400, "what a tenant has reached that is gone came out of the pool");

	begin(1000);
	shares("a", -1, "b", -1);
	wa_messaging_limit_count(tenant("a"), 735);
	listed("b", 0.1);
	sender->reach_limit = 2000;
	wa_messaging_limit_configured(sender);
	is_int(use_up("b"), 196 + 882, "other shares and limits hold for what was counted before");
}

static void
test_next(void)
{
	wa_messaging_limit_oldest(WALL + START - 23 * 3600 * SECOND);
	at(3540 * SECOND);
	is_int(wa_messaging_limit_next() - wa_now(), 60 * SECOND,
		   "it is looked at again when the oldest recipient stops counting");
	at(3595 * SECOND);
	is_int(wa_messaging_limit_next() - wa_now(), 60 * SECOND, "not too soon");
	at(0);
	is_int(wa_messaging_limit_next() - wa_now(), 3600 * SECOND, "nor too late");
	at(-7200 * SECOND);
	is_int(wa_messaging_limit_next() - wa_now(), 3600 * SECOND, "because limits also rise");
}

int
main(void)
{
	test_tiers();
	test_shares();
	test_share_of_the_installation();
	test_counts();
	test_next();
	return done_testing();
}
