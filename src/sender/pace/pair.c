/*
 * pair.c
 *	  One recipient as seen from one number, and the pair limit.
 *
 * A pair for which something is under way (a request, messages set aside or
 * deferred, an error response not yet made up for) has a WaPair.  One of which
 * little has to be remembered rests (sender/pace/pair_rest.c), and wakes up as soon
 * as somebody asks for it.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/guc.h"
#include "sender/pace/pair.h"
#include "sender/pace/pair_joined.h"
#include "sender/pace/pair_rest.h"
#include "shared/wake.h"

/* The two clocks drift against each other, and what rests is rounded. */
#define SAME_TIME_US INT64_C(20000)

/* Room for so many deferred messages at first: one comes seldom alone. */
#define FIRST_DEFERRED 2

struct WaPairs
{
	HTAB *busy; /* WaPair */
	WaPairsAtRest *at_rest;
	WaPairsJoined *joined; /* keys of which nothing is in the others */
};

WaPairs *
wa_pairs_create(MemoryContext context)
{
	WaPairs *pairs = MemoryContextAlloc(context, sizeof(WaPairs));
	HASHCTL ctl = {0};

	ctl.keysize = sizeof(uint64);
	ctl.entrysize = sizeof(WaPair);
	ctl.hcxt = context;
	pairs->busy =
		hash_create("whatsapp_shared pairs", 1024, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	pairs->at_rest = wa_pairs_at_rest_create(context);
	pairs->joined = wa_pairs_joined_create(context);
	return pairs;
}

int64
wa_pair_interval_us(void)
{
	return (int64) wa_guc_pair_interval * 1000;
}

uint64
wa_pair_key(const WaNumber *number, const char *recipient)
{
	return wa_hash_text(recipient, number->key);
}

void
wa_pair_take(WaPair *pair, int64 now)
{
	pair->whole_at_us = Max(pair->whole_at_us, now) + wa_pair_interval_us();
	pair->in_flight++;
}

void
wa_pair_end(WaPair *pair, bool counts)
{
	pair->in_flight--;
	if (!counts)
		pair->whole_at_us -= wa_pair_interval_us();
}

/* ---- pairs at rest ------------------------------------------------------------- */

/* The two times are one, as far as what rests can tell. */
static bool
is_same_time(int64 one_us, int64 other_us)
{
	return one_us > other_us - SAME_TIME_US && one_us < other_us + SAME_TIME_US;
}

/*
 * What may rest of a pair of which one message at most is deferred: all of its times
 * that have not passed must be the one to which that is.  False: it may not.
 */
static bool
what_rests(const WaPair *pair, int64 now, WaPairAtRest *rest)
{
	int64 blocked_us = pair->blocked_until == 0 ? now : wa_steady_clock(pair->blocked_until);

	if (pair->in_flight > 0 || pair->n_waiting > 0 || pair->n_deferred > 1 ||
		(pair->throttles > 0 && pair->whole_at_us > now))
		return false;
	memset(rest, 0, sizeof(WaPairAtRest));
	rest->key = pair->key;
	rest->whole_at_us = pair->whole_at_us;
	if (pair->n_deferred == 0)
		return pair->next_deferral_us <= now;
	rest->deferred_id = pair->deferred[0];
	rest->until_us = pair->deferred_until_us;
	rest->for_turn = pair->next_deferral_us > now;
	rest->for_return = blocked_us > now;
	return (!rest->for_turn || is_same_time(pair->next_deferral_us, rest->until_us)) &&
		   (!rest->for_return || is_same_time(blocked_us, rest->until_us));
}

/* Before anything has changed: an allocation may fail. */
static int64 *
room_for_deferred(WaSender *sender, uint64 key)
{
	if (!wa_pair_rests_deferred(sender->pairs->at_rest, key))
		return NULL;
	return MemoryContextAlloc(sender->state_context, sizeof(int64) * FIRST_DEFERRED);
}

/* room is the pair's from now on. */
static void
wake_up(WaSender *sender, WaPair *pair, int64 *room)
{
	WaPairAtRest rest;

	pair->deferred = room;
	pair->max_deferred = room == NULL ? 0 : FIRST_DEFERRED;
	if (!wa_pair_wake_up(sender->pairs->at_rest, pair->key, &rest))
		return;
	pair->whole_at_us = rest.whole_at_us;
	if (rest.deferred_id == 0)
		return;
	pair->deferred[0] = rest.deferred_id;
	pair->n_deferred = 1;
	pair->deferred_until_us = rest.until_us;
	if (rest.for_turn)
		pair->next_deferral_us = rest.until_us;
	if (rest.for_return)
		pair->blocked_until = wa_wall_clock(rest.until_us);
}

WaPair *
wa_pair_get(WaSender *sender, uint64 key)
{
	WaPair *pair;
	int64 *room;

	key = wa_pairs_meant(sender, key);
	pair = hash_search(sender->pairs->busy, &key, HASH_FIND, NULL);
	if (pair != NULL)
		return pair;
	room = room_for_deferred(sender, key);
	pair = hash_search(sender->pairs->busy, &key, HASH_ENTER, NULL);
	memset(pair, 0, sizeof(WaPair));
	pair->key = key;
	dlist_init(&pair->waiting);
	wake_up(sender, pair, room);
	return pair;
}

WaPair *
wa_pair_find(WaSender *sender, uint64 key)
{
	key = wa_pairs_meant(sender, key);
	if (wa_pair_rests_deferred(sender->pairs->at_rest, key))
		return wa_pair_get(sender, key);
	return hash_search(sender->pairs->busy, &key, HASH_FIND, NULL);
}

void
wa_pairs_wake_overdue(WaSender *sender, int64 by_us)
{
	uint64 *keys;
	int n = wa_pairs_at_rest_overdue(sender->pairs->at_rest, by_us, &keys);

	for (int i = 0; i < n; i++)
		wa_pair_get(sender, keys[i]);
	pfree(keys);
}

void
wa_pairs_scan(WaSender *sender, HASH_SEQ_STATUS *scan)
{
	hash_seq_init(scan, sender->pairs->busy);
}

void
wa_pair_remove(WaSender *sender, WaPair *pair)
{
	if (pair->deferred != NULL)
		pfree(pair->deferred);
	hash_search(sender->pairs->busy, &pair->key, HASH_REMOVE, NULL);
}

void
wa_pair_rest(WaSender *sender, WaPair *pair)
{
	WaPairAtRest rest;

	if (what_rests(pair, wa_now_us(), &rest) && wa_pair_lay_to_rest(sender->pairs->at_rest, &rest))
		wa_pair_remove(sender, pair);
}

/* ---- keys that mean others ------------------------------------------------------- */

uint64
wa_pairs_meant(const WaSender *sender, uint64 key)
{
	return wa_pair_joined_to(sender->pairs->joined, key);
}

void
wa_pairs_join(WaSender *sender, uint64 key, uint64 to)
{
	wa_pair_join(sender->pairs->joined, key, to);
}

static bool
is_known(void *arg, uint64 key)
{
	const WaPairs *pairs = arg;

	return hash_search(pairs->busy, &key, HASH_FIND, NULL) != NULL ||
		   wa_pair_rests(pairs->at_rest, key);
}

bool
wa_pair_is_known(const WaSender *sender, uint64 key)
{
	return is_known(sender->pairs, key);
}

static void
forget_joined(WaPairs *pairs)
{
	wa_pairs_joined_forget(pairs->joined, is_known, pairs);
}

void
wa_pairs_forget_joined(WaSender *sender)
{
	if (!wa_pairs_joined_are_many(sender->pairs->joined))
		return;
	wa_pairs_at_rest_forget_whole(sender->pairs->at_rest);
	forget_joined(sender->pairs);
}

/* ---- all of them ----------------------------------------------------------------- */

void
wa_pairs_rest(WaSender *sender)
{
	HASH_SEQ_STATUS scan;
	WaPair *pair;

	wa_pairs_scan(sender, &scan);
	while ((pair = hash_seq_search(&scan)) != NULL)
		wa_pair_rest(sender, pair);
	wa_pairs_at_rest_forget_whole(sender->pairs->at_rest);
	forget_joined(sender->pairs);
}
