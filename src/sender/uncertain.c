/*
 * uncertain.c
 *	  What becomes of messages that may or may not have been sent.
 *
 * Their requests were written and no response came, or their sender died.  A
 * webhook settles most of them; here are those whose grace is over without one.
 * The policy decides: the message's own, else its tenant's, else that of
 * whatsapp_shared.uncertain_policy.
 *
 * Sent again means queued again, with everything that a message in the queue has
 * to wait for: the place that it gets is that of enqueue/placement.c.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/guc.h"
#include "common/queue_state.h"
#include "common/uncertain_policy.h"
#include "sender/store/alert.h"
#include "sender/store/dispositions.h"
#include "sender/store/due_rows.h"
#include "sender/uncertain.h"
#include "shared/wake.h"

/* Each takes a fraction of a millisecond; nobody is to wait for all of them at once. */
#define BATCH 50

static WaUncertainPolicy
policy_for(const WaUncertainRow *row)
{
	WaUncertainPolicy policy = (WaUncertainPolicy) wa_guc_uncertain_policy;

	if (row->policy != NULL &&
		!wa_uncertain_policy_parse(row->policy, strlen(row->policy), &policy))
		policy = WA_UNCERTAIN_AUTO;
	return policy;
}

/*
 * Under "auto" a message is sent again if the absence of its report proves that Meta
 * does not have it: wa_internal_judge_silence() says when.  Not known, it waits for a
 * person.
 */
static WaUncertainPolicy
follow_silence(const WaSilence *silence)
{
	return silence->is_proof ? WA_UNCERTAIN_RESEND : WA_UNCERTAIN_PARK;
}

/* Reports that could not be heard may still come. */
static void
wait_longer(const WaSilence *silence, WaDisposition *disposition)
{
	disposition->state = WA_QUEUE_UNCERTAIN;
	disposition->status = "uncertain";
	disposition->reason = "uncertain";
	disposition->due_at = silence->wait_until;
}

/*
 * "place" matters to what is sent again.  Attempts that are used up are used up for
 * this, too.
 */
static void
follow(WaUncertainPolicy policy, const WaPlacedRow *place, WaDisposition *disposition)
{
	if (policy == WA_UNCERTAIN_RESEND && disposition->attempts >= wa_guc_max_attempts)
		policy = WA_UNCERTAIN_FAIL;
	switch (policy)
	{
		case WA_UNCERTAIN_RESEND:
			disposition->state = place->state;
			disposition->status = "queued";
			disposition->reason = place->hold_reason;
			disposition->due_at = place->due_at;
			break;
		case WA_UNCERTAIN_FAIL:
			disposition->state = WA_QUEUE_GONE;
			disposition->status = "failed";
			disposition->reason = "uncertain";
			break;
		default:
			disposition->state = WA_QUEUE_UNCERTAIN;
			disposition->status = "uncertain";
			disposition->reason = "parked";
			disposition->due_at = DT_NOEND;
			break;
	}
}

static void
alert_parked(const WaDisposition *disposition)
{
	WaAlert alert = {.severity = "warning",
					 .kind = "uncertain",
					 .scope = "number",
					 .key =
						 disposition->phone_number_id != NULL ? disposition->phone_number_id : "",
					 .message = "A message may or may not have been sent and no webhook says so: "
								"decide with wa_resolve_message()",
					 .message_id = disposition->message_id};

	wa_store_alert(&alert);
}

/* Wakes the sender that goes on with it, or a person. */
static void
announce(const WaDisposition *disposition, int64 rank)
{
	switch (disposition->state)
	{
		case WA_QUEUE_READY:
			wa_wake_ready(disposition->phone_number_id, rank);
			break;
		case WA_QUEUE_DEFERRED:
			wa_wake_due(disposition->due_at);
			break;
		case WA_QUEUE_UNCERTAIN:
			if (disposition->due_at == DT_NOEND)
				alert_parked(disposition);
			break;
		default:
			break;
	}
}

/* Of the rows under "auto", in their order, what the silence means. */
static WaSilence *
judge(const WaUncertainRow *rows, int n, TimestampTz hearing_since, TimestampTz now)
{
	int64 *ids = palloc(sizeof(int64) * Max(n, 1));
	int m = 0;

	for (int i = 0; i < n; i++)
		if (policy_for(&rows[i]) == WA_UNCERTAIN_AUTO)
			ids[m++] = rows[i].message_id;
	return wa_store_judge_silence(ids, m, wa_guc_uncertain_grace, hearing_since, now);
}

bool
wa_uncertain_decide(TimestampTz now, TimestampTz hearing_since)
{
	WaUncertainRow *rows;
	int n = wa_store_uncertain_due(now, BATCH, &rows);
	int64 *ids = palloc(sizeof(int64) * Max(n, 1));
	WaDisposition *dispositions = palloc0(sizeof(WaDisposition) * Max(n, 1));
	WaPlacedRow *places;
	WaSilence *silence = judge(rows, n, hearing_since, now);

	for (int i = 0; i < n; i++)
		ids[i] = rows[i].message_id;
	places = wa_store_placements(ids, n);
	for (int i = 0; i < n; i++)
	{
		WaUncertainPolicy policy = policy_for(&rows[i]);

		dispositions[i].message_id = rows[i].message_id;
		dispositions[i].phone_number_id = rows[i].phone_number_id;
		dispositions[i].attempts = rows[i].attempts;
		if (policy != WA_UNCERTAIN_AUTO)
			follow(policy, &places[i], &dispositions[i]);
		else if (silence->wait_until > now)
			wait_longer(silence++, &dispositions[i]);
		else
			follow(follow_silence(silence++), &places[i], &dispositions[i]);
	}
	wa_store_dispositions(dispositions, n);
	for (int i = 0; i < n; i++)
		announce(&dispositions[i], rows[i].rank);
	return n == BATCH;
}
