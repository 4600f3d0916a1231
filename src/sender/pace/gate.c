/*
 * gate.c
 *	  Whether one message may leave now, and what becomes of it if not.
 *
 * Everything that can stand in the way of a single message is looked at here,
 * in this order: the message and its tenant, the tenant's rate for new messages,
 * the recipient, the tenant's rate for those that come back, the account's budget.
 * What is stopped gets a disposition: it expires, is held until something happens, or is
 * deferred to a time.
 *
 * Messages to one recipient go one after the other.  A row whose recipient is
 * busy is set aside in memory (sender/pace/pair_waiting.c) and claimed again by its id; a row whose
 * recipient has used up the pair limit is deferred in the queue to the time at
 * which its turn will be, so that memory stays bounded however many there are.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/guc.h"
#include "common/message_state.h"
#include "sender/pace/gate.h"
#include "sender/pace/messaging_limit.h"
#include "sender/pace/pair_order.h"
#include "sender/pace/pair_waiting.h"

/* Rows set aside for busy recipients before further ones are deferred. */
#define MAX_WAITING 10000

/* How long a row is deferred for want of room among those. */
#define CROWDED_DELAY_US 1000000

/* ... and behind one whose time has come, but which is not back yet. */
#define RETURN_DELAY_US 100000

/* Meta's code for what is not a template, outside of the service window. */
#define WINDOW_CLOSED_CODE 131047

/*
 * How far ahead of the sustained rate a burst may run: one message less than is
 * allowed, so that a request that arrives a little early is not refused.
 */
static int64
pair_tolerance_us(void)
{
	return wa_pair_interval_us() * Max(0, wa_guc_pair_burst - 2);
}

/* Puts one disposition on the list: as long as it waits, its own row says nothing of it. */
static WaDisposition *
add_disposition(WaDispositions *stopped, const WaClaimRow *row, char state, const char *reason,
				TimestampTz due)
{
	WaDisposition *disposition = &stopped->dispositions[stopped->n++];

	memset(disposition, 0, sizeof(WaDisposition));
	disposition->message_id = row->message_id;
	disposition->state = state;
	disposition->status = "queued";
	disposition->reason = reason;
	disposition->phone_number_id = row->phone_number_id;
	disposition->due_at = due;
	disposition->attempts = row->attempts;
	disposition->queue_only = state != 0;
	return disposition;
}

/* It leaves from another number, or from none as long as there is none. */
static void
move(WaDispositions *stopped, const WaClaimRow *row, char state, const char *reason,
	 const char *phone_number_id)
{
	WaDisposition *disposition = add_disposition(stopped, row, state, reason, 0);

	disposition->phone_number_id = phone_number_id;
	disposition->queue_only = false;
}

/* As Meta would refuse it, after having accepted it. */
static void
fail(WaDisposition *disposition)
{
	disposition->status = "failed";
	disposition->code = WINDOW_CLOSED_CODE;
	disposition->message = "The recipient's 24-hour window closed before the message's turn; it "
						   "was not sent";
}

/*
 * Checks what concerns the message and its tenant.  Returns true if it may go;
 * otherwise its disposition has been added.
 *
 * A tenant that is stopped stops its own number, and nothing of it is read; what
 * comes here leaves from the number that tenants share, where it must be out of
 * the way of the others.
 */
static bool
may_leave(WaSender *sender, WaNumber *number, WaTenant *tenant, const WaClaimRow *row,
		  WaDispositions *stopped)
{
	if (row->expires_at != 0 && row->expires_at <= wa_now())
		add_disposition(stopped, row, 0, "expired_before_sending", 0)->status = "expired";
	else if (row->attempts >= WA_MESSAGE_MAX_ATTEMPTS)
		add_disposition(stopped, row, 0, "too_many_attempts", 0)->status = "failed";
	else if (row->may_leave == WA_OPTED_OUT)
		add_disposition(stopped, row, 0, "opted_out", 0)->status = "skipped";
	else if (tenant == NULL || !tenant->enabled)
		add_disposition(stopped, row, 'h', "tenant_disabled", 0);
	else if (tenant->phone_number_id[0] != '\0' && strcmp(tenant->phone_number_id, number->id) != 0)
		move(stopped, row, 'r', NULL, tenant->phone_number_id);
	else if (tenant->phone_number_id[0] == '\0' &&
			 (sender->default_number_taken || strcmp(wa_guc_phone_number_id, number->id) != 0))
		move(stopped, row, 'h', "no_number", NULL);
	else if (tenant->paused_until != 0)
		add_disposition(stopped, row, 'h', "tenant_paused", 0);
	else if (row->template_name != NULL &&
			 wa_sender_template_paused(sender, row->template_name, row->template_language))
		add_disposition(stopped, row, 'h', "template_paused", 0);
	else if (row->may_leave == WA_WINDOW_CLOSED)
		fail(add_disposition(stopped, row, 0, "window_closed", 0));
	else if (row->may_leave == WA_THREAD_TAKEN && !tenant->takes_over)
		add_disposition(stopped, row, 'h', "thread_taken", 0);
	else
		return true;
	return false;
}

/* Deferred: what comes later to the same recipient stays behind it. */
static void
defer(WaSender *sender, WaPair *pair, const WaClaimRow *row, WaDispositions *stopped,
	  const char *reason, TimestampTz due)
{
	add_disposition(stopped, row, 'd', reason, due);
	wa_pair_deferred(sender, pair, row->message_id, due);
}

