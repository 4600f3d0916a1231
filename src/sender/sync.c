/*
 * sync.c
 *	  Reading phone numbers, templates and the token's state from Meta.
 *
 * Sender 0 reads one page at a time, through the same connections as the
 * messages; what a page means is known to SQL (sender/store/sync_rows.c).  A run is asked for by
 * wa_sync_…(), that is by whatsapp_sync.requested_at, or due by
 * whatsapp_shared.sync_interval.
 *
 * A run that dies with its process is begun again: started_at without a later
 * finished_at does not count.
 */
#include "postgres.h"

#include <ctype.h>

#include "lib/stringinfo.h"
#include "utils/memutils.h"

#include "base/guc.h"
#include "base/secret.h"
#include "http/http.h"
#include "sender/store/alert.h"
#include "sender/store/sync_rows.h"
#include "sender/store/transaction.h"
#include "sender/sync.h"

#define PAGE_SIZE 100

/* A listing has no more pages than this: 100,000 entries. */
#define MAX_PAGES 1000

/* Cursors are some two hundred characters. */
#define MAX_CURSOR 2048

/* After a failure, and while the configuration does not allow a run. */
#define RETRY_US INT64_C(300000000)

/* What is listed below the business account; the token is not. */
typedef struct Listing
{
	const char *edge; /* NULL for the token */
	const char *fields;
} Listing;

/* Fields as of graph-api v25: reference of WhatsApp Business Account edges. */
static const Listing listings[WA_SYNC_KINDS] = {
	[WA_SYNC_PHONE_NUMBERS] = {"phone_numbers",
							   "id,display_phone_number,verified_name,status,quality_rating,"
							   "code_verification_status,name_status,platform_type,account_mode,"
							   "throughput,whatsapp_business_manager_messaging_limit,"
							   "last_onboarded_time,is_on_biz_app"},
	[WA_SYNC_TEMPLATES] = {"message_templates",
						   "id,name,language,status,category,parameter_format,quality_score,"
						   "components"},
	[WA_SYNC_TOKEN] = {NULL, NULL}};

/* The run that is under way; kind is WA_SYNC_NONE while there is none. */
static struct
{
	WaSyncKind kind;
	TimestampTz started;
	int pages;
	char cursor[MAX_CURSOR]; /* of the page that was asked for last, "" for the first */
	int items;				 /* entries read so far */
	bool arrived;			 /* a page has come in, or will not come */
	char *page;				 /* malloc'd body waiting to be applied */
	char problem[256];		 /* why the run failed, "" if it did not */
} run = {.kind = WA_SYNC_NONE};

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
request_page(WaSender *sender, const char *after)
{
	const Listing *listing = &listings[run.kind];
	StringInfoData url;

	initStringInfo(&url);
	appendStringInfo(&url, "%s/%s/", wa_guc_graph_url, wa_guc_api_version);
	if (listing->edge == NULL)
	{
		appendStringInfoString(&url, "debug_token?input_token=");
		append_encoded(&url, wa_secret_access_token());
	}
	else
	{
		appendStringInfo(&url, "%s/%s?limit=%d&fields=%s", wa_guc_business_account_id,
						 listing->edge, PAGE_SIZE, listing->fields);
		if (after != NULL)
		{
			appendStringInfoString(&url, "&after=");
			append_encoded(&url, after);
		}
	}
	if (!wa_http_submit(sender->http, url.data, NULL, 0, NULL, NULL))
	{
		strlcpy(run.problem, "the request could not be started", sizeof(run.problem));
		run.arrived = true;
	}
	memset(url.data, 0, url.len);
	pfree(url.data);
}

void
wa_sync_response(WaSender *sender, const WaHttpResult *result)
{
	run.arrived = true;
	if (result->phase != WA_HTTP_ANSWERED)
		snprintf(run.problem, sizeof(run.problem), "no response: %s", result->error);
	else if (result->status != 200)
	{
		WaOutcome outcome;

		wa_graph_response_read(result, &outcome);

		/* Meta's text quotes the account's ID, which is masked there, and is no secret. */
		if (listings[run.kind].edge != NULL)
			snprintf(run.problem, sizeof(run.problem), "HTTP status %ld for account %s: %s",
					 result->status, wa_guc_business_account_id, outcome.message);
		else
			snprintf(run.problem, sizeof(run.problem), "HTTP status %ld: %s", result->status,
					 outcome.message);
	}
	else if ((run.page = strdup(result->body)) == NULL)
		strlcpy(run.problem, "out of memory", sizeof(run.problem));
}

