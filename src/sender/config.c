/*
 * config.c
 *	  Reading what people have configured into a sender's memory.
 *
 * Numbers and tenants are refreshed in place, so that cursors, buckets and what
 * points to them outlive a reload.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/guc.h"
#include "sender/config.h"
#include "sender/pace/messaging_limit.h"
#include "sender/pace/pair_waiting.h"
#include "sender/store/config_rows.h"
#include "sender/store/transaction.h"

#define HIGH_THROUGHPUT 1000.0

static double
rate_of(const WaNumberRow *row)
{
	double rate = wa_guc_messages_per_second;

	if (row->messages_per_second > 0)
		rate = row->messages_per_second;
	else if (row->throughput_level != NULL && strcmp(row->throughput_level, "HIGH") == 0)
		rate = HIGH_THROUGHPUT;
	return rate * row->rate_factor;
}

static void
load_numbers(WaSender *sender)
{
	WaNumberRow *rows;
	int n = wa_store_numbers(&rows);
	bool default_has_row = wa_guc_phone_number_id[0] == '\0';

	sender->reach_limit = 0;
	for (int i = 0; i < n; i++)
	{
		wa_number_set_rate(wa_number_get(&sender->numbers, rows[i].phone_number_id),
						   rate_of(&rows[i]));
		/* The limit is the portfolio's: every number that knows it says the same. */
		sender->reach_limit =
			Max(sender->reach_limit, wa_messaging_limit_tier(rows[i].messaging_limit));
		default_has_row |= strcmp(rows[i].phone_number_id, wa_guc_phone_number_id) == 0;
	}
	if (!default_has_row)
		wa_number_set_rate(wa_number_get(&sender->numbers, wa_guc_phone_number_id),
						   wa_guc_messages_per_second);
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

static void
load_tenants(WaSender *sender)
{
	WaTenantRow *rows;
	int n = wa_store_tenants(&rows);
	HASH_SEQ_STATUS scan;
	WaTenant *tenant;
	int64 now = wa_now_us();

	/* Jobs point to it, so it stays; a tenant that is gone sends nothing. */
	hash_seq_init(&scan, sender->tenants);
	while ((tenant = hash_seq_search(&scan)) != NULL)
		tenant->enabled = tenant->listed = false;

	sender->default_number_taken = false;
	for (int i = 0; i < n; i++)
	{
		const char *number = rows[i].phone_number_id != NULL ? rows[i].phone_number_id : "";

		tenant = wa_sender_tenant_get(sender, rows[i].tenant_id);
		tenant->enabled = rows[i].enabled;
		tenant->listed = true;
		tenant->daily_share = rows[i].daily_share;
		strlcpy(tenant->phone_number_id, number, sizeof(tenant->phone_number_id));
		if (number[0] != '\0' && strcmp(number, wa_guc_phone_number_id) == 0)
			sender->default_number_taken = true;
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

void
wa_config_load(WaSender *sender)
{
	wa_store_begin("reading the WhatsApp configuration");
	load_numbers(sender);
	load_tenants(sender);
	load_pauses(sender);
	wa_pairs_forget_paused(sender);
	wa_messaging_limit_configured(sender);
	wa_numbers_turns_changed(&sender->numbers);
	wa_store_commit();
	sender->config_loaded = true;
}
