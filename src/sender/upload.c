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
 * in one short transaction, sent after its commit, and the answer recorded in
 * another.  A process that dies in between leaves a row that is due again after
 * the back-off: an upload that was done twice harms nobody.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/guc.h"
#include "base/rows.h"
#include "base/statement.h"
#include "common/jsonscan.h"
#include "common/message_state.h"
#include "graph/response.h"
#include "graph/multipart.h"
#include "http/http.h"
#include "sender/store/transaction.h"
#include "sender/upload.h"

/* Files on the wire at a time, and bytes beyond which no further one is begun. */
#define MAX_UPLOADS 4
#define MAX_BYTES (32 * 1024 * 1024)

/* Notes can be lost, and numbers come back: look without being told. */
#define LOOK_INTERVAL_US INT64_C(30000000)

/* Bytes and notes no longer needed. */
#define CLEAN_INTERVAL_US INT64_C(300000000)

/* Before the next attempt if not the file but the account was refused. */
#define ACCOUNT_DELAY_MS 60000

/* The JSON {"id": "…"} has three values; room for what else may come. */
#define MAX_ANSWER_NODES 64

typedef struct Upload
{
	int64 medium; /* whatsapp_media.id; 0: the slot is free */
	char number[WA_NUMBER_SIZE];
	size_t size;
	int attempts;
	bool submitted;
	bool answered;
	char id[64]; /* Meta's, "" if it did not say one */
	WaOutcome outcome;
} Upload;

static Upload uploads[MAX_UPLOADS];
static bool look;
static int64 next_look_us;
static int64 next_clean_us;

void
wa_media_requested(void)
{
	look = true;
}

bool
wa_media_is_tag(const void *tag)
{
	for (int i = 0; i < MAX_UPLOADS; i++)
		if (tag == &uploads[i])
			return true;
	return false;
}

bool
wa_media_running(void)
{
	for (int i = 0; i < MAX_UPLOADS; i++)
		if (uploads[i].medium != 0 && !uploads[i].answered)
			return true;
	return false;
}

static bool
any_answered(void)
{
	for (int i = 0; i < MAX_UPLOADS; i++)
		if (uploads[i].medium != 0 && uploads[i].answered)
			return true;
	return false;
}

static void
release(Upload *upload)
{
	memset(upload, 0, sizeof(*upload));
}

/* ---- answers ------------------------------------------------------------------ */

/* The id in the answer to an upload; "" if there is none. */
static void
read_id(const WaHttpResult *result, char *id, size_t size)
{
	WaJsonNode nodes[MAX_ANSWER_NODES];
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
wa_media_answered(WaSender *sender, const WaHttpResult *result)
{
	Upload *upload = result->tag;

	upload->answered = true;
	wa_graph_response_read(result, &upload->outcome);
	if (result->phase == WA_HTTP_ANSWERED && result->status == 200)
		read_id(result, upload->id, sizeof(upload->id));
}

static void
record_uploaded(Upload *upload)
{
	static WaStatement statement = {.sql =
										"SELECT @extschema@.wa_internal_media_uploaded($1, $2, $3)",
									.nargs = 3,
									.argtypes = {INT8OID, TEXTOID, TEXTOID},
									.expected = SPI_OK_SELECT};
	Datum values[3];

	values[0] = Int64GetDatum(upload->medium);
	values[1] = CStringGetTextDatum(upload->number);
	values[2] = CStringGetTextDatum(upload->id);
	wa_store_run(&statement, values, NULL);
}

static void
record_failure(Upload *upload)
{
	static WaStatement statement = {
		.sql = "SELECT @extschema@.wa_internal_media_failed($1, $2, $3, $4, $5, $6)",
		.nargs = 6,
		.argtypes = {INT8OID, INT4OID, TEXTOID, BOOLOID, BOOLOID, INT8OID},
		.expected = SPI_OK_SELECT};
	const WaOutcome *outcome = &upload->outcome;
	int64 delay =
		wa_message_backoff_ms(upload->attempts, wa_guc_retry_delay, (int64) wa_guc_retry_max_delay,
							  pg_prng_uint32(&pg_global_prng_state));
	const char *message = outcome->message;
	bool for_good = false;
	bool counts = true;
	Datum values[6];

	if (outcome->kind == WA_OUTCOME_REFUSED)
	{
		switch (outcome->error->error_class)
		{
			case WA_CLASS_PERMANENT:
			case WA_CLASS_NOT_APPLICABLE:
				for_good = true;
				break;
			case WA_CLASS_RETRY:
				break;
			default:
				counts = false;
				delay = Max(ACCOUNT_DELAY_MS, (int64) outcome->retry_after_s * 1000);
		}
	}
	else if (outcome->kind == WA_OUTCOME_NOT_WRITTEN)
		counts = false;
	else if (message[0] == '\0')
		message = "the answer has no id";
	if (counts && upload->attempts >= wa_guc_max_attempts)
		for_good = true;

	values[0] = Int64GetDatum(upload->medium);
	values[1] = Int32GetDatum(outcome->code);
	values[2] = CStringGetTextDatum(message);
	values[3] = BoolGetDatum(for_good);
	values[4] = BoolGetDatum(counts);
	values[5] = Int64GetDatum(delay);
	wa_store_run(&statement, values, NULL);
}

static void
record_answers(void)
{
	if (!any_answered())
		return;
	wa_store_begin("recording uploads of WhatsApp media");
	for (int i = 0; i < MAX_UPLOADS; i++)
	{
		if (uploads[i].medium == 0 || !uploads[i].answered)
			continue;
		if (uploads[i].id[0] != '\0')
			record_uploaded(&uploads[i]);
		else
			record_failure(&uploads[i]);
	}
	wa_store_commit();
	for (int i = 0; i < MAX_UPLOADS; i++)
		if (uploads[i].answered)
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
take(Upload *upload, const WaRows *rows, StringInfo body, StringInfo content_type)
{
	char boundary[WA_MULTIPART_BOUNDARY_SIZE];
	unsigned char random[WA_MULTIPART_BOUNDARY_RANDOM];
	WaMultipart form;
	bytea *content;
	bool isnull;

	upload->medium = wa_rows_int(rows, 0, 1, 0);
	strlcpy(upload->number, wa_rows_text(rows, 0, 2), sizeof(upload->number));
	form.mime_type = wa_rows_text(rows, 0, 3);
	form.filename = wa_rows_text(rows, 0, 4);
	content = DatumGetByteaPP(wa_rows_datum(rows, 0, 5, &isnull));
	form.content = VARDATA_ANY(content);
	form.size = VARSIZE_ANY_EXHDR(content);
	upload->size = form.size;
	upload->attempts = (int) wa_rows_int(rows, 0, 6, 0);

	do
	{
		if (!pg_strong_random(random, sizeof(random)))
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
							errmsg("could not generate a random boundary")));
	} while (!wa_multipart_boundary(boundary, &form, random));
	wa_multipart_write(body, &form, boundary);
	wa_multipart_content_type(content_type, boundary);
}

