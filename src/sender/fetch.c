/*
 * fetch.c
 *	  Fetching the files that customers send.
 *
 * Sender 0 does it for all numbers, through an HTTP client of its own
 * (sender/fetch_client.c): two files at a time, and one for each number.  Meta is asked
 * where the file is, and from there, within the five minutes for which that address is
 * good, it is read; an address that is not any more costs an attempt, and the next one
 * asks again.
 *
 * The rows are whatsapp_inbound_media (sql/79-inbound-media.sql).  One is read and its
 * attempt counted in one short transaction, the requests are made after its commit, and
 * what has gone wrong, or the bytes, written in others: piece by piece, since the
 * messages of this sender wait meanwhile.  A process that dies in between leaves a row that
 * is due again after its back-off: the file is fetched once more and stored once.
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/secret.h"
#include "common/message_state.h"
#include "common/sha256.h"
#include "graph/media.h"
#include "graph/response.h"
#include "http/http.h"
#include "sender/fetch.h"
#include "sender/fetch_client.h"
#include "sender/store/fetch_rows.h"
#include "sender/store/transaction.h"

/* Wake-ups can be lost: look without being told. */
#define LOOK_INTERVAL_US INT64_C(30000000)

/* Stored in a turn of the loop: a few milliseconds. */
#define PIECE_BYTES (512 * 1024)

/* Before the next attempt if not the file but the account was refused. */
#define ACCOUNT_DELAY_MS 60000

typedef struct Fetch
{
	int64 inbound_id; /* 0: the slot is free */
	char number[WA_NUMBER_SIZE];
	char url[512]; /* where to ask for it; "" if the ids are none */
	int attempts;
	bool submitted;
	bool located;	  /* info is known, and the file itself on its way */
	bool arrived;	  /* the result is known: one of the following */
	bool too_large;	  /* by what was announced */
	bool for_good;	  /* there is no use in another attempt */
	bool not_counted; /* it was not the file's fault */
	int retry_after_s;
	char problem[640];	/* "" if there is none, and */
	WaHttpResult *file; /* the response with the bytes; released when they are stored */
	size_t stored;		/* of them */
	WaMediaInfo info;
} Fetch;

static Fetch fetches[WA_MAX_FETCHES];
static char last_number[WA_NUMBER_SIZE]; /* whose turn it was */
static bool look;
static int64 next_look_us;

void
wa_fetch_requested(void)
{
	look = true;
}

static void
release(Fetch *fetch)
{
	if (fetch->file != NULL)
		wa_http_release(wa_fetch_client.http, fetch->file);
	memset(fetch, 0, sizeof(*fetch));
}

static Fetch *
free_slot(void)
{
	for (int i = 0; i < WA_MAX_FETCHES; i++)
		if (fetches[i].inbound_id == 0)
			return &fetches[i];
	return NULL;
}

static bool
any_busy(void)
{
	for (int i = 0; i < WA_MAX_FETCHES; i++)
		if (fetches[i].inbound_id != 0)
			return true;
	return false;
}

static bool
any_arrived(void)
{
	for (int i = 0; i < WA_MAX_FETCHES; i++)
		if (fetches[i].arrived)
			return true;
	return false;
}

/* ---- the network ------------------------------------------------------------------ */

static void
has_failed(Fetch *fetch, const char *problem)
{
	fetch->arrived = true;
	strlcpy(fetch->problem, problem, sizeof(fetch->problem));
}

/* Meta has not said where the file is. */
static void
not_located(Fetch *fetch, const WaHttpResult *result)
{
	WaOutcome outcome;

	wa_graph_response_read(result, &outcome);
	fetch->retry_after_s = outcome.retry_after_s;
	has_failed(fetch, outcome.message[0] != '\0' ? outcome.message : "no answer");
	if (outcome.kind == WA_OUTCOME_NOT_WRITTEN)
		fetch->not_counted = true;
	if (outcome.kind != WA_OUTCOME_REFUSED)
		return;
	switch (outcome.error->error_class)
	{
		case WA_CLASS_PERMANENT:
		case WA_CLASS_NOT_APPLICABLE:
			fetch->for_good = true;
			break;
		case WA_CLASS_RETRY:
			break;
		default:
			fetch->not_counted = true;
	}
}

