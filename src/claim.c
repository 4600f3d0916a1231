/*
 * claim.c
 *	  Which messages go out next.
 *
 * Ready numbers take turns; each may have as many as its bucket holds.  What
 * the queue offers is then checked against everything that can stand in the
 * way of a single message; what passes is leased and becomes a job.
 *
 * Messages to one recipient go one after the other.  A row whose recipient is
 * busy is set aside in memory and claimed again by its id, at its number's pace
 * like any other; a row whose recipient has used up the pair limit is deferred
 * in the queue to the time at which its turn will be, so that memory stays
 * bounded however many there are.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "budget.h"
#include "claim.h"
#include "graph.h"
#include "guc.h"
#include "job.h"
#include "shmem.h"
#include "store.h"
#include "wake.h"

/* With fewer free slots than this, or a half of all, a claim can wait a moment. */
#define CLAIM_BATCH 256

/* ... but not longer than this, while anything is on the wire. */
#define CLAIM_INTERVAL_US 10000

/* What a number may have at a time even if many others want something, too. */
#define CLAIM_PIECE 8

/* Rows set aside for busy recipients before further ones are deferred. */
#define MAX_WAITING 10000

/* How long a row is deferred for want of room among those. */
#define CROWDED_DELAY_US 1000000

/* ... and behind one whose time has come, but which is not back yet. */
#define RETURN_DELAY_US 100000

/*
 * How far ahead of the sustained rate a burst may run: one message less than is
 * allowed, so that a request that arrives a little early is not refused.
 */
static int64
pair_tolerance_us(void)
{
	return wa_pair_interval_us() * Max(0, wa_guc_pair_burst - 2);
}

/* The time of the wall clock that is this far from now on the steady one. */
static TimestampTz
wall_clock(int64 steady_us)
{
	return GetCurrentTimestamp() + (steady_us - wa_now_us());
}

