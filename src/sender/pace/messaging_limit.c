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
 * The counts are read from whatsapp_reach every few seconds and kept up with
 * this sender's own reservations in between.  Reading them takes long where
 * many people are written to, so a busy sender does it between its claims; a
 * claim does so only if they are older than that.  Several senders may therefore
 * overshoot by what they reserve in that time; HEADROOM is for that, and for
 * what other programs send through the same account.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "sender/pace/messaging_limit.h"
#include "sender/store/transaction.h"

#define HEADROOM 0.98
#define REFRESH_US INT64_C(5000000)
#define STALE_US INT64_C(10000000)
#define PRUNE_US INT64_C(3600000000)
#define POOL_SHARE 0.5

static int64 refreshed_us;
static bool in_use; /* by a claim since then */
static int64 pruned_us;
static double guaranteed_total;
static int64 over_guarantee; /* recipients that came out of the pool */
static TimestampTz oldest;	 /* of the recipients counted; 0: none */

/* Reserved in the claim being made; cycle's context. */
static const char **reserved_recipients;
static const char **reserved_tenants;
static int n_reserved;

int
wa_budget_tier(const char *messaging_limit)
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

static void
prune(void)
{
	static WaStatement statement = {
		.sql = "DELETE FROM @extschema@.whatsapp_reach"
			   " WHERE reached_at < pg_catalog.clock_timestamp() - interval '24 hours'",
		.expected = SPI_OK_DELETE};

	wa_store_run(&statement, NULL, NULL);
	pruned_us = wa_now_us();
}

/* Reads what each tenant has used, and works out what each is guaranteed. */
static void
refresh(WaSender *sender)
{
	static WaStatement statement = {
		.sql = "SELECT t.tenant_id, COALESCE(t.daily_share, -1)::text, COALESCE(r.used, 0),"
			   " r.oldest"
			   " FROM @extschema@.whatsapp_tenants t LEFT JOIN ("
			   "SELECT tenant_id, count(*) AS used, min(reached_at) AS oldest"
			   " FROM @extschema@.whatsapp_reach"
			   " WHERE reached_at >= pg_catalog.clock_timestamp() - interval '24 hours'"
			   " GROUP BY tenant_id) r ON r.tenant_id = t.tenant_id",
		.expected = SPI_OK_SELECT};
	WaRows rows;
	double shared = 0;
	int without = 0;

	if (wa_now_us() - pruned_us > PRUNE_US)
		prune();
	rows = wa_store_run(&statement, NULL, NULL);
	for (uint64 i = 0; i < rows.count; i++)
	{
		double share = atof(wa_rows_text(&rows, i, 2));

		if (share >= 0)
			shared += share;
		else
			without++;
	}

	guaranteed_total = 0;
	over_guarantee = 0;
	oldest = 0;
	for (uint64 i = 0; i < rows.count; i++)
	{
		WaTenant *tenant = wa_sender_tenant(sender, wa_rows_text(&rows, i, 1));
		double share = atof(wa_rows_text(&rows, i, 2));
		TimestampTz first = wa_rows_time(&rows, i, 4, 0);

		if (tenant == NULL)
			continue;
		if (share < 0)
			share = Max(0, 1 - shared) * POOL_SHARE / without;
		tenant->reach_guaranteed = share * limit_of(sender);
		tenant->reach_used = wa_rows_int(&rows, i, 3, 0);
		guaranteed_total += tenant->reach_guaranteed;
		if (tenant->reach_used > tenant->reach_guaranteed)
			over_guarantee += tenant->reach_used - (int64) tenant->reach_guaranteed;
		if (first != 0 && (oldest == 0 || first < oldest))
			oldest = first;
	}
	refreshed_us = wa_now_us();
	in_use = false;
}

void
wa_budget_run(WaSender *sender)
{
	if (!in_use || sender->reach_limit == 0 || wa_now_us() - refreshed_us <= REFRESH_US)
		return;
	wa_store_begin("counting the recipients of WhatsApp messages");
	refresh(sender);
	wa_store_commit();
}

