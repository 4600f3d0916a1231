/*
 * claim.c
 *	  Which messages go out next.
 *
 * Ready numbers take turns (sender/pace/turns.c).  What the queue offers of them is checked
 * against everything that can stand in the way of a single message (sender/pace/gate.c);
 * what passes is leased and becomes a job.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/arrays.h"
#include "common/message_state.h"
#include "graph/request.h"
#include "sender/begin.h"
#include "sender/claim.h"
#include "sender/consent.h"
#include "sender/overdue.h"
#include "sender/pace/gate.h"
#include "sender/pace/messaging_limit.h"
#include "sender/pace/pair_order.h"
#include "sender/pace/pair_person.h"
#include "sender/pace/pair_waiting.h"
#include "sender/pace/turns.h"
#include "sender/reach.h"
#include "sender/state/wire.h"
#include "sender/store/claim_rows.h"
#include "sender/store/consent_rows.h"
#include "sender/store/dispositions.h"
#include "sender/store/lease.h"
#include "sender/store/person_rows.h"
#include "sender/takeover.h"
#include "shared/wake.h"

/* With fewer free slots than this, or a half of all, a claim can wait a moment. */
#define CLAIM_BATCH 256

/* ... but not longer than this, while anything is on the wire. */
#define CLAIM_INTERVAL_US 10000

/* The claim being made, until its transaction is committed. */
static struct
{
	dlist_head asked; /* WaWaiting: messages that it asks for by id */
	dlist_head jobs;  /* WaJob */
	WaLease *lease;
} claim = {DLIST_STATIC_INIT(claim.asked), DLIST_STATIC_INIT(claim.jobs), NULL};

static int64 last_claim_us;

/* Whether anything may be sent at all. */
static bool
sending_possible(WaSender *sender)
{
	return wa_sender_may_send(sender) && sender->config_loaded && wa_reach_is_known(sender);
}

/* Answers that wait for their settlement take no slots, unless it lags behind. */
static bool
settlement_lags(const WaSender *sender)
{
	return sender->n_finished > sender->numbers.wire.slots;
}

/*
 * A claim is worth its transaction: half of what those who have something to send
 * may have on the wire is free, or much.  The rest stays free (sender/pace/turns.c).
 */
static bool
is_worth_it(const WaNumbers *numbers)
{
	int spare = numbers->wire.slots / (Max(numbers->contenders, 1) + 1);

	return wa_wire_free(numbers) - spare >= Min((numbers->wire.slots - spare) / 2, CLAIM_BATCH);
}

bool
wa_claim_due(WaSender *sender)
{
	int64 now = wa_now_us();

	if (!sending_possible(sender) || settlement_lags(sender) || wa_wire_free(&sender->numbers) <= 0)
		return false;
	if (sender->n_in_flight > 0 && now - last_claim_us < CLAIM_INTERVAL_US &&
		!is_worth_it(&sender->numbers))
		return false;
	return wa_turns_due(&sender->numbers);
}

/*
 * When a number that has more to send gets its next token, in milliseconds
 * from now; -1 if none is waiting for that.
 */
long
wa_claim_wait_ms(WaSender *sender)
{
	int64 now = wa_now_us();
	int64 earliest;

	if (!sending_possible(sender) || settlement_lags(sender) || wa_wire_free(&sender->numbers) <= 0)
		return -1; /* a response will wake us */
	earliest = wa_turns_next_us(&sender->numbers);
	if (earliest == PG_INT64_MAX)
		return -1;
	if (sender->n_in_flight > 0)
		earliest = Max(earliest, last_claim_us + CLAIM_INTERVAL_US);
	return (long) Max(0, (earliest - now + 999) / 1000);
}

/*
 * Takes from what each number may send now what is to be claimed by id; what is
 * left of the limits is for new rows.  Returns how many there are.
 */
static int
ask_again(WaSender *sender, WaClaimLimit *limits, WaNumber **chosen, int n_limits, int64 **ids)
{
	int n = 0;
	int max = 0;

	for (int i = 0; i < n_limits; i++)
		max += limits[i].limit;
	*ids = palloc(sizeof(int64) * Max(max, 1));
	for (int i = 0; i < n_limits; i++)
	{
		int asked = wa_waiting_ask(sender, chosen[i], limits[i].limit, &claim.asked, *ids + n);

		limits[i].limit -= asked;
		n += asked;
	}
	return n;
}

/*
 * What was asked for has been decided.  What waits behind a message that did not
 * leave after all (cancelled, expired, held) must not wait for its response.
 */