/* It has: the file is read from there, if it may be, with the token. */
static void
located(Fetch *fetch, const WaHttpResult *result)
{
	const char *problem = wa_graph_media_read(result, &fetch->info);

	if (problem != NULL)
		has_failed(fetch, problem);
	else if (!wa_graph_media_url_is_trusted(fetch->info.url, wa_guc_graph_url))
		has_failed(fetch, "the response names an address that is not Meta's");
	else if (fetch->info.size > (int64) wa_fetch_client_limit())
	{
		fetch->too_large = true;
		has_failed(fetch, "it is larger than whatsapp_shared.fetch_media_max_size");
	}
	else if (!wa_http_submit(wa_fetch_client.http, fetch->info.url, NULL, 0, NULL, fetch))
		has_failed(fetch, "the request could not be started");
	else
		fetch->located = true;
}

/* The file, or what has come in its place.  True: the response is kept. */
static bool
came(Fetch *fetch, WaHttpResult *result)
{
	if (result->phase != WA_HTTP_ANSWERED)
	{
		has_failed(fetch, result->error);
		return false;
	}
	if (result->status != 200)
	{
		fetch->retry_after_s = result->retry_after_s;
		snprintf(fetch->problem, sizeof(fetch->problem), "reading the file gave HTTP status %ld",
				 result->status);
		fetch->arrived = true;
		return false;
	}
	if (fetch->info.size >= 0 && result->body_len != (size_t) fetch->info.size)
	{
		snprintf(fetch->problem, sizeof(fetch->problem),
				 "%zu bytes came in place of the " INT64_FORMAT " announced", result->body_len,
				 fetch->info.size);
		fetch->arrived = true;
		return false;
	}
	fetch->arrived = true;
	fetch->file = result;
	return true;
}

void
wa_fetch_network(void)
{
	WaHttp *client = wa_fetch_client.http;
	WaHttpResult *result;

	if (client == NULL)
		return;
	wa_http_step(client);
	while ((result = wa_http_next_result(client)) != NULL)
	{
		Fetch *fetch = result->tag;
		bool kept = false;

		if (fetch->located)
			kept = came(fetch, result);
		else if (result->phase == WA_HTTP_ANSWERED && result->status == 200)
			located(fetch, result);
		else
			not_located(fetch, result);
		if (!kept)
			wa_http_release(client, result);
	}
}

/* ---- the rows ------------------------------------------------------------------------ */

static void
record_failure(const Fetch *fetch)
{
	WaFetchFailure failure = {.inbound_id = fetch->inbound_id,
							  .verdict = "wanted",
							  .reason = fetch->problem,
							  .size = fetch->located || fetch->too_large ? fetch->info.size : -1,
							  .counts = !fetch->not_counted};

	if (fetch->too_large)
		failure.verdict = "skipped";
	else if (fetch->for_good || (failure.counts && fetch->attempts >= wa_guc_max_attempts))
		failure.verdict = "failed";
	failure.delay_ms =
		wa_message_backoff_ms(fetch->attempts, wa_guc_retry_delay, (int64) wa_guc_retry_max_delay,
							  pg_prng_uint32(&pg_global_prng_state));
	if (fetch->not_counted)
		failure.delay_ms = Max(failure.delay_ms, ACCOUNT_DELAY_MS);
	failure.delay_ms = Max(failure.delay_ms, (int64) fetch->retry_after_s * 1000);
	wa_store_fetch_failed(&failure);
}

static bool
is_announced(const Fetch *fetch)
{
	char digits[WA_SHA256_SIZE];

	if (!wa_sha256(digits, fetch->file->body, fetch->file->body_len))
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg("could not compute the SHA-256 of a customer's file")));
	return pg_strcasecmp(digits, fetch->info.sha256) == 0;
}

/* Returns how many bytes are stored with it. */
static size_t
store_piece(const Fetch *fetch)
{
	size_t size = fetch->file->body_len;
	size_t n = Min(size - fetch->stored, PIECE_BYTES);

	wa_store_file_piece(fetch->inbound_id, fetch->stored, fetch->file->body + fetch->stored, n);
	if (fetch->stored + n == size)
		wa_store_fetched(fetch->inbound_id, size, fetch->info.sha256, fetch->info.mime_type);
	return fetch->stored + n;
}

/* Each in a transaction of its own: the next one waits no longer than for one piece. */
static void
record(Fetch *fetch)
{
	size_t stored = 0;

	wa_store_begin("storing files of customers");
	if (fetch->file != NULL && fetch->stored == 0 && !is_announced(fetch))
		has_failed(fetch, "the bytes that came have another SHA-256 than announced");
	if (fetch->problem[0] != '\0')
		record_failure(fetch);
	else
		stored = store_piece(fetch);
	wa_store_commit();

	fetch->stored = stored;
	if (fetch->problem[0] == '\0' && stored < fetch->file->body_len)
		return;
	release(fetch);
	look = true;
}

