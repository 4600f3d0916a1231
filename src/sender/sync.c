/*
 * sync.c
 *	  Reading phone numbers, templates and the token's state from Meta.
 *
 * Sender 0 reads one page at a time, through the same connections as the
 * messages, and hands each page as it came to an SQL function that knows what
 * it means (wa_internal_apply_phone_number_page and its like).  A run is asked for by
 * wa_sync_…(), that is by whatsapp_sync.requested_at, or due by
 * whatsapp_shared.sync_interval.
 *
 * A run that dies with its process is begun again: started_at without a later
 * finished_at does not count.
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/rows.h"
#include "base/secret.h"
#include "base/statement.h"
#include "http/http.h"
#include "sender/store/transaction.h"
#include "sender/sync.h"

#define PAGE_SIZE 100

/* A listing has no more pages than this: 100,000 entries. */
#define MAX_PAGES 1000

/* After a failure, and while the configuration does not allow a run. */
#define RETRY_US INT64_C(300000000)

typedef struct SyncKind
{
	const char *name; /* whatsapp_sync.kind */
	const char *edge; /* below the business account; NULL for the token */
	const char *fields;
	const char *apply;	/* statement that takes a page as $1 */
	const char *finish; /* statement that takes the run's start as $1, or NULL */
} SyncKind;

/* Fields as of graph-api v25: reference of WhatsApp Business Account edges. */
static const SyncKind kinds[] = {
	{"phone_numbers", "phone_numbers",
	 "id,display_phone_number,verified_name,status,quality_rating,code_verification_status,"
	 "name_status,platform_type,account_mode,throughput,whatsapp_business_manager_messaging_limit,"
	 "last_onboarded_time",
	 "SELECT @extschema@.wa_internal_apply_phone_number_page($1)",
	 "SELECT @extschema@.wa_internal_finish_phone_number_sync($1)"},
	{"templates", "message_templates",
	 "id,name,language,status,category,parameter_format,quality_score,components",
	 "SELECT @extschema@.wa_internal_apply_template_page($1)",
	 "SELECT @extschema@.wa_internal_finish_template_sync($1)"},
	{"token", NULL, NULL, "SELECT @extschema@.wa_internal_apply_token_state($1)", NULL}};

static int running = -1; /* index of the kind being read */
static int pages;
static int items; /* entries read so far */
static TimestampTz run_started;
static char *answer;	  /* malloc'd body waiting to be applied */
static char problem[256]; /* why the run failed, "" if it did not */
static bool answered;
static bool look;					/* at whatsapp_sync */
static TimestampTz reconfigured_at; /* runs that failed before are due again */
static int64 next_look_us;

void
wa_sync_requested(bool reconfigured)
{
	look = true;
	if (reconfigured)
		reconfigured_at = wa_now();
}

/* Percent-encodes everything but unreserved characters (RFC 3986, 2.3). */
static void
append_encoded(StringInfo out, const char *text)
{
	for (; *text != '\0'; text++)
		if (isalnum((unsigned char) *text) || strchr("-._~", *text) != NULL)
			appendStringInfoChar(out, *text);
		else
			appendStringInfo(out, "%%%02X", (unsigned char) *text);
}

/* Sends the request for one page; after is the cursor of the previous one. */
static void
ask(WaSender *sender, const char *after)
{
	const SyncKind *kind = &kinds[running];
	StringInfoData url;

	initStringInfo(&url);
	appendStringInfo(&url, "%s/%s/", wa_guc_graph_url, wa_guc_api_version);
	if (kind->edge == NULL)
	{
		appendStringInfoString(&url, "debug_token?input_token=");
		append_encoded(&url, wa_secret_access_token());
	}
	else
	{
		appendStringInfo(&url, "%s/%s?limit=%d&fields=%s", wa_guc_business_account_id, kind->edge,
						 PAGE_SIZE, kind->fields);
		if (after != NULL)
		{
			appendStringInfoString(&url, "&after=");
			append_encoded(&url, after);
		}
	}
	if (!wa_http_submit(sender->http, url.data, NULL, 0, NULL, NULL))
	{
		strlcpy(problem, "the request could not be started", sizeof(problem));
		answered = true;
	}
	memset(url.data, 0, url.len);
	pfree(url.data);
}

