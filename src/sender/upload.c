/*
 * upload.c
 *	  Uploading files to Meta.
 *
 * Sender 0 uploads for all numbers, through the same connections as the
 * messages: a few files at a time, and one for each number, so that a tenant
 * with many files does not keep the others waiting.
 *
 * The rows are whatsapp_media; what happens to them and to the messages that
 * wait for them is in sql/55-media.sql.  A file is read and its attempt counted
 * in one short transaction, sent after its commit, and the response recorded in
 * another.  A process that dies in between leaves a row that is due again after
 * the back-off: an upload that was done twice harms nobody.
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "common/jsonscan.h"
#include "common/message_state.h"
#include "graph/multipart.h"
#include "graph/response.h"
#include "http/http.h"
#include "sender/store/transaction.h"
#include "sender/store/upload_rows.h"
#include "sender/upload.h"

/* Files on the wire at a time, and bytes beyond which no further one is begun. */
#define MAX_UPLOADS 4
#define MAX_BYTES (32 * 1024 * 1024)

/* Wake-ups can be lost, and numbers come back: look without being told. */
#define LOOK_INTERVAL_US INT64_C(30000000)

/* Bytes and files no longer needed. */
#define CLEAN_INTERVAL_US INT64_C(300000000)

/* Before the next attempt if not the file but the account was refused. */
#define ACCOUNT_DELAY_MS 60000

/* The JSON {"id": "…"} has three values; room for what else may come. */
#define MAX_RESPONSE_NODES 64

typedef struct Upload
{
	int64 medium; /* whatsapp_media.id; 0: the slot is free */
	char number[WA_NUMBER_SIZE];
	size_t size;
	int attempts;
	bool submitted;
	bool arrived;
	char id[64]; /* Meta's, "" if it did not say one */
	WaOutcome outcome;
} Upload;

static Upload uploads[MAX_UPLOADS];
static bool look;
static int64 next_look_us;
static int64 next_clean_us;

void
wa_upload_requested(void)
{
	look = true;
}

bool
wa_upload_is_tag(const void *tag)
{
	for (int i = 0; i < MAX_UPLOADS; i++)
		if (tag == &uploads[i])
			return true;
	return false;
}

static bool
any_arrived(void)
{
	for (int i = 0; i < MAX_UPLOADS; i++)
		if (uploads[i].medium != 0 && uploads[i].arrived)
			return true;
	return false;
}

static void
release(Upload *upload)
{
	memset(upload, 0, sizeof(*upload));
}

/* ---- responses ------------------------------------------------------------------ */

/* The id in the response to an upload; "" if there is none. */
static void
read_id(const WaHttpResult *result, char *id, size_t size)
{
	WaJsonNode nodes[MAX_RESPONSE_NODES];
	WaJson json;
	char *text = pnstrdup(result->body, result->body_len);

	id[0] = '\0';
	if (pg_verifymbstr(text, (int) result->body_len, true) &&
		wa_json_scan(&json, text, result->body_len, nodes, lengthof(nodes)) &&
		wa_json_string(&json, wa_json_member(&json, 0, "id"), id, size) < 0)
		id[0] = '\0';
	if (strspn(id, "0123456789") != strlen(id))
		id[0] = '\0';
	pfree(text);
}

void
wa_upload_response(WaSender *sender, const WaHttpResult *result)
{
	Upload *upload = result->tag;

	upload->arrived = true;
	wa_graph_response_read(result, &upload->outcome);
	if (result->phase == WA_HTTP_ANSWERED && result->status == 200)
		read_id(result, upload->id, sizeof(upload->id));
}

static void
record_failure(Upload *upload)
{
	const WaOutcome *outcome = &upload->outcome;
	WaUploadFailure failure = {
		.id = upload->medium, .code = outcome->code, .message = outcome->message, .counts = true};

	failure.delay_ms =
		wa_message_backoff_ms(upload->attempts, wa_guc_retry_delay, (int64) wa_guc_retry_max_delay,
							  pg_prng_uint32(&pg_global_prng_state));
	if (outcome->kind == WA_OUTCOME_REFUSED)
	{
		switch (outcome->error->error_class)
		{
			case WA_CLASS_PERMANENT:
			case WA_CLASS_NOT_APPLICABLE:
				failure.for_good = true;
				break;
			case WA_CLASS_RETRY:
				break;
			default:
				failure.counts = false;
				failure.delay_ms = Max(ACCOUNT_DELAY_MS, (int64) outcome->retry_after_s * 1000);
		}
	}
	else if (outcome->kind == WA_OUTCOME_NOT_WRITTEN)
		failure.counts = false;
	else if (failure.message[0] == '\0')
		failure.message = "the response has no id";
	if (failure.counts && upload->attempts >= wa_guc_max_attempts)
		failure.for_good = true;
	wa_store_upload_failed(&failure);
}

static void
record_responses(void)
{
	if (!any_arrived())
		return;
	wa_store_begin("recording uploads of WhatsApp media");
	for (int i = 0; i < MAX_UPLOADS; i++)
	{
		if (uploads[i].medium == 0 || !uploads[i].arrived)
			continue;
		if (uploads[i].id[0] != '\0')
			wa_store_uploaded(uploads[i].medium, uploads[i].number, uploads[i].id);
		else
			record_failure(&uploads[i]);
	}
	wa_store_commit();
	for (int i = 0; i < MAX_UPLOADS; i++)
		if (uploads[i].arrived)
			release(&uploads[i]);
	look = true;
}

