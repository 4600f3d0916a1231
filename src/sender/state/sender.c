/*
 * sender.c
 *	  What a sender remembers between cycles.
 *
 * Numbers and tenants are kept in hash tables that are refreshed in place when
 * the configuration changes, so that cursors and buckets outlive a reload.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/rows.h"
#include "base/secret.h"
#include "base/statement.h"
#include "sender/pace/messaging_limit.h"
#include "sender/pace/pair.h"
#include "sender/pace/pair_waiting.h"
#include "sender/state/sender.h"
#include "sender/store/transaction.h"
#include "shared/shmem.h"
#include "shared/wake.h"

/* Blocks that grow no further: jobs come and go, and half of a large block would stay empty. */
#define STATE_BLOCKS 0, 8 * 1024, 64 * 1024

/*
 * Meta counts what arrives in any second.  The window keeps to that, one or two
 * below the limit and over a little more than a second, for what the network
 * compresses; the bucket spreads the messages over it, and may catch up on what
 * a busy machine has missed.
 */
#define RATE_SHARE 0.985
#define BURST_SHARE 0.25
#define WINDOW_US INT64_C(1010000)

/*
 * Rows that somebody has locked are looked at again after so long, or after this
 * share of the time for which that has been so.
 */
#define LOOK_AGAIN_US INT64_C(500000)
#define LOOK_AGAIN_SHARE 8

/* No level of the platform is higher: above it the operator knows better. */
#define MAX_WINDOW 1000

#define HIGH_THROUGHPUT 1000.0

uint64
wa_hash_text(const char *text, uint64 seed)
{
	return hash_bytes_extended((const unsigned char *) text, strlen(text), seed);
}

static HTAB *
make_table(const char *name, MemoryContext context, Size entry_size, long n)
{
	HASHCTL ctl = {0};

	ctl.keysize = sizeof(uint64);
	ctl.entrysize = entry_size;
	ctl.hcxt = context;
	return hash_create(name, n, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

WaSender *
wa_sender_create(WaSenderSlot *slot, uint64 generation, Oid schema)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "whatsapp_shared sender", STATE_BLOCKS);
	WaSender *sender = MemoryContextAllocZero(context, sizeof(WaSender));
	MemoryContext old = MemoryContextSwitchTo(context);

	sender->state_context = context;
	sender->cycle_context =
		AllocSetContextCreate(context, "whatsapp_shared cycle", ALLOCSET_DEFAULT_SIZES);
	sender->slot = slot;
	sender->index = slot->index;
	sender->nsenders = slot->nsenders;
	sender->generation = generation;
	sender->schema = schema;
	sender->secret_generation = wa_secret_generation();
	sender->numbers = make_table("whatsapp_shared numbers", context, sizeof(WaNumber), 256);
	sender->tenants = make_table("whatsapp_shared tenants", context, sizeof(WaTenant), 1024);
	sender->paused_templates =
		make_table("whatsapp_shared paused templates", context, sizeof(uint64), 16);
	sender->tracked = make_table("whatsapp_shared tracked", context, sizeof(WaTracked), 2048);
	sender->pairs = wa_pairs_create(context);
	dlist_init(&sender->claiming);
	dlist_init(&sender->leased);
	dlist_init(&sender->in_flight);
	dlist_init(&sender->finished);
	sender->next_due = DT_NOEND;
	sender->next_expiry = DT_NOEND;
	MemoryContextSwitchTo(old);
	return sender;
}

/* The number, with an empty bucket and everything still to be looked at if new. */
WaNumber *
wa_sender_number(WaSender *sender, const char *phone_number_id, bool create)
{
	uint64 key = wa_number_key(phone_number_id);
	bool found;
	WaNumber *number;

	number = hash_search(sender->numbers, &key, create ? HASH_ENTER : HASH_FIND, &found);
	if (number != NULL && !found)
	{
		memset(number, 0, sizeof(WaNumber));
		number->key = key;
		strlcpy(number->id, phone_number_id, sizeof(number->id));
		number->mine = key % sender->nsenders == sender->index;
		number->cursor_rank = PG_INT64_MIN;
		number->may_have_ready = true;
		dlist_init(&number->again);
		wa_sender_turns_changed(sender);
		wa_bucket_init(&number->bucket, wa_guc_messages_per_second, 1.0, wa_now_us());
	}
	return number;
}

