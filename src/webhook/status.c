/*
 * status.c
 *	  Statuses of messages: reading and merging.
 *
 * Everything that can be wrong with a status is found here, before the first
 * row is touched, so that the statements that follow (webhook/apply.c) have no
 * reason to fail for one item and take the others with them.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/timestamp.h"

#include "common/message_state.h"
#include "common/plain_text.h"
#include "webhook/contact.h"
#include "webhook/field.h"
#include "webhook/park.h"
#include "webhook/status.h"

#define MAX_WAMID 255
#define MAX_WORD 64
#define MAX_ERROR_TEXT 640
#define MAX_ERRORS (16 * 1024)
#define MAX_CONVERSATION_ID 160

static const char *const kind_names[WA_STATUS_KINDS] = {
	[WA_STATUS_SENT] = "sent",	   [WA_STATUS_DELIVERED] = "delivered", [WA_STATUS_READ] = "read",
	[WA_STATUS_PLAYED] = "played", [WA_STATUS_FAILED] = "failed",
};

/*
 * The first of the item's errors, as text for people: title and details.  All of
 * them are kept as they came, unless they are longer than any that are meant.
 */
static void
read_error(WaWebhook *webhook, uint32 item, WaStatus *status)
{
	const WaJson *json = webhook->json;
	uint32 errors = wa_json_member(json, item, "errors");
	uint32 error = wa_json_first(json, errors);
	char *title;
	char *details;
	int64 code;

	if (error == WA_JSON_NONE)
		return;
	if (json->nodes[errors].end - json->nodes[errors].start <= MAX_ERRORS)
		status->errors = wa_webhook_text(webhook, errors);
	if (wa_json_integer(json, wa_json_member(json, error, "code"), &code) && code >= 0 &&
		code < WA_STATUS_NO_ERROR)
		status->error_code = (int) code;

	title = wa_webhook_clipped(webhook, error, "title", MAX_ERROR_TEXT);
	if (title == NULL)
		title = wa_webhook_clipped(webhook, error, "message", MAX_ERROR_TEXT);
	details = wa_webhook_clipped(webhook, wa_json_member(json, error, "error_data"), "details",
								 MAX_ERROR_TEXT);
	if (details == NULL) /* where older versions of the API have it */
		details = wa_webhook_clipped(webhook, error, "details", MAX_ERROR_TEXT);
	if (title != NULL && details != NULL && strcmp(title, details) != 0)
		title = psprintf("%s: %s", title, details);
	else if (title == NULL)
		title = details;
	if (title != NULL)
		wa_plain_text(title);
	status->error_message = title;
}

/*
 * Meta spells authentication-international with a hyphen or an underscore.
 */
static void
read_pricing(WaWebhook *webhook, uint32 item, WaStatus *status)
{
	const WaJson *json = webhook->json;
	uint32 pricing = wa_json_member(json, item, "pricing");
	uint32 billable;
	char *category;

	status->pricing_model = wa_webhook_string(webhook, pricing, "pricing_model", MAX_WORD);
	category = wa_webhook_string(webhook, pricing, "category", MAX_WORD);
	if (category == NULL)
		return;
	for (char *p = category; *p != '\0'; p++)
		if (*p == '-')
			*p = '_';
	status->category = category;
	status->pricing_type = wa_webhook_string(webhook, pricing, "type", MAX_WORD);
	billable = wa_json_member(json, pricing, "billable");
	if (wa_json_is(json, billable, WA_JSON_TRUE))
		status->billable = 1;
	else if (wa_json_is(json, billable, WA_JSON_FALSE))
		status->billable = 0;
}

/* What Meta charged by before it charged by message, and still does after an advertisement. */
static void
read_conversation(WaWebhook *webhook, uint32 item, WaStatus *status)
{
	uint32 conversation = wa_json_member(webhook->json, item, "conversation");
	uint32 origin = wa_json_member(webhook->json, conversation, "origin");

	status->conversation_id = wa_webhook_string(webhook, conversation, "id", MAX_CONVERSATION_ID);
	status->conversation_origin = wa_webhook_string(webhook, origin, "type", MAX_WORD);
	if (!wa_webhook_later_time(webhook, conversation, "expiration_timestamp",
							   &status->conversation_ends_at))
		status->conversation_ends_at = 0;
}

/*
 * Our own data: message and attempt, if this installation wrote it.
 */
static void
read_opaque(WaWebhook *webhook, uint32 item, WaStatus *status)
{
	char opaque[WA_OPAQUE_SIZE];
	char installation[sizeof(webhook->installation)];
	int64_t message_id;
	int attempt;
	long len;

	len = wa_json_string(webhook->json,
						 wa_json_member(webhook->json, item, "biz_opaque_callback_data"), opaque,
						 sizeof(opaque));
	if (len < 0 || !wa_message_opaque_read(opaque, len, installation, sizeof(installation),
										   &message_id, &attempt))
		return;
	if (strcmp(installation, webhook->installation) != 0)
	{
		status->foreign = true;
		return;
	}
	status->message_id = message_id;
	status->attempt = attempt;
}

static bool
read_kind(const WaJson *json, uint32 item, WaStatusKind *kind)
{
	uint32 node = wa_json_member(json, item, "status");

	for (int i = 0; i < WA_STATUS_KINDS; i++)
	{
		if (wa_json_equals(json, node, kind_names[i]))
		{
			*kind = (WaStatusKind) i;
			return true;
		}
	}
	return false;
}