/*
 * Checks what concerns the recipient.  Returns true if the message may go;
 * otherwise it has been set aside or its disposition has been added.
 *
 * Nobody passes an earlier message that is deferred.  One that has been deferred
 * before, or was set aside, has had its turn and gets the next one; a new one
 * gets a turn behind all of those.
 */
static bool
recipient_free(WaSender *sender, WaPair *pair, WaNumber *number, const WaClaimRow *row, bool by_id,
			   WaDispositions *stopped)
{
	int64 now = wa_now_us();
	bool returned = wa_pair_returned(pair, row->message_id);
	bool was_set_aside = by_id && !returned;
	bool is_new = !returned && !was_set_aside;
	bool behind = wa_pair_is_behind(pair, row->message_id);
	int ahead = was_set_aside ? 0 : pair->n_waiting;
	int64 turn = pair->whole_at_us + ahead * wa_pair_interval_us() - pair_tolerance_us();
	int64 after = 0;

	if (behind)
		after = Max(now + RETURN_DELAY_US,
					is_new ? pair->deferred_until_us : wa_steady_clock(pair->blocked_until));

	/* One interval after the last new one, so that they need not wait once more. */
	if (is_new && (turn > now || (behind && pair->next_deferral_us > now)))
		turn = Max(turn, pair->next_deferral_us + wa_pair_interval_us());
	if (turn > now && turn >= after)
	{
		pair->next_deferral_us = Max(pair->next_deferral_us, turn);
		defer(sender, pair, row, stopped, "pair_rate", wa_wall_clock(turn));
		return false;
	}
	if (behind)
	{
		defer(sender, pair, row, stopped, "recipient_order", wa_wall_clock(after));
		return false;
	}
	if (pair->in_flight > 0 || ahead > 0)
	{
		if (sender->n_waiting < MAX_WAITING)
			wa_pair_set_aside(sender, pair, number, row->message_id, row->rank);
		else
		{
			pair->blocked_until = wa_wall_clock(now + CROWDED_DELAY_US);
			defer(sender, pair, row, stopped, "recipient_order", pair->blocked_until);
		}
		return false;
	}
	return true;
}

/*
 * Whether the tenant's rate has been asked about this message before.  Those of
 * higher priority are treated like that, and do not go behind all others.
 */
static bool
had_turn(const WaTenant *tenant, const WaClaimRow *row)
{
	return row->message_id <= tenant->deferred_id || row->rank < row->due_at;
}

static int64
interval_us(const WaTenant *tenant)
{
	return (int64) (1000000 / tenant->bucket.allowed);
}

/* The tenant's own rate: new messages go behind all that are deferred for its sake. */
static bool
first_turn_is_now(WaSender *sender, WaTenant *tenant, WaPair *pair, const WaClaimRow *row,
				  WaDispositions *stopped)
{
	int64 now = wa_now_us();
	int64 ready = wa_bucket_ready_at(&tenant->bucket, 1, now);

	if (ready <= now && tenant->next_deferral_us <= now)
		return true;
	tenant->deferred_id = row->message_id;
	tenant->next_deferral_us = Max(ready, tenant->next_deferral_us + interval_us(tenant));
	defer(sender, pair, row, stopped, "tenant_rate", wa_wall_clock(tenant->next_deferral_us));
	return false;
}

/*
 * One that comes back has its turn, which the delays of the machine move a little;
 * where many come back at once it may have to wait once more, and later ones to the
 * same recipient with it.
 */
static bool
next_turn_is_now(WaSender *sender, WaTenant *tenant, WaPair *pair, const WaClaimRow *row,
				 WaDispositions *stopped)
{
	int64 now = wa_now_us();
	int64 interval = interval_us(tenant);
	int64 ready = wa_bucket_ready_at(&tenant->bucket, 1, now);

	if (ready <= now + interval / 2)
		return true;
	tenant->next_return_us = Max(ready, tenant->next_return_us + interval);
	pair->blocked_until = wa_wall_clock(tenant->next_return_us);
	defer(sender, pair, row, stopped, "tenant_rate", pair->blocked_until);
	return false;
}

WaPair *
wa_gate_pass(WaSender *sender, WaNumber *number, const WaClaimRow *row, uint64 pair_key, bool by_id,
			 bool is_free, WaDispositions *stopped)
{
	WaTenant *tenant = wa_sender_tenant(sender, row->tenant_id);
	bool is_first;
	WaPair *pair;

	if (!may_leave(sender, number, tenant, row, stopped))
		return NULL;
	pair = wa_pair_get(sender, pair_key);
	is_first = tenant->has_rate && !had_turn(tenant, row);
	if ((is_first && !first_turn_is_now(sender, tenant, pair, row, stopped)) ||
		!recipient_free(sender, pair, number, row, by_id, stopped) ||
		(tenant->has_rate && !is_first && !next_turn_is_now(sender, tenant, pair, row, stopped)))
	{
		wa_pair_rest(sender, pair);
		return NULL;
	}
	if (!is_free)
	{
		if (!wa_messaging_limit_admits(sender, tenant))
		{
			add_disposition(stopped, row, 'd', "budget", wa_messaging_limit_next());
			wa_pair_rest(sender, pair);
			return NULL;
		}
		wa_messaging_limit_count(tenant, 1);
	}
	return pair;
}
