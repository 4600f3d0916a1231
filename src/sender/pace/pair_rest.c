/*
 * pair_rest.c
 *	  What is remembered of recipients that have little to be remembered.
 *
 * All that counts of most recipients, for as long as their burst is not whole, is
 * when it will be: sixteen bytes.  A busy sender meets tens of thousands of those in
 * the six seconds for which each counts; their table forgets, whenever it would have
 * to grow, what has become whole.
 *
 * Of others one message is deferred, and nothing else is under way: thirty-two bytes.
 * There may be a hundred thousand of them, and each is remembered until its message
 * has been read again.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "common/clock.h"
#include "sender/pace/pair_rest.h"

/* The key is a hash already. */
typedef struct Whole
{
	uint64 key;
	uint32 whole_at; /* in ticks, rounded up */
	char status;	 /* the table's */
} Whole;

/* The table must not grow because of a few long probes: keep_whole() sees to its size. */
#define SH_GROW_MAX_DIB 1000
#define SH_GROW_MAX_MOVE 10000
#define SH_PREFIX whole
#define SH_ELEMENT_TYPE Whole
#define SH_KEY_TYPE uint64
#define SH_KEY key
#define SH_HASH_KEY(table, key) ((uint32) (key))
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct Deferred
{
	uint64 key;
	int64 message_id;
	uint32 whole_at;
	uint32 until;
	bool for_turn;
	bool for_return;
	char status;
} Deferred;

#define SH_GROW_MAX_DIB 1000
#define SH_GROW_MAX_MOVE 10000
#define SH_PREFIX deferred
#define SH_ELEMENT_TYPE Deferred
#define SH_KEY_TYPE uint64
#define SH_KEY key
#define SH_HASH_KEY(table, key) ((uint32) (key))
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Hundredths of a second since the tables were made; they may wrap around. */
#define TICK_US 10000

/* What lies further ahead is not told from the past for as long as it may rest. */
#define FAR_AHEAD_US INT64_C(8640000000000)

struct WaPairsAtRest
{
	whole_hash *whole;
	deferred_hash *deferred;
	int64 base_us;
};

WaPairsAtRest *
wa_pairs_at_rest_create(MemoryContext context)
{
	WaPairsAtRest *pairs = MemoryContextAlloc(context, sizeof(WaPairsAtRest));

	pairs->whole = whole_create(context, 4096, NULL);
	pairs->deferred = deferred_create(context, 64, NULL);
	pairs->base_us = wa_now_us();
	return pairs;
}

static uint32
to_ticks(const WaPairsAtRest *pairs, int64 us)
{
	return (uint32) ((us - pairs->base_us + TICK_US - 1) / TICK_US);
}

/* Microseconds from now until then; right for half of the range of ticks, 248 days. */
static int64
us_until(const WaPairsAtRest *pairs, uint32 ticks, int64 now)
{
	return (int64) (int32) (ticks - to_ticks(pairs, now)) * TICK_US;
}

static void
forget_whole(WaPairsAtRest *pairs, int64 now)
{
	whole_iterator scan;
	Whole *whole;

	whole_start_iterate(pairs->whole, &scan);
	while ((whole = whole_iterate(pairs->whole, &scan)) != NULL)
		if (us_until(pairs, whole->whole_at, now) <= 0)
			whole_delete_item(pairs->whole, whole);
}

static void
keep_whole(WaPairsAtRest *pairs, uint64 key, int64 whole_at_us, int64 now)
{
	bool found;

	if (pairs->whole->members >= pairs->whole->size / 4 * 3)
	{
		forget_whole(pairs, now);
		/* Only just enough room would mean doing this all the time. */
		if (pairs->whole->members > pairs->whole->size / 8 * 5)
			whole_grow(pairs->whole, pairs->whole->size * 2);
	}
	whole_insert(pairs->whole, key, &found)->whole_at = to_ticks(pairs, whole_at_us);
}

static void
keep_deferred(WaPairsAtRest *pairs, const WaPairAtRest *pair)
{
	bool found;
	Deferred *deferred = deferred_insert(pairs->deferred, pair->key, &found);

	deferred->message_id = pair->deferred_id;
	deferred->whole_at = to_ticks(pairs, pair->whole_at_us);
	deferred->until = to_ticks(pairs, pair->until_us);
	deferred->for_turn = pair->for_turn;
	deferred->for_return = pair->for_return;
}

bool
wa_pair_lay_to_rest(WaPairsAtRest *pairs, const WaPairAtRest *pair)
{
	int64 now = wa_now_us();

	if (Max(pair->whole_at_us, pair->until_us) > now + FAR_AHEAD_US)
		return false;
	if (pair->deferred_id != 0)
		keep_deferred(pairs, pair);
	else if (pair->whole_at_us > now)
		keep_whole(pairs, pair->key, pair->whole_at_us, now);
	return true;
}

bool
wa_pair_wake_up(WaPairsAtRest *pairs, uint64 key, WaPairAtRest *pair)
{
	Whole *whole = whole_lookup(pairs->whole, key);
	Deferred *deferred = whole == NULL ? deferred_lookup(pairs->deferred, key) : NULL;
	int64 now = wa_now_us();

	if (whole == NULL && deferred == NULL)
		return false;
	memset(pair, 0, sizeof(WaPairAtRest));
	pair->key = key;
	if (whole != NULL)
	{
		pair->whole_at_us = now + us_until(pairs, whole->whole_at, now);
		whole_delete_item(pairs->whole, whole);
		return true;
	}
	pair->whole_at_us = now + us_until(pairs, deferred->whole_at, now);
	pair->deferred_id = deferred->message_id;
	pair->until_us = now + us_until(pairs, deferred->until, now);
	pair->for_turn = deferred->for_turn;
	pair->for_return = deferred->for_return;
	deferred_delete_item(pairs->deferred, deferred);
	return true;
}

bool
wa_pair_rests_deferred(WaPairsAtRest *pairs, uint64 key)
{
	return deferred_lookup(pairs->deferred, key) != NULL;
}

bool
wa_pair_rests(WaPairsAtRest *pairs, uint64 key)
{
	return whole_lookup(pairs->whole, key) != NULL || deferred_lookup(pairs->deferred, key) != NULL;
}

int
wa_pairs_at_rest_overdue(WaPairsAtRest *pairs, int64 by_us, uint64 **keys)
{
	int64 now = wa_now_us();
	deferred_iterator scan;
	Deferred *deferred;
	int n = 0;

	*keys = palloc_extended(sizeof(uint64) * Max(pairs->deferred->members, 1), MCXT_ALLOC_HUGE);
	deferred_start_iterate(pairs->deferred, &scan);
	while ((deferred = deferred_iterate(pairs->deferred, &scan)) != NULL)
		if (now + us_until(pairs, deferred->until, now) <= by_us)
			(*keys)[n++] = deferred->key;
	return n;
}

void
wa_pairs_at_rest_forget_whole(WaPairsAtRest *pairs)
{
	forget_whole(pairs, wa_now_us());
}
