/*
 * upkeep.c
 *	  What a sender does by the clock.
 *
 * Every sender sweeps: it looks for ready rows that no commit hook told it of
 * (prepared transactions, logical replication, a restore, a lost wake-up).  The
 * rest is done by sender 0 for the whole database: messages whose time has come
 * (sender/due.c), pauses that end, quiet hours that begin, retention.  What it makes
 * ready reaches the other senders through the commit hook like any other.
 *
 * Each step is a short transaction over a bounded batch; a step that filled its
 * batch is run again soon, after the messages have had their turn.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/guc.h"
#include "sender/consent.h"
#include "sender/due.h"
#include "sender/overdue.h"
#include "sender/prepared.h"
#include "sender/pace/pair.h"
#include "sender/store/event_rows.h"
#include "sender/store/orphans.h"
#include "sender/store/transaction.h"
#include "sender/store/upkeep_rows.h"
#include "sender/takeover.h"
#include "sender/upkeep.h"

#define SWEEP_INTERVAL_US INT64_C(30000000)

/* A sweep may cost this share of the time at most. */
#define SWEEP_SHARE 50

#define BATCH 1000

/* What has failed is not tried again at once: else it would keep the rest from running. */
#define AFTER_FAILURE_US INT64_C(1000000)

/* Retention looks at the oldest messages this often once it has caught up. */
#define RETENTION_INTERVAL_US INT64_C(3600000000)
#define RETENTION_STEP_US INT64_C(200000)

/* Erasures are looked for this often, and worked off step by step. */
#define ERASURE_INTERVAL_US INT64_C(10000000)
#define ERASURE_STEP_US INT64_C(200000)

#define RECONCILE_INTERVAL_US INT64_C(300000000)

/* The queue is looked through for orphans this often, so many rows at a time. */
#define ORPHANS_INTERVAL_US INT64_C(300000000)
#define ORPHANS_STEP_US INT64_C(5000000)
#define ORPHANS_BATCH 10000

/*
 * When what is done for the whole database is next to be done.  An ERROR leaves
 * the time that was set before the step began.
 */
static struct
{
	int64 run_due_us; /* not before, whatever is due */
	int64 reconcile_us;
	int64 retention_us;
	int64 orphans_us;
	int64 erasure_us;
	int64 report_us;
	TimestampTz quiet;		 /* when quiet hours begin for any tenant, ... */
	uint64 quiet_generation; /* ... as known with this configuration */
} next;

static int64 retention_id;				/* everything up to this message has been looked at */
static int64 orphans_id = PG_INT64_MIN; /* the same for orphans */

/*
 * Held rows are looked through page by page, each reason by itself: one page at
 * each sweep, and one after the other where what held them is over for many at
 * once: a pause has ended, or there is a default number.
 */
typedef struct HeldRows
{
	const char *reason;
	int64 after_id;
	bool is_over;
} HeldRows;

static HeldRows held_rows[] = {
	{"no_number", PG_INT64_MIN, false},		{"tenant_disabled", PG_INT64_MIN, false},
	{"tenant_paused", PG_INT64_MIN, false}, {"template_paused", PG_INT64_MIN, false},
	{"thread_taken", PG_INT64_MIN, false},
};

/* One page of the rows that are still held although what held them is over. */
static void
release_stale_holds(HeldRows *held)
{
	held->after_id = wa_store_release_stale_holds(held->reason, held->after_id, BATCH);
	if (held->after_id == PG_INT64_MIN)
		held->is_over = false;
}

/* Where what held rows is over, one may be waiting on any page. */
static HeldRows *
held_in_vain(void)
{
	for (int i = 0; i < lengthof(held_rows); i++)
		if (held_rows[i].is_over)
			return &held_rows[i];
	return NULL;
}

static void
look_through(const char *reason)
{
	for (int i = 0; i < lengthof(held_rows); i++)
		if (strcmp(held_rows[i].reason, reason) == 0)
		{
			held_rows[i].after_id = PG_INT64_MIN;
			held_rows[i].is_over = true;
		}
}

/* Removes the pauses whose time has come, and learns when the next one ends. */
static void
end_pauses(WaSender *sender)
{
	if (!wa_store_end_pauses(&sender->next_pause_end))
		return;
	look_through("tenant_paused");
	look_through("template_paused");
}

