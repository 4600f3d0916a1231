/*
 * dispatch.c
 *	  One cycle of a sender: collect, settle, claim, submit.
 *
 * Settling and claiming share a transaction when both are due: that halves the
 * commits of a busy sender.  Nothing of it waits for the network; requests are
 * submitted after the commit and collected in a later cycle.
 *
 * How many requests are allowed on the wire (the concurrency limit) depends on
 * what limits us.  If the sender sits waiting for responses with the limit
 * reached, the peer is slow and the limit grows; if it is busy all the time, more
 * requests out would only be more connections to look after, and it shrinks.
 * Response times would be the wrong measure: a busy sender's own delays are part
 * of them.
 *
 * What leaves within the next moment is claimed ahead, so that requests follow
 * each other while a transaction is being written, and one transaction serves
 * many.  It is a moment only, because whatever is leased when the process dies
 * has to be taken for sent.  And when somebody stops the sending, what was only
 * leased goes back, and what still waits for a connection.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/secret.h"
#include "graph/request.h"
#include "graph/usage_header.h"
#include "http/http.h"
#include "sender/begin.h"
#include "sender/claim.h"
#include "sender/consent.h"
#include "sender/descriptors.h"
#include "sender/dispatch.h"
#include "sender/measure.h"
#include "sender/home.h"
#include "sender/notice.h"
#include "sender/settle.h"
#include "sender/state/wire.h"
#include "sender/store/transaction.h"
#include "sender/sync.h"
#include "sender/trust.h"
#include "sender/upload.h"
#include "shared/shmem.h"

#define MIN_CONCURRENCY 128

/* The concurrency limit is adapted after this long. */
#define MEASURED_US 50000

/* What is claimed ahead: what leaves in this time, and never more than this. */
#define AHEAD_US 20000
#define MAX_AHEAD 512

/* Shares of that time spent waiting with the limit reached. */
#define IDLE_TO_GROW 0.10
#define IDLE_TO_SHRINK 0.02

/* A Graph response is a few hundred bytes; one page of a listing some ten kB. */
#define MAX_RESPONSE (4 * 1024 * 1024)

/* What the HTTP client depends on; compared byte by byte. */
typedef struct ClientSettings
{
	int max_in_flight;
	int max_connections;
	int connect_timeout;
	int request_timeout;
} ClientSettings;

static ClientSettings opened_with;

/* How the concurrency limit has done since it was last adapted. */
static struct
{
	int64 since_us;
	int64 waited_us; /* for responses, with it reached */
	int responses;
} measured;

static uint64 secret_generation; /* of the token in use; 0: none yet */
static WaOutcome *next_outcome;	 /* memory for the next job that finishes */
static uint64 withdrawn_under;	 /* the generation of the configuration that was followed */
static bool readdressed;		 /* what has not begun goes to where nothing is to go any more */
static bool unchecked;			 /* opt-outs have come that could not be looked for */
static bool apart; /* after a failure: settle and claim in transactions of their own */

static void
read_settings(ClientSettings *settings)
{
	memset(settings, 0, sizeof(ClientSettings));
	settings->max_in_flight = wa_guc_max_in_flight;
	settings->max_connections = wa_guc_max_connections;
	settings->connect_timeout = wa_guc_connect_timeout;
	settings->request_timeout = wa_guc_request_timeout;
}

/* Notes where requests go from now on; true if they went elsewhere before. */
static bool
address_changed(WaSender *sender)
{
	static char *address = NULL;
	StringInfoData now;
	bool changed;

	initStringInfo(&now);
	wa_graph_messages_url(&now, wa_guc_graph_url, wa_guc_api_version, "0");
	changed = address != NULL && strcmp(address, now.data) != 0;
	if (changed)
		pfree(address);
	if (address == NULL || changed)
		address = MemoryContextStrdup(sender->state_context, now.data);
	pfree(now.data);
	return changed;
}

