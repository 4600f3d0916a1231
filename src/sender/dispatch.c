/*
 * dispatch.c
 *	  One cycle of a sender: collect, settle, claim, submit.
 *
 * Settling and claiming share a transaction when both are due: that halves the
 * commits of a busy sender.  Nothing of it waits for the network; requests are
 * submitted after the commit and collected in a later cycle.
 *
 * What is claimed may be more than what can leave at once (sender/pace/concurrency.c).
 * When somebody stops the sending, what was only leased goes back, and what still waits
 * for a connection (sender/withdraw.c).
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "graph/request.h"
#include "graph/usage_header.h"
#include "http/http.h"
#include "sender/begin.h"
#include "sender/claim.h"
#include "sender/dispatch.h"
#include "sender/home.h"
#include "sender/http_client.h"
#include "sender/measure.h"
#include "sender/notice.h"
#include "sender/pace/concurrency.h"
#include "sender/receipts.h"
#include "sender/settle.h"
#include "sender/state/wire.h"
#include "sender/store/transaction.h"
#include "sender/sync.h"
#include "sender/upload.h"
#include "sender/withdraw.h"
#include "shared/shmem.h"

static WaOutcome *next_outcome; /* memory for the next job that finishes */
static bool apart;				/* after a failure: settle and claim in transactions of their own */

void
wa_dispatch_open(WaSender *sender)
{
	wa_http_client_open(sender);
	wa_withdraw_note_address(sender);
	wa_concurrency_start(sender, wa_http_client_most());
	wa_concurrency_set_slots(sender, wa_http_capacity(sender->http));
	wa_wire_bound_aside(&sender->numbers, wa_http_client_most());
	wa_wire_forget_trouble(&sender->numbers);
}

/* What has begun to leave ends as it began, beside what leaves from now on. */
void
wa_dispatch_reopen(WaSender *sender)
{
	wa_http_client_reopen(sender);
	wa_concurrency_configured(sender, wa_http_client_most());
	wa_wire_bound_aside(&sender->numbers, wa_http_client_most());
}

void
wa_dispatch_close(WaSender *sender)
{
	wa_http_client_close(sender);
}

/* After a reload, which may have mended what was wrong. */
void
wa_dispatch_check_settings(WaSender *sender)
{
	wa_withdraw_note_address(sender);
	wa_http_client_check_settings(sender);
	wa_wire_forget_trouble(&sender->numbers);
}

/*
 * Obtains what the next job that finishes needs.  To be called while the job is in
 * a list, and its result still to be fetched: from then on nothing may fail, or
 * the job would be lost until the process ends.
 */
static void
prepare_outcome(WaSender *sender)
{
	if (next_outcome == NULL)
		next_outcome = MemoryContextAlloc(sender->state_context, sizeof(WaOutcome));
}

/*
 * A job that is not on the wire any more, or never was, and is in no list: it
 * waits for its settlement from here on.  Returns its outcome, to be filled in.
 */
static WaOutcome *
finished(WaSender *sender, WaJob *job)
{
	if (job->holds_token)
		wa_number_stays(job->number);
	job->holds_token = false;
	job->outcome = memset(next_outcome, 0, sizeof(WaOutcome));
	next_outcome = NULL;
	job->finished_at = wa_now();
	job->finished_us = wa_now_us();
	dlist_push_tail(&sender->finished, &job->node);
	sender->n_finished++;
	return job->outcome;
}

/* Nothing of this request has left: as certain as it gets. */
static void
not_started(WaSender *sender, WaJob *job, const char *why)
{
	WaOutcome *outcome = finished(sender, job);

	outcome->kind = WA_OUTCOME_NOT_WRITTEN;
	outcome->retry_after_s = -1;
	strlcpy(outcome->message, why, sizeof(outcome->message));
}

static bool
may_submit(const WaSender *sender)
{
	return wa_concurrency_has_room(sender) && wa_http_client_has_room(sender);
}

/* The request goes to the network, or fails at once. */
static void
begin(WaSender *sender, WaJob *job, const char *url)
{
	wa_wire_begun(job->number, job->started_us);
	if (wa_http_submit(sender->http, url, job->body, job->body_len, NULL, job))
	{
		dlist_push_tail(&sender->in_flight, &job->node);
		sender->n_in_flight++;
		pg_atomic_fetch_add_u64(&sender->slot->counters.requests, 1);
		return;
	}
	not_started(sender, job, "the request could not be started");
	wa_wire_failed(job->number, job->probe, job->started_us, false, job->outcome->message,
				   job->finished_us);
}

/*
 * Submits what is leased, as far as the concurrency limit allows.  What must not be begun
 * any more is put back: everything at once, if everything is stopped.
 */
static void
submit(WaSender *sender)
{
	bool stopped = !wa_sender_may_send(sender);
	StringInfoData url;

	wa_withdraw_before_submit(sender);
	while (sender->n_leased > 0 && (stopped || may_submit(sender)))
	{
		WaJob *job = dlist_container(WaJob, node, dlist_head_node(&sender->leased));
		WaBegin verdict = wa_begin_verdict(job->lease);

		if (!stopped && verdict == WA_BEGIN_NOT_YET)
			break;
		prepare_outcome(sender);
		initStringInfo(&url);
		wa_graph_messages_url(&url, wa_guc_graph_url, wa_guc_api_version, job->number->id,
							  job->marketing);
		dlist_delete(&job->node);
		sender->n_leased--;
		job->started_us = wa_now_us();
		job->started_at = wa_now();
		job->withdrawn = stopped || verdict == WA_BEGIN_NEVER || wa_withdraw_is_stopped(job);
		if (job->withdrawn)
		{
			not_started(sender, job, "it was put back before this request was begun");
			wa_wire_left(job->number, job->probe);
		}
		else
			begin(sender, job, url.data);
		pfree(url.data);
		pfree(job->body);
		job->body = NULL;
	}
}

