/*
 * pair.c
 *	  One recipient as seen from one number: the pair limit, and the order of
 *	  messages.
 *
 * A pair for which something is under way (a request, messages set aside or
 * deferred, a refusal not yet made up for) has a WaPair.  All that has to be
 * remembered of most others, for as long as their burst is not whole, is when
 * it will be: a busy sender meets tens of thousands of recipients in the six
 * seconds for which each counts.  Those rest in a table of sixteen bytes an
 * entry, which forgets, whenever it would have to grow, what has become whole.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "pair.h"
#include "store.h"
#include "wake.h"

/* How much of the newest history is read to rebuild the pair limits. */
#define SEED_MESSAGES 20000

/* ... and how many of the messages that wait for a time, those due first. */
#define SEED_DEFERRED 100000

/*
 * A deferred message that is not back so long after its time may have been
 * cancelled, or has expired, or is locked by somebody: it is looked for.
 */
#define DEFERRED_GRACE_US INT64_C(1000000)

/* Rows to be claimed by their ids before further ones are left to the cursor. */
#define MAX_AGAIN 10000

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

/* ---- order ----------------------------------------------------------------------- */

/* Where this message stands among those that are deferred, or would. */
static int
place_of(const WaPair *pair, int64 message_id)
{
	int low = 0;
	int high = pair->n_deferred;

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (pair->deferred[middle] < message_id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void
wa_pair_deferred(WaSender *sender, WaPair *pair, int64 message_id, TimestampTz due)
{
	int64 until = wa_now_us() + (due - GetCurrentTimestamp());
	int place = place_of(pair, message_id);

	pair->deferred_until_us = Max(pair->deferred_until_us, until);
	if (place < pair->n_deferred && pair->deferred[place] == message_id)
		return;
	if (pair->n_deferred == pair->max_deferred)
	{
		int max = Max(pair->max_deferred * 2, 2);

		pair->deferred = pair->deferred == NULL
							 ? MemoryContextAlloc(sender->state_context, sizeof(int64) * max)
							 : repalloc(pair->deferred, sizeof(int64) * max);
		pair->max_deferred = max;
	}
	memmove(pair->deferred + place + 1, pair->deferred + place,
			sizeof(int64) * (pair->n_deferred - place));
	pair->deferred[place] = message_id;
	pair->n_deferred++;
}

bool
wa_pair_returned(WaPair *pair, int64 message_id)
{
	int place = place_of(pair, message_id);

	if (place == pair->n_deferred || pair->deferred[place] != message_id)
		return false;
	pair->n_deferred--;
	memmove(pair->deferred + place, pair->deferred + place + 1,
			sizeof(int64) * (pair->n_deferred - place));
	if (pair->n_deferred == 0)
		pair->deferred_until_us = 0;
	return true;
}

/* A message that is to be back, and the pair that waits for it. */
typedef struct Missing
{
	int64 message_id;
	uint64 pair_key;
	bool is_coming;
} Missing;

static int
compare_missing(const void *a, const void *b)
{
	const Missing *x = a;
	const Missing *y = b;

	return (x->message_id > y->message_id) - (x->message_id < y->message_id);
}

static bool
is_overdue(const WaPair *pair, int64 now)
{
	return pair->n_deferred > 0 && now >= pair->deferred_until_us + DEFERRED_GRACE_US;
}

/*
 * Looks for these in the queue, and sees to it that the cursor comes by those
 * that are ready there.  Nobody waits for a row that somebody else has locked.
 */
static void
look_for(WaSender *sender, Missing *missing, int n)
{
	static WaStatement statement = {
		.plan.sql = "SELECT q.message_id, q.phone_number_id, q.rank,"
					" COALESCE(m.recipient_phone, m.recipient_user_id)"
					" FROM @extschema@.whatsapp_queue q"
					" JOIN @extschema@.whatsapp_messages m ON m.id = q.message_id"
					" WHERE q.message_id = ANY ($1) AND q.phone_number_id IS NOT NULL"
					" AND (q.state = 'r' OR q.state = 'd' AND q.due_at <= $2)"
					" FOR UPDATE OF q SKIP LOCKED",
		.plan.nargs = 2,
		.plan.argtypes = {INT8ARRAYOID, TIMESTAMPTZOID},
		.expected = SPI_OK_SELECT};
	int64 *ids = palloc(sizeof(int64) * n);
	Datum values[2];

	qsort(missing, n, sizeof(Missing), compare_missing);
	for (int i = 0; i < n; i++)
		ids[i] = missing[i].message_id;
	values[0] = wa_store_int8_array(ids, n);
	values[1] = TimestampTzGetDatum(GetCurrentTimestamp());
	wa_store_run(&statement, values, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Missing key = {.message_id = wa_store_int(i, 1, 0)};
		Missing *found = bsearch(&key, missing, n, sizeof(Missing), compare_missing);
		WaNumber *number = wa_sender_number(sender, wa_store_text(i, 2), false);

		/* It may have come to another number, and with it to another pair. */
		if (number == NULL || wa_pair_key(number, wa_store_text(i, 4)) != found->pair_key)
			continue;
		found->is_coming = true;
		wa_number_lower_cursor(sender, number, wa_store_int(i, 3, 0));
	}
}

static int
gather(const WaPair *pair, Missing *missing)
{
	for (int i = 0; i < pair->n_deferred; i++)
		missing[i] = (Missing){.message_id = pair->deferred[i], .pair_key = pair->key};
	return pair->n_deferred;
}

/* Nobody waits any longer for those of them that will not come back. */
static void
wait_for_coming(WaSender *sender, Missing *missing, int n)
{
	int64 now = wa_now_us();

	look_for(sender, missing, n);
	for (int i = 0; i < n; i++)
	{
		WaPair *pair = hash_search(sender->pairs->busy, &missing[i].pair_key, HASH_FIND, NULL);

		if (missing[i].is_coming)
			pair->deferred_until_us = now;
		else
			wa_pair_returned(pair, missing[i].message_id);
	}
}

bool
wa_pair_is_behind(WaSender *sender, WaPair *pair, int64 message_id)
{
	if (place_of(pair, message_id) > 0 && is_overdue(pair, wa_now_us()))
	{
		Missing *missing = palloc(sizeof(Missing) * pair->n_deferred);

		wait_for_coming(sender, missing, gather(pair, missing));
	}
	return place_of(pair, message_id) > 0;
}

/* ---- rows to be claimed by their ids ------------------------------------------------- */

static WaWaiting *
new_waiting(WaSender *sender, WaNumber *number, uint64 pair_key, int64 message_id, int64 rank)
{
	WaWaiting *waiting = MemoryContextAlloc(sender->state_context, sizeof(WaWaiting));

	waiting->message_id = message_id;
	waiting->rank = rank;
	waiting->pair_key = pair_key;
	waiting->number = number;
	return waiting;
}

static void
ask_again(WaSender *sender, WaWaiting *waiting)
{
	dlist_push_tail(&waiting->number->again, &waiting->node);
	waiting->number->n_again++;
	wa_number_opened(sender, waiting->number);
	wa_sender_track(sender, waiting->message_id, WA_TRACKED_AGAIN);
}

void
wa_pair_set_aside(WaSender *sender, WaPair *pair, WaNumber *number, int64 message_id, int64 rank)
{
	WaWaiting *waiting = new_waiting(sender, number, pair->key, message_id, rank);

	dlist_push_tail(&pair->waiting, &waiting->node);
	pair->n_waiting++;
	sender->n_waiting++;
	wa_sender_track(sender, message_id, WA_TRACKED_WAITING);
}

void
wa_pair_forget_waiting(WaSender *sender, WaPair *pair)
{
	while (pair->n_waiting > 0)
	{
		WaWaiting *waiting = dlist_container(WaWaiting, node, dlist_pop_head_node(&pair->waiting));

		pair->n_waiting--;
		sender->n_waiting--;
		wa_sender_untrack(sender, waiting->message_id);
		pfree(waiting);
	}
}

bool
wa_pair_release_one(WaSender *sender, WaPair *pair)
{
	WaWaiting *waiting;

	if (pair->n_waiting == 0)
		return false;
	waiting = dlist_container(WaWaiting, node, dlist_pop_head_node(&pair->waiting));
	pair->n_waiting--;
	sender->n_waiting--;
	ask_again(sender, waiting);
	return true;
}

void
wa_pair_came_due(WaSender *sender, WaNumber *number, const char *recipient, int64 message_id,
				 int64 rank)
{
	WaTrackedAs as;

	if (number->paused_until != 0 || number->n_again >= MAX_AGAIN ||
		wa_sender_is_tracked(sender, message_id, &as))
	{
		wa_number_lower_cursor(sender, number, rank);
		return;
	}
	ask_again(sender,
			  new_waiting(sender, number, wa_pair_key(number, recipient), message_id, rank));
}

static void
forget(WaSender *sender, dlist_head *list)
{
	WaWaiting *waiting = dlist_container(WaWaiting, node, dlist_pop_head_node(list));

	wa_sender_untrack(sender, waiting->message_id);
	pfree(waiting);
}

void
wa_pairs_forget_paused(WaSender *sender)
{
	HASH_SEQ_STATUS scan;
	WaNumber *number;
	WaPair *pair;

	hash_seq_init(&scan, sender->pairs->busy);
	while ((pair = hash_seq_search(&scan)) != NULL)
	{
		if (pair->n_waiting == 0)
			continue;
		number = dlist_head_element(WaWaiting, node, &pair->waiting)->number;
		if (number->paused_until == 0)
			continue;
		wa_number_lower_cursor(sender, number, PG_INT64_MIN);
		for (; pair->n_waiting > 0; pair->n_waiting--, sender->n_waiting--)
			forget(sender, &pair->waiting);
	}

	hash_seq_init(&scan, sender->numbers);
	while ((number = hash_seq_search(&scan)) != NULL)
	{
		if (number->paused_until == 0 || number->n_again == 0)
			continue;
		wa_number_lower_cursor(sender, number, PG_INT64_MIN);
		for (; number->n_again > 0; number->n_again--)
			forget(sender, &number->again);
	}
}

/* Also forgets those at rest whose burst is whole: ticks do not tell for ever. */
void
wa_pairs_rest(WaSender *sender)
{
	HASH_SEQ_STATUS scan;
	WaPair *pair;
	int64 now = wa_now_us();
	int max = 0;
	int n = 0;
	Missing *missing;

	hash_seq_init(&scan, sender->pairs->busy);
	while ((pair = hash_seq_search(&scan)) != NULL)
		max += is_overdue(pair, now) ? pair->n_deferred : 0;
	missing = palloc_extended(sizeof(Missing) * Max(max, 1), MCXT_ALLOC_HUGE);
	hash_seq_init(&scan, sender->pairs->busy);
	while ((pair = hash_seq_search(&scan)) != NULL)
		if (is_overdue(pair, now))
			n += gather(pair, missing + n);
	if (n > 0)
		wait_for_coming(sender, missing, n);

	hash_seq_init(&scan, sender->pairs->busy);
	while ((pair = hash_seq_search(&scan)) != NULL)
		wa_pair_rest(sender, pair);
	forget_whole(sender->pairs, now);
}

/* ---- after a start ----------------------------------------------------------------- */

/* Rebuilds what a predecessor knew of messages deferred for their recipients' sake. */
static void
seed_deferred(WaSender *sender)
{
	static WaStatement statement = {
		.plan.sql =
			"SELECT q.phone_number_id, COALESCE(m.recipient_phone, m.recipient_user_id),"
			" q.message_id, q.due_at, q.hold_reason = 'pair_rate'"
			" FROM (SELECT * FROM @extschema@.whatsapp_queue"
			" WHERE state IN ('d', 'u') ORDER BY due_at LIMIT $1) q"
			" JOIN @extschema@.whatsapp_messages m ON m.id = q.message_id"
			" WHERE q.state = 'd' AND q.phone_number_id IS NOT NULL AND q.hold_reason IN"
			" ('retry', 'network', 'number_rate', 'pair_rate', 'recipient_order', 'tenant_rate')",
		.plan.nargs = 1,
		.plan.argtypes = {INT4OID},
		.expected = SPI_OK_SELECT};
	Datum values[1] = {Int32GetDatum(SEED_DEFERRED)};

	wa_store_run(&statement, values, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		WaPair *pair = wa_pair_get(
			sender, wa_hash_text(wa_store_text(i, 2), wa_number_key(wa_store_text(i, 1))));
		TimestampTz due = wa_store_time(i, 4, 0);

		wa_pair_deferred(sender, pair, wa_store_int(i, 3, 0), due);
		if (wa_store_int(i, 5, 0) != 0)
			pair->next_deferral_us = pair->deferred_until_us;
		else
			pair->blocked_until = Max(pair->blocked_until, due);
	}
}

/* Rebuilds the pair limits from what has been accepted lately. */
void
wa_pairs_seed(WaSender *sender)
{
	static WaStatement statement = {
		.plan.sql =
			"SELECT m.phone_number_id, COALESCE(m.recipient_phone, m.recipient_user_id),"
			" (EXTRACT(epoch FROM pg_catalog.clock_timestamp() - m.accepted_at) * 1000000)::bigint"
			" FROM (SELECT * FROM @extschema@.whatsapp_messages ORDER BY id DESC LIMIT $1) m"
			" WHERE m.accepted_at > pg_catalog.now() - pg_catalog.make_interval(secs => $2)"
			/* Its tenant may have lost the number before a webhook said that it had arrived. */
			" AND m.phone_number_id IS NOT NULL"
			" ORDER BY m.accepted_at",
		.plan.nargs = 2,
		.plan.argtypes = {INT4OID, FLOAT8OID},
		.expected = SPI_OK_SELECT};
	Datum values[2];
	int64 now = wa_now_us();
	int64 interval = wa_pair_interval_us();

	values[0] = Int32GetDatum(SEED_MESSAGES);
	values[1] = Float8GetDatum(wa_guc_pair_interval / 1000.0 * wa_guc_pair_burst);
	wa_store_run(&statement, values, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		WaPair *pair;

		pair = wa_pair_get(sender,
						   wa_hash_text(wa_store_text(i, 2), wa_number_key(wa_store_text(i, 1))));
		pair->whole_at_us = Max(pair->whole_at_us, now - wa_store_int(i, 3, 0)) + interval;
	}
	seed_deferred(sender);
	wa_pairs_rest(sender);
}