/* ---- requests ------------------------------------------------------------------ */

/* The slot for another upload; NULL if enough is on its way. */
static Upload *
free_slot(void)
{
	Upload *slot = NULL;
	size_t bytes = 0;

	for (int i = 0; i < MAX_UPLOADS; i++)
	{
		if (uploads[i].medium == 0)
			slot = &uploads[i];
		bytes += uploads[i].size;
	}
	return bytes < MAX_BYTES ? slot : NULL;
}

/* Begins an upload of the row that has been read; body takes the request. */
static void
take(Upload *upload, const WaUploadRow *row, StringInfo body, StringInfo content_type)
{
	char boundary[WA_MULTIPART_BOUNDARY_SIZE];
	unsigned char random[WA_MULTIPART_BOUNDARY_RANDOM];
	WaMultipart form = {.mime_type = row->mime_type,
						.filename = row->filename,
						.content = row->content,
						.size = row->size};

	upload->medium = row->id;
	strlcpy(upload->number, row->phone_number_id, sizeof(upload->number));
	upload->size = row->size;
	upload->attempts = row->attempts;

	do
	{
		if (!pg_strong_random(random, sizeof(random)))
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
							errmsg("could not generate a random boundary")));
	} while (!wa_multipart_boundary(boundary, &form, random));
	wa_multipart_write(body, &form, boundary);
	wa_multipart_content_type(content_type, boundary);
}

/* The next file that is due, of a number at which none is on its way. */
static bool
next_file(WaUploadRow *row)
{
	const char *busy[MAX_UPLOADS];
	int n = 0;

	for (int i = 0; i < MAX_UPLOADS; i++)
		if (uploads[i].medium != 0)
			busy[n++] = uploads[i].number;
	return wa_store_next_upload(busy, n, wa_guc_retry_delay, wa_guc_retry_max_delay, row);
}

/* Nothing is due now: when to look again. */
static void
plan_next_look(void)
{
	TimestampTz next = wa_store_next_upload_time();
	int64 wait = next == DT_NOEND ? LOOK_INTERVAL_US : next - wa_now();

	next_look_us = wa_now_us() + Max(0, Min(wait, LOOK_INTERVAL_US));
}

static void
submit(WaSender *sender, Upload *upload, StringInfo body, StringInfo content_type)
{
	StringInfoData url;

	initStringInfo(&url);
	appendStringInfo(&url, "%s/%s/%s/media", wa_guc_graph_url, wa_guc_api_version, upload->number);
	if (!wa_http_submit(sender->http, url.data, body->data, body->len, content_type->data, upload))
		release(upload); /* too much is out; the row is due again after its back-off */
	else
		upload->submitted = true;
	pfree(url.data);
}

/*
 * Reads one file that is due and starts its upload.  False if there is none, or
 * none that may go out now.
 */
static bool
start_one(WaSender *sender, bool settle)
{
	Upload *upload = free_slot();
	WaUploadRow row;
	StringInfoData body;
	StringInfoData content_type;
	bool found;

	initStringInfo(&body);
	initStringInfo(&content_type);
	wa_store_begin("uploading WhatsApp media");
	if (settle)
		wa_store_settle_uploads();
	found = upload != NULL && next_file(&row);
	if (found)
		take(upload, &row, &body, &content_type);
	else
		plan_next_look();
	wa_store_commit();

	if (found)
		submit(sender, upload, &body, &content_type);
	pfree(body.data);
	pfree(content_type.data);
	return found;
}

static void
clean(void)
{
	wa_store_begin("cleaning up WhatsApp media");
	wa_store_clean_media(wa_guc_retention);
	wa_store_commit();
	next_clean_us = wa_now_us() + CLEAN_INTERVAL_US;
}

static bool
may_upload(WaSender *sender)
{
	return !sender->stopping && sender->at_home && wa_guc_enabled && sender->has_token &&
		   sender->account_paused_until == 0;
}

void
wa_upload_run(WaSender *sender)
{
	if (sender->index != 0)
		return;
	record_responses();
	if (!may_upload(sender))
		return;
	if (look || wa_now_us() >= next_look_us)
	{
		bool settle = true;

		look = false;
		while (start_one(sender, settle))
			settle = false;
	}
	if (wa_now_us() >= next_clean_us)
		clean();
}

/*
 * What had been answered could not be recorded: it is forgotten, and uploaded
 * once more when the row is due again.
 */
void
wa_upload_aborted(WaSender *sender)
{
	for (int i = 0; i < MAX_UPLOADS; i++)
		if (uploads[i].arrived || !uploads[i].submitted)
			release(&uploads[i]);
	next_look_us = wa_now_us() + LOOK_INTERVAL_US;
}

long
wa_upload_wait_ms(WaSender *sender)
{
	if (sender->index != 0)
		return -1;
	if (any_arrived())
		return 0;
	if (!may_upload(sender))
		return -1;
	if (look)
		return 0;
	return (long) Max(0, (Min(next_look_us, next_clean_us) - wa_now_us() + 999) / 1000);
}
