/*
 * consent.c
 *	  That nothing leaves which its recipient does not want.
 *
 * An opt-out takes nothing out of the queue by itself: a person's messages may be
 * anywhere among a million, and no index could find them that does not cost every
 * message.  It is asked for at the two moments that count.  At the claim, of each
 * row, whatever it has waited for; and before a request is begun, of what was leased
 * before the opt-out was committed, whether it waits for its turn or for a connection: the commit
 * counts up the generation of consent (shared/wake.c), and nothing is submitted under another one
 * than it was checked under.  The count comes before the session is told that it has committed; so
 * whoever knows of the commit knows that nothing is begun any more.
 *
 * What becomes marketing while it waits is the same thing: a template's category
 * counts as it is now.
 *
 * Rows whose turn is far away are found by a sweep over the queue, page by page and
 * in a small share of the time.  That is for people: wa_explain() knows at once.
 */
#include "postgres.h"

#include "sender/consent.h"
#include "sender/store/consent_rows.h"
#include "sender/store/transaction.h"
#include "shared/shmem.h"

/* Rows on one page of the sweep, and the share of the time that it may cost. */
#define PAGE 1000
#define SWEEP_SHARE 20

/* After a failure. */
#define AFTER_FAILURE_US INT64_C(1000000)

static struct
{
	uint64 generation; /* under which what is leased was checked; 0: none yet */
	bool alert;		   /* the claim being made has found somebody who wants no message at all */
} consent;

/* One sweep begins with the process, for what has happened before it. */
static struct
{
	bool wanted; /* from the first row on, again */
	bool active;
	int64 after_id;
	int64 next_us; /* not before */
} sweep = {.wanted = true};

void
wa_consent_read(WaClaimRow *rows, int n)
{
	consent.alert = wa_store_read_consent(rows, n);
}

void
wa_consent_skipped(const WaDisposition *dispositions, int n)
{
	int64 *ids = palloc(sizeof(int64) * Max(n, 1));
	int m = 0;

	if (!consent.alert)
		return;
	for (int i = 0; i < n; i++)
		if (strcmp(dispositions[i].status, "skipped") == 0)
			ids[m++] = dispositions[i].message_id;
	wa_store_alert_skipped(ids, m);
}

static void
mark(WaJob **jobs, int n, const int64 *opted_out, int nopted_out)
{
	for (int i = 0; i < n; i++)
		for (int j = 0; j < nopted_out && !jobs[i]->opted_out; j++)
			jobs[i]->opted_out = jobs[i]->message_id == opted_out[j];
}

bool
wa_consent_has_changed(const WaSender *sender)
{
	return pg_atomic_read_u64(&sender->slot->consent_generation) != consent.generation;
}

/* The generation is read first: what is committed after that counts it up again. */
void
wa_consent_check(WaSender *sender, WaJob **jobs, int n)
{
	uint64 generation = pg_atomic_read_u64(&sender->slot->consent_generation);
	int64 *ids;
	int64 *opted_out;
	int nopted_out;

	if (n > 0)
	{
		wa_store_begin("looking for opt-outs from WhatsApp messages");
		ids = palloc(sizeof(int64) * n);
		for (int i = 0; i < n; i++)
			ids[i] = jobs[i]->message_id;
		nopted_out = wa_store_opted_out(ids, n, &opted_out);
		mark(jobs, n, opted_out, nopted_out);
		wa_store_commit();
	}
	consent.generation = generation;
	sweep.wanted = true;
}

static void
begin_sweep(void)
{
	sweep.wanted = false;
	sweep.active = true;
	sweep.after_id = PG_INT64_MIN;
}

void
wa_consent_sweep(void)
{
	int64 started = wa_now_us();
	int64 cost;

	if (started < sweep.next_us || !(sweep.active || sweep.wanted))
		return;
	if (!sweep.active)
		begin_sweep();
	sweep.next_us = started + AFTER_FAILURE_US;
	wa_store_begin("skipping WhatsApp messages that nobody wants");
	sweep.after_id = wa_store_skip_opted_out(sweep.after_id, PAGE);
	wa_store_commit();
	sweep.active = sweep.after_id != PG_INT64_MIN;
	cost = wa_now_us() - started;
	sweep.next_us = started + cost * SWEEP_SHARE;
}

long
wa_consent_wait_ms(void)
{
	if (!sweep.active && !sweep.wanted)
		return -1;
	return (long) Max(0, (sweep.next_us - wa_now_us() + 999) / 1000);
}