/* Whether anything may be sent at all. */
static bool
sending_possible(WaSender *sender)
{
	return wa_guc_enabled && sender->has_token && sender->at_home && sender->config_loaded &&
		   sender->account_paused_until == 0 && !sender->stopping && !sender->reopen;
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

/* It has something to send, and nobody has stopped it. */
static bool
number_open(const WaNumber *number)
{
	return number->mine && number->paused_until == 0 &&
		   (number->may_have_ready || number->n_again > 0);
}

static bool
number_claimable(WaNumber *number, int64 now)
{
	return number_open(number) && wa_number_available(number, now) >= 1;
}

bool
wa_claim_due(WaSender *sender)
{
	HASH_SEQ_STATUS scan;
	WaNumber *number;
	int64 now = wa_now_us();
	int slots = free_slots(sender);

	if (!sending_possible(sender) || slots <= 0 || now < sender->probe_at_us)
		return false;
	if (sender->n_in_flight > 0 && slots < Min((sender->window + sender->ahead) / 2, CLAIM_BATCH) &&
		now - sender->last_claim_us < CLAIM_INTERVAL_US)
		return false;

	hash_seq_init(&scan, sender->numbers);
	while ((number = hash_seq_search(&scan)) != NULL)
		if (number_claimable(number, now))
		{
			hash_seq_term(&scan);
			return true;
		}
	return false;
}

/*
 * When a number that has more to send gets its next token, in milliseconds
 * from now; -1 if none is waiting for that.
 */
long
wa_claim_wait_ms(WaSender *sender)
{
	HASH_SEQ_STATUS scan;
	WaNumber *number;
	int64 now = wa_now_us();
	int64 earliest = PG_INT64_MAX;

	if (!sending_possible(sender))
		return -1;
	hash_seq_init(&scan, sender->numbers);
	while ((number = hash_seq_search(&scan)) != NULL)
		if (number_open(number))
			earliest = Min(earliest, wa_number_ready_at(number, now));
	if (earliest == PG_INT64_MAX)
		return -1;

	earliest = Max(earliest, sender->probe_at_us);
	if (free_slots(sender) <= 0)
		return -1; /* an answer will wake us */
	if (sender->n_in_flight > 0)
		earliest = Max(earliest, sender->last_claim_us + CLAIM_INTERVAL_US);
	return (long) Max(0, (earliest - now + 999) / 1000);
}

/* Numbers that were not known to have more than they got come first, then by turn. */
static int
compare_turns(const void *a, const void *b)
{
	const WaNumber *x = *(WaNumber *const *) a;
	const WaNumber *y = *(WaNumber *const *) b;

	if (x->backlogged != y->backlogged)
		return x->backlogged ? 1 : -1;
	return (x->last_turn > y->last_turn) - (x->last_turn < y->last_turn);
}

/*
 * Gives the next of these numbers an equal part each of the slots, in pieces
 * worth an index descent.  Returns what is left.
 */
static int
share_among(WaNumber **numbers, int n, int64 now, int slots, WaClaimLimit *limits,
			WaNumber **chosen, int *n_limits)
{
	int share = n > 0 ? Max(slots / n, CLAIM_PIECE) : 0;

	for (int i = 0; i < n && slots > 0; i++)
	{
		WaNumber *number = numbers[i];
		WaClaimLimit *limit = &limits[*n_limits];

		number->claim_seen = 0;
		limit->phone_number_id = number->id;
		limit->rank = number->cursor_rank;
		limit->message_id = number->cursor_id;
		limit->limit = Min(Min(share, wa_number_available(number, now)), slots);
		slots -= limit->limit;
		chosen[(*n_limits)++] = number;
	}
	return slots;
}

/*
 * Shares the free slots among the numbers that have something to send.
 *
 * A number with a backlog takes turns with others of its kind.  One of which
 * nothing was known to wait, and now something does, need not wait for such a
 * turn: half of the slots are for those, as far as they want them.  What is
 * left over goes to whoever can use it.
 */
static int
share_slots(WaSender *sender, int slots, WaClaimLimit **limits, WaNumber ***chosen)
{
	HASH_SEQ_STATUS scan;
	WaNumber *number;
	int64 now = wa_now_us();
	long n_numbers = hash_get_num_entries(sender->numbers);
	WaNumber **ready = palloc(sizeof(WaNumber *) * Max(n_numbers, 1));
	int n = 0;
	int n_new = 0;
	int n_limits = 0;
	int reserved;

	*limits = palloc0(sizeof(WaClaimLimit) * Max(n_numbers, 1));
	*chosen = palloc0(sizeof(WaNumber *) * Max(n_numbers, 1));
	hash_seq_init(&scan, sender->numbers);
	while ((number = hash_seq_search(&scan)) != NULL)
		if (number_claimable(number, now))
		{
			ready[n++] = number;
			n_new += number->backlogged ? 0 : 1;
		}
	qsort(ready, n, sizeof(WaNumber *), compare_turns);

	reserved = n_new < n ? slots / 2 : 0;
	slots = share_among(ready, n_new, now, slots - reserved, *limits, *chosen, &n_limits);
	slots =
		share_among(ready + n_new, n - n_new, now, slots + reserved, *limits, *chosen, &n_limits);
	for (int i = 0; i < n_limits; i++)
	{
		WaClaimLimit *limit = &(*limits)[i];
		int more = Min(slots, wa_number_available((*chosen)[i], now) - limit->limit);

		limit->limit += more;
		slots -= more;
		(*chosen)[i]->last_turn = sender->turn;
	}
	sender->turn++;
	return n_limits;
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
		WaRecipient *recipient = wa_sender_recipient(sender, waiting->recipient_key);
		WaTrackedAs as;

		if (wa_sender_is_tracked(sender, waiting->message_id, &as) && as == WA_TRACKED_ASKED)
			wa_sender_untrack(sender, waiting->message_id);
		if (recipient->in_flight == 0)
			wa_sender_release_waiting(sender, recipient);
		pfree(waiting);
	}
}

/* The claim has failed: back to where they were. */
static void
asked_in_vain(WaSender *sender)
{
	while (!dlist_is_empty(&asked))
	{
		WaWaiting *waiting = dlist_container(WaWaiting, node, dlist_tail_node(&asked));

		dlist_delete(&waiting->node);
		dlist_push_head(&waiting->number->again, &waiting->node);
		waiting->number->n_again++;
		wa_sender_track(sender, waiting->message_id, WA_TRACKED_AGAIN);
	}
}

/* Puts one fate on the list. */
static WaFate *
add_fate(WaFate *fates, int *n, const WaClaimRow *row, char state, const char *reason,
		 TimestampTz due)
{
	WaFate *fate = &fates[(*n)++];

	memset(fate, 0, sizeof(WaFate));
	fate->message_id = row->message_id;
	fate->state = state;
	fate->status = "queued";
	fate->reason = reason;
	fate->phone_number_id = row->phone_number_id;
	fate->due_at = due;
	fate->attempts = row->attempts;
	if (state == 'd')
		wa_wake_due(due);
	return fate;
}

/*
 * Checks what concerns the message and its tenant.  Returns true if it may go;
 * otherwise its fate has been added.
 */
