/*
 * config.c
 *	  Reading what people have configured into a sender's memory.
 *
 * Numbers and tenants are refreshed in place, so that cursors, buckets and what
 * points to them outlive a reload.  Of ten thousand tenants mostly one has changed,
 * and only what has is read (sender/store/config_rows.c).
 */
#include "postgres.h"

#include "access/transam.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "sender/config.h"
#include "sender/pace/messaging_limit.h"
#include "sender/pace/pair_waiting.h"
#include "sender/store/config_rows.h"
#include "sender/store/transaction.h"
#include "shared/shmem.h"

#define HIGH_THROUGHPUT 1000.0
#define BIZ_APP_THROUGHPUT 20.0

/* How often everything is read again, if anything has changed. */
#define WHOLE_US INT64_C(3600000000)

static int64 whole_us; /* when that was done last */

/*
 * What the last reading of each began with.  One for both would not do: what has changed
 * in a table that is not read now may be older than the reading of the other.
 */
static TransactionId numbers_from;
static TransactionId tenants_from;

static double
rate_of(const WaNumberRow *row)
{
	double rate = wa_guc_messages_per_second;

	if (row->messages_per_second > 0)
		rate = row->messages_per_second;
	else if (row->throughput_level != NULL && strcmp(row->throughput_level, "HIGH") == 0)
		rate = HIGH_THROUGHPUT;
	if (row->is_on_biz_app)
		rate = Min(rate, BIZ_APP_THROUGHPUT);
	return rate * row->rate_factor;
}

static void
load_numbers(WaSender *sender, TransactionId since)
{
	WaNumberRow *rows;
	const char **limits;
	int n = wa_store_numbers(since, &rows);
	int n_limits = wa_store_messaging_limits(&limits);
	bool default_has_row = TransactionIdIsValid(since) || wa_guc_phone_number_id[0] == '\0';

	for (int i = 0; i < n; i++)
	{
		wa_number_set_rate(wa_number_get(&sender->numbers, rows[i].phone_number_id),
						   rate_of(&rows[i]));
		default_has_row |= strcmp(rows[i].phone_number_id, wa_guc_phone_number_id) == 0;
	}
	if (!default_has_row)
		wa_number_set_rate(wa_number_get(&sender->numbers, wa_guc_phone_number_id),
						   wa_guc_messages_per_second);

	/* The limit is the portfolio's: every number that knows it says the same. */
	sender->reach_limit = 0;
	for (int i = 0; i < n_limits; i++)
		sender->reach_limit = Max(sender->reach_limit, wa_messaging_limit_tier(limits[i]));
}

/*
 * rate 0: none.  After a change, what comes from then on does not wait for turns of
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

/* Who has the default number: then it sends for nobody else. */
static void
note_default_number(WaSender *sender, const WaTenant *tenant)
{
	static const WaTenant *holder;

	if (wa_guc_phone_number_id[0] != '\0' &&
		strcmp(tenant->phone_number_id, wa_guc_phone_number_id) == 0)
		holder = tenant;
	else if (holder == tenant)
		holder = NULL;
	sender->default_number_taken = holder != NULL;
}

/* Jobs point to it, so it stays; a tenant that is gone sends nothing. */
static void
unlist_tenants(WaSender *sender)
{
	HASH_SEQ_STATUS scan;
	WaTenant *tenant;

	hash_seq_init(&scan, sender->tenants);
	while ((tenant = hash_seq_search(&scan)) != NULL)
	{
		tenant->enabled = tenant->listed = false;
		tenant->phone_number_id[0] = '\0';
		note_default_number(sender, tenant);
	}
}

static void
load_tenants(WaSender *sender, TransactionId since)
{
	WaTenantRow *rows;
	int n = wa_store_tenants(since, &rows);
	int64 now = wa_now_us();

	if (!TransactionIdIsValid(since))
		unlist_tenants(sender);
	for (int i = 0; i < n; i++)
	{
		WaTenant *tenant = wa_sender_tenant_get(sender, rows[i].tenant_id);
		const char *number = rows[i].phone_number_id != NULL ? rows[i].phone_number_id : "";

		tenant->enabled = rows[i].enabled;
		tenant->marketing_api = rows[i].marketing_api;
		tenant->takes_over = rows[i].takes_over;
		tenant->listed = true;
		tenant->daily_share = rows[i].daily_share;
		strlcpy(tenant->phone_number_id, number, sizeof(tenant->phone_number_id));
		note_default_number(sender, tenant);
		set_tenant_rate(tenant, rows[i].messages_per_second, now);
	}
}

