/*
 * fate.c
 *	  From the outcome of a request to the fate of its message.
 *
 * The class of the error decides (graph/error_class.c): another attempt, the end,
 * doubt, or a pause of what the refusal concerns.  Throttling and pauses are not
 * the message's fault and do not count as attempts; nor does a network that is
 * down.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/statement.h"
#include "common/message_state.h"
#include "sender/fate.h"
#include "sender/pace/pair.h"
#include "sender/store/transaction.h"
#include "shared/wake.h"

/* A throttle longer than this becomes a pause that people can see. */
#define LONG_THROTTLE_S 120

static void
pause_scope(const char *scope, const char *key, const WaOutcome *outcome, int seconds)
{
	static WaStatement statement = {
		.sql = "SELECT @extschema@.wa_internal_pause($1, $2, $3, $4, $5,"
			   " CASE WHEN $6 > 0 THEN pg_catalog.clock_timestamp()"
			   " + pg_catalog.make_interval(secs => $6) END)",
		.nargs = 6,
		.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT4OID, INT4OID},
		.expected = SPI_OK_SELECT};
	Datum values[6];

	values[0] = CStringGetTextDatum(scope);
	values[1] = CStringGetTextDatum(key);
	values[2] = CStringGetTextDatum(outcome->error->title);
	values[3] = CStringGetTextDatum(outcome->message);
	values[4] = Int32GetDatum(outcome->code);
	values[5] = Int32GetDatum(seconds);
	wa_store_run(&statement, values, NULL);
}

static void
opt_out(int64 message_id)
{
	static WaStatement statement = {
		.sql = "SELECT @extschema@.wa_opt_out(m.tenant_id,"
			   " COALESCE(m.recipient_phone, m.recipient_user_id), 'marketing')"
			   " FROM @extschema@.whatsapp_messages m WHERE m.id = $1",
		.nargs = 1,
		.argtypes = {INT8OID},
		.expected = SPI_OK_SELECT};
	Datum values[1] = {Int64GetDatum(message_id)};

	wa_store_run(&statement, values, NULL);
}

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
defer(WaJob *job, WaFate *fate, const char *reason, int64 ms, bool counted)
{
	fate->state = 'd';
	fate->reason = reason;
	fate->due_at = after_ms(ms);
	fate->attempts = counted ? job->attempt : job->attempts_before;
	wa_wake_due(fate->due_at);
}

/* Ready again as if it had never been tried: what refused it stops the claims. */
static void
put_back(WaJob *job, WaFate *fate)
{
	fate->state = 'r';
	fate->reason = NULL;
	fate->attempts = job->attempts_before;

	/* Its number may be another one by now, and another sender's; of ours, sender/settle.c knows.
	 */
	if (strcmp(fate->phone_number_id, job->number->id) != 0)
		wa_wake_ready(fate->phone_number_id, job->rank);
}

static TimestampTz
pause_end(const WaErrorCode *error)
{
	return error->pause_seconds > 0 ? after_ms((int64) error->pause_seconds * 1000) : DT_NOEND;
}

/* The first of many refusals writes the pause down; memory stops the claims at once. */
static void
pause_number(WaJob *job, TimestampTz until)
{
	if (job->number->paused_until == 0)
		pause_scope("number", job->number->id, job->outcome, job->outcome->error->pause_seconds);
	job->number->paused_until = until;
}