static bool
may_leave(WaSender *sender, WaNumber *number, WaTenant *tenant, const WaClaimRow *row,
		  WaFate *fates, int *n_fates)
{
	int64 now = wa_now_us();

	if (row->expires_at != 0 && row->expires_at <= GetCurrentTimestamp())
		add_fate(fates, n_fates, row, 0, "expired_before_sending", 0)->status = "expired";
	else if (tenant == NULL || !tenant->enabled)
		add_fate(fates, n_fates, row, 'h', "tenant_disabled", 0);
	else if (tenant->phone_number_id[0] != '\0' && strcmp(tenant->phone_number_id, number->id) != 0)
	{
		add_fate(fates, n_fates, row, 'r', NULL, 0)->phone_number_id = tenant->phone_number_id;
		wa_wake_ready(tenant->phone_number_id, row->rank);
	}
	else if (tenant->phone_number_id[0] == '\0' &&
			 (sender->default_number_taken || strcmp(wa_guc_phone_number_id, number->id) != 0))
		add_fate(fates, n_fates, row, 'h', "no_number", 0)->phone_number_id = NULL;
	else if (tenant->paused_until != 0)
		add_fate(fates, n_fates, row, 'h', "tenant_paused", 0);
	else if (row->template_name != NULL &&
			 wa_sender_template_paused(sender, row->template_name, row->template_language))
		add_fate(fates, n_fates, row, 'h', "template_paused", 0);
	else if (tenant->has_rate && wa_bucket_available(&tenant->bucket, now) < 1)
	{
		/* One interval after the last one deferred, so that they come in order. */
		int64 turn = Max(wa_bucket_ready_at(&tenant->bucket, 1, now),
						 tenant->next_deferral_us + (int64) (1000000 / tenant->bucket.allowed));

		tenant->next_deferral_us = turn;
		add_fate(fates, n_fates, row, 'd', "tenant_rate", wall_clock(turn));
	}
	else
		return true;
	return false;
}

/* Deferred for the recipient's sake: who comes later stays behind it. */
static void
defer(WaRecipient *recipient, const WaClaimRow *row, WaFate *fates, int *n_fates,
	  const char *reason, TimestampTz due)
{
	add_fate(fates, n_fates, row, 'd', reason, due);
	wa_recipient_deferred(recipient, row->message_id, due);
}

/* Set aside until the recipient is free. */
static void
set_aside(WaSender *sender, WaRecipient *recipient, WaNumber *number, const WaClaimRow *row)
{
	WaWaiting *waiting = MemoryContextAlloc(sender->state_context, sizeof(WaWaiting));

	waiting->message_id = row->message_id;
	waiting->recipient_key = recipient->key;
	waiting->number = number;
	dlist_push_tail(&recipient->waiting, &waiting->node);
	recipient->n_waiting++;
	sender->n_waiting++;
	wa_sender_track(sender, row->message_id, WA_TRACKED_WAITING);
}

/*
 * Checks what concerns the recipient.  Returns true if the message may go;
 * otherwise it has been set aside or its fate has been added.
 *
 * Messages that have been deferred before, or were set aside, have their place
 * already.  New ones come after all of those, also in the moment between a due
 * time and the return of the row that was waiting for it.
 */
static bool
recipient_free(WaSender *sender, WaRecipient *recipient, WaNumber *number, const WaClaimRow *row,
			   bool by_id, WaFate *fates, int *n_fates)
{
	int64 now = wa_now_us();
	int ahead = by_id ? 0 : recipient->n_waiting;
	int64 turn = recipient->whole_at_us + ahead * wa_pair_interval_us() - pair_tolerance_us();
	bool was_deferred = !by_id && row->message_id <= recipient->deferred_id;
	bool is_new = !by_id && !was_deferred;
	bool blocked = recipient->blocked_until > GetCurrentTimestamp();
	bool others_first = is_new && wa_recipient_has_deferred(recipient, now);

	if (was_deferred && recipient->n_deferred > 0)
		recipient->n_deferred--;

	/* One interval after the last one deferred, so that they come in order. */
	if (is_new && (turn > now || (others_first && recipient->next_deferral_us > now)))
		turn = Max(turn, recipient->next_deferral_us + wa_pair_interval_us());
	if (turn > now && wall_clock(turn) > recipient->blocked_until)
	{
		recipient->next_deferral_us = Max(recipient->next_deferral_us, turn);
		defer(recipient, row, fates, n_fates, "pair_rate", wall_clock(turn));
		return false;
	}
	if (blocked)
	{
		defer(recipient, row, fates, n_fates, "recipient_order", recipient->blocked_until);
		return false;
	}
	if (others_first)
	{
		defer(recipient, row, fates, n_fates, "recipient_order", wall_clock(now + RETURN_DELAY_US));
		return false;
	}
	if (recipient->in_flight > 0 || ahead > 0)
	{
		if (sender->n_waiting < MAX_WAITING)
			set_aside(sender, recipient, number, row);
		else
		{
			recipient->blocked_until = wall_clock(now + CROWDED_DELAY_US);
			defer(recipient, row, fates, n_fates, "recipient_order", recipient->blocked_until);
		}
		return false;
	}
	return true;
}