void
wa_webhook_read_status(WaWebhook *webhook, uint32 item, const char *phone_number_id)
{
	const WaJson *json = webhook->json;
	WaStatus status = {.body = webhook->body,
					   .attempt = WA_STATUS_NO_ATTEMPT,
					   .phone_number_id = phone_number_id,
					   .error_code = WA_STATUS_NO_ERROR,
					   .billable = -1};
	WaStatusKind kind;
	TimestampTz at;
	const char *problem = NULL;

	status.wamid = wa_webhook_string(webhook, item, "id", MAX_WAMID);
	if (!wa_json_is(json, item, WA_JSON_OBJECT))
		problem = "not_an_object";
	else if (status.wamid == NULL)
		problem = "id_missing";
	else if (!read_kind(json, item, &kind))
		problem = "unknown_status";
	else if (!wa_webhook_time(webhook, item, "timestamp", &at))
		problem = "timestamp_invalid";
	if (problem != NULL)
	{
		wa_webhook_park_node(webhook, WA_WEBHOOK_STATUS, "status", item, phone_number_id, problem);
		return;
	}

	status.at[kind] = at;
	if (kind == WA_STATUS_FAILED)
		read_error(webhook, item, &status);
	read_pricing(webhook, item, &status);
	read_conversation(webhook, item, &status);
	read_opaque(webhook, item, &status);
	/* Of what another one sends in the conversation that it has. */
	status.foreign |= webhook->standby && status.message_id == 0;
	if (!wa_json_equals(json, wa_json_member(json, item, "recipient_type"), "group"))
	{
		status.recipient_wa_id = wa_webhook_string(webhook, item, "recipient_id", MAX_WORD);
		status.recipient_user_id = wa_webhook_user_id(webhook, item, "recipient_user_id");
		if (wa_webhook_is_too_old(webhook, at))
			webhook->body->too_old++;
		else
		{
			wa_webhook_read_recipient(webhook, item, at);
			status.told_phone = wa_webhook_phone(webhook, item, "recipient_id");
			status.told_user_id = status.recipient_user_id != NULL
									  ? status.recipient_user_id
									  : wa_webhook_user_id_instead(webhook, item, "recipient_id");
		}
	}
	status.parked_id = webhook->parked_id;
	status.place = webhook->statuses.count;
	status.event = json->text + json->nodes[item].start;
	status.event_len = json->nodes[item].end - json->nodes[item].start;
	*(WaStatus *) wa_webhook_add(&webhook->statuses, sizeof(WaStatus)) = status;
}

static int
compare_text(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return (a != NULL) - (b != NULL);
	return strcmp(a, b);
}

/*
 * Of two failures the earlier one counts; the order is total, and the one of
 * update_statement in webhook/update.c.
 */
static bool
prefer_failure(const WaStatus *a, const WaStatus *b)
{
	TimestampTz a_at = a->at[WA_STATUS_FAILED];
	TimestampTz b_at = b->at[WA_STATUS_FAILED];

	if (a_at == 0 || b_at == 0)
		return a_at != 0 && b_at == 0;
	if (a_at != b_at)
		return a_at < b_at;
	if (a->error_code != b->error_code)
		return a->error_code < b->error_code;
	return compare_text(a->error_message, b->error_message) < 0;
}

static bool
take_lesser(const char **into, const char *from)
{
	if (from == NULL || (*into != NULL && strcmp(*into, from) <= 0))
		return false;
	*into = from;
	return true;
}

static bool
take_earlier(TimestampTz *into, TimestampTz from)
{
	if (from == 0 || (*into != 0 && *into <= from))
		return false;
	*into = from;
	return true;
}

bool
wa_status_merge(WaStatus *into, const WaStatus *from)
{
	bool changed = false;

	Assert(strcmp(into->wamid, from->wamid) == 0);

	if (prefer_failure(from, into))
	{
		into->error_code = from->error_code;
		into->error_message = from->error_message;
		into->errors = from->errors;
		changed = true;
	}
	for (int i = 0; i < WA_STATUS_KINDS; i++)
		changed |= take_earlier(&into->at[i], from->at[i]);
	changed |= take_lesser(&into->category, from->category);
	changed |= take_lesser(&into->pricing_type, from->pricing_type);
	changed |= take_lesser(&into->pricing_model, from->pricing_model);
	changed |= take_lesser(&into->conversation_id, from->conversation_id);
	changed |= take_lesser(&into->conversation_origin, from->conversation_origin);
	changed |= take_earlier(&into->conversation_ends_at, from->conversation_ends_at);
	if (from->billable >= 0 && (into->billable < 0 || from->billable < into->billable))
	{
		into->billable = from->billable;
		changed = true;
	}
	if (into->recipient_wa_id == NULL && from->recipient_wa_id != NULL)
	{
		into->recipient_wa_id = from->recipient_wa_id;
		changed = true;
	}
	into->attempt = Max(into->attempt, from->attempt);
	return changed;
}

TimestampTz
wa_status_first_at(const WaStatus *status)
{
	TimestampTz first = 0;

	for (int i = 0; i < WA_STATUS_KINDS; i++)
	{
		if (status->at[i] != 0 && (first == 0 || status->at[i] < first))
			first = status->at[i];
	}
	return first;
}

bool
wa_status_proves_delivery(const WaStatus *status)
{
	return status->at[WA_STATUS_DELIVERED] != 0 || status->at[WA_STATUS_READ] != 0 ||
		   status->at[WA_STATUS_PLAYED] != 0;
}