void
wa_sync_answered(WaSender *sender, const WaHttpResult *result)
{
	answered = true;
	if (result->phase != WA_HTTP_ANSWERED)
		snprintf(problem, sizeof(problem), "no answer: %s", result->error);
	else if (result->status != 200)
	{
		WaOutcome outcome;

		wa_graph_response_read(result, &outcome);
		snprintf(problem, sizeof(problem), "HTTP status %ld: %s", result->status, outcome.message);
	}
	else if ((answer = strdup(result->body)) == NULL)
		strlcpy(problem, "out of memory", sizeof(problem));
}

/* Records the start or the end of a run. */
static void
note_run(const char *kind, bool finished, const char *error)
{
	static WaStatement statement = {
		.sql = "UPDATE @extschema@.whatsapp_sync SET"
			   " started_at = CASE WHEN $2 THEN started_at ELSE $4 END,"
			   " finished_at = CASE WHEN $2 AND $3 IS NULL THEN pg_catalog.clock_timestamp()"
			   " ELSE finished_at END,"
			   " items = CASE WHEN $2 AND $3 IS NULL THEN $5 ELSE items END,"
			   " error = $3 WHERE kind = $1",
		.nargs = 5,
		.argtypes = {TEXTOID, BOOLOID, TEXTOID, TIMESTAMPTZOID, INT4OID},
		.expected = SPI_OK_UPDATE};
	Datum values[5];
	char nulls[5] = {' ', ' ', error == NULL ? 'n' : ' ', ' ', ' '};

	values[0] = CStringGetTextDatum(kind);
	values[1] = BoolGetDatum(finished);
	values[2] = error == NULL ? (Datum) 0 : CStringGetTextDatum(error);
	values[3] = TimestampTzGetDatum(run_started);
	values[4] = Int32GetDatum(items);
	wa_store_run(&statement, values, nulls);
}

