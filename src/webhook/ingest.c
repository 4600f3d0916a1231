/*
 * ingest.c
 *	  What Meta sends: one webhook, and the outline of the work.
 *
 * After the signature (webhook/credentials.c) nothing Meta may send is an error.
 * An error would make Meta send the same again for seven days, along with whatever
 * else was in it; what cannot be used is stored with the reason instead
 * (webhook/park.c).  Errors that do leave here are those that a repetition can cure:
 * no secret, no memory, a deadlock.
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
#include "base/role_section.h"
#include "compat.h"
#include "shared/hearing.h"
#include "webhook/apply.h"
#include "webhook/consequence.h"
#include "webhook/contact.h"
#include "webhook/credentials.h"
#include "webhook/envelope.h"
#include "webhook/erased.h"
#include "webhook/event.h"
#include "webhook/forward.h"
#include "webhook/group.h"
#include "webhook/handover.h"
#include "webhook/inbound.h"
#include "webhook/ingest.h"
#include "webhook/newcomer.h"
#include "webhook/park.h"
#include "webhook/preference.h"
#include "webhook/rematch.h"
#include "webhook/reply.h"
#include "webhook/traffic.h"

#define REMATCH_BATCH 100

PG_FUNCTION_INFO_V1(wa_webhook_ingest);
PG_FUNCTION_INFO_V1(wa_internal_rematch);

/*
 * Our statements reach rows through indexes, however small the tables were
 * when they were planned: a plan is kept for the session, and the tables grow.
 * So no plan is better than another for the values at hand, and making one for each
 * call takes a third of the time.  Compiling plans of the cost that forbidden nodes have
 * would take longer than running them.
 */
static int
begin_planner_settings(void)
{
	static const char *const settings[][2] = {{"enable_seqscan", "off"},
											  {"enable_hashjoin", "off"},
											  {"enable_mergejoin", "off"},
											  {"enable_bitmapscan", "off"},
											  {"enable_memoize", "off"},
											  {"jit", "off"},
											  {"plan_cache_mode", "force_generic_plan"}};
	int level = NewGUCNestLevel();

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return level;
}

void
wa_ingest_begin(WaIngest *ingest, FunctionCallInfo fcinfo)
{
	memset(ingest, 0, sizeof(WaIngest));
	wa_owner_begin(&ingest->owner, fcinfo);
	ingest->guc_level = begin_planner_settings();
	ingest->webhook.schema = ingest->owner.schema;
	ingest->webhook.now = GetCurrentTimestamp();
	wa_newcomers_begin();
	wa_status_read_installation(&ingest->webhook);
}

const char *
wa_ingest_scan(WaJson *json, const bytea *body)
{
	size_t len = VARSIZE_ANY_EXHDR(body);
	size_t max_nodes = wa_json_max_nodes(len);
	char *text = palloc(len + 1);
	WaJsonNode *nodes;

	/* Scanning writes into it. */
	memcpy(text, VARDATA_ANY(body), len);
	text[len] = '\0';
	/* In an ASCII database it would pass for text; what is sent is UTF-8. */
	if (!pg_verify_mbstr(PG_UTF8, text, (int) len, true))
		return "not UTF-8";
	nodes = palloc_extended(max_nodes * sizeof(WaJsonNode), MCXT_ALLOC_HUGE);
	if (!wa_json_scan(json, text, len, nodes, max_nodes))
		return psprintf("not JSON: %s at byte %zu", json->problem, json->problem_at);
	return NULL;
}

void
wa_ingest_read(WaIngest *ingest, WaWebhookBody *body, const WaJson *json)
{
	ingest->webhook.body = body;
	ingest->webhook.json = json;
	wa_webhook_read_envelope(&ingest->webhook);
}

void
wa_ingest_read_any(WaIngest *ingest, WaWebhookBody *body, const bytea *given)
{
	WaWebhook *webhook = &ingest->webhook;
	WaJson *json = palloc(sizeof(WaJson));
	const char *bytes = VARDATA_ANY(given);
	size_t len = VARSIZE_ANY_EXHDR(given);
	const char *problem = wa_ingest_scan(json, given);

	webhook->body = body;
	if (problem != NULL)
	{
		wa_webhook_park_body(webhook, bytes, len, WA_WEBHOOK_BODY_TO_LOOK_AT, problem);
		return;
	}
	wa_ingest_read(ingest, body, json);
	if (body->keep_body != NULL)
		wa_webhook_park_body(webhook, bytes, len, WA_WEBHOOK_WHOLE_BODY, body->keep_body);
	if (!webhook->may_be_slow)
		wa_ingest_read_unmatched_sometimes(ingest);
}

static void
read_unmatched(WaIngest *ingest, int max_rows)
{
	WaWebhookBody *read_before = ingest->webhook.body;

	ingest->webhook.body = &ingest->unmatched;
	wa_webhook_read_unmatched(&ingest->webhook, max_rows);
	ingest->webhook.body = read_before;
}

void
wa_ingest_read_unmatched_sometimes(WaIngest *ingest)
{
	static TimestampTz last = 0;
	TimestampTz now = ingest->webhook.now;

	if (now >= last && now < last + USECS_PER_SEC)
		return;
	last = now;
	read_unmatched(ingest, REMATCH_BATCH);
}

/*
 * Account events go first: they may lock rows of the queue, which comes before
 * messages.  The handlers come when everything else is in place, and with the
 * session's own settings.  They may take seconds, so what is locked then is
 * what their own webhook is about.
 */