/*
 * It counts for its number's rate from now on, when it has left for certain.  libcurl
 * tells before it writes, and on a busy machine this process may have had to wait in
 * between: counted from there, the next second began before this one.
 */
static void
left(WaSender *sender, WaJob *job, int64 begun_us)
{
	if (!job->holds_token)
		return;
	wa_number_left(job->number, wa_now_us());
	wa_measure_left(sender, job, begun_us);
	job->holds_token = false;
}

/* The response of one request. */
static void
answered(WaSender *sender, WaHttpResult *result)
{
	WaJob *job = result->tag;

	if (result->begun_us != 0)
		left(sender, job, result->begun_us);
	dlist_delete(&job->node);
	sender->n_in_flight--;
	wa_measure_ended(sender, result->begun_us, result->finished_us);
	wa_concurrency_answered();
	wa_graph_response_read(result, finished(sender, job));
	if (job->outcome->kind == WA_OUTCOME_ACCEPTED || job->outcome->kind == WA_OUTCOME_REFUSED)
		wa_wire_answered(job->number, job->probe, job->finished_us);
	else if (job->withdrawn)
		wa_wire_left(job->number, job->probe);
	else
		wa_wire_failed(job->number, job->probe, job->started_us,
					   job->outcome->kind == WA_OUTCOME_UNCERTAIN, job->outcome->message,
					   job->finished_us);
	if (result->usage[0] != '\0')
		wa_bucket_usage(&job->number->bucket, wa_usage_percent(result->usage), result->finished_us);
	if (result->api_version[0] != '\0')
		strlcpy(sender->api_version_seen,
				strcmp(result->api_version, wa_guc_api_version) != 0 ? result->api_version : "",
				sizeof(sender->api_version_seen));
}

void
wa_dispatch_network(WaSender *sender)
{
	WaHttpResult *result;
	void *tag;
	int64 begun_us;

	wa_http_client_refresh_token(sender);
	wa_withdraw_before_network(sender);
	wa_http_step(sender->http);
	while (wa_http_next_begun(sender->http, &tag, &begun_us))
		if (wa_withdraw_is_message(tag))
			left(sender, tag, begun_us);
	for (;;)
	{
		prepare_outcome(sender);
		result = wa_http_next_result(sender->http);
		if (result == NULL)
			break;
		wa_measure_clock(sender, result);
		if (result->tag == NULL)
			wa_sync_response(sender, result);
		else if (wa_upload_is_tag(result->tag))
			wa_upload_response(sender, result);
		else if (wa_receipts_is_tag(result->tag))
			wa_receipts_response(sender, result);
		else
			answered(sender, result);
		wa_http_release(sender->http, result);
	}
	sender->n_draining = wa_http_draining(sender->http);
	if (wa_wire_is_back(&sender->numbers))
		wa_http_abort_unbegun(sender->http);
	submit(sender);
	/* Also while all that is out hangs, and no cycle is run. */
	wa_concurrency_adapt(sender, wa_http_client_most());
	wa_concurrency_set_slots(sender, wa_http_capacity(sender->http));
	pg_atomic_write_u32(&sender->slot->counters.in_flight, sender->n_in_flight);
	pg_atomic_write_u32(&sender->slot->counters.connections, wa_http_connections(sender->http));
}

void
wa_dispatch_cycle(WaSender *sender)
{
	bool settle = wa_settle_due(sender);
	bool claim = wa_claim_due(sender);
	bool slow = wa_settle_slow_due(sender);
	bool notice = wa_notice_due(sender);

	if (settle && apart)
		claim = false;
	if (!settle && !claim && !slow && !notice)
		return;

	wa_store_begin("sending WhatsApp messages");
	if (settle)
		wa_settle_run(sender);
	if (slow)
		wa_settle_mark_slow(sender);
	if (notice)
		wa_notice_write(sender);
	if (claim && wa_home_keep(sender))
		wa_claim_run(sender);
	wa_store_commit();

	apart = apart && !claim;
	wa_settle_committed(sender);
	wa_claim_committed(sender);
	if (notice)
		wa_notice_committed(sender);
	submit(sender);
	wa_http_step(sender->http); /* before the rest of this turn: somebody may be waiting */
	wa_concurrency_set_slots(sender, wa_http_capacity(sender->http));
	pg_atomic_fetch_add_u64(&sender->slot->counters.cycles, 1);
	pg_atomic_write_u64(&sender->slot->counters.last_cycle_at, (uint64) wa_now());
}

/* The cycle's transaction has failed: what it decided never happened. */
void
wa_dispatch_aborted(WaSender *sender)
{
	apart = true;
	wa_settle_aborted(sender);
	wa_claim_aborted(sender);
}

void
wa_dispatch_stop(WaSender *sender)
{
	sender->stopping = true;
	submit(sender);
}

void
wa_dispatch_abandon(WaSender *sender)
{
	wa_http_abort_all(sender->http);
	wa_dispatch_network(sender);
}

long
wa_dispatch_wait_ms(WaSender *sender)
{
	long wait = wa_http_timeout_ms(sender->http);

	if (sender->n_leased > 0 && may_submit(sender))
		wait = wa_sooner_ms(wait, WA_BEGIN_ASK_MS);
	wait = wa_sooner_ms(wait, wa_settle_wait_ms(sender));
	wait = wa_sooner_ms(wait, wa_notice_wait_ms(sender));
	return wa_sooner_ms(wait, wa_claim_wait_ms(sender));
}
