/*
 * ingest.c
 *	  What Meta sends: the entry points, and the way through the envelope.
 *
 * A webhook is a request from the internet whose only credential is the
 * signature over its bytes, so that is checked before anything looks into it.
 * After that nothing Meta may send is an error.  An error would make Meta send
 * the same again for seven days, along with whatever else was in it; what
 * cannot be used is parked instead (webhook/park.c).  Errors that do leave
 * here are those that a repetition can cure: no secret, no memory, a deadlock.
 *
 * All items are read and checked first, then written by kind, in few
 * statements: account events (they may touch the queue), statuses, customers
 * and their messages, and last the functions of the application that wait for
 * replies, when everything else is in place.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/arrays.h"
#include "base/role_section.h"
#include "base/secret.h"
#include "common/signature.h"
#include "webhook/webhook.h"

/* Meta sends up to three megabytes. */
#define MAX_BODY_SIZE (4 * 1024 * 1024)
#define MAX_PHONE_NUMBER_ID 32
#define MAX_CHALLENGE 1024
#define REMATCH_BATCH 100

/* Times outside of this are no times of WhatsApp: 2009, and a day ahead. */
#define FIRST_SECOND INT64_C(1230768000)
#define SECONDS_AHEAD INT64_C(86400)
#define UNIX_EPOCH_OFFSET ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

PG_FUNCTION_INFO_V1(wa_webhook_challenge);
PG_FUNCTION_INFO_V1(wa_webhook_ingest);

static void
check_signature(const char *header, size_t header_len, const char *body, size_t body_len)
{
	bool matches = false;

	if (wa_secret_app_secret(0) == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("parameter \"%s\" is not set", "whatsapp_shared.app_secret"),
						errdetail("Without it nobody can tell whether a webhook comes from Meta."),
						errhint("Put the secret of the application at Meta into a file, name it in "
								"whatsapp_shared.app_secret_file, and reload the server.")));

	/* Both are always tried, so that the time does not tell which one it was. */
	for (int i = 0; i < WA_MAX_APP_SECRETS; i++)
	{
		const char *secret = wa_secret_app_secret(i);

		if (secret != NULL)
			matches |=
				wa_signature_matches(header, header_len, (const uint8_t *) body, body_len, secret);
	}
	if (!matches)
		ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
						errmsg("invalid webhook signature"),
						errhint("If Meta has sent it, whatsapp_shared.app_secret is not the secret "
								"of the application, or a proxy has changed the body.")));
}

/*
 * True if they are equal; the time taken depends on the length of "given" only.
 */
static bool
same_token(const char *given, size_t given_len, const char *expected)
{
	size_t expected_len = strlen(expected);
	volatile unsigned char difference = given_len != expected_len;

	for (size_t i = 0; i < given_len; i++)
		difference |= (unsigned char) given[i] ^ (unsigned char) expected[i % (expected_len + 1)];
	return difference == 0;
}

Datum
wa_webhook_challenge(PG_FUNCTION_ARGS)
{
	text *mode = wa_arg_text(fcinfo, 0, "mode");
	text *token = wa_arg_text(fcinfo, 1, "token");
	text *challenge = wa_arg_text(fcinfo, 2, "challenge");
	const char *expected = wa_secret_verify_token();

	if (expected == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("parameter \"%s\" is not set", "whatsapp_shared.webhook_verify_token"),
				 errhint("Choose a random word, set it here and in the application's webhook "
						 "settings at Meta.")));
	if (!same_token(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token), expected))
		ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
						errmsg("invalid webhook verify token")));
	if (strcmp(text_to_cstring(mode), "subscribe") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid mode of a webhook handshake"),
						errdetail("The only mode that Meta has is \"subscribe\".")));
	if (VARSIZE_ANY_EXHDR(challenge) > MAX_CHALLENGE)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("challenge is longer than %d bytes", MAX_CHALLENGE)));
	PG_RETURN_TEXT_P(challenge);
}

char *
wa_webhook_string(const WaWebhook *webhook, uint32 object, const char *name, size_t max)
{
	const WaJson *json = webhook->json;
	uint32 node = wa_json_member(json, object, name);
	size_t size;
	char *result;
	long len;

	if (!wa_json_is(json, node, WA_JSON_STRING))
		return NULL;
	size = json->nodes[node].end - json->nodes[node].start;
	if (size == 0 || (size > max && !json->nodes[node].escaped))
		return NULL;
	result = palloc(size + 1);
	len = wa_json_string(json, node, result, size + 1);
	return len > 0 && (size_t) len <= max ? result : NULL;
}