void
wa_ingest_write(WaIngest *ingest)
{
	WaWebhook *webhook = &ingest->webhook;
	int failed;

	wa_webhook_drop_erased(webhook);
	wa_webhook_store_forwards(webhook);
	wa_webhook_apply_events(webhook);
	wa_webhook_apply_statuses(webhook);
	wa_webhook_draw_consequences(webhook);
	wa_webhook_store_contacts(webhook);
	wa_webhook_opt_out_refused(webhook);
	wa_webhook_store_handovers(webhook);
	wa_webhook_store_inbound(webhook);
	wa_webhook_store_preferences(webhook);
	wa_webhook_write_parked(webhook);
	wa_webhook_forget_matched(webhook);
	wa_webhook_match_early_replies(webhook);
	AtEOXact_GUC(false, ingest->guc_level);
	if (webhook->nreplies > 0)
		wa_newcomers_let_go();
	(void) wa_webhook_run_handlers(webhook->schema, webhook->replies, webhook->nreplies, &failed);
	wa_webhook_alert_parked(webhook);
}

void
wa_ingest_end(WaIngest *ingest)
{
	wa_owner_end(&ingest->owner);
}

/* Traffic comes last, because other webhooks of the number wait for these rows. */
static void
write_and_end(WaIngest *ingest)
{
	wa_ingest_write(ingest);
	wa_webhook_write_traffic(ingest->webhook.schema, &ingest->webhook.traffic, ingest->webhook.now);
	wa_ingest_end(ingest);
}

/* ---- the outcome ---- */

static void
append_counts(StringInfo out, const WaWebhookCounts *counts)
{
	appendStringInfo(out,
					 "\"applied\": %d, \"duplicate\": %d, \"parked\": %d, \"ignored\": %d, "
					 "\"foreign\": %d",
					 counts->applied, counts->duplicate, counts->parked, counts->ignored,
					 counts->foreign);
}

/* The totals, and the same for each kind; what was passed on to other nodes, if anything was. */
Datum
wa_ingest_counts(const WaWebhookBody *body)
{
	static const char *const names[WA_WEBHOOK_KINDS] = {"statuses", "messages", "events"};
	WaWebhookCounts total = {0};
	StringInfoData out;

	for (int i = 0; i < WA_WEBHOOK_KINDS; i++)
	{
		total.applied += body->counts[i].applied;
		total.duplicate += body->counts[i].duplicate;
		total.parked += body->counts[i].parked;
		total.ignored += body->counts[i].ignored;
		total.foreign += body->counts[i].foreign;
	}
	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	append_counts(&out, &total);
	for (int i = 0; i < WA_WEBHOOK_KINDS; i++)
	{
		appendStringInfo(&out, ", \"%s\": {", names[i]);
		append_counts(&out, &body->counts[i]);
		appendStringInfoChar(&out, '}');
	}
	if (body->forwarded > 0)
		appendStringInfo(&out, ", \"forwarded\": %d", body->forwarded);
	appendStringInfoChar(&out, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(out.data));
}

/* ---- the calls ---- */

void
wa_ingest_require_encoding(void)
{
	if (GetDatabaseEncoding() != PG_UTF8)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("webhooks need a database with the encoding UTF8"),
						errdetail("This one has %s, which cannot store what customers write.",
								  GetDatabaseEncodingName())));
}

/* Asked for before decompression, so that nothing larger is ever held. */
bool
wa_ingest_is_too_large(Datum body)
{
	return toast_raw_datum_size(body) - VARHDRSZ > WA_INGEST_MAX_BODY;
}

static bytea *
signed_body(FunctionCallInfo fcinfo)
{
	bytea *body;
	text *signature;

	if (PG_ARGISNULL(0))
		wa_raise_null_argument("body");
	if (wa_ingest_is_too_large(PG_GETARG_DATUM(0)))
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("webhook body is larger than %d bytes", WA_INGEST_MAX_BODY)));
	wa_ingest_require_encoding();
	wa_webhook_require_secret();
	body = PG_GETARG_BYTEA_PP(0);
	signature = PG_ARGISNULL(1) ? cstring_to_text("") : PG_GETARG_TEXT_PP(1);
	if (!wa_webhook_is_signed(signature, body))
		ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
						errmsg("invalid webhook signature"),
						errhint("If Meta sent it, whatsapp_shared.app_secret is not the secret of "
								"the app, or a proxy has changed the body.")));
	return body;
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
	WaIngest ingest;
	WaWebhookBody result = {0};
	ErrorContextCallback hide;
	bytea *body;

	wa_webhook_hide_arguments(&hide);
	body = signed_body(fcinfo);
	error_context_stack = hide.previous; /* from here on it is Meta's */
	wa_hearing_watch();

	wa_role_settle_deferred();
	wa_ingest_begin(&ingest, fcinfo);
	wa_ingest_read_any(&ingest, &result, body);
	write_and_end(&ingest);
	return wa_ingest_counts(&result);
}

/*
 * wa_internal_rematch(max_rows): unmatched statuses alone.
 */
Datum
wa_internal_rematch(PG_FUNCTION_ARGS)
{
	WaIngest ingest;

	wa_ingest_begin(&ingest, fcinfo);
	read_unmatched(&ingest, PG_GETARG_INT32(0));
	write_and_end(&ingest);
	PG_RETURN_INT32(ingest.webhook.nmatched);
}
