/*
 * reach.c
 *	  Keeping count of the recipients that the account's messaging limit is about.
 *
 * What a count means is said in sender/pace/messaging_limit.c.  Counting takes
 * long where many people are written to, so a busy sender does it between its
 * claims; a claim does so only if the last count is older than that.
 */
#include "postgres.h"

#include "sender/pace/messaging_limit.h"
#include "sender/reach.h"
#include "sender/store/reach_rows.h"
#include "sender/store/transaction.h"

#define REFRESH_US INT64_C(5000000)
#define STALE_US INT64_C(10000000)
#define PRUNE_US INT64_C(3600000000)

static struct
{
	int64 counted_us;
	bool in_use; /* by a claim since then */
	int64 pruned_us;
} reach;

static void
count_anew(WaSender *sender)
{
	WaReachRow *rows;
	int n;

	if (wa_now_us() - reach.pruned_us > PRUNE_US)
	{
		wa_store_prune_reach();
		reach.pruned_us = wa_now_us();
	}
	n = wa_store_reach(&rows);
	wa_messaging_limit_counted(sender, rows, n);
	reach.counted_us = wa_now_us();
	reach.in_use = false;
}

void
wa_reach_run(WaSender *sender)
{
	if (!reach.in_use || sender->reach_limit == 0 || wa_now_us() - reach.counted_us <= REFRESH_US)
		return;
	wa_store_begin("counting the recipients of WhatsApp messages");
	count_anew(sender);
	wa_store_commit();
}

void
wa_reach_prepare(WaSender *sender, const WaClaimRow *rows, int n, bool *free)
{
	const char **recipients;
	const char **numbers;

	memset(free, true, sizeof(bool) * n);
	if (sender->reach_limit == 0 || n == 0)
		return;
	if (wa_now_us() - reach.counted_us > STALE_US)
		count_anew(sender);
	reach.in_use = true;

	recipients = palloc(sizeof(char *) * n);
	numbers = palloc(sizeof(char *) * n);
	for (int i = 0; i < n; i++)
	{
		recipients[i] = wa_claim_row_recipient(&rows[i]);
		numbers[i] = rows[i].phone_number_id;
	}
	wa_store_is_reached(recipients, numbers, n, free);
	for (int i = 0; i < n; i++)
		free[i] |= rows[i].template_name == NULL;
}

void
wa_reach_add(const WaClaimRow *const *rows, int n)
{
	const char **recipients = palloc(sizeof(char *) * Max(n, 1));
	const char **tenants = palloc(sizeof(char *) * Max(n, 1));

	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
	{
		recipients[i] = wa_claim_row_recipient(rows[i]);
		tenants[i] = rows[i]->tenant_id;
	}
	wa_store_add_reached(recipients, tenants, n);
}