void
wa_budget_prepare(WaSender *sender, const WaClaimRow *rows, int n, bool *free)
{
	static WaStatement statement = {
		.sql = "SELECT v.ord, r.recipient IS NOT NULL OR w.recipient IS NOT NULL"
			   " FROM unnest($1, $2) WITH ORDINALITY AS v(recipient, number, ord)"
			   " LEFT JOIN @extschema@.whatsapp_reach r ON r.recipient = v.recipient"
			   " AND r.reached_at >= pg_catalog.clock_timestamp() - interval '24 hours'"
			   " LEFT JOIN @extschema@.whatsapp_windows w ON w.phone_number_id = v.number"
			   " AND w.recipient = v.recipient"
			   " AND w.last_inbound_at >= pg_catalog.clock_timestamp() - interval '24 hours'",
		.nargs = 2,
		.argtypes = {TEXTARRAYOID, TEXTARRAYOID},
		.expected = SPI_OK_SELECT};
	WaRows result;
	const char **recipients;
	const char **numbers;
	Datum values[2];

	n_reserved = 0;
	memset(free, true, sizeof(bool) * n);
	if (sender->reach_limit == 0 || n == 0)
		return;
	if (wa_now_us() - refreshed_us > STALE_US)
		refresh(sender);
	in_use = true;

	recipients = palloc(sizeof(char *) * n);
	numbers = palloc(sizeof(char *) * n);
	reserved_recipients = palloc(sizeof(char *) * n);
	reserved_tenants = palloc(sizeof(char *) * n);
	for (int i = 0; i < n; i++)
	{
		recipients[i] =
			rows[i].recipient_phone ? rows[i].recipient_phone : rows[i].recipient_user_id;
		numbers[i] = rows[i].phone_number_id;
	}
	values[0] = wa_array_of_text(recipients, n);
	values[1] = wa_array_of_text(numbers, n);
	result = wa_store_run(&statement, values, NULL);
	for (uint64 i = 0; i < result.count; i++)
	{
		int64 row = wa_rows_int(&result, i, 1, 0) - 1;

		if (row >= 0 && row < n)
			free[row] = wa_rows_int(&result, i, 2, 0) != 0 || rows[row].template_name == NULL;
	}
}

bool
wa_budget_admits(const WaSender *sender, const WaTenant *tenant)
{
	if (tenant->reach_used + 1 <= tenant->reach_guaranteed)
		return true;
	return over_guarantee + 1 <= limit_of(sender) - guaranteed_total;
}

void
wa_budget_reserve(WaSender *sender, WaTenant *tenant, const WaClaimRow *row)
{
	if (++tenant->reach_used > tenant->reach_guaranteed)
		over_guarantee++;
	reserved_recipients[n_reserved] =
		row->recipient_phone ? row->recipient_phone : row->recipient_user_id;
	reserved_tenants[n_reserved++] = row->tenant_id;
}

void
wa_budget_write(void)
{
	static WaStatement statement = {
		.sql = "INSERT INTO @extschema@.whatsapp_reach (recipient, tenant_id, reached_at)"
			   " SELECT DISTINCT ON (v.recipient) v.recipient, v.tenant,"
			   " pg_catalog.clock_timestamp()"
			   " FROM unnest($1, $2) AS v(recipient, tenant)"
			   " ON CONFLICT (recipient) DO UPDATE SET tenant_id = EXCLUDED.tenant_id,"
			   " reached_at = EXCLUDED.reached_at",
		.nargs = 2,
		.argtypes = {TEXTARRAYOID, TEXTARRAYOID},
		.expected = SPI_OK_INSERT};
	Datum values[2];

	if (n_reserved == 0)
		return;
	values[0] = wa_array_of_text(reserved_recipients, n_reserved);
	values[1] = wa_array_of_text(reserved_tenants, n_reserved);
	wa_store_run(&statement, values, NULL);
	n_reserved = 0;
}

/* When the oldest recipient stops counting, but not too far off: limits also rise. */
TimestampTz
wa_budget_next(const WaSender *sender)
{
	TimestampTz now = wa_now();
	TimestampTz turn = oldest + 24 * USECS_PER_HOUR;

	return Min(Max(turn, now + USECS_PER_MINUTE), now + USECS_PER_HOUR);
}
