/*
 * ingest.c
 *	  What Meta sends: the entry points, and the outline of the work.
 *
 * A webhook is a request from the internet whose only credential is the
 * signature over its bytes, so that is checked before anything looks into it.
 * After that nothing Meta may send is an error.  An error would make Meta send
 * the same again for seven days, along with whatever else was in it; what
 * cannot be used is stored with the reason instead (webhook/park.c).  Errors that
 * do leave here are those that a repetition can cure: no secret, no memory, a
 * deadlock.
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
#include "base/owner.h"
#include "base/role_section.h"
#include "base/secret.h"
#include "common/signature.h"
#include "shared/hearing.h"
#include "webhook/apply.h"
#include "webhook/consequence.h"
#include "webhook/contact.h"
#include "webhook/envelope.h"
#include "webhook/event.h"
#include "webhook/group.h"
#include "webhook/inbound.h"
#include "webhook/park.h"
#include "webhook/preference.h"
#include "webhook/rematch.h"
#include "webhook/reply.h"
#include "webhook/traffic.h"

/*
 * Meta sends up to three megabytes, and up to 1,000 updates.  What a signed body can cost
 * is bounded by this, and by the counts in webhook/field.c and webhook/park.c.
 */
#define MAX_BODY_SIZE (4 * 1024 * 1024)
#define MAX_CHALLENGE 1024
#define REMATCH_BATCH 100

PG_FUNCTION_INFO_V1(wa_webhook_challenge);
PG_FUNCTION_INFO_V1(wa_webhook_ingest);
PG_FUNCTION_INFO_V1(wa_internal_rematch);

/* One call: a section as the owner of the tables, in which items are read, then written. */
typedef struct Call
{
	WaOwner owner;
	int guc_level;
	WaWebhook webhook;
} Call;

/* ---- credentials ---- */

/*
 * While this is on the error stack, neither the statement, which may hold the
 * arguments, nor its parameters go to the log along with an error.  Anybody can make
 * a request that fails; what it holds, a guess at a token or a body of megabytes, is
 * not for the log, and a valid token still less.
 */
static void
hide_arguments(void *arg)
{
	errhidestmt(true);
	errhidecontext(true);
}

static void
check_signature(const char *header, size_t header_len, const char *body, size_t body_len)
{
	bool matches = false;

	if (wa_secret_app_secret(0) == NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("parameter \"%s\" is not set", "whatsapp_shared.app_secret"),
			 errdetail("Without it, there is no way to tell whether a webhook comes from Meta."),
			 errhint("Put the app secret of the Meta app into a file, name it in "
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
						errhint("If Meta sent it, whatsapp_shared.app_secret is not the secret of "
								"the app, or a proxy has changed the body.")));
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

static text *
answer_challenge(FunctionCallInfo fcinfo)
{
	text *mode = wa_arg_text(fcinfo, 0, "mode");
	text *token = wa_arg_text(fcinfo, 1, "token");
	text *challenge = wa_arg_text(fcinfo, 2, "challenge");
	const char *expected = wa_secret_verify_token();

	if (expected == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("parameter \"%s\" is not set", "whatsapp_shared.webhook_verify_token"),
				 errhint("Choose a random word, and set it here and in the webhook settings "
						 "of the Meta app.")));
	if (!same_token(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token), expected))
		ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
						errmsg("invalid webhook verify token")));
	if (strcmp(text_to_cstring(mode), "subscribe") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid mode in webhook handshake"),
						errdetail("The only mode that Meta uses is \"subscribe\".")));
	if (VARSIZE_ANY_EXHDR(challenge) > MAX_CHALLENGE)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("challenge is longer than %d bytes", MAX_CHALLENGE)));
	return challenge;
}

Datum
wa_webhook_challenge(PG_FUNCTION_ARGS)
{
	ErrorContextCallback hide = {.previous = error_context_stack, .callback = hide_arguments};
	text *challenge;

	error_context_stack = &hide;
	challenge = answer_challenge(fcinfo);
	error_context_stack = hide.previous;
	PG_RETURN_TEXT_P(challenge);
}

/* ---- the work ---- */

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

static void
begin(Call *call, FunctionCallInfo fcinfo)
{
	memset(call, 0, sizeof(Call));
	wa_owner_begin(&call->owner, fcinfo);
	call->guc_level = begin_planner_settings();
	call->webhook.schema = call->owner.schema;
	call->webhook.now = GetCurrentTimestamp();
	wa_status_read_installation(&call->webhook);
}

/*
 * Takes unmatched statuses along, a few, and not more often than once a second.
 */
