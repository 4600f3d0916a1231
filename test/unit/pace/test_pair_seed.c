/*
 * What a new sender knows of recipients: what its predecessor has sent, and what it
 * has deferred.
 */
#include "backend.h"

#include "sender/pace/pair_order.h"
#include "sender/pace/pair_seed.h"
#include "tap.h"

#define RECIPIENT "+573001112233"
#define USER "CO.7001234567890123"
#define OTHER "+573009998877"

static WaSender *sender;
static WaNumber *number;

static uint64
key_of(const char *recipient)
{
	return wa_pair_key(number, recipient);
}

static void
begin(void)
{
	sender = new_sender();
	number = wa_number_get(&sender->numbers, NUMBER);
}

static int64
left(const char *recipient)
{
	WaPair *pair = wa_pair_get(sender, key_of(recipient));
	int64 us = pair->whole_at_us - wa_now_us();

	wa_pair_rest(sender, pair);
	return Max(us, 0);
}

static void
test_limits(void)
{
	WaAcceptedRow rows[] = {{NUMBER, RECIPIENT, NULL, 20 * SECOND},
							{NUMBER, RECIPIENT, NULL, 3 * SECOND},
							{NUMBER, USER, RECIPIENT, 2 * SECOND},
							{NUMBER, OTHER, OTHER, 7 * SECOND}};

	begin();
	wa_pairs_seed(sender, rows, lengthof(rows));
	is_int(left(RECIPIENT), 9 * SECOND, "a new sender knows what its predecessor has sent");
	is_int(left(USER), 9 * SECOND, "by which name ever it went to the person");
	is_int(left(OTHER), 0, "as far as it still counts");
	ok(wa_pair_find(sender, key_of(RECIPIENT)) == NULL, "and nothing of it is under way");
}

static void
test_deferred(void)
{
	WaDeferredRow rows[] = {{10, NUMBER, RECIPIENT, NULL, WALL + START + 8 * SECOND, true, true},
							{20, NUMBER, USER, RECIPIENT, WALL + START + 4 * SECOND, false, true},
							{30, NULL, NULL, NULL, WALL + START + 4 * SECOND, false, false}};
	WaPair *pair;

	begin();
	wa_pairs_seed_deferred(sender, rows, lengthof(rows));
	pair = wa_pair_get(sender, key_of(RECIPIENT));
	is_int(pair->n_deferred, 2, "a new sender knows what is deferred");
	ok(wa_pair_is_behind(pair, 11), "and lets nobody pass it");
	is_int(pair->next_deferral_us - START, 8 * SECOND, "which turns of the pair limit are given");
	is_int(pair->blocked_until - WALL - START, 4 * SECOND, "and for how long the others wait");
	ok(wa_pair_get(sender, key_of(USER)) == pair, "and that two names are one person's");
}

int
main(void)
{
	test_limits();
	test_deferred();
	return done_testing();
}