static void
asked_is_decided(WaSender *sender)
{
	while (!dlist_is_empty(&claim.asked))
	{
		WaWaiting *waiting = dlist_container(WaWaiting, node, dlist_pop_head_node(&claim.asked));
		WaPair *pair = wa_pair_get(sender, waiting->pair_key);
		const WaTracked *tracked = wa_sender_tracked(sender, waiting->message_id);

		if (tracked != NULL && tracked->as == WA_TRACKED_ASKED)
		{
			/* It is not to be sent any more, or it was locked. */
			wa_sender_untrack(sender, waiting->message_id);
			wa_number_passed_by(waiting->number, waiting->rank);
		}
		if (pair->in_flight == 0)
			wa_pair_release_one(sender, pair);
		wa_pair_rest(sender, pair);
		pfree(waiting);
	}
}

/* The claim has failed: back to where they were, unless set aside once more. */
static void
asked_in_vain(WaSender *sender)
{
	while (!dlist_is_empty(&claim.asked))
	{
		WaWaiting *waiting = dlist_container(WaWaiting, node, dlist_tail_node(&claim.asked));
		const WaTracked *tracked = wa_sender_tracked(sender, waiting->message_id);

		dlist_delete(&waiting->node);
		if (tracked != NULL && tracked->as == WA_TRACKED_WAITING)
		{
			pfree(waiting);
			continue;
		}
		wa_waiting_again(sender, waiting);
	}
}

/* Takes the tokens and makes the job; it is submitted when the lease is committed. */
static WaJob *
make_job(WaSender *sender, WaNumber *number, WaPair *pair, const WaClaimRow *row)
{
	WaTenant *tenant = wa_sender_tenant(sender, row->tenant_id);
	int64 now = wa_now_us();
	size_t name_len = row->template_name ? strlen(row->template_name) : 0;
	size_t language_len = row->template_language ? strlen(row->template_language) : 0;
	WaJob *job = MemoryContextAllocZero(sender->state_context,
										offsetof(WaJob, strings) + name_len + language_len + 2);

	job->message_id = row->message_id;
	job->queue_tid = row->queue_tid;
	job->message_tid = row->message_tid;
	job->rank = row->rank;
	job->due_at = row->due_at;
	job->attempts_before = row->attempts;
	job->attempt = row->attempts + 1;
	job->number = number;
	job->tenant = tenant;
	job->pair_key = pair->key;
	if (row->template_name != NULL)
	{
		job->template_key = job->strings;
		memcpy(job->strings, row->template_name, name_len);
		job->strings[name_len] = '/';
		if (language_len > 0)
			memcpy(job->strings + name_len + 1, row->template_language, language_len);
	}

	wa_number_reserve(number, now);
	job->holds_token = true;
	job->probe = wa_wire_claimed(number, now);
	if (tenant->has_rate)
		wa_bucket_take(&tenant->bucket, 1, now);
	wa_pair_take(pair, now);
	wa_sender_track(sender, job->message_id, WA_TRACKED_IN_FLIGHT, NULL);
	dlist_push_tail(&claim.jobs, &job->node);
	return job;
}

/* The body of a job's request, built while its row is at hand. */
static void
build_body(WaSender *sender, WaJob *job, const WaClaimRow *row)
{
	char opaque[WA_OPAQUE_SIZE];
	WaGraphMessage message = {0};
	StringInfoData body;
	MemoryContext old;

	job->marketing = job->tenant->marketing_api && wa_store_is_marketing_template(row);
	wa_message_opaque_write(opaque, sizeof(opaque), sender->installation_id, job->message_id,
							job->attempt);
	message.recipient_phone = row->recipient_phone;
	message.recipient_user_id = row->recipient_user_id;
	message.type = row->message_type;
	message.payload = row->payload;
	message.context_message_id = row->context_message_id;
	message.opaque = opaque;
	old = MemoryContextSwitchTo(sender->state_context);
	initStringInfo(&body);
	wa_graph_message_body(&body, &message);
	MemoryContextSwitchTo(old);
	job->body = body.data;
	job->body_len = body.len;
}

static int
compare_rows(const void *a, const void *b)
{
	const WaClaimRow *x = a;
	const WaClaimRow *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return (x->message_id > y->message_id) - (x->message_id < y->message_id);
}

