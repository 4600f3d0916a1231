/*
 * pair.c
 *	  One recipient as seen from one number, and the pair limit.
 *
 * A pair for which something is under way (a request, messages set aside or
 * deferred, an error response not yet made up for) has a WaPair.  All that has to be
 * remembered of most others, for as long as their burst is not whole, is when
 * it will be: a busy sender meets tens of thousands of recipients in the six
 * seconds for which each counts.  Those rest in a table of sixteen bytes an
 * entry, which forgets, whenever it would have to grow, what has become whole.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/guc.h"
#include "sender/pace/pair.h"
#include "shared/wake.h"

/* A pair at rest.  The key is a hash already. */
typedef struct Resting
{
	uint64 key;
	uint32 whole_at; /* in ticks, rounded up */
	char status;	 /* the table's */
} Resting;

/* The table must not grow because of a few long probes: remember() sees to its size. */
#define SH_GROW_MAX_DIB 1000
#define SH_GROW_MAX_MOVE 10000
#define SH_PREFIX resting
#define SH_ELEMENT_TYPE Resting
#define SH_KEY_TYPE uint64
#define SH_KEY key
#define SH_HASH_KEY(table, key) ((uint32) (key))
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Hundredths of a second since the table was made; they may wrap around. */
#define TICK_US 10000

struct WaPairs
{
	HTAB *busy; /* WaPair */
	resting_hash *resting;
	int64 base_us;
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
	pairs->resting = resting_create(context, 4096, NULL);
	pairs->base_us = wa_now_us();
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

static uint32
to_ticks(const WaPairs *pairs, int64 us)
{
	return (uint32) ((us - pairs->base_us + TICK_US - 1) / TICK_US);
}

/* Microseconds from now until then; right for half of the range of ticks, 248 days. */
static int64
us_until(const WaPairs *pairs, uint32 ticks, int64 now)
{
	return (int64) (int32) (ticks - to_ticks(pairs, now)) * TICK_US;
}

static void
forget_whole(WaPairs *pairs, int64 now)
{
	resting_iterator scan;
	Resting *resting;

	resting_start_iterate(pairs->resting, &scan);
	while ((resting = resting_iterate(pairs->resting, &scan)) != NULL)
		if (us_until(pairs, resting->whole_at, now) <= 0)
			resting_delete_item(pairs->resting, resting);
}

static void
remember(WaPairs *pairs, uint64 key, int64 whole_at_us, int64 now)
{
	bool found;

	if (pairs->resting->members >= pairs->resting->size / 4 * 3)
	{
		forget_whole(pairs, now);
		/* Only just enough room would mean doing this all the time. */
		if (pairs->resting->members > pairs->resting->size / 8 * 5)
			resting_grow(pairs->resting, pairs->resting->size * 2);
	}
	resting_insert(pairs->resting, key, &found)->whole_at = to_ticks(pairs, whole_at_us);
}

WaPair *
wa_pair_get(WaSender *sender, uint64 key)
{
	WaPairs *pairs = sender->pairs;
	bool found;
	WaPair *pair = hash_search(pairs->busy, &key, HASH_ENTER, &found);
	Resting *resting;

	if (found)
		return pair;
	memset(pair, 0, sizeof(WaPair));
	pair->key = key;
	dlist_init(&pair->waiting);
	resting = resting_lookup(pairs->resting, key);
	if (resting != NULL)
	{
		int64 now = wa_now_us();

		pair->whole_at_us = now + us_until(pairs, resting->whole_at, now);
		resting_delete_item(pairs->resting, resting);
	}
	return pair;
}

WaPair *
wa_pair_find(WaSender *sender, uint64 key)
{
	return hash_search(sender->pairs->busy, &key, HASH_FIND, NULL);
}

void
wa_pairs_scan(WaSender *sender, HASH_SEQ_STATUS *scan)
{
	hash_seq_init(scan, sender->pairs->busy);
}

void
wa_pair_rest(WaSender *sender, WaPair *pair)
{
	int64 now = wa_now_us();

	if (pair->in_flight > 0 || pair->n_waiting > 0 || pair->n_deferred > 0 ||
		pair->next_deferral_us > now || (pair->throttles > 0 && pair->whole_at_us > now))
		return;
	if (pair->whole_at_us > now)
		remember(sender->pairs, pair->key, pair->whole_at_us, now);
	if (pair->deferred != NULL)
		pfree(pair->deferred);
	hash_search(sender->pairs->busy, &pair->key, HASH_REMOVE, NULL);
}

/* Also forgets those at rest whose burst is whole: ticks do not tell for ever. */
void
wa_pairs_rest(WaSender *sender)
{
	HASH_SEQ_STATUS scan;
	WaPair *pair;

	wa_pairs_scan(sender, &scan);
	while ((pair = hash_seq_search(&scan)) != NULL)
		wa_pair_rest(sender, pair);
	forget_whole(sender->pairs, wa_now_us());
}

/* ---- after a start ----------------------------------------------------------------- */

void
wa_pairs_seed(WaSender *sender, const WaAcceptedRow *rows, int n)
{
	int64 now = wa_now_us();

	for (int i = 0; i < n; i++)
	{
		uint64 key = wa_hash_text(rows[i].recipient, wa_number_key(rows[i].phone_number_id));
		WaPair *pair = wa_pair_get(sender, key);

		pair->whole_at_us = Max(pair->whole_at_us, now - rows[i].age_us) + wa_pair_interval_us();
	}
	wa_pairs_rest(sender);
}