char *
wa_webhook_clipped(const WaWebhook *webhook, uint32 object, const char *name, size_t max)
{
	char *result = wa_webhook_string(webhook, object, name, MAX_BODY_SIZE);

	if (result != NULL && strlen(result) > max)
		result[pg_mbcliplen(result, (int) strlen(result), (int) max)] = '\0';
	return result;
}

/* A time in seconds of the Unix epoch, as a number or a string. */
bool
wa_webhook_time(const WaWebhook *webhook, uint32 object, const char *name, TimestampTz *at)
{
	int64_t seconds;

	if (!wa_json_integer(webhook->json, wa_json_member(webhook->json, object, name), &seconds))
		return false;
	if (seconds < FIRST_SECOND)
		return false;
	*at = (seconds - UNIX_EPOCH_OFFSET) * USECS_PER_SEC;
	return *at <= webhook->now + SECONDS_AHEAD * USECS_PER_SEC;
}

void *
wa_webhook_make_room(void *items, int count, int *room, size_t size)
{
	if (count < *room)
		return items;
	*room = *room == 0 ? 64 : *room * 2;
	return items == NULL ? palloc(size * *room) : repalloc_huge(items, size * *room);
}

Datum
wa_webhook_texts(const void *items, int count, size_t size, size_t offset)
{
	const char **texts = palloc(sizeof(char *) * count);

	for (int i = 0; i < count; i++)
		memcpy(&texts[i], (const char *) items + i * size + offset, sizeof(char *));
	return wa_array_of_text(texts, count);
}

Datum
wa_webhook_times(const void *items, int count, size_t size, size_t offset)
{
	TimestampTz *times = palloc(sizeof(TimestampTz) * count);

	for (int i = 0; i < count; i++)
		memcpy(&times[i], (const char *) items + i * size + offset, sizeof(TimestampTz));
	return wa_array_of_time(times, count);
}

/*
 * The items of value[name], each given to the function.  Returns how many, or
 * -1 if there is something of that name which is no array.
 */
static int
read_items(WaWebhook *webhook, uint32 value, const char *name, const char *phone_number_id,
		   void (*read)(WaWebhook *webhook, uint32 item, const char *phone_number_id))
{
	const WaJson *json = webhook->json;
	uint32 items = wa_json_member(json, value, name);
	int count = 0;

	if (items == WA_JSON_NONE)
		return 0;
	if (!wa_json_is(json, items, WA_JSON_ARRAY))
		return -1;
	for (uint32 item = wa_json_first(json, items); item != WA_JSON_NONE;
		 item = wa_json_after(json, items, item))
	{
		CHECK_FOR_INTERRUPTS();
		read(webhook, item, phone_number_id);
		count++;
	}
	return count;
}

/* The field "messages": statuses of ours, and messages from customers. */
static void
read_messages(WaWebhook *webhook, uint32 change, uint32 value)
{
	const WaJson *json = webhook->json;
	const char *phone_number_id = wa_webhook_string(
		webhook, wa_json_member(json, value, "metadata"), "phone_number_id", MAX_PHONE_NUMBER_ID);
	const char *problem = NULL;
	bool wrote = wa_json_first(json, wa_json_member(json, value, "messages")) != WA_JSON_NONE;
	int statuses;
	int messages;

	wa_webhook_read_contacts(webhook, value, wrote);
	statuses = read_items(webhook, value, "statuses", phone_number_id, wa_webhook_read_status);
	messages = read_items(webhook, value, "messages", phone_number_id, wa_webhook_read_message);
	if (statuses < 0)
		problem = "statuses_not_an_array";
	else if (messages < 0)
		problem = "messages_not_an_array";
	else if (statuses == 0 && messages == 0 &&
			 wa_json_member(json, value, "errors") == WA_JSON_NONE)
		problem = "nothing_known";
	if (problem != NULL)
		wa_webhook_park_node(webhook, WA_WEBHOOK_EVENT, "change", change, phone_number_id, problem);
	if (phone_number_id != NULL)
		wa_webhook_note_traffic(webhook, phone_number_id, Max(statuses, 0), Max(messages, 0));
}