static void
read_unmatched_sometimes(WaWebhook *webhook)
{
	static TimestampTz last = 0;

	if (webhook->now >= last && webhook->now < last + USECS_PER_SEC)
		return;
	last = webhook->now;
	wa_webhook_read_unmatched(webhook, REMATCH_BATCH);
}

static void
read_body(WaWebhook *webhook, const char *given, size_t len)
{
	size_t max_nodes = wa_json_max_nodes(len);
	WaJson *json = palloc(sizeof(WaJson));
	WaJsonNode *nodes;
	char *body = palloc(len + 1);

	/* Scanning writes into it. */
	memcpy(body, given, len);
	body[len] = '\0';
	/* In an ASCII database it would pass for text; what is sent is UTF-8. */
	if (!pg_verify_mbstr(PG_UTF8, body, (int) len, true))
	{
		wa_webhook_park_body(webhook, body, len, WA_WEBHOOK_BODY_TO_LOOK_AT, "not UTF-8");
		return;
	}
	nodes = palloc_extended(max_nodes * sizeof(WaJsonNode), MCXT_ALLOC_HUGE);
	if (!wa_json_scan(json, body, len, nodes, max_nodes))
	{
		wa_webhook_park_body(webhook, body, len, WA_WEBHOOK_BODY_TO_LOOK_AT,
							 psprintf("not JSON: %s at byte %zu", json->problem, json->problem_at));
		return;
	}
	webhook->json = json;
	wa_webhook_read_envelope(webhook);
	if (webhook->keep_body != NULL)
		wa_webhook_park_body(webhook, given, len, WA_WEBHOOK_WHOLE_BODY, webhook->keep_body);
	read_unmatched_sometimes(webhook);
}

/*
 * Writes what has been read.  Account events go first: they may lock rows of
 * the queue, which comes before messages.  The handlers come when everything
 * else is in place and with the session's own settings, and traffic last,
 * because other webhooks of the number wait for these rows.
 */
static void
write_and_end(Call *call)
{
	WaWebhook *webhook = &call->webhook;
	int failed;

	wa_webhook_apply_events(webhook);
	wa_webhook_apply_statuses(webhook);
	wa_webhook_draw_consequences(webhook);
	wa_webhook_store_contacts(webhook);
	wa_webhook_store_inbound(webhook);
	wa_webhook_store_preferences(webhook);
	wa_webhook_write_parked(webhook);
	wa_webhook_forget_matched(webhook);
	AtEOXact_GUC(false, call->guc_level);
	(void) wa_webhook_run_handlers(webhook->schema, webhook->replies, webhook->nreplies, &failed);
	wa_webhook_write_traffic(webhook);
	wa_owner_end(&call->owner);
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

/* The size is asked for before decompression, so that nothing larger is ever held. */
static void
check_body(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		wa_raise_null_argument("body");
	if (toast_raw_datum_size(PG_GETARG_DATUM(0)) - VARHDRSZ > MAX_BODY_SIZE)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("webhook body is larger than %d bytes", MAX_BODY_SIZE)));
	if (GetDatabaseEncoding() != PG_UTF8)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("webhooks need a database with the encoding UTF8"),
						errdetail("This one has %s, which cannot store what customers write.",
								  GetDatabaseEncodingName())));
}

/*
 * wa_webhook_ingest(body, signature)
 *
 * Handlers will run: what the caller has pending is settled before, while the
 * caller's role and search_path are in force.
 */
Datum
wa_webhook_ingest(PG_FUNCTION_ARGS)
{
	Call call;
	bytea *body;
	text *signature;
	ErrorContextCallback hide = {.previous = error_context_stack, .callback = hide_arguments};
	size_t len;

	error_context_stack = &hide;
	check_body(fcinfo);
	body = PG_GETARG_BYTEA_PP(0);
	len = VARSIZE_ANY_EXHDR(body);
	signature = PG_ARGISNULL(1) ? cstring_to_text("") : PG_GETARG_TEXT_PP(1);
	check_signature(VARDATA_ANY(signature), VARSIZE_ANY_EXHDR(signature), VARDATA_ANY(body), len);
	error_context_stack = hide.previous; /* from here on it is Meta's */
	wa_hearing_watch();

	wa_role_settle_deferred();
	begin(&call, fcinfo);
	read_body(&call.webhook, VARDATA_ANY(body), len);
	write_and_end(&call);
	return counts_as_jsonb(&call.webhook);
}

/*
 * wa_internal_rematch(max_rows): unmatched statuses alone.
 */
Datum
wa_internal_rematch(PG_FUNCTION_ARGS)
{
	Call call;

	begin(&call, fcinfo);
	wa_webhook_read_unmatched(&call.webhook, PG_GETARG_INT32(0));
	write_and_end(&call);
	PG_RETURN_INT32(call.webhook.nmatched);
}