/* Takes the tokens and makes the job; it is submitted when the lease is committed. */
static WaJob *
make_job(WaSender *sender, WaNumber *number, WaTenant *tenant, WaRecipient *recipient,
		 const WaClaimRow *row)
{
	int64 now = wa_now_us();
	size_t name_len = row->template_name ? strlen(row->template_name) : 0;
	size_t language_len = row->template_language ? strlen(row->template_language) : 0;
	WaJob *job = MemoryContextAllocZero(sender->state_context,
										offsetof(WaJob, strings) + name_len + language_len + 2);

	job->message_id = row->message_id;
	job->rank = row->rank;
	job->attempts_before = row->attempts;
	job->attempt = row->attempts + 1;
	job->number = number;
	job->tenant = tenant;
	job->recipient_key = recipient->key;
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
	recipient->whole_at_us = Max(recipient->whole_at_us, now) + wa_pair_interval_us();
	recipient->in_flight++;
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

	wa_job_opaque_write(opaque, sizeof(opaque), sender->installation_id, job->message_id,
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
	WaFate *fates;
	bool *free_of_budget;
	int64 *again;
	int n_again;
	int n_limits;
	int n_fates = 0;
	int n_jobs = 0;
	int n;

	n_limits = share_slots(sender, free_slots(sender), &limits, &chosen);
	n_again = ask_again(sender, limits, chosen, n_limits, &again);
	n = wa_store_claim(limits, n_limits, again, n_again, &rows);
	sender->last_claim_us = wa_now_us();

	qsort(rows, n, sizeof(WaClaimRow), compare_rows);
	fates = palloc(sizeof(WaFate) * Max(n, 1));
	free_of_budget = palloc(sizeof(bool) * Max(n, 1));
	wa_budget_prepare(sender, rows, n, free_of_budget);
	for (int i = 0; i < n; i++)
	{
		WaClaimRow *row = &rows[i];
		WaNumber *number = wa_sender_number(sender, row->phone_number_id, true);
		WaTenant *tenant = wa_sender_tenant(sender, row->tenant_id);
		WaRecipient *recipient;
		WaTrackedAs as;
		bool by_id = false;

		/* Rows asked for by id lie behind the cursor; the others move it. */
		if (row->rank > number->cursor_rank ||
			(row->rank == number->cursor_rank && row->message_id > number->cursor_id))
		{
			number->cursor_rank = row->rank;
			number->cursor_id = row->message_id;
			number->claim_seen++;
		}
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
		if (!may_leave(sender, number, tenant, row, fates, &n_fates))
			continue;
		recipient =
			wa_sender_recipient(sender, wa_hash_text(row->recipient_phone ? row->recipient_phone
																		  : row->recipient_user_id,
													 number->key));
		if (!recipient_free(sender, recipient, number, row, by_id, fates, &n_fates))
			continue;
		if (!free_of_budget[i])
		{
			if (!wa_budget_admits(sender, tenant))
			{
				add_fate(fates, &n_fates, row, 'd', "budget", wa_budget_next(sender));
				continue;
			}
			wa_budget_reserve(sender, tenant, row);
		}
		build_body(sender, make_job(sender, number, tenant, recipient, row), row);
		n_jobs++;
	}
	for (int i = 0; i < n_limits; i++)
		if (limits[i].limit > 0)
			chosen[i]->may_have_ready = chosen[i]->backlogged =
				chosen[i]->claim_seen >= limits[i].limit;
	/* What is locked stays as it is; the sweep comes back to it. */
	n_fates = wa_store_lock_messages(fates, n_fates);
	wa_store_fates(fates, n_fates);
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
		WaRecipient *recipient = wa_sender_recipient(sender, job->recipient_key);

		recipient->in_flight--;
		recipient->whole_at_us -= wa_pair_interval_us();
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
		wa_number_lower_cursor(number, PG_INT64_MIN);
}
