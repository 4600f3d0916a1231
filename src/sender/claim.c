/*
 * claim.c
 *	  Which messages go out next.
 *
 * Ready numbers take turns (sender/pace/turns.c).  What the queue offers of them is checked
 * against everything that can stand in the way of a single message (sender/pace/gate.c);
 * what passes is leased and becomes a job.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "common/message_state.h"
#include "graph/request.h"
#include "sender/claim.h"
#include "sender/pace/gate.h"
#include "sender/pace/messaging_limit.h"
#include "sender/pace/pair_waiting.h"
#include "sender/pace/turns.h"
#include "sender/store/claim_rows.h"
#include "sender/store/fates.h"
#include "shared/wake.h"

/* With fewer free slots than this, or a half of all, a claim can wait a moment. */
#define CLAIM_BATCH 256

/* ... but not longer than this, while anything is on the wire. */
#define CLAIM_INTERVAL_US 10000

/* Whether anything may be sent at all. */
static bool
sending_possible(WaSender *sender)
{
	return wa_sender_may_send(sender) && sender->config_loaded && !sender->reopen;
}

/*
 * While the network fails, one request at a time finds out whether it is back.
 * Answers that wait for their settlement take no slots, unless it lags behind.
 */
static int
free_slots(WaSender *sender)
{
	int all = sender->window + sender->ahead;

	if (sender->probe_at_us != 0)
		return sender->n_leased + sender->n_in_flight + sender->n_finished == 0 ? 1 : 0;
	return sender->n_finished > all ? 0 : all - sender->n_leased - sender->n_in_flight;
}

bool
wa_claim_due(WaSender *sender)
{
	int64 now = wa_now_us();
	int slots = free_slots(sender);

	if (!sending_possible(sender) || slots <= 0 || now < sender->probe_at_us)
		return false;
	if (sender->n_in_flight > 0 && slots < Min((sender->window + sender->ahead) / 2, CLAIM_BATCH) &&
		now - sender->last_claim_us < CLAIM_INTERVAL_US)
		return false;
	return wa_turns_due(sender);
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

	if (!sending_possible(sender) || free_slots(sender) <= 0)
		return -1; /* an answer will wake us */
	earliest = wa_turns_next_us(sender);
	if (earliest == PG_INT64_MAX)
		return -1;
	earliest = Max(earliest, sender->probe_at_us);
	if (sender->n_in_flight > 0)
		earliest = Max(earliest, sender->last_claim_us + CLAIM_INTERVAL_US);
	return (long) Max(0, (earliest - now + 999) / 1000);
}

/* Messages that the claim being made asks for by id: WaWaiting. */
static dlist_head asked = DLIST_STATIC_INIT(asked);

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
		max += Min(limits[i].limit, chosen[i]->n_again);
	*ids = palloc(sizeof(int64) * Max(max, 1));
	for (int i = 0; i < n_limits; i++)
		while (limits[i].limit > 0 && chosen[i]->n_again > 0)
		{
			WaWaiting *waiting =
				dlist_container(WaWaiting, node, dlist_pop_head_node(&chosen[i]->again));

			chosen[i]->n_again--;
			limits[i].limit--;
			dlist_push_tail(&asked, &waiting->node);
			wa_sender_track(sender, waiting->message_id, WA_TRACKED_ASKED);
			(*ids)[n++] = waiting->message_id;
		}
	return n;
}

/*
 * What was asked for has been decided.  Who waits behind a message that did not
 * leave after all (cancelled, expired, held) must not wait for its answer.
 */