/*
 * The default number may have been set, changed, or given back by its tenant:
 * then it is there for every message that waits for want of a number.
 */
void
wa_upkeep_configured(WaSender *sender)
{
	static char before[WA_NUMBER_SIZE];
	const char *now = sender->default_number_taken ? "" : wa_guc_phone_number_id;

	if (now[0] != '\0' && strcmp(now, before) != 0)
		look_through("no_number");
	strlcpy(before, now, sizeof(before));
}

/*
 * Defers what is ready where it is quiet, and learns when it will be elsewhere.
 * One batch; what another sender was claiming comes with the next.
 */
static void
begin_quiet_hours(WaSender *sender)
{
	if (wa_store_begin_quiet_hours(&next.quiet))
		next.quiet = wa_now();
	next.quiet_generation = sender->config_generation;
}

static void
sweep_database(WaSender *sender)
{
	end_pauses(sender);
	begin_quiet_hours(sender);
	for (int i = 0; i < lengthof(held_rows); i++)
		release_stale_holds(&held_rows[i]);
	wa_store_rematch();
	wa_due_rewind(sender);
}

/*
 * Reads from their beginning the numbers that have ready rows.  This is what the
 * slow sweep rests on: it covers whatever became ready without a wake-up.
 */
static void
discover(WaSender *sender)
{
	const char **ids;
	int n = wa_store_ready_numbers(&ids);

	for (int i = 0; i < n; i++)
		wa_number_lower_cursor(wa_number_get(&sender->numbers, ids[i]), PG_INT64_MIN);
}

static void
sweep(WaSender *sender)
{
	int64 started = wa_now_us();
	int64 cost;

	sender->next_sweep_us = started + AFTER_FAILURE_US;
	wa_store_begin("sweeping the WhatsApp queue");
	discover(sender);
	if (sender->index == 0 && sender->at_home)
		sweep_database(sender);
	wa_overdue_look_for_all(sender);
	wa_store_commit();
	wa_pairs_rest(sender);

	cost = wa_now_us() - started;
	sender->next_sweep_us = wa_now_us() + Max(SWEEP_INTERVAL_US, cost * SWEEP_SHARE);
}

/* ---- what is done by the clock, each in a transaction of its own ----------------------- */

static void
run_due(WaSender *sender)
{
	TimestampTz clock = wa_now();

	if (wa_now_us() < next.run_due_us || (sender->next_due > clock && sender->next_expiry > clock))
		return;
	next.run_due_us = wa_now_us() + AFTER_FAILURE_US;
	wa_due_run(sender);
	next.run_due_us = 0;
}

/*
 * A new token ends an account pause that an error response has set, whatever it
 * was: if the reason is still there, the next error response sets it again.
 */
static void
try_new_token(WaSender *sender)
{
	if (!sender->token_rotated || !sender->has_token)
		return;
	wa_store_begin("trying the new access token");
	wa_store_lift_account_pause();
	wa_store_commit();
	sender->token_rotated = false;
}

static void
run_pauses(WaSender *sender)
{
	TimestampTz clock = wa_now();

	if (sender->next_pause_end > clock)
		return;
	sender->next_pause_end = clock + AFTER_FAILURE_US;
	wa_store_begin("ending WhatsApp pauses");
	end_pauses(sender);
	wa_store_commit();
}

static void
run_quiet_hours(WaSender *sender)
{
	TimestampTz clock = wa_now();

	if (next.quiet > clock && next.quiet_generation == sender->config_generation)
		return;
	next.quiet = clock + AFTER_FAILURE_US;
	next.quiet_generation = sender->config_generation;
	wa_store_begin("beginning the quiet hours of WhatsApp tenants");
	begin_quiet_hours(sender);
	wa_store_commit();
}

static void
run_held(void)
{
	HeldRows *held = held_in_vain();

	if (held == NULL)
		return;
	wa_store_begin("releasing WhatsApp messages");
	release_stale_holds(held);
	wa_store_commit();
}

static void
reconcile(void)
{
	if (wa_now_us() < next.reconcile_us)
		return;
	next.reconcile_us = wa_now_us() + AFTER_FAILURE_US;
	wa_store_begin("reconciling WhatsApp messages");
	wa_store_reconcile();
	wa_store_commit();
	next.reconcile_us = wa_now_us() + RECONCILE_INTERVAL_US;
}