/* Writes down the intent to send what the claim has made jobs of. */
static void
lease_jobs(WaSender *sender, int n)
{
	int64 *ids = palloc(sizeof(int64) * n);
	int16 *attempts = palloc(sizeof(int16) * n);
	dlist_iter iter;
	int i = 0;

	claim.lease = MemoryContextAllocZero(sender->state_context, sizeof(WaLease));
	claim.lease->outstanding = n;
	wa_begin_leasing(claim.lease);
	dlist_foreach (iter, &claim.jobs)
	{
		WaJob *job = dlist_container(WaJob, node, iter.cur);

		job->lease = claim.lease;
		ids[i] = job->message_id;
		attempts[i++] = (int16) job->attempt;
	}
	claim.lease->lease_id =
		wa_store_lease(sender->index, (int64) sender->generation, ids, attempts, n);
}

/*
 * What the numbers have shown of themselves in this claim: how far it has read, and
 * whether there is more.  Sets the number of each row.
 *
 * Rows asked for by id may lie anywhere, also beyond what this claim has read of
 * those that a commit has put behind the cursor meanwhile.
 */
static void
advance_cursors(WaSender *sender, const WaClaimRow *rows, int n, WaNumber **numbers,
				const WaClaimLimit *limits, WaNumber **chosen, int n_limits)
{
	for (int i = 0; i < n; i++)
	{
		numbers[i] = wa_number_get(&sender->numbers, rows[i].phone_number_id);
		if (rows[i].by_id)
			continue;
		numbers[i]->cursor_rank = rows[i].rank;
		numbers[i]->cursor_id = rows[i].message_id;
	}
	for (int i = 0; i < n_limits; i++)
	{
		WaNumber *number = chosen[i];

		if (limits[i].limit == 0)
			continue;
		wa_number_was_read(number, limits[i].more);
		if (limits[i].passed_by != PG_INT64_MAX)
			wa_number_passed_by(number, limits[i].passed_by);
		else if (number->look_again_us == 0)
			number->passed_since_us = 0;
	}
}

/*
 * The order of a recipient's messages may wait for one that will not come back: it
 * was cancelled, has expired, or is held.
 */
static void
look_for_missing(WaSender *sender, const WaClaimRow *row, uint64 pair_key)
{
	WaPair *pair;

	if (!wa_pairs_any_deferred())
		return;
	pair = wa_pair_find(sender, pair_key);
	if (pair != NULL && wa_pair_misses(pair, row->message_id, wa_now_us()))
		wa_overdue_look_for(sender, pair);
}

/* What a row that was stopped tells others. */
static void
announce(const WaDisposition *disposition, const WaClaimRow *row)
{
	if (disposition->state == 'd')
		wa_wake_due(disposition->due_at);
	else if (disposition->state == 'r')
		wa_wake_ready(disposition->phone_number_id, row->rank);
}

/*
 * Whether this row is to be decided now.  One that is tracked is not, unless it was
 * asked for: then *by_id is set.
 *
 * Its tenant may have got another number meanwhile.  That one's messages have an order
 * of their own, so its cursor takes the row over where it comes to it, and nobody else
 * sends it.
 */
static bool
is_claimed(WaSender *sender, const WaNumber *number, const WaClaimRow *row, bool *by_id)
{
	const WaTracked *tracked = wa_sender_tracked(sender, row->message_id);
	bool stays;

	*by_id = false;
	if (tracked == NULL)
		return true;
	stays = tracked->waiting == NULL || tracked->waiting->number == number;
	if (tracked->as != WA_TRACKED_ASKED)
	{
		if (stays)
			return false;
		wa_waiting_leaves(sender, tracked->waiting);
		return true;
	}
	wa_sender_untrack(sender, row->message_id);
	*by_id = true;
	if (stays && !wa_number_is_stopped(number))
		return true;
	/* The number it goes by now reads it, whoever owns that. */
	wa_wake_ready(row->phone_number_id, row->rank);
	return false;
}

/* Writes the dispositions of what cannot go, except where somebody has the message locked. */
static void
write_dispositions(const WaClaimRow *rows, WaNumber **numbers, int n, WaDispositions *stopped)
{
	int n_unlocked = wa_store_lock_messages(stopped->dispositions, stopped->n);

	for (int i = n_unlocked; i < stopped->n; i++)
		for (int j = 0; j < n; j++)
			if (rows[j].message_id == stopped->dispositions[i].message_id)
				wa_number_passed_by(numbers[j], rows[j].rank);
	wa_store_dispositions(stopped->dispositions, n_unlocked);
	wa_consent_skipped(stopped->dispositions, n_unlocked);
}

