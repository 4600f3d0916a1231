/*
 * event.c
 *	  What Meta says about the account: templates, numbers, restrictions.
 *
 * A few a day, of many kinds, and all they do is change rows: so they go to
 * wa_internal_account_event() in SQL, one by one.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/rows.h"
#include "base/statement.h"
#include "webhook/event.h"
#include "webhook/field.h"
#include "webhook/history.h"
#include "webhook/park.h"
#include "webhook/traffic.h"

#define MAX_FIELD 64

typedef struct Event
{
	const char *field;
	const char *value; /* JSON text */
	TimestampTz at;	   /* 0: not told */
	uint32 change;
} Event;

/* Returns applied, duplicate, ignored, or why it cannot be used. */
static WaStatement event_statement = {
	.sql = "SELECT @extschema@.wa_internal_account_event($1, $2::pg_catalog.jsonb, $3)",
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTOID, TIMESTAMPTZOID},
	.expected = SPI_OK_SELECT};

/*
 * Events touch the same few rows in whatever order they come, and there are few
 * of them: one webhook at a time.
 */
#define LOCK_CLASS 0x57414556 /* "WAEV" */

static WaStatement lock_statement = {.sql = "SELECT pg_catalog.pg_advisory_xact_lock($1, 0)",
									 .nargs = 1,
									 .argtypes = {INT4OID},
									 .expected = SPI_OK_SELECT};

/* Takes a value of the event into the list. */
static void
add_event(WaWebhook *webhook, const char *value, void *arg)
{
	Event event = *(const Event *) arg;

	event.value = value;
	*(Event *) wa_webhook_add(&webhook->events, sizeof(Event)) = event;
}

void
wa_webhook_read_event(WaWebhook *webhook, uint32 entry, uint32 change)
{
	Event event = {.change = change};
	uint32 value;
	bool too_large;
	bool in_pieces;

	event.field = wa_webhook_string(webhook, change, "field", MAX_FIELD);
	if (event.field == NULL)
	{
		wa_webhook_park_node(webhook, WA_WEBHOOK_EVENT, "change", change, NULL, "unknown_field");
		return;
	}
	value = wa_json_member(webhook->json, change, "value");
	too_large = wa_webhook_is_too_large(webhook, change);
	in_pieces = too_large && strcmp(event.field, "history") == 0;
	if (too_large && !in_pieces)
	{
		wa_webhook_park_node(webhook, WA_WEBHOOK_EVENT, "change", change, NULL, "too_large");
		return;
	}
	if (!wa_webhook_said_time(webhook, entry, "time", &event.at))
		event.at = webhook->parked_at;
	if (event.at != 0 && wa_webhook_is_too_old(webhook, event.at))
	{
		webhook->body->too_old++;
		wa_webhook_park_node(webhook, WA_WEBHOOK_EVENT, "change", change, NULL, "too_old");
		return;
	}
	if (!in_pieces)
		add_event(webhook, wa_webhook_text(webhook, value), &event);
	else if (!wa_webhook_read_history(webhook, value, add_event, &event))
		wa_webhook_park_node(webhook, WA_WEBHOOK_EVENT, "change", change, NULL, "too_large");
	wa_webhook_note_traffic(webhook, "", 0, 0);
}

static void
apply_event(WaWebhook *webhook, const Event *event)
{
	WaWebhookCounts *counts = &webhook->body->counts[WA_WEBHOOK_EVENT];
	Datum values[3] = {CStringGetTextDatum(event->field), CStringGetTextDatum(event->value),
					   TimestampTzGetDatum(event->at)};
	char nulls[3] = {' ', ' ', event->at == 0 ? 'n' : ' '};
	WaRows rows = wa_statement_run(&event_statement, webhook->schema, values, nulls);
	char *outcome = wa_rows_text(&rows, 0, 1);

	if (strcmp(outcome, "applied") == 0)
		counts->applied++;
	else if (strcmp(outcome, "duplicate") == 0)
		counts->duplicate++;
	else if (strcmp(outcome, "ignored") == 0)
		counts->ignored++;
	else
		wa_webhook_park_node(webhook, WA_WEBHOOK_EVENT, "change", event->change, NULL, outcome);
}

void
wa_webhook_apply_events(WaWebhook *webhook)
{
	const Event *items = webhook->events.items;
	Datum lock[1] = {Int32GetDatum(LOCK_CLASS)};

	if (webhook->events.count == 0)
		return;
	wa_statement_run(&lock_statement, webhook->schema, lock, NULL);
	for (int i = 0; i < webhook->events.count; i++)
		apply_event(webhook, &items[i]);
}