static Datum
busy_numbers(void)
{
	const char *numbers[MAX_UPLOADS];
	int n = 0;

	for (int i = 0; i < MAX_UPLOADS; i++)
		if (uploads[i].medium != 0)
			numbers[n++] = uploads[i].number;
	return wa_array_of_text(numbers, n);
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
	static WaStatement settle_statement = {.sql = "SELECT @extschema@.wa_internal_settle_media()",
										   .expected = SPI_OK_SELECT};
	static WaStatement statement = {
		.sql = "SELECT * FROM @extschema@.wa_internal_next_media($1, $2, $3)",
		.nargs = 3,
		.argtypes = {TEXTARRAYOID, INT8OID, INT8OID},
		.expected = SPI_OK_SELECT};
	static WaStatement time_statement = {.sql = "SELECT @extschema@.wa_internal_next_media_time()",
										 .expected = SPI_OK_SELECT};
	WaRows rows;
	Upload *upload = free_slot();
	StringInfoData body;
	StringInfoData content_type;
	Datum values[3];
	bool found = false;

	initStringInfo(&body);
	initStringInfo(&content_type);
	wa_store_begin("uploading WhatsApp media");
	if (settle)
		wa_store_run(&settle_statement, NULL, NULL);
	if (upload != NULL)
	{
		values[0] = busy_numbers();
		values[1] = Int64GetDatum(wa_guc_retry_delay);
		values[2] = Int64GetDatum(wa_guc_retry_max_delay);
		rows = wa_store_run(&statement, values, NULL);
		found = rows.count > 0;
		if (found)
			take(upload, &rows, &body, &content_type);
	}
	if (!found)
	{
		TimestampTz next;
		int64 wait;

		rows = wa_store_run(&time_statement, NULL, NULL);
		next = wa_rows_time(&rows, 0, 1, DT_NOEND);
		wait = next == DT_NOEND ? LOOK_INTERVAL_US : next - wa_now();
		next_look_us = wa_now_us() + Max(0, Min(wait, LOOK_INTERVAL_US));
	}
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
	static WaStatement statement = {
		.sql = "SELECT @extschema@.wa_internal_clean_media(pg_catalog.make_interval(mins => $1))",
		.nargs = 1,
		.argtypes = {INT4OID},
		.expected = SPI_OK_SELECT};
	Datum values[1] = {Int32GetDatum(wa_guc_retention)};

	wa_store_begin("cleaning up WhatsApp media");
	wa_store_run(&statement, values, NULL);
	wa_store_commit();
	next_clean_us = wa_now_us() + CLEAN_INTERVAL_US;
}

static bool
may_upload(WaSender *sender)
{
	return !sender->stopping && !sender->reopen && sender->at_home && wa_guc_enabled &&
		   sender->has_token && sender->account_paused_until == 0;
}

void
wa_media_run(WaSender *sender)
{
	if (sender->index != 0)
		return;
	record_answers();
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
wa_media_aborted(WaSender *sender)
{
	for (int i = 0; i < MAX_UPLOADS; i++)
		if (uploads[i].answered || !uploads[i].submitted)
			release(&uploads[i]);
	next_look_us = wa_now_us() + LOOK_INTERVAL_US;
}

long
wa_media_wait_ms(WaSender *sender)
{
	if (sender->index != 0)
		return -1;
	if (any_answered())
		return 0;
	if (!may_upload(sender))
		return -1;
	if (look)
		return 0;
	return (long) Max(0, (Min(next_look_us, next_clean_us) - wa_now_us() + 999) / 1000);
}