static void
delete_old(void)
{
	bool more;

	if (wa_now_us() < next.retention_us)
		return;
	next.retention_us = wa_now_us() + AFTER_FAILURE_US;
	wa_store_begin("deleting old WhatsApp messages");
	retention_id = wa_store_delete_old(retention_id, wa_guc_retention, BATCH);
	wa_store_commit();
	wa_store_begin("deleting old events of WhatsApp");
	more = wa_store_forget_events(BATCH);
	wa_store_commit();
	next.retention_us =
		wa_now_us() + (retention_id != 0 || more ? RETENTION_STEP_US : RETENTION_INTERVAL_US);
}

static void
look_for_orphans(void)
{
	if (wa_now_us() < next.orphans_us)
		return;
	next.orphans_us = wa_now_us() + AFTER_FAILURE_US;
	wa_store_begin("looking for deleted WhatsApp messages");
	orphans_id = wa_store_look_for_orphans(orphans_id, ORPHANS_BATCH);
	wa_store_commit();
	next.orphans_us =
		wa_now_us() + (orphans_id != PG_INT64_MIN ? ORPHANS_STEP_US : ORPHANS_INTERVAL_US);
}

static void
erase(void)
{
	bool more;

	if (wa_now_us() < next.erasure_us)
		return;
	next.erasure_us = wa_now_us() + AFTER_FAILURE_US;
	wa_store_begin("erasing what WhatsApp messages said");
	more = wa_store_erase(BATCH);
	wa_store_commit();
	next.erasure_us = wa_now_us() + (more ? ERASURE_STEP_US : ERASURE_INTERVAL_US);
}

/* Those that this sender has met, wherever that was. */
static void
report_orphans(void)
{
	if (!wa_store_orphans_to_report() || wa_now_us() < next.report_us)
		return;
	next.report_us = wa_now_us() + AFTER_FAILURE_US;
	wa_store_begin("reporting deleted WhatsApp messages");
	wa_store_report_orphans();
	wa_store_commit();
}

static bool
keeps_database(const WaSender *sender)
{
	return sender->index == 0 && sender->at_home;
}

void
wa_upkeep_run(WaSender *sender)
{
	if (sender->stopping)
		return;
	if (keeps_database(sender))
	{
		wa_takeover_run(sender);
		wa_prepared_run(sender);
		run_due(sender);
	}
	if (wa_now_us() >= sender->next_sweep_us)
		sweep(sender);
	report_orphans();
	if (!keeps_database(sender))
		return;
	try_new_token(sender);
	run_pauses(sender);
	run_quiet_hours(sender);
	run_held();
	wa_consent_sweep();
	reconcile();
	delete_old();
	erase();
	look_for_orphans();
}

long
wa_upkeep_wait_ms(WaSender *sender)
{
	int64 now = wa_now_us();
	TimestampTz clock = wa_now();
	int64 wait = sender->next_sweep_us - now;

	if (wa_store_orphans_to_report())
		wait = Min(wait, next.report_us - now);
	if (keeps_database(sender))
	{
		TimestampTz due = Min(sender->next_due, sender->next_expiry);

		if ((sender->token_rotated && sender->has_token) || held_in_vain() != NULL)
			return 0;
		if (due != DT_NOEND)
			wait = Min(wait, Max(due - clock, next.run_due_us - now));
		if (wa_consent_wait_ms() >= 0)
			wait = Min(wait, wa_consent_wait_ms() * 1000);
		if (sender->next_pause_end != DT_NOEND)
			wait = Min(wait, sender->next_pause_end - clock);
		if (next.quiet != DT_NOEND)
			wait = Min(wait, next.quiet - clock);
		wait = Min(wait, Min(next.reconcile_us, Min(next.retention_us, next.orphans_us)) - now);
		wait = Min(wait, next.erasure_us - now);
		return wa_sooner_ms((long) Max(0, (wait + 999) / 1000),
							wa_sooner_ms(wa_takeover_wait_ms(), wa_prepared_wait_ms()));
	}
	return (long) Max(0, (wait + 999) / 1000);
}