static void
refused(WaSender *sender, WaJob *job, WaFate *fate)
{
	const WaOutcome *outcome = job->outcome;
	const WaErrorCode *error = outcome->error;
	int max = error->max_retries > 0 ? error->max_retries + 1 : wa_guc_max_attempts;
	int64 wait_ms = (int64) Max(Max(error->pause_seconds, outcome->retry_after_s), 1) * 1000;
	int64 now = wa_now_us();
	WaPair *pair;

	fate->outcome = wa_error_class_name(error->error_class);
	switch (error->error_class)
	{
		case WA_CLASS_RETRY:
			if (job->attempt < max)
			{
				int64 backoff =
					wa_message_backoff_ms(job->attempt, wa_guc_retry_delay, wa_guc_retry_max_delay,
										  pg_prng_uint32(&pg_global_prng_state));

				defer(job, fate, "retry",
					  Max(backoff,
						  error->pause_seconds > 0 || outcome->retry_after_s > 0 ? wait_ms : 0),
					  true);
				return;
			}
			break; /* the attempts are used up: it fails */

		case WA_CLASS_THROTTLE_NUMBER:
			if (error->pause_seconds > LONG_THROTTLE_S)
			{
				pause_number(job, after_ms(wait_ms));
				put_back(job, fate);
			}
			else
			{
				wa_bucket_throttled(&job->number->bucket, wait_ms * 1000, now);
				defer(job, fate, "number_rate", wait_ms, false);
			}
			return;

		case WA_CLASS_THROTTLE_PAIR:
			pair = wa_pair_get(sender, job->pair_key);
			defer(job, fate, "pair_rate", Max(wa_message_pair_backoff_ms(pair->throttles), 1000),
				  false);
			return;

		case WA_CLASS_PAUSE_ACCOUNT_SHORT:
		case WA_CLASS_PAUSE_ACCOUNT:
			if (sender->account_paused_until == 0)
				pause_scope("account", "", outcome, error->pause_seconds);
			sender->account_paused_until = pause_end(error);
			put_back(job, fate);
			return;

		case WA_CLASS_PAUSE_NUMBER:
			pause_number(job, pause_end(error));
			put_back(job, fate);
			return;

		case WA_CLASS_PAUSE_TEMPLATE:
			if (job->template_key == NULL)
				break;
			pause_scope("template", job->template_key, outcome, error->pause_seconds);
			put_back(job, fate);
			fate->state = 'h';
			fate->reason = "template_paused";
			return;

		case WA_CLASS_PERMANENT:
		case WA_CLASS_NOT_APPLICABLE:
			break;
	}

	fate->state = 0;
	fate->status = "failed";
	fate->attempts = job->attempt;
	if (error->opts_out)
		opt_out(job->message_id);
}

void
wa_fate_decide(WaSender *sender, WaJob *job, WaFate *fate)
{
	const WaOutcome *outcome = job->outcome;

	memset(fate, 0, sizeof(WaFate));
	fate->message_id = job->message_id;
	fate->status = "queued";
	fate->phone_number_id = number_of(job);
	fate->failed_attempt = true;
	fate->attempt = job->attempt;
	fate->started_at = job->started_at;
	fate->http_status = outcome->http_status;
	fate->code = outcome->code;
	fate->message = outcome->message;
	fate->fbtrace_id = outcome->fbtrace_id;

	switch (outcome->kind)
	{
		case WA_OUTCOME_REFUSED:
			refused(sender, job, fate);
			break;
		case WA_OUTCOME_NOT_WRITTEN:
			fate->outcome = "not_sent";
			if (job->withdrawn || sender->stopping)
			{
				/* No attempt was made; who goes on with it, does so in its order. */
				put_back(job, fate);
				fate->failed_attempt = false;
				break;
			}
			defer(job, fate, "network",
				  wa_message_backoff_ms(Min(sender->failures_in_row, 8) + 1, wa_guc_retry_delay,
										Min(wa_guc_retry_max_delay, 30000),
										pg_prng_uint32(&pg_global_prng_state)),
				  false);
			break;
		case WA_OUTCOME_UNCERTAIN:
			fate->outcome = "uncertain";
			fate->state = 'u';
			fate->status = "uncertain";
			fate->reason = "uncertain";
			fate->attempts = job->attempt;
			fate->due_at = after_ms(wa_guc_uncertain_grace);
			wa_wake_due(fate->due_at);
			break;
		case WA_OUTCOME_ACCEPTED:
			elog(ERROR, "an accepted message has no other fate");
	}
}
