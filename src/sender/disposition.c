/*
 * disposition.c
 *	  From the outcome of a request to the disposition of its message.
 *
 * The class of the error decides about the message: another attempt, the end, or
 * its place in the queue again.  What the error means for others (a throttle, a
 * pause, an opt-out) is wa_error_consequence()'s to say, as it is for webhooks.
 * Throttling and pauses are not the message's fault and do not count as attempts;
 * nor does a network that is down.
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "common/message_state.h"
#include "common/queue_state.h"
#include "sender/disposition.h"
#include "sender/pace/pair.h"
#include "sender/state/wire.h"
#include "sender/store/consequence.h"
#include "shared/wake.h"

/* A code that nobody knows is reported this often: messages may fail by the thousand. */
#define UNKNOWN_CODE_INTERVAL_US INT64_C(60000000)

/* A probe that failed leaves the next one to another message: a little longer than to that. */
#define PROBED_MS 700

static TimestampTz
after_ms(int64 ms)
{
	return GetCurrentTimestamp() + ms * 1000;
}

/* The number the message goes by from now on: its tenant's, or the default. */
static const char *
number_of(const WaJob *job)
{
	return job->tenant->phone_number_id[0] != '\0' ? job->tenant->phone_number_id : job->number->id;
}

/* Deferred, with the attempt counted or not. */
static void
defer(WaJob *job, WaDisposition *disposition, const char *reason, int64 ms, bool counted)
{
	disposition->state = WA_QUEUE_DEFERRED;
	disposition->reason = reason;
	disposition->due_at = after_ms(ms);
	disposition->attempts = counted ? job->attempt : job->attempts_before;
	wa_wake_due(disposition->due_at);
}

/* Ready again as if it had never been tried: what stopped it stops the claims. */
static void
put_back(WaJob *job, WaDisposition *disposition)
{
	disposition->state = WA_QUEUE_READY;
	disposition->reason = NULL;
	disposition->attempts = job->attempts_before;

	/* Its number may be another sender's by now; of ours, sender/settle.c knows. */
	if (strcmp(disposition->phone_number_id, job->number->id) != 0)
		wa_wake_ready(disposition->phone_number_id, job->rank);
}

/* ---- what follows for others ------------------------------------------------ */

/*
 * The first of many error responses writes the pause down; memory stops the claims
 * at once.  A template is remembered with the configuration that is read after this.
 */
static void
pause_scope(WaSender *sender, WaJob *job, const WaErrorConsequence *then)
{
	const char *scope = wa_error_action_scope(then->action);
	TimestampTz until = then->seconds > 0 ? after_ms((int64) then->seconds * 1000) : DT_NOEND;
	TimestampTz *paused_until = NULL;
	const char *key = "";

	if (then->action == WA_ACTION_PAUSE_ACCOUNT)
		paused_until = &sender->account_paused_until;
	else if (then->action == WA_ACTION_PAUSE_NUMBER)
	{
		paused_until = &job->number->paused_until;
		key = job->number->id;
	}
	else
		key = job->template_key;
	if (paused_until == NULL || *paused_until == 0)
		wa_store_pause(scope, key, job->outcome->code, job->outcome->message, then->seconds);
	if (paused_until != NULL)
		*paused_until = until;
}

static void
report_unknown_code(const WaOutcome *outcome)
{
	static int reported;
	static int64 reported_us;
	int64 now = wa_now_us();

	if (outcome->code == reported && now - reported_us < UNKNOWN_CODE_INTERVAL_US)
		return;
	reported = outcome->code;
	reported_us = now;
	wa_store_alert_unknown_code(outcome->code, outcome->message);
}

/*
 * Draws the consequence.  True if it decides about the message, too: that waits
 * with everything else that is concerned, and has lost no attempt.
 */
static bool
draw_consequence(WaSender *sender, WaJob *job, WaDisposition *disposition)
{
	const WaOutcome *outcome = job->outcome;
	WaErrorConsequence then = wa_error_consequence(outcome->error, outcome->retry_after_s);
	int64 wait_ms = (int64) Max(then.seconds, 1) * 1000;

	if (then.unknown)
		report_unknown_code(outcome);
	if (then.opts_out)
		disposition->opts_out = true;
	switch (then.action)
	{
		case WA_ACTION_NONE:
			return false;
		case WA_ACTION_THROTTLE_NUMBER:
			wa_bucket_throttled(&job->number->bucket, wait_ms * 1000, wa_now_us());
			defer(job, disposition, "number_rate", wait_ms, false);
			return true;
		case WA_ACTION_THROTTLE_PAIR:
			wait_ms = wa_message_pair_backoff_ms(wa_pair_get(sender, job->pair_key)->throttles);
			defer(job, disposition, "pair_rate", Max(wait_ms, 1000), false);
			return true;
		case WA_ACTION_PAUSE_ACCOUNT:
		case WA_ACTION_PAUSE_NUMBER:
			/* After a throttle, however long, it goes on at a lower rate. */
			if (outcome->error->error_class == WA_CLASS_THROTTLE_NUMBER)
				wa_bucket_throttled(&job->number->bucket, 0, wa_now_us());
			pause_scope(sender, job, &then);
			put_back(job, disposition);
			return true;
		case WA_ACTION_PAUSE_TEMPLATE:
			if (job->template_key == NULL)
				return false;
			pause_scope(sender, job, &then);
			put_back(job, disposition);
			disposition->state = WA_QUEUE_HELD;
			disposition->reason = "template_paused";
			return true;
	}
	return false;
}