/* What is asked for or due; -1 if nothing. */
static int
next_kind(WaSender *sender)
{
	static WaStatement statement = {
		.sql = "SELECT kind FROM @extschema@.whatsapp_sync"
			   " WHERE requested_at > COALESCE(started_at, '-infinity')"
			   " OR (error IS NOT NULL AND started_at < $2)"
			   " OR ($1 > 0 AND COALESCE(finished_at, '-infinity')"
			   " < pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $1)"
			   " AND COALESCE(started_at, '-infinity')"
			   " < pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => LEAST($1, 300)))"
			   " ORDER BY requested_at > COALESCE(started_at, '-infinity') DESC NULLS LAST, kind"
			   " LIMIT 1",
		.nargs = 2,
		.argtypes = {INT4OID, TIMESTAMPTZOID},
		.expected = SPI_OK_SELECT};
	WaRows rows;
	Datum values[2] = {Int32GetDatum(wa_guc_sync_interval), TimestampTzGetDatum(reconfigured_at)};
	char *name;

	rows = wa_store_run(&statement, values, NULL);
	if (rows.count == 0)
		return -1;
	name = wa_rows_text(&rows, 0, 1);
	for (int i = 0; i < lengthof(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return i;
	return -1;
}

static void
alert(const char *kind, const char *error)
{
	static WaStatement statement = {
		.sql =
			"SELECT CASE WHEN $2 IS NULL"
			" THEN @extschema@.wa_internal_resolve_alert('sync', 'account', $1)::text"
			" ELSE @extschema@.wa_internal_alert('warning', 'sync', 'account', $1, $2)::text END",
		.nargs = 2,
		.argtypes = {TEXTOID, TEXTOID},
		.expected = SPI_OK_SELECT};
	Datum values[2];
	char nulls[2] = {' ', error == NULL ? 'n' : ' '};

	values[0] = CStringGetTextDatum(kind);
	values[1] = error == NULL ? (Datum) 0 : CStringGetTextDatum(error);
	wa_store_run(&statement, values, nulls);
}

/* Applies the page that has come in; asks for the next one or ends the run. */
static void
take_page(WaSender *sender)
{
	WaRows rows;
	static WaStatement apply[lengthof(kinds)];
	static WaStatement finish[lengthof(kinds)];
	static WaStatement cursor = {.sql =
									 "SELECT CASE WHEN $1 #>> '{paging,next}' IS NOT NULL"
									 " THEN $1 #>> '{paging,cursors,after}' END,"
									 " CASE WHEN pg_catalog.jsonb_typeof($1 -> 'data') = 'array'"
									 " THEN pg_catalog.jsonb_array_length($1 -> 'data') ELSE 1 END",
								 .nargs = 1,
								 .argtypes = {JSONBOID},
								 .expected = SPI_OK_SELECT};
	const SyncKind *kind = &kinds[running];
	char *after = NULL;

	wa_store_begin("applying what Meta said");
	if (problem[0] == '\0')
	{
		Datum page = DirectFunctionCall1(jsonb_in, CStringGetDatum(answer));

		apply[running].sql = kind->apply;
		apply[running].nargs = 1;
		apply[running].argtypes[0] = JSONBOID;
		apply[running].expected = SPI_OK_SELECT;
		rows = wa_store_run(&apply[running], &page, NULL);
		rows = wa_store_run(&cursor, &page, NULL);
		after = wa_rows_text(&rows, 0, 1);
		items += (int) wa_rows_int(&rows, 0, 2, 0);
		if (after != NULL)
			after = MemoryContextStrdup(sender->cycle_context, after);
	}
	if (after == NULL || ++pages >= MAX_PAGES)
	{
		if (problem[0] == '\0' && kind->finish != NULL)
		{
			Datum started = TimestampTzGetDatum(run_started);

			finish[running].sql = kind->finish;
			finish[running].nargs = 1;
			finish[running].argtypes[0] = TIMESTAMPTZOID;
			finish[running].expected = SPI_OK_SELECT;
			rows = wa_store_run(&finish[running], &started, NULL);
		}
		note_run(kind->name, true, problem[0] != '\0' ? problem : NULL);
		alert(kind->name, problem[0] != '\0' ? problem : NULL);
		after = NULL;
	}
	wa_store_commit();

	free(answer);
	answer = NULL;
	answered = false;
	if (after != NULL)
		ask(sender, after);
	else
	{
		next_look_us = problem[0] != '\0' ? wa_now_us() + RETRY_US : 0;
		look = true;
		running = -1;
	}
}

/* An ERROR ended the run: what came in could not be applied. */
void
wa_sync_aborted(WaSender *sender)
{
	if (!answered)
		return;
	free(answer);
	answer = NULL;
	answered = false;
	running = -1;
	next_look_us = wa_now_us() + RETRY_US;
}

void
wa_sync_run(WaSender *sender)
{
	int kind;

	if (sender->index != 0)
		return;
	if (running >= 0)
	{
		if (answered)
			take_page(sender);
		return;
	}
	if (sender->stopping || sender->reopen || !sender->at_home || !wa_guc_enabled ||
		!(look || wa_now_us() >= next_look_us))
		return;

	wa_store_begin("looking for what to read from Meta");
	kind = next_kind(sender);
	look = false;
	next_look_us = wa_now_us() + RETRY_US;
	if (kind >= 0)
	{
		run_started = wa_now();
		problem[0] = '\0';
		if (!sender->has_token)
			strlcpy(problem, "no access token: set whatsapp_shared.access_token_file",
					sizeof(problem));
		else if (kinds[kind].edge != NULL && wa_guc_business_account_id[0] == '\0')
			strlcpy(problem, "set whatsapp_shared.business_account_id", sizeof(problem));
		note_run(kinds[kind].name, false, NULL);
		if (problem[0] != '\0')
		{
			note_run(kinds[kind].name, true, problem);
			look = true; /* there may be another kind to do */
		}
	}
	wa_store_commit();

	if (kind >= 0 && problem[0] == '\0')
	{
		running = kind;
		pages = 0;
		items = 0;
		ask(sender, NULL);
	}
}

bool
wa_sync_running(void)
{
	return running >= 0;
}

long
wa_sync_wait_ms(WaSender *sender)
{
	if (sender->index != 0 || sender->stopping || !sender->at_home || !wa_guc_enabled)
		return -1;
	if (running >= 0)
		return answered ? 0 : -1;
	if (look)
		return 0;
	return (long) Max(0, (next_look_us - wa_now_us() + 999) / 1000);
}