/* Decides about each row: makes jobs of those that may leave.  Returns how many. */
static int
decide(WaSender *sender, WaClaimRow *rows, WaNumber **numbers, int n, WaDispositions *stopped)
{
	bool *is_free = palloc(sizeof(bool) * Max(n, 1));
	const WaClaimRow **reaching = palloc(sizeof(WaClaimRow *) * Max(n, 1));
	int64 *taken_over;
	int n_taken_over;
	int n_reaching = 0;
	int n_jobs = 0;

	n_taken_over = wa_takeover_find(rows, n, &taken_over);
	wa_store_read_persons(rows, n);
	wa_consent_read(rows, n); /* may make templates of what is none */
	wa_reach_prepare(sender, rows, n, is_free);
	for (int i = 0; i < n; i++)
	{
		const WaClaimRow *row = &rows[i];
		int n_stopped = stopped->n;
		uint64 pair_key;
		WaPair *pair;
		WaJob *job;
		bool by_id;

		if (i > 0 && rows[i - 1].message_id == row->message_id)
			continue; /* read both ways */
		if (!is_claimed(sender, numbers[i], row, &by_id))
			continue;
		if (wa_ids_contain(row->message_id, taken_over, n_taken_over))
		{
			wa_takeover_hold(row->message_id, row->phone_number_id, row->attempts,
							 &stopped->dispositions[stopped->n++]);
			continue;
		}
		pair_key = wa_pair_of_person(sender, numbers[i]->key, wa_claim_row_recipient(row),
									 wa_claim_row_person(row));
		look_for_missing(sender, row, pair_key);
		if (row->may_leave == WA_NOT_YET)
		{
			wa_number_passed_by(numbers[i], row->rank);
			continue;
		}
		pair = wa_gate_pass(sender, numbers[i], row, pair_key, by_id, is_free[i], stopped);
		if (stopped->n > n_stopped)
			announce(&stopped->dispositions[n_stopped], row);
		if (pair == NULL)
			continue;
		job = make_job(sender, numbers[i], pair, row);
		job->reaches = !is_free[i];
		build_body(sender, job, row);
		if (job->reaches)
			reaching[n_reaching++] = row;
		n_jobs++;
	}
	wa_reach_add(sender, reaching, n_reaching);
	return n_jobs;
}

/*
 * One claim: reads, decides, writes the dispositions of what cannot go and the lease
 * of what can.
 */
void
wa_claim_run(WaSender *sender)
{
	WaClaimLimit *limits;
	WaNumber **chosen;
	WaNumber **numbers;
	WaClaimRow *rows;
	WaDispositions stopped = {0};
	int64 *again;
	int n_again;
	int n_limits;
	int n_jobs;
	int n;

	wa_pairs_forget_joined(sender);
	n_limits = wa_turns_take(&sender->numbers, &limits, &chosen);
	n_again = ask_again(sender, limits, chosen, n_limits, &again);
	n = wa_store_claim(limits, n_limits, again, n_again, &rows);
	last_claim_us = wa_now_us();

	qsort(rows, n, sizeof(WaClaimRow), compare_rows);
	numbers = palloc(sizeof(WaNumber *) * Max(n, 1));
	advance_cursors(sender, rows, n, numbers, limits, chosen, n_limits);

	stopped.dispositions = palloc(sizeof(WaDisposition) * Max(n, 1));
	n_jobs = decide(sender, rows, numbers, n, &stopped);
	write_dispositions(rows, numbers, n, &stopped);
	if (n_jobs > 0)
		lease_jobs(sender, n_jobs);
}

/* The lease is durable here: the first byte may leave as soon as it is elsewhere, too. */
void
wa_claim_committed(WaSender *sender)
{
	if (claim.lease != NULL)
		wa_begin_leased(claim.lease);
	while (!dlist_is_empty(&claim.jobs))
	{
		dlist_push_tail(&sender->leased, dlist_pop_head_node(&claim.jobs));
		sender->n_leased++;
	}
	claim.lease = NULL;
	asked_is_decided(sender);
}

/* Nothing was leased: forget the jobs, and look at everything again. */
void
wa_claim_aborted(WaSender *sender)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify (iter, &claim.jobs)
	{
		WaJob *job = dlist_container(WaJob, node, iter.cur);

		wa_pair_end(wa_pair_get(sender, job->pair_key), false);
		if (job->reaches)
			wa_messaging_limit_count(job->tenant, -1);
		wa_number_stays(job->number);
		wa_wire_left(job->number, job->probe);
		wa_sender_untrack(sender, job->message_id);
		dlist_delete(&job->node);
		if (job->body != NULL)
			pfree(job->body);
		pfree(job);
	}
	if (claim.lease != NULL)
		pfree(claim.lease);
	claim.lease = NULL;
	asked_in_vain(sender);
	wa_numbers_rewind(&sender->numbers);
}