/* A piece of one in a turn of the loop: the messages come first. */
static void
record_one(void)
{
	for (int i = 0; i < WA_MAX_FETCHES; i++)
		if (fetches[i].arrived)
		{
			record(&fetches[i]);
			return;
		}
}

/* The next one that is due, of a number for which none is on its way. */
static bool
next_file(WaFetchRow *row)
{
	const char *busy[WA_MAX_FETCHES];
	int n = 0;

	for (int i = 0; i < WA_MAX_FETCHES; i++)
		if (fetches[i].inbound_id != 0)
			busy[n++] = fetches[i].number;
	return wa_store_next_fetch(busy, n, last_number, wa_guc_retry_delay, wa_guc_retry_max_delay,
							   row);
}

/* Nothing is due now: when to look again. */
static void
plan_next_look(void)
{
	TimestampTz next = wa_store_next_fetch_time();
	int64 wait = next == DT_NOEND ? LOOK_INTERVAL_US : next - wa_now();

	next_look_us = wa_now_us() + Max(0, Min(wait, LOOK_INTERVAL_US));
}

static void
take(Fetch *fetch, const WaFetchRow *row)
{
	fetch->inbound_id = row->inbound_id;
	fetch->attempts = row->attempts;
	strlcpy(fetch->number, row->phone_number_id, sizeof(fetch->number));
	strlcpy(last_number, row->phone_number_id, sizeof(last_number));
	if (!wa_graph_media_url(fetch->url, sizeof(fetch->url), wa_guc_graph_url, wa_guc_api_version,
							row->media_id, row->phone_number_id))
		fetch->url[0] = '\0';
}

/* False: it could not be started, and is due again after its back-off. */
static bool
submit(Fetch *fetch)
{
	const char *token = wa_secret_access_token();

	if (fetch->url[0] == '\0')
	{
		fetch->for_good = true;
		has_failed(fetch, "the IDs of the file and its number are not Meta's");
	}
	else if (token == NULL || !wa_http_set_token(wa_fetch_client.http, token) ||
			 !wa_http_submit(wa_fetch_client.http, fetch->url, NULL, 0, NULL, fetch))
	{
		release(fetch);
		return false;
	}
	else
		fetch->submitted = true;
	return true;
}

/* Starts one that is due.  False if there is none, or none that may go out now. */
static bool
start_one(void)
{
	Fetch *fetch = free_slot();
	WaFetchRow row;
	bool found;

	if (fetch == NULL || (wa_fetch_client_is_outdated() && any_busy()))
	{
		next_look_us = wa_now_us() + LOOK_INTERVAL_US;
		return false;
	}
	if (wa_fetch_client_is_outdated())
		wa_task_client_close(&wa_fetch_client);
	wa_store_begin("fetching files of customers");
	found = next_file(&row);
	if (found)
		take(fetch, &row);
	else
		plan_next_look();
	wa_store_commit();

	if (!found)
		return false;
	wa_fetch_client_open();
	if (submit(fetch))
		return true;
	next_look_us = wa_now_us() + LOOK_INTERVAL_US;
	return false;
}

static bool
may_fetch(WaSender *sender)
{
	return !sender->stopping && sender->at_home && wa_guc_enabled && sender->has_token &&
		   sender->account_paused_until == 0;
}

void
wa_fetch_run(WaSender *sender)
{
	if (sender->index != 0)
		return;
	record_one();
	if (may_fetch(sender) && (look || wa_now_us() >= next_look_us))
	{
		look = false;
		while (start_one())
			;
	}
	if (!any_busy())
		wa_task_client_close(&wa_fetch_client);
}

/* What had come could not be stored: it is fetched once more when it is due. */
void
wa_fetch_aborted(WaSender *sender)
{
	for (int i = 0; i < WA_MAX_FETCHES; i++)
		if (fetches[i].arrived || !fetches[i].submitted)
			release(&fetches[i]);
	next_look_us = wa_now_us() + LOOK_INTERVAL_US;
}

void
wa_fetch_abandon(void)
{
	for (int i = 0; i < WA_MAX_FETCHES; i++)
		release(&fetches[i]);
	wa_task_client_close(&wa_fetch_client);
	look = true;
}

long
wa_fetch_wait_ms(WaSender *sender)
{
	if (sender->index != 0)
		return -1;
	if (any_arrived())
		return 0;
	if (!may_fetch(sender))
		return -1;
	if (look)
		return 0;
	return (long) Max(0, (next_look_us - wa_now_us() + 999) / 1000);
}