/* The run is over, well or with a problem. */
static void
end_run(void)
{
	const char *name = wa_sync_kind_names[run.kind];
	WaAlert alert = {.severity = "warning",
					 .kind = "sync",
					 .scope = "account",
					 .key = name,
					 .message = run.problem};

	if (run.problem[0] == '\0')
	{
		wa_store_finish_sync(run.kind, run.started);
		wa_store_sync_ended(run.kind, run.items, NULL);
		wa_store_resolve_alert("sync", "account", name);
	}
	else
	{
		wa_store_sync_ended(run.kind, 0, run.problem);
		wa_store_alert(&alert);
	}
}

static void
forget_page(void)
{
	free(run.page);
	run.page = NULL;
	run.arrived = false;
}

/* Whether this is the cursor of a page that may still be read, and remembers it. */
static bool
leads_on(const char *after)
{
	if (run.pages >= MAX_PAGES || strcmp(after, run.cursor) == 0)
		return false;
	return strlcpy(run.cursor, after, sizeof(run.cursor)) < sizeof(run.cursor);
}

/* Applies the page that has come in; asks for the next one or ends the run. */
static void
take_page(WaSender *sender)
{
	char *after = NULL;

	wa_store_begin("applying what Meta said");
	if (run.problem[0] == '\0')
	{
		after = wa_store_apply_sync_page(run.kind, run.page, &run.items);
		if (after != NULL)
			after = MemoryContextStrdup(sender->cycle_context, after);
	}
	run.pages++;
	if (after != NULL && !leads_on(after))
	{
		strlcpy(run.problem, "the listing does not end", sizeof(run.problem));
		after = NULL;
	}
	if (after == NULL)
		end_run();
	wa_store_commit();

	forget_page();
	if (after != NULL)
		request_page(sender, after);
	else
	{
		next_look_us = run.problem[0] != '\0' ? wa_now_us() + RETRY_US : 0;
		look = true;
		run.kind = WA_SYNC_NONE;
	}
}

/* An ERROR ended the run: what came in could not be applied. */
void
wa_sync_aborted(WaSender *sender)
{
	if (!run.arrived)
		return;
	forget_page();
	run.kind = WA_SYNC_NONE;
	next_look_us = wa_now_us() + RETRY_US;
}

/* What keeps a run of this kind from being begun; NULL if nothing does. */
static const char *
obstacle(const WaSender *sender, WaSyncKind kind)
{
	if (!sender->has_token)
		return "no access token: set whatsapp_shared.access_token_file";
	if (listings[kind].edge != NULL && wa_guc_business_account_id[0] == '\0')
		return "set whatsapp_shared.business_account_id";
	return NULL;
}

/* Begins what is asked for or due, if there is something. */
static void
begin_run(WaSender *sender)
{
	WaSyncKind kind;
	const char *problem = NULL;

	wa_store_begin("looking for what to read from Meta");
	kind = wa_store_next_sync(wa_guc_sync_interval, reconfigured_at);
	look = false;
	next_look_us = wa_now_us() + RETRY_US;
	if (kind != WA_SYNC_NONE)
	{
		run.started = wa_now();
		problem = obstacle(sender, kind);
		wa_store_sync_started(kind, run.started);
		if (problem != NULL)
		{
			wa_store_sync_ended(kind, 0, problem);
			look = true; /* there may be another kind to do */
		}
	}
	wa_store_commit();

	if (kind == WA_SYNC_NONE || problem != NULL)
		return;
	run.kind = kind;
	run.pages = 0;
	run.items = 0;
	run.cursor[0] = '\0';
	run.problem[0] = '\0';
	request_page(sender, NULL);
}

void
wa_sync_run(WaSender *sender)
{
	if (sender->index != 0)
		return;
	if (run.kind != WA_SYNC_NONE)
	{
		if (run.arrived)
			take_page(sender);
	}
	else if (!sender->stopping && sender->at_home && wa_guc_enabled &&
			 (look || wa_now_us() >= next_look_us))
		begin_run(sender);
}

long
wa_sync_wait_ms(WaSender *sender)
{
	if (sender->index != 0 || sender->stopping || !sender->at_home || !wa_guc_enabled)
		return -1;
	if (run.kind != WA_SYNC_NONE)
		return run.arrived ? 0 : -1;
	if (look)
		return 0;
	return (long) Max(0, (next_look_us - wa_now_us() + 999) / 1000);
}