/* ---- the message -------------------------------------------------------------- */

/* Another attempt, if the error may pass and there are any left. */
static bool
try_again(WaJob *job, WaDisposition *disposition)
{
	const WaOutcome *outcome = job->outcome;
	const WaErrorCode *error = outcome->error;
	int max = error->max_retries > 0 ? error->max_retries + 1 : wa_guc_max_attempts;
	int64 least_ms = (int64) Max(Max(error->pause_seconds, outcome->retry_after_s), 0) * 1000;
	int64 backoff_ms;

	if (error->error_class != WA_CLASS_RETRY || job->attempt >= max)
		return false;
	backoff_ms = wa_message_backoff_ms(job->attempt, wa_guc_retry_delay, wa_guc_retry_max_delay,
									   pg_prng_uint32(&pg_global_prng_state));
	defer(job, disposition, "retry", Max(backoff_ms, least_ms), true);
	return true;
}

static void
follow_error(WaSender *sender, WaJob *job, WaDisposition *disposition)
{
	disposition->outcome = wa_error_class_name(job->outcome->error->error_class);
	if (draw_consequence(sender, job, disposition) || try_again(job, disposition))
		return;
	disposition->state = WA_QUEUE_GONE;
	disposition->status = "failed";
	disposition->attempts = job->attempt;
}

/*
 * Nothing of the request has left.  It is the network's fault, mostly, so the message
 * stays where it is, and whoever finds out that the network is back
 * (sender/state/wire.c) sends it at once.
 *
 * But it may be the message's own: something on the way that does not like it.  Of
 * that the others of its number must not suffer.  So one that fails while they are
 * answered comes back later, and so does, a moment, one that was a probe: the next
 * probe is another.  Of probes no record is kept, there are too many.
 */
static void
not_sent(WaSender *sender, WaJob *job, WaDisposition *disposition)
{
	disposition->outcome = "not_sent";
	if (job->withdrawn || sender->stopping)
	{
		/* No attempt was made; who goes on with it, does so in its order. */
		put_back(job, disposition);
		disposition->failed_attempt = false;
	}
	else if (job->probe && wa_wire_is_limited(job->number))
	{
		defer(job, disposition, "network", PROBED_MS, false);
		disposition->failed_attempt = false;
	}
	else if (job->number->answered_us > job->started_us &&
			 sender->numbers.wire.back_us < job->started_us)
		defer(job, disposition, "network",
			  wa_message_backoff_ms(1, wa_guc_retry_delay, wa_guc_retry_max_delay,
									pg_prng_uint32(&pg_global_prng_state)),
			  false);
	else
		put_back(job, disposition);
}

void
wa_disposition_decide(WaSender *sender, WaJob *job, WaDisposition *disposition)
{
	const WaOutcome *outcome = job->outcome;

	memset(disposition, 0, sizeof(WaDisposition));
	disposition->message_id = job->message_id;
	disposition->status = "queued";
	disposition->phone_number_id = number_of(job);
	disposition->failed_attempt = true;
	disposition->attempt = job->attempt;
	disposition->started_at = job->started_at;
	disposition->http_status = outcome->http_status;
	disposition->code = outcome->code;
	disposition->message = outcome->message;
	disposition->fbtrace_id = outcome->fbtrace_id;

	switch (outcome->kind)
	{
		case WA_OUTCOME_REFUSED:
			follow_error(sender, job, disposition);
			break;
		case WA_OUTCOME_NOT_WRITTEN:
			not_sent(sender, job, disposition);
			break;
		case WA_OUTCOME_UNCERTAIN:
			disposition->outcome = "uncertain";
			disposition->state = WA_QUEUE_UNCERTAIN;
			disposition->status = "uncertain";
			disposition->reason = "uncertain";
			disposition->attempts = job->attempt;
			disposition->due_at = after_ms(wa_guc_uncertain_grace);
			wa_wake_due(disposition->due_at);
			break;
		case WA_OUTCOME_ACCEPTED:
			elog(ERROR, "an accepted message has no other disposition");
	}
}