static void
asked_is_decided(WaSender *sender)
{
	while (!dlist_is_empty(&asked))
	{
		WaWaiting *waiting = dlist_container(WaWaiting, node, dlist_pop_head_node(&asked));
		WaPair *pair = wa_pair_get(sender, waiting->pair_key);
		WaTrackedAs as;

		if (wa_sender_is_tracked(sender, waiting->message_id, &as) && as == WA_TRACKED_ASKED)
		{
			/* It is not to be sent any more, or it was locked. */
			wa_sender_untrack(sender, waiting->message_id);
			wa_number_passed_by(sender, waiting->number, waiting->rank);
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
	while (!dlist_is_empty(&asked))
	{
		WaWaiting *waiting = dlist_container(WaWaiting, node, dlist_tail_node(&asked));
		WaTrackedAs as;

		dlist_delete(&waiting->node);
		if (wa_sender_is_tracked(sender, waiting->message_id, &as) && as == WA_TRACKED_WAITING)
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

	wa_number_take(number, 1, now);
	if (tenant->has_rate)
		wa_bucket_take(&tenant->bucket, 1, now);
	pair->whole_at_us = Max(pair->whole_at_us, now) + wa_pair_interval_us();
	pair->in_flight++;
	wa_sender_track(sender, job->message_id, WA_TRACKED_IN_FLIGHT);
	dlist_push_tail(&sender->claiming, &job->node);
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

/* The lease that a claim has written, until its transaction is committed. */
static WaLease *new_lease;

/* Writes down the intent to send what the claim has made jobs of. */
static void
lease_jobs(WaSender *sender, int n)
{
	int64 *ids = palloc(sizeof(int64) * n);
	int16 *attempts = palloc(sizeof(int16) * n);
	dlist_iter iter;
	int i = 0;

	new_lease = MemoryContextAllocZero(sender->state_context, sizeof(WaLease));
	new_lease->outstanding = n;
	dlist_foreach (iter, &sender->claiming)
	{
		WaJob *job = dlist_container(WaJob, node, iter.cur);

		job->lease = new_lease;
		ids[i] = job->message_id;
		attempts[i++] = (int16) job->attempt;
	}
	new_lease->lease_id =
		wa_store_lease(sender->index, (int64) sender->generation, ids, attempts, n);
}

/* What was to become of these is not written, because somebody has them locked. */
static void
pass_by(WaSender *sender, const WaClaimRow *rows, int n, const WaFate *fates, int n_fates)
{
	for (int i = 0; i < n_fates; i++)
		for (int j = 0; j < n; j++)
			if (rows[j].message_id == fates[i].message_id)
				wa_number_passed_by(sender, wa_sender_number(sender, rows[j].phone_number_id, true),
									rows[j].rank);
}

/* What the numbers have shown of themselves in this claim. */
static void
note_offers(WaSender *sender, const WaClaimLimit *limits, WaNumber **chosen, int n_limits)
{
	for (int i = 0; i < n_limits; i++)
	{
		WaNumber *number = chosen[i];

		if (limits[i].limit == 0)
			continue;
		number->may_have_ready = number->backlogged = number->claim_seen >= limits[i].limit;
		if (limits[i].passed_by != PG_INT64_MAX)
			wa_number_passed_by(sender, number, limits[i].passed_by);
		else if (number->look_again_us == 0)
			number->passed_since_us = 0;
	}
}

/*
 * One claim: reads, decides, writes the fates of what cannot go and the lease
 * of what can.
 */
void
wa_claim_run(WaSender *sender)
{
	WaClaimLimit *limits;
	WaNumber **chosen;
	WaClaimRow *rows;
	WaFates stopped = {0};
	bool *free_of_budget;
	int64 *again;
	int n_again;
	int n_limits;
	int n_unlocked;
	int n_jobs = 0;
	int n;

	n_limits = wa_turns_take(sender, free_slots(sender), &limits, &chosen);
	n_again = ask_again(sender, limits, chosen, n_limits, &again);
	n = wa_store_claim(limits, n_limits, again, n_again, &rows);
	sender->last_claim_us = wa_now_us();

	qsort(rows, n, sizeof(WaClaimRow), compare_rows);
	stopped.fates = palloc(sizeof(WaFate) * Max(n, 1));
	free_of_budget = palloc(sizeof(bool) * Max(n, 1));
	wa_budget_prepare(sender, rows, n, free_of_budget);
	for (int i = 0; i < n; i++)
	{
		WaClaimRow *row = &rows[i];
		WaNumber *number = wa_sender_number(sender, row->phone_number_id, true);
		WaPair *pair;
		WaTrackedAs as;
		bool by_id = false;

		/*
		 * Rows asked for by id may lie anywhere, also beyond what this claim has
		 * read of those that a commit has put behind the cursor meanwhile.
		 */
		if (!row->by_id)
		{
			number->cursor_rank = row->rank;
			number->cursor_id = row->message_id;
			number->claim_seen++;
		}
		if (i > 0 && rows[i - 1].message_id == row->message_id)
			continue; /* read both ways */
		if (wa_sender_is_tracked(sender, row->message_id, &as))
		{
			if (as != WA_TRACKED_ASKED)
				continue;
			by_id = true;
			wa_sender_untrack(sender, row->message_id);
			if (!number->mine || number->paused_until != 0)
			{
				/* It has changed numbers meanwhile: the owner of that one sends it. */
				wa_wake_ready(row->phone_number_id, row->rank);
				continue;
			}
		}
		pair = wa_gate_pass(sender, number, row, by_id, free_of_budget[i], &stopped);
		if (pair == NULL)
			continue;
		build_body(sender, make_job(sender, number, pair, row), row);
		n_jobs++;
	}
	note_offers(sender, limits, chosen, n_limits);
	n_unlocked = wa_store_lock_messages(stopped.fates, stopped.n);
	pass_by(sender, rows, n, stopped.fates + n_unlocked, stopped.n - n_unlocked);
	wa_store_fates(stopped.fates, n_unlocked);
	wa_budget_write();

	if (n_jobs > 0)
		lease_jobs(sender, n_jobs);
}

/* The lease is durable: the first byte may leave. */
void
wa_claim_committed(WaSender *sender)
{
	while (!dlist_is_empty(&sender->claiming))
	{
		dlist_push_tail(&sender->leased, dlist_pop_head_node(&sender->claiming));
		sender->n_leased++;
	}
	new_lease = NULL;
	asked_is_decided(sender);
}

/* Nothing was leased: forget the jobs, and look at everything again. */
void
wa_claim_aborted(WaSender *sender)
{
	dlist_mutable_iter iter;
	HASH_SEQ_STATUS scan;
	WaNumber *number;

	dlist_foreach_modify (iter, &sender->claiming)
	{
		WaJob *job = dlist_container(WaJob, node, iter.cur);
		WaPair *pair = wa_pair_get(sender, job->pair_key);

		pair->in_flight--;
		pair->whole_at_us -= wa_pair_interval_us();
		wa_sender_untrack(sender, job->message_id);
		dlist_delete(&job->node);
		if (job->body != NULL)
			pfree(job->body);
		pfree(job);
	}
	if (new_lease != NULL)
		pfree(new_lease);
	new_lease = NULL;
	asked_in_vain(sender);

	hash_seq_init(&scan, sender->numbers);
	while ((number = hash_seq_search(&scan)) != NULL)
		wa_number_lower_cursor(sender, number, PG_INT64_MIN);
}