WaTenant *
wa_sender_tenant(WaSender *sender, const char *tenant_id)
{
	uint64 key = wa_hash_text(tenant_id, 0);

	return hash_search(sender->tenants, &key, HASH_FIND, NULL);
}

bool
wa_sender_may_send(const WaSender *sender)
{
	return wa_guc_enabled && sender->has_token && sender->at_home &&
		   sender->account_paused_until == 0 && !sender->stopping && !ShutdownRequestPending;
}

static uint64
template_key(const char *name, const char *language)
{
	return wa_hash_text(name, language == NULL ? 0 : wa_hash_text(language, 1));
}

/* A template may be paused in one language or, under its bare name, in all. */
bool
wa_sender_template_paused(WaSender *sender, const char *name, const char *language)
{
	uint64 exact = template_key(name, language);
	uint64 all = template_key(name, NULL);

	if (hash_get_num_entries(sender->paused_templates) == 0)
		return false;
	return hash_search(sender->paused_templates, &exact, HASH_FIND, NULL) != NULL ||
		   hash_search(sender->paused_templates, &all, HASH_FIND, NULL) != NULL;
}

bool
wa_sender_is_tracked(WaSender *sender, int64 message_id, WaTrackedAs *as)
{
	WaTracked *tracked = hash_search(sender->tracked, &message_id, HASH_FIND, NULL);

	if (tracked != NULL)
		*as = tracked->as;
	return tracked != NULL;
}

void
wa_sender_track(WaSender *sender, int64 message_id, WaTrackedAs as)
{
	WaTracked *tracked = hash_search(sender->tracked, &message_id, HASH_ENTER, NULL);

	tracked->as = as;
}

void
wa_sender_untrack(WaSender *sender, int64 message_id)
{
	hash_search(sender->tracked, &message_id, HASH_REMOVE, NULL);
}

int
wa_number_available(WaNumber *number, int64 now)
{
	return Min(wa_bucket_available(&number->bucket, now),
			   wa_sliding_window_available(&number->window, now));
}

int64
wa_number_ready_at(WaNumber *number, int64 now)
{
	return Max(wa_bucket_ready_at(&number->bucket, 1, now),
			   wa_sliding_window_ready_at(&number->window, now));
}

void
wa_number_take(WaNumber *number, int n, int64 now)
{
	wa_bucket_take(&number->bucket, n, now);
	wa_sliding_window_take(&number->window, n, now);
}

void
wa_sender_turns_changed(WaSender *sender)
{
	sender->next_turn_known_us = 0;
}

/* Most of what happens concerns one number; the others need not be looked at. */
void
wa_number_opened(WaSender *sender, WaNumber *number)
{
	int64 now = wa_now_us();
	int64 turn = wa_number_ready_at(number, now);

	if (!number->mine || number->paused_until != 0)
		return;
	sender->next_turn_us = turn <= now ? WA_TURN_IS_NOW : Min(sender->next_turn_us, turn);
}

void
wa_number_lower_cursor(WaSender *sender, WaNumber *number, int64 rank)
{
	number->may_have_ready = true;
	if (rank <= number->cursor_rank)
	{
		/* just before the first row of that rank */
		number->cursor_rank = rank;
		number->cursor_id = PG_INT64_MIN;
	}
	wa_number_opened(sender, number);
}

void
wa_number_passed_by(WaSender *sender, WaNumber *number, int64 rank)
{
	int64 now = wa_now_us();

	if (number->passed_since_us == 0)
		number->passed_since_us = now;
	if (number->look_again_us != 0)
		number->passed_rank = Min(number->passed_rank, rank);
	else
	{
		number->passed_rank = rank;
		number->look_again_us =
			now + Max(LOOK_AGAIN_US, (now - number->passed_since_us) / LOOK_AGAIN_SHARE);
	}
	sender->next_turn_us = Min(sender->next_turn_us, number->look_again_us);
}

void
wa_number_look_again(WaSender *sender, WaNumber *number, int64 now)
{
	if (number->look_again_us == 0 || now < number->look_again_us)
		return;
	number->look_again_us = 0;
	wa_number_lower_cursor(sender, number, number->passed_rank);
}

