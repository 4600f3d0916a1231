/*
 * consequence.c
 *	  What follows from statuses beyond their own message: a template, number or
 *	  account that an error concerns is paused, a recipient who wants no marketing
 *	  is opted out, a message that went out twice is reported, one that went out
 *	  late is remembered for its cost.
 *
 * The class of an error decides, as for the responses that the sender gets.  It
 * happens in SQL functions: it is rare, and a matter of rows.  Opting out waits until
 * the webhook has locked everybody whom it is about, since persons are locked
 * at once and in one order, here as everywhere.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "base/arrays.h"
#include "base/statement.h"
#include "graph/error_class.h"
#include "webhook/consequence.h"
#include "webhook/field.h"

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

/* A message that failed because its recipient wants no more of its kind. */
typedef struct Refused
{
	int64 message_id;
	TimestampTz at;
} Refused;

static WaStatement draw_statement = {
	.sql = "SELECT @extschema@.wa_internal_draw_consequences($1, $2, $3, $4, $5, $6, $7)",
	.nargs = 7,
	.argtypes = {TEXTARRAYOID, INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, INT4ARRAYOID,
				 TIMESTAMPTZARRAYOID},
	.expected = SPI_OK_SELECT};

static WaStatement opt_out_statement = {
	.sql = "SELECT @extschema@.wa_internal_opt_out_for_error($1, $2)",
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, TIMESTAMPTZARRAYOID},
	.expected = SPI_OK_SELECT};

static void
note(WaWebhook *webhook, const Consequence *consequence)
{
	*(Consequence *) wa_webhook_add(&webhook->consequences, sizeof(Consequence)) = *consequence;
}

/*
 * The status has made its message fail, for the first time.  What that means for
 * others is said in graph/error_class.c; a short throttle has passed by the time
 * its webhook is here.
 */
void
wa_webhook_note_failure(WaWebhook *webhook, const WaStatus *status, const char *recipient)
{
	Consequence consequence = {.message_id = status->message_id,
							   .error_code = status->error_code,
							   .text = status->error_message,
							   .at = status->at[WA_STATUS_FAILED]};
	WaErrorConsequence then;
	const char *scope;

	if (status->error_code == WA_STATUS_NO_ERROR)
		return;
	then = wa_error_consequence(wa_error_lookup(status->error_code, 0, false), 0);
	scope = wa_error_action_scope(then.action);
	consequence.pause_seconds = then.seconds;
	if (scope != NULL)
	{
		consequence.action = psprintf("pause_%s", scope);
		note(webhook, &consequence);
	}
	if (then.opts_out)
	{
		Refused refused = {consequence.message_id, consequence.at};

		*(Refused *) wa_webhook_add(&webhook->refused, sizeof(Refused)) = refused;
		wa_webhook_note_person(webhook, recipient);
	}
	if (then.unknown)
	{
		consequence.action = "unknown_code";
		note(webhook, &consequence);
	}
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
	static const WaColumn columns[] = {
		WA_COLUMN(Consequence, action),	 WA_COLUMN(Consequence, message_id),
		WA_COLUMN(Consequence, attempt), WA_COLUMN(Consequence, error_code),
		WA_COLUMN(Consequence, text),	 WA_COLUMN(Consequence, pause_seconds),
		WA_COLUMN_TIME(Consequence, at),
	};
	const Consequence *items = webhook->consequences.items;
	Datum values[lengthof(columns)];

	if (webhook->consequences.count == 0)
		return;
	WA_ARRAYS_OF(values, columns, items, webhook->consequences.count);
	wa_statement_run(&draw_statement, webhook->schema, values, NULL);
}

void
wa_webhook_opt_out_refused(WaWebhook *webhook)
{
	static const WaColumn columns[] = {WA_COLUMN(Refused, message_id), WA_COLUMN_TIME(Refused, at)};
	const Refused *items = webhook->refused.items;
	Datum values[lengthof(columns)];

	if (webhook->refused.count == 0)
		return;
	WA_ARRAYS_OF(values, columns, items, webhook->refused.count);
	wa_statement_run(&opt_out_statement, webhook->schema, values, NULL);
}