/* Everything goes on, until the table says otherwise. */
static void
lift_pauses(WaSender *sender)
{
	HASH_SEQ_STATUS scan;
	WaNumber *number;
	WaTenant *tenant;

	hash_seq_init(&scan, sender->numbers.table);
	while ((number = hash_seq_search(&scan)) != NULL)
		number->paused_until = 0;
	hash_seq_init(&scan, sender->tenants);
	while ((tenant = hash_seq_search(&scan)) != NULL)
		tenant->paused_until = 0;
	wa_sender_resume_templates(sender);
	sender->account_paused_until = 0;
	sender->next_pause_end = DT_NOEND;
}

static void
apply_pause(WaSender *sender, const WaPauseRow *row)
{
	if (strcmp(row->scope, "account") == 0)
		sender->account_paused_until = row->until;
	else if (strcmp(row->scope, "number") == 0)
	{
		WaNumber *number = wa_number_find(&sender->numbers, row->key);

		if (number != NULL)
			number->paused_until = row->until;
	}
	else if (strcmp(row->scope, "tenant") == 0)
	{
		WaTenant *tenant = wa_sender_tenant(sender, row->key);

		if (tenant != NULL)
			tenant->paused_until = row->until;
	}
	else if (strcmp(row->scope, "template") == 0)
	{
		char *language = strrchr(row->key, '/');

		if (language != NULL)
			*language++ = '\0';
		wa_sender_pause_template(sender, row->key, language);
	}
	sender->next_pause_end = Min(sender->next_pause_end, row->until);
}

static void
load_pauses(WaSender *sender)
{
	WaPauseRow *rows;
	int n = wa_store_pauses(&rows);

	lift_pauses(sender);
	for (int i = 0; i < n; i++)
		apply_pause(sender, &rows[i]);
}

/*
 * What is gone leaves nothing to be found by, and settings concern everybody: then all
 * is read, and once in a while in any case.
 */
static bool
whole_is_due(const WaSender *sender)
{
	return !sender->config_loaded || sender->config_changed == WA_CONFIG_ALL ||
		   wa_now_us() - whole_us > WHOLE_US;
}

/*
 * What belongs to one tenant only is stopped with it, at its number.  Messages that
 * leave from the default number are held one by one: sender/pace/gate.c.
 */
static void
stop_numbers(WaSender *sender)
{
	HASH_SEQ_STATUS scan;
	WaNumber *number;
	WaTenant *tenant;

	hash_seq_init(&scan, sender->numbers.table);
	while ((number = hash_seq_search(&scan)) != NULL)
		number->tenant_stopped = false;
	hash_seq_init(&scan, sender->tenants);
	while ((tenant = hash_seq_search(&scan)) != NULL)
	{
		if (tenant->phone_number_id[0] == '\0' || (tenant->enabled && tenant->paused_until == 0))
			continue;
		number = wa_number_find(&sender->numbers, tenant->phone_number_id);
		if (number != NULL)
			number->tenant_stopped = true;
	}
}

void
wa_config_load(WaSender *sender)
{
	bool whole = whole_is_due(sender);
	uint32 kinds = whole ? WA_CONFIG_ALL : sender->config_changed;
	bool numbers = kinds & WA_CONFIG_NUMBERS;
	bool tenants = kinds & (WA_CONFIG_TENANTS | WA_CONFIG_ASSIGNMENTS);
	TransactionId horizon;

	wa_store_begin("reading the WhatsApp configuration");
	horizon = wa_store_config_horizon();
	if (numbers)
		load_numbers(sender, whole ? InvalidTransactionId : numbers_from);
	if (tenants)
		load_tenants(sender, whole ? InvalidTransactionId : tenants_from);
	if (kinds & WA_CONFIG_PAUSES)
		load_pauses(sender);
	if (kinds != 0)
	{
		stop_numbers(sender);
		wa_pairs_forget_stopped(sender);
	}
	if (kinds & (WA_CONFIG_NUMBERS | WA_CONFIG_TENANTS))
		wa_messaging_limit_configured(sender);
	wa_numbers_stopped_changed(&sender->numbers);
	wa_store_commit();

	if (whole)
		whole_us = wa_now_us();
	if (numbers)
		numbers_from = horizon;
	if (tenants)
		tenants_from = horizon;
	sender->config_changed = 0;
	sender->config_loaded = true;
}