static void
set_rate(WaNumber *number, double rate)
{
	wa_bucket_set_allowed(&number->bucket, rate * RATE_SHARE, Max(1.0, rate * BURST_SHARE),
						  wa_now_us());
	if (!wa_sliding_window_init(
			&number->window, rate <= MAX_WINDOW ? Max(1, (int) (rate * RATE_SHARE)) : 0, WINDOW_US))
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

static double
number_rate(double own, const char *throughput_level)
{
	if (own > 0)
		return own;
	if (throughput_level != NULL && strcmp(throughput_level, "HIGH") == 0)
		return HIGH_THROUGHPUT;
	return wa_guc_messages_per_second;
}

static void
load_installation(WaSender *sender)
{
	static WaStatement statement = {
		.sql = "SELECT installation_id, system_identifier, database_oid::bigint"
			   " FROM @extschema@.whatsapp_installation",
		.expected = SPI_OK_SELECT};
	WaRows rows;

	rows = wa_store_run(&statement, NULL, NULL);
	sender->at_home = rows.count == 1 &&
					  wa_rows_int(&rows, 0, 2, 0) == (int64) GetSystemIdentifier() &&
					  wa_rows_int(&rows, 0, 3, 0) == (int64) MyDatabaseId;
	if (rows.count == 1)
		strlcpy(sender->installation_id, wa_rows_text(&rows, 0, 1),
				sizeof(sender->installation_id));
}

static void
load_numbers(WaSender *sender)
{
	static WaStatement statement = {
		.sql = "SELECT phone_number_id, COALESCE(messages_per_second, 0)::text, throughput_level,"
			   " messaging_limit, rate_factor::text"
			   " FROM @extschema@.whatsapp_phone_numbers",
		.expected = SPI_OK_SELECT};
	WaRows rows;
	HASH_SEQ_STATUS scan;
	WaNumber *number;
	double rate;

	hash_seq_init(&scan, sender->numbers);
	while ((number = hash_seq_search(&scan)) != NULL)
	{
		number->registered = false;
		number->paused_until = 0;
	}

	sender->reach_limit = 0;
	rows = wa_store_run(&statement, NULL, NULL);
	for (uint64 i = 0; i < rows.count; i++)
	{
		number = wa_sender_number(sender, wa_rows_text(&rows, i, 1), true);
		number->registered = true;
		/* The limit is the portfolio's: every number that knows it says the same. */
		sender->reach_limit = Max(sender->reach_limit, wa_budget_tier(wa_rows_text(&rows, i, 4)));
		rate = number_rate(atof(wa_rows_text(&rows, i, 2)), wa_rows_text(&rows, i, 3)) *
			   atof(wa_rows_text(&rows, i, 5));
		set_rate(number, rate);
	}
	if (wa_guc_phone_number_id[0] != '\0')
	{
		number = wa_sender_number(sender, wa_guc_phone_number_id, true);
		if (!number->registered)
		{
			rate = number_rate(0, NULL);
			set_rate(number, rate);
			number->registered = true;
		}
	}
}

/*
 * rate 0: none.  After a change, who comes from then on does not wait for turns of
 * the old rate.
 */
static void
set_tenant_rate(WaTenant *tenant, double rate, int64 now)
{
	double burst = Max(1.0, rate);

	if (rate > 0 && !tenant->has_rate)
		wa_bucket_init(&tenant->bucket, rate, burst, now);
	else if (rate > 0 && rate != tenant->bucket.allowed)
		wa_bucket_set_allowed(&tenant->bucket, rate, burst, now);
	else if (rate > 0)
		return;
	tenant->has_rate = rate > 0;
	tenant->next_deferral_us = now;
}

static void
load_tenants(WaSender *sender)
{
	static WaStatement statement = {
		.sql = "SELECT t.tenant_id, t.enabled, t.messages_per_second::text, a.phone_number_id"
			   " FROM @extschema@.whatsapp_tenants t"
			   " LEFT JOIN @extschema@.whatsapp_phone_assignments a"
			   " ON a.tenant_id = t.tenant_id AND a.unassigned_at IS NULL",
		.expected = SPI_OK_SELECT};
	WaRows rows;
	HASH_SEQ_STATUS scan;
	WaTenant *tenant;
	int64 now = wa_now_us();

	hash_seq_init(&scan, sender->tenants);
	while ((tenant = hash_seq_search(&scan)) != NULL)
	{
		/* Jobs point to it, so it stays; a tenant that is gone sends nothing. */
		tenant->enabled = false;
		tenant->paused_until = 0;
	}

	sender->default_number_taken = false;
	rows = wa_store_run(&statement, NULL, NULL);
	for (uint64 i = 0; i < rows.count; i++)
	{
		uint64 key = wa_hash_text(wa_rows_text(&rows, i, 1), 0);
		const char *rate = wa_rows_text(&rows, i, 3);
		const char *number = wa_rows_text(&rows, i, 4);
		bool found;

		tenant = hash_search(sender->tenants, &key, HASH_ENTER, &found);
		if (!found)
		{
			memset(tenant, 0, sizeof(WaTenant));
			tenant->key = key;
		}
		tenant->enabled = wa_rows_int(&rows, i, 2, 1) != 0;
		strlcpy(tenant->phone_number_id, number ? number : "", sizeof(tenant->phone_number_id));
		if (number != NULL && strcmp(number, wa_guc_phone_number_id) == 0)
			sender->default_number_taken = true;
		set_tenant_rate(tenant, rate != NULL ? atof(rate) : 0, now);
	}
}

static void
load_pauses(WaSender *sender)
{
	static WaStatement statement = {
		.sql = "SELECT scope, key, COALESCE(until, 'infinity')"
			   " FROM @extschema@.whatsapp_pauses"
			   " WHERE until IS NULL OR until > pg_catalog.clock_timestamp()",
		.expected = SPI_OK_SELECT};
	WaRows rows;
	HASH_SEQ_STATUS scan;
	uint64 *template;

	hash_seq_init(&scan, sender->paused_templates);
	while ((template = hash_seq_search(&scan)) != NULL)
		hash_search(sender->paused_templates, template, HASH_REMOVE, NULL);
	sender->account_paused_until = 0;
	sender->next_pause_end = DT_NOEND;

	rows = wa_store_run(&statement, NULL, NULL);
	for (uint64 i = 0; i < rows.count; i++)
	{
		const char *scope = wa_rows_text(&rows, i, 1);
		char *key = wa_rows_text(&rows, i, 2);
		TimestampTz until = wa_rows_time(&rows, i, 3, DT_NOEND);

		sender->next_pause_end = Min(sender->next_pause_end, until);
		if (strcmp(scope, "account") == 0)
			sender->account_paused_until = until;
		else if (strcmp(scope, "number") == 0)
		{
			WaNumber *number = wa_sender_number(sender, key, false);

			if (number != NULL)
				number->paused_until = until;
		}
		else if (strcmp(scope, "tenant") == 0)
		{
			WaTenant *tenant = wa_sender_tenant(sender, key);

			if (tenant != NULL)
				tenant->paused_until = until;
		}
		else if (strcmp(scope, "template") == 0)
		{
			char *language = strrchr(key, '/');
			uint64 hash;

			if (language != NULL)
				*language++ = '\0';
			hash = template_key(key, language);
			hash_search(sender->paused_templates, &hash, HASH_ENTER, NULL);
		}
	}
}

void
wa_sender_load_config(WaSender *sender)
{
	load_installation(sender);
	load_numbers(sender);
	load_tenants(sender);
	load_pauses(sender);
	wa_pairs_forget_paused(sender);
	wa_sender_turns_changed(sender);
	sender->config_loaded = true;
}

/*
 * Finds the numbers that have ready rows by skipping through the index, and
 * lets every cursor start from the beginning.  This is what the slow sweep
 * rests on: it covers whatever became ready without a note.
 */
void
wa_sender_discover(WaSender *sender)
{
	static WaStatement statement = {
		.sql = "WITH RECURSIVE n(number) AS ("
			   "(SELECT phone_number_id FROM @extschema@.whatsapp_queue WHERE state = 'r'"
			   " ORDER BY phone_number_id LIMIT 1)"
			   " UNION ALL"
			   " SELECT (SELECT q.phone_number_id FROM @extschema@.whatsapp_queue q"
			   " WHERE q.state = 'r' AND q.phone_number_id > n.number"
			   " ORDER BY q.phone_number_id LIMIT 1)"
			   " FROM n WHERE n.number IS NOT NULL"
			   ") SELECT number FROM n WHERE number IS NOT NULL",
		.expected = SPI_OK_SELECT};
	WaRows rows;

	rows = wa_store_run(&statement, NULL, NULL);
	for (uint64 i = 0; i < rows.count; i++)
	{
		WaNumber *number = wa_sender_number(sender, wa_rows_text(&rows, i, 1), true);

		wa_number_lower_cursor(sender, number, PG_INT64_MIN);
	}
}