/* After a reload: whether the client has to be told. */
void
wa_dispatch_check_settings(WaSender *sender)
{
	ClientSettings settings;

	readdressed |= address_changed(sender);
	read_settings(&settings);
	sender->reopen = memcmp(&settings, &opened_with, sizeof(settings)) != 0 || wa_trust_changed();
	wa_wire_forget_trouble(&sender->numbers);
}

/*
 * How many requests there may be, leased ones among them: as many as are useful, and
 * no more than the client can have under way.  Those of numbers in trouble are of
 * no use and come on top.
 */
static void
set_slots(WaSender *sender)
{
	WaWire *wire = &sender->numbers.wire;
	int before = wire->slots;

	wire->slots = Min(sender->concurrency + wire->stuck, wa_http_capacity(sender->http)) +
				  sender->n_draining + sender->ahead;
	if (wire->slots > before && wire->held > 0)
		wa_numbers_turns_changed(&sender->numbers);
}

/* For the requests from now on; without one nothing is claimed. */
static void
use_token(WaSender *sender)
{
	const char *token = wa_secret_access_token();

	sender->has_token = token != NULL && wa_http_set_token(sender->http, token);
}

/* By the settings as they are now. */
static WaHttpConfig
client_config(WaSender *sender)
{
	WaHttpConfig config = {0};
	int connections;

	read_settings(&opened_with);
	connections = opened_with.max_connections > 0
					  ? Min(opened_with.max_connections, opened_with.max_in_flight)
					  : opened_with.max_in_flight;
	config.ca_file = wa_trust_bundle();
	config.max_in_flight = opened_with.max_in_flight;
	config.max_connections = opened_with.max_connections;
	config.max_sockets = wa_descriptors_for_sockets(connections);
	config.connect_timeout_ms = opened_with.connect_timeout;
	config.request_timeout_ms = opened_with.request_timeout;
	config.max_response = MAX_RESPONSE;
	pg_atomic_write_u32(&sender->slot->counters.connections_wanted, connections);
	pg_atomic_write_u32(&sender->slot->counters.connections_possible, wa_descriptors_connections());
	return config;
}

static void
no_client(void)
{
	ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not initialize the HTTP client"),
					errhint("Check the memory and the descriptors available.")));
}

void
wa_dispatch_open(WaSender *sender)
{
	WaHttpConfig config = client_config(sender);

	sender->http = wa_http_create(&config);
	if (sender->http == NULL)
		no_client();
	sender->reopen = false;
	(void) address_changed(sender);
	sender->concurrency = Min(MIN_CONCURRENCY, opened_with.max_in_flight);
	sender->ahead = 0;
	set_slots(sender);
	wa_wire_forget_trouble(&sender->numbers);
	memset(&measured, 0, sizeof(measured));
	measured.since_us = wa_now_us();
	if (secret_generation == 0)
		secret_generation = wa_secret_token_generation();
	use_token(sender);
}

/* What has begun to leave ends as it began, beside what leaves from now on. */
void
wa_dispatch_reopen(WaSender *sender)
{
	WaHttpConfig config = client_config(sender);

	if (!wa_http_reconfigure(sender->http, &config))
		no_client();
	sender->reopen = false;
	sender->concurrency = Min(sender->concurrency, opened_with.max_in_flight);
	sender->n_draining = wa_http_draining(sender->http);
}

void
wa_dispatch_close(WaSender *sender)
{
	if (sender->http != NULL)
		wa_http_destroy(sender->http);
	sender->http = NULL;
}

/* Follows a rotated token. */
static void
refresh_token(WaSender *sender)
{
	if (secret_generation == wa_secret_token_generation())
		return;
	sender->token_rotated = true;
	secret_generation = wa_secret_token_generation();
	use_token(sender);
}