/* The field "user_preferences". */
static void
read_preferences(WaWebhook *webhook, uint32 change, uint32 value)
{
	const char *phone_number_id =
		wa_webhook_string(webhook, wa_json_member(webhook->json, value, "metadata"),
						  "phone_number_id", MAX_PHONE_NUMBER_ID);
	int count =
		read_items(webhook, value, "user_preferences", phone_number_id, wa_webhook_read_preference);

	if (count > 0)
		wa_webhook_read_contacts(webhook, value, true);
	else
		wa_webhook_park_node(webhook, WA_WEBHOOK_EVENT, "change", change, phone_number_id,
							 count < 0 ? "preferences_not_an_array" : "nothing_known");
	wa_webhook_note_traffic(webhook, "", 0, 0);
}

static void
read_change(WaWebhook *webhook, uint32 entry, uint32 change)
{
	const WaJson *json = webhook->json;
	uint32 field = wa_json_member(json, change, "field");
	uint32 value = wa_json_member(json, change, "value");
	bool is_messages = wa_json_equals(json, field, "messages");

	if (!wa_json_is(json, field, WA_JSON_STRING) || !wa_json_is(json, value, WA_JSON_OBJECT))
	{
		wa_webhook_park_node(webhook, WA_WEBHOOK_EVENT, "change", change, NULL,
							 "field_or_value_missing");
		return;
	}
	if (wa_json_equals(json, field, "user_preferences"))
	{
		read_preferences(webhook, change, value);
		return;
	}
	if (is_messages)
		read_messages(webhook, change, value);
	/* Errors of the account come in the field "messages", too. */
	if (!is_messages || wa_json_member(json, value, "errors") != WA_JSON_NONE)
		wa_webhook_read_event(webhook, entry, change);
}

static void
read_entry(WaWebhook *webhook, uint32 entry)
{
	const WaJson *json = webhook->json;
	uint32 changes = wa_json_member(json, entry, "changes");

	if (!wa_json_is(json, changes, WA_JSON_ARRAY))
	{
		wa_webhook_park_node(webhook, WA_WEBHOOK_EVENT, "entry", entry, NULL, "changes_missing");
		return;
	}
	for (uint32 change = wa_json_first(json, changes); change != WA_JSON_NONE;
		 change = wa_json_after(json, changes, change))
		read_change(webhook, entry, change);
}

static void
read_envelope(WaWebhook *webhook)
{
	const WaJson *json = webhook->json;
	uint32 entries = wa_json_member(json, 0, "entry");

	if (!wa_json_equals(json, wa_json_member(json, 0, "object"), "whatsapp_business_account"))
		wa_webhook_park_node(webhook, WA_WEBHOOK_EVENT, "body", 0, NULL, "wrong_object");
	else if (!wa_json_is(json, entries, WA_JSON_ARRAY))
		wa_webhook_park_node(webhook, WA_WEBHOOK_EVENT, "body", 0, NULL, "entry_missing");
	else
	{
		for (uint32 entry = wa_json_first(json, entries); entry != WA_JSON_NONE;
			 entry = wa_json_after(json, entries, entry))
			read_entry(webhook, entry);
	}
}

/*
 * Our statements reach rows through indexes, however small the tables were
 * when they were planned: a plan is kept for the session, and the tables grow.
 * Compiling plans of the cost that forbidden nodes have would take longer than
 * running them.
 */
static int
begin_planner_settings(void)
{
	static const char *const off[] = {"enable_seqscan",	   "enable_hashjoin", "enable_mergejoin",
									  "enable_bitmapscan", "enable_memoize",  "jit"};
	int level = NewGUCNestLevel();

	for (int i = 0; i < lengthof(off); i++)
		(void) set_config_option(off[i], "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
								 0, false);
	return level;
}

void
wa_webhook_begin(WaWebhook *webhook, FunctionCallInfo fcinfo)
{
	memset(webhook, 0, sizeof(WaWebhook));
	wa_role_settle_deferred();
	wa_owner_begin(&webhook->owner, fcinfo);
	webhook->schema = webhook->owner.schema;
	webhook->now = GetCurrentTimestamp();
	webhook->guc_level = begin_planner_settings();
	wa_webhook_begin_statuses(webhook);
}

/*
 * Writes what has been read.  Account events go first: they may lock rows of
 * the queue, which comes before messages.
 */
void
wa_webhook_write(WaWebhook *webhook)
{
	wa_webhook_apply_events(webhook);
	wa_webhook_apply_statuses(webhook);
	wa_webhook_draw_consequences(webhook);
	wa_webhook_store_contacts(webhook);
	wa_webhook_store_inbound(webhook);
	wa_webhook_store_preferences(webhook);
	wa_webhook_write_parked(webhook);
	wa_webhook_forget_matched(webhook);
}

