/*
 * consequence.c
 *	  What follows from statuses beyond their own message: a refused template
 *	  or account is paused, a recipient who wants no marketing is noted, a
 *	  message that went out twice is reported, one that went out late is
 *	  remembered for its cost.
 *
 * The class of an error decides, as for the answers that the sender gets.  All
 * of it happens in one SQL function, wa_internal_draw_consequences(): it is
 * rare, and a matter of rows.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "base/arrays.h"
#include "base/statement.h"
#include "graph/error_class.h"
#include "webhook/status.h"
#include "webhook/webhook.h"

typedef struct Consequence
{
	const char *action; /* as wa_internal_draw_consequences() knows it */
	int64 message_id;
	int attempt;
	int error_code;
	const char *text;
	int pause_seconds; /* 0: until something lifts it */
	TimestampTz at;
} Consequence;

struct WaConsequences
{
	Consequence *items;
	int count;
	int room;
};

static WaStatement draw_statement = {
	.sql = "SELECT @extschema@.wa_internal_draw_consequences($1, $2, $3, $4, $5, $6, $7)",
	.nargs = 7,
	.argtypes = {TEXTARRAYOID, INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, INT4ARRAYOID,
				 TIMESTAMPTZARRAYOID},
	.expected = SPI_OK_SELECT};

static void
note(WaWebhook *webhook, const Consequence *consequence)
{
	WaConsequences *list = webhook->consequences;

	if (list == NULL)
		list = webhook->consequences = palloc0(sizeof(WaConsequences));
	list->items = wa_webhook_make_room(list->items, list->count, &list->room, sizeof(Consequence));
	list->items[list->count++] = *consequence;
}

/*
 * The action for a class of errors, or NULL where the message alone is
 * concerned.  A throttle that lasts is a pause; a short one has passed by the
 * time its webhook is here.
 */
static const char *
action_of(const WaErrorCode *error)
{
	switch (error->error_class)
	{
		case WA_CLASS_PAUSE_ACCOUNT:
		case WA_CLASS_PAUSE_ACCOUNT_SHORT:
			return "pause_account";
		case WA_CLASS_PAUSE_NUMBER:
			return "pause_number";
		case WA_CLASS_PAUSE_TEMPLATE:
			return "pause_template";
		case WA_CLASS_THROTTLE_NUMBER:
			return error->pause_seconds >= 60 ? "pause_number" : NULL;
		default:
			return error->opts_out ? "opt_out" : NULL;
	}
}

/*
 * The status has made its message fail, for the first time.
 */
void
wa_webhook_note_failure(WaWebhook *webhook, const WaStatus *status)
{
	Consequence consequence = {.message_id = status->message_id,
							   .error_code = status->error_code,
							   .text = status->error_message,
							   .at = status->at[WA_STATUS_FAILED]};
	const WaErrorCode *error;

	if (status->error_code == WA_STATUS_NO_ERROR)
		return;
	error = wa_error_lookup(status->error_code, 0, false);
	consequence.action = error->first < 0 ? "unknown_code" : action_of(error);
	consequence.pause_seconds = error->pause_seconds;
	if (consequence.action != NULL)
		note(webhook, &consequence);
}

/*
 * Two attempts of one message have reached Meta.
 */
void
wa_webhook_note_duplicate(WaWebhook *webhook, const WaStatus *status)
{
	bool delivered = wa_status_proves_delivery(status);
	Consequence consequence = {.action = delivered ? "duplicate_delivery" : "duplicate_send",
							   .message_id = status->message_id,
							   .attempt = status->attempt,
							   .text = status->wamid,
							   .at = wa_status_first_at(status)};

	note(webhook, &consequence);
}

/*
 * The message was delivered a month or more after it was due.
 */
void
wa_webhook_note_late(WaWebhook *webhook, const WaStatus *status)
{
	Consequence consequence = {.action = "late_delivery", .message_id = status->message_id};

	note(webhook, &consequence);
}

void
wa_webhook_draw_consequences(WaWebhook *webhook)
{
	WaConsequences *list = webhook->consequences;
	const char **actions;
	const char **texts;
	int64 *ids;
	int32 *attempts;
	int32 *codes;
	int32 *seconds;
	TimestampTz *times;
	Datum values[7];

	if (list == NULL || list->count == 0)
		return;
	actions = palloc(sizeof(char *) * list->count);
	texts = palloc(sizeof(char *) * list->count);
	ids = palloc(sizeof(int64) * list->count);
	attempts = palloc(sizeof(int32) * list->count);
	codes = palloc(sizeof(int32) * list->count);
	seconds = palloc(sizeof(int32) * list->count);
	times = palloc(sizeof(TimestampTz) * list->count);
	for (int i = 0; i < list->count; i++)
	{
		actions[i] = list->items[i].action;
		ids[i] = list->items[i].message_id;
		attempts[i] = list->items[i].attempt;
		codes[i] = list->items[i].error_code;
		texts[i] = list->items[i].text;
		seconds[i] = list->items[i].pause_seconds;
		times[i] = list->items[i].at;
	}
	values[0] = wa_array_of_text(actions, list->count);
	values[1] = wa_array_of_int8(ids, list->count);
	values[2] = wa_array_of_int4(attempts, list->count);
	values[3] = wa_array_of_int4(codes, list->count);
	values[4] = wa_array_of_text(texts, list->count);
	values[5] = wa_array_of_int4(seconds, list->count);
	values[6] = wa_array_of_time(times, list->count);
	wa_statement_run(&draw_statement, webhook->schema, values, NULL);
	list->count = 0;
}