/* Adapts the concurrency limit to what limits us; see the top of this file. */
static void
adapt_concurrency(WaSender *sender)
{
	int64 now = wa_now_us();
	int64 elapsed = now - measured.since_us;
	int limit = sender->concurrency;
	double idle;

	if (elapsed < MEASURED_US)
		return;
	idle = (double) measured.waited_us / elapsed;
	if (idle > IDLE_TO_GROW)
		limit += limit / 2;
	else if (idle < IDLE_TO_SHRINK)
		limit -= limit / 16;
	sender->concurrency = Min(Max(limit, MIN_CONCURRENCY), wa_guc_max_in_flight);
	sender->ahead = (int) Min(measured.responses * (int64) AHEAD_US / elapsed, MAX_AHEAD);
	memset(&measured, 0, sizeof(measured));
	measured.since_us = now;
}

/*
 * The sender has slept this long; it counts if only a response could have woken it:
 * all is used, or what may be used by those who have something to send.
 */
void
wa_dispatch_slept(WaSender *sender, int64 us)
{
	int useful = sender->n_in_flight + sender->n_finished - sender->numbers.wire.stuck;

	if (sender->numbers.wire.held > 0 || useful >= sender->concurrency - sender->concurrency / 8)
		measured.waited_us += us;
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

/* Besides the messages there are uploads and what is read from Meta. */
static bool
may_submit(WaSender *sender)
{
	return wa_sender_on_the_wire(sender) < sender->concurrency + sender->numbers.wire.stuck &&
		   wa_http_in_flight(sender->http) - sender->n_draining < opened_with.max_in_flight;
}

/* Since its lease, somebody may have stopped what this one belongs to. */
static bool
is_stopped(const WaJob *job)
{
	return job->number->paused_until != 0 || job->tenant->paused_until != 0 ||
		   !job->tenant->enabled || job->opted_out;
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

/* What is leased or handed over, and has not begun. */
typedef struct Unbegun
{
	WaJob **jobs;
	int n;
} Unbegun;

/* Not a reading from Meta and not an upload, which nobody stops. */
static bool
is_message(const void *tag)
{
	return tag != NULL && !wa_upload_is_tag(tag);
}

static bool
collect(void *tag, void *arg)
{
	Unbegun *unbegun = arg;

	if (is_message(tag))
		unbegun->jobs[unbegun->n++] = tag;
	return true;
}

static void
check_consent(WaSender *sender)
{
	Unbegun unbegun = {0};
	dlist_iter iter;

	unbegun.jobs = palloc(sizeof(WaJob *) * (sender->n_leased + sender->n_in_flight + 1));
	dlist_foreach (iter, &sender->leased)
		unbegun.jobs[unbegun.n++] = dlist_container(WaJob, node, iter.cur);
	wa_http_ask_unbegun(sender->http, collect, &unbegun);
	wa_consent_check(sender, unbegun.jobs, unbegun.n);
	pfree(unbegun.jobs);
}

static bool
may_begin(void *tag, void *arg)
{
	WaSender *sender = arg;
	WaJob *job = tag;

	if (!is_message(tag))
		return true;
	job->withdrawn = unchecked || readdressed || !wa_sender_may_send(sender) || is_stopped(job);
	return !job->withdrawn;
}

/*
 * Before anything begins: stops what has been handed over already and still waits for a
 * connection.  Costs nothing unless something has changed.  If the question who wants
 * it has failed, the next turn stops it all instead: its network cannot wait.
 */
static void
withdraw(WaSender *sender)
{
	bool changed = wa_consent_has_changed(sender);

	if (changed && !unchecked)
	{
		unchecked = true;
		check_consent(sender);
		unchecked = false;
	}
	if (!changed && !readdressed && wa_sender_may_send(sender) &&
		withdrawn_under == sender->config_generation)
		return;
	withdrawn_under = sender->config_generation;
	wa_http_ask_unbegun(sender->http, may_begin, sender);
	readdressed = false;
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

	unchecked = false;
	withdraw(sender);
	while (sender->n_leased > 0 && (stopped || may_submit(sender)))
	{
		WaJob *job = dlist_container(WaJob, node, dlist_head_node(&sender->leased));
		WaBegin verdict = wa_begin_verdict(job->lease);

		if (!stopped && verdict == WA_BEGIN_NOT_YET)
			break;
		prepare_outcome(sender);
		initStringInfo(&url);
		wa_graph_messages_url(&url, wa_guc_graph_url, wa_guc_api_version, job->number->id);
		dlist_delete(&job->node);
		sender->n_leased--;
		job->started_us = wa_now_us();
		job->started_at = wa_now();
		job->withdrawn = stopped || verdict == WA_BEGIN_NEVER || is_stopped(job);
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

/* It counts for its number's rate from when it leaves, and not before. */
static void
left(WaSender *sender, WaJob *job, int64 at)
{
	if (!job->holds_token)
		return;
	wa_number_left(job->number, at);
	wa_measure_left(sender, job, at);
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
	measured.responses++;
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

	refresh_token(sender);
	withdraw(sender);
	wa_http_step(sender->http);
	while (wa_http_next_begun(sender->http, &tag, &begun_us))
		if (is_message(tag))
			left(sender, tag, begun_us);
	for (;;)
	{
		prepare_outcome(sender);
		result = wa_http_next_result(sender->http);
		if (result == NULL)
			break;
		if (result->tag == NULL)
			wa_sync_response(sender, result);
		else if (wa_upload_is_tag(result->tag))
			wa_upload_response(sender, result);
		else
			answered(sender, result);
		wa_http_release(sender->http, result);
	}
	sender->n_draining = wa_http_draining(sender->http);
	if (wa_wire_is_back(&sender->numbers))
		wa_http_abort_unbegun(sender->http);
	submit(sender);
	adapt_concurrency(sender); /* also while all that is out hangs, and no cycle is run */
	set_slots(sender);
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
	set_slots(sender);
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

/* Deferred until then, by somebody else. */
static void
becomes_due(WaSender *sender, TimestampTz due)
{
	sender->next_due = Min(sender->next_due, due);
	sender->told_due = Min(sender->told_due, due);
	if (due <= wa_now())
		wa_upload_requested();
}

/* There were too many wake-ups to tell each number's from the others'. */
static void
take_spilled(WaSender *sender, const WaSpilledWakes *spilled)
{
	HASH_SEQ_STATUS scan;
	WaNumber *number;
	int64 rank;

	hash_seq_init(&scan, sender->numbers.table);
	while ((number = hash_seq_search(&scan)) != NULL)
		if (number->mine && wa_wake_spilled(spilled, number->key, &rank))
			wa_number_lower_cursor(number, rank);
	if (spilled->any_due)
		becomes_due(sender, spilled->due);
}

void
wa_dispatch_take_wakes(WaSender *sender)
{
	static WaWake wakes[WA_WAKE_RING];
	static WaSpilledWakes spilled;
	bool everything = false;
	int n = wa_shmem_drain_wakes(sender->slot, wakes, &spilled, &everything);

	for (int i = 0; i < n; i++)
	{
		if (wakes[i].kind == WA_WAKE_DUE)
		{
			becomes_due(sender, wakes[i].value);
		}
		else
		{
			WaNumber *number =
				hash_search(sender->numbers.table, &wakes[i].number_key, HASH_FIND, NULL);

			if (wakes[i].kind == WA_WAKE_INBOUND)
			{
				if (number != NULL)
					wa_number_came_in(number, wakes[i].value, wa_now_us());
			}
			else if (number != NULL)
				wa_number_lower_cursor(number, wakes[i].value);
			else
				sender->next_sweep_us = 0; /* a number never heard of: look for it */
		}
	}
	if (spilled.any)
		take_spilled(sender, &spilled);
	if (everything)
		sender->next_sweep_us = 0;
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