/*
 * Calls the handlers, when everything else is in place.
 */
void
wa_webhook_end(WaWebhook *webhook)
{
	int failed;

	AtEOXact_GUC(true, webhook->guc_level);
	(void) wa_webhook_run_handlers(webhook->schema, webhook->replies, webhook->nreplies, &failed);
	/* Last, because other webhooks of the number wait for these rows. */
	wa_webhook_write_traffic(webhook);
	wa_owner_end(&webhook->owner);
}

/*
 * Takes parked statuses along, a few, and not more often than once a second.
 */
static void
read_parked_sometimes(WaWebhook *webhook)
{
	static TimestampTz last = 0;

	if (webhook->now >= last && webhook->now < last + USECS_PER_SEC)
		return;
	last = webhook->now;
	wa_webhook_read_parked(webhook, REMATCH_BATCH);
}

static void
ingest(WaWebhook *webhook, char *body, size_t len)
{
	WaJson json;
	size_t max_nodes;
	WaJsonNode *nodes;

	/* In an ASCII database it would pass for text; what is sent is UTF-8. */
	if (!pg_verify_mbstr(PG_UTF8, body, (int) len, true))
	{
		wa_webhook_park_body(webhook, body, len, "not UTF-8");
		return;
	}
	max_nodes = wa_json_max_nodes(len);
	nodes = palloc_extended(max_nodes * sizeof(WaJsonNode), MCXT_ALLOC_HUGE);
	if (!wa_json_scan(&json, body, len, nodes, max_nodes))
	{
		wa_webhook_park_body(webhook, body, len,
							 psprintf("not JSON: %s at byte %zu", json.problem, json.problem_at));
		return;
	}
	webhook->json = &json;
	read_envelope(webhook);
	read_parked_sometimes(webhook);
	wa_webhook_write(webhook);
	webhook->json = NULL;
}

static void
append_counts(StringInfo out, const WaWebhookCounts *counts)
{
	appendStringInfo(out, "\"applied\": %d, \"duplicate\": %d, \"parked\": %d, \"foreign\": %d",
					 counts->applied, counts->duplicate, counts->parked, counts->foreign);
}

/* The totals, and the same for each kind. */
static Datum
counts_as_jsonb(const WaWebhook *webhook)
{
	static const char *const names[WA_WEBHOOK_KINDS] = {"statuses", "messages", "events"};
	WaWebhookCounts total = {0};
	StringInfoData out;

	for (int i = 0; i < WA_WEBHOOK_KINDS; i++)
	{
		total.applied += webhook->counts[i].applied;
		total.duplicate += webhook->counts[i].duplicate;
		total.parked += webhook->counts[i].parked;
		total.foreign += webhook->counts[i].foreign;
	}
	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	append_counts(&out, &total);
	for (int i = 0; i < WA_WEBHOOK_KINDS; i++)
	{
		appendStringInfo(&out, ", \"%s\": {", names[i]);
		append_counts(&out, &webhook->counts[i]);
		appendStringInfoChar(&out, '}');
	}
	appendStringInfoChar(&out, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(out.data));
}

Datum
wa_webhook_ingest(PG_FUNCTION_ARGS)
{
	WaWebhook webhook;
	bytea *body;
	text *signature;
	size_t len;

	if (PG_ARGISNULL(0))
		wa_raise_null_argument("body");
	/* The size before decompression, so that nothing larger is ever held. */
	len = toast_raw_datum_size(PG_GETARG_DATUM(0)) - VARHDRSZ;
	if (len > MAX_BODY_SIZE)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("webhook body is larger than %d bytes", MAX_BODY_SIZE)));
	if (GetDatabaseEncoding() != PG_UTF8)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("webhooks need a database with the encoding UTF8"),
						errdetail("This one has %s, which cannot store what customers write.",
								  GetDatabaseEncodingName())));
	body = PG_GETARG_BYTEA_PP(0);
	signature = PG_ARGISNULL(1) ? cstring_to_text("") : PG_GETARG_TEXT_PP(1);
	check_signature(VARDATA_ANY(signature), VARSIZE_ANY_EXHDR(signature), VARDATA_ANY(body), len);

	wa_webhook_begin(&webhook, fcinfo);
	{
		/* Scanning writes into it. */
		char *copy = palloc(len + 1);

		memcpy(copy, VARDATA_ANY(body), len);
		copy[len] = '\0';
		ingest(&webhook, copy, len);
	}
	wa_webhook_end(&webhook);
	return counts_as_jsonb(&webhook);
}
