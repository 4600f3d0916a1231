/*
 * preference.c
 *	  Customers who switch marketing off or on in WhatsApp itself.
 *
 * They come as a field of their own, not among messages, but one webhook has
 * those of many customers: each is an item, and a malformed one is rejected
 * alone.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "webhook/contact.h"
#include "webhook/field.h"
#include "webhook/park.h"
#include "webhook/preference.h"

#define MAX_WORD 64

typedef struct Preference
{
	const char *phone_number_id;
	const char *phone;	 /* with +, or NULL */
	const char *user_id; /* or NULL */
	const char *choice;
	TimestampTz at;
	const char *item; /* JSON text */
} Preference;

/* How many of them were new. */
static WaStatement store_statement = {
	.sql = "SELECT @extschema@.wa_internal_store_preferences($1, $2, $3, $4, $5, $6)",
	.nargs = 6,
	.argtypes = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID,
				 TEXTARRAYOID},
	.expected = SPI_OK_SELECT};

void
wa_webhook_read_preference(WaWebhook *webhook, uint32 item, const char *phone_number_id)
{
	static const char *const choices[] = {"stop", "resume", "signup"};
	const WaJson *json = webhook->json;
	Preference preference = {.phone_number_id = phone_number_id};
	uint32 category = wa_json_member(json, item, "category");
	const char *problem = NULL;

	preference.phone = wa_webhook_phone(webhook, item, "wa_id");
	preference.user_id = wa_webhook_user_id(webhook, item, "user_id");
	if (preference.user_id == NULL)
		preference.user_id = wa_webhook_user_id(webhook, item, "from_user_id");
	if (preference.phone == NULL && preference.user_id == NULL)
	{
		preference.phone = wa_webhook_phone(webhook, webhook->sole_contact, "wa_id");
		preference.user_id = wa_webhook_user_id(webhook, webhook->sole_contact, "user_id");
	}
	for (int i = 0; i < lengthof(choices); i++)
	{
		if (wa_json_equals(json, wa_json_member(json, item, "value"), choices[i]))
			preference.choice = choices[i];
	}

	if (!wa_json_is(json, item, WA_JSON_OBJECT))
		problem = "not_an_object";
	else if (phone_number_id == NULL)
		problem = "phone_number_id_missing";
	else if (preference.phone == NULL && preference.user_id == NULL)
		problem = "sender_missing";
	else if (category != WA_JSON_NONE && !wa_json_equals(json, category, "marketing_messages"))
		problem = "unknown_category";
	else if (preference.choice == NULL)
		problem = "unknown_preference";
	else if (!wa_webhook_time(webhook, item, "timestamp", &preference.at))
		problem = "timestamp_invalid";
	else if (wa_webhook_is_too_old(webhook, preference.at))
	{
		webhook->body->too_old++;
		/* Who has stopped may have resumed since; but that errs on the right side. */
		if (strcmp(preference.choice, "stop") != 0)
			problem = "too_old";
	}
	if (problem != NULL)
	{
		wa_webhook_park_node(webhook, WA_WEBHOOK_EVENT, "event", item, phone_number_id, problem);
		return;
	}

	preference.at = Min(preference.at, webhook->now);
	wa_webhook_note_said(webhook, preference.phone, preference.user_id, preference.at);
	wa_webhook_note_person(webhook, preference.phone);
	wa_webhook_note_person(webhook, preference.user_id);
	preference.item = wa_webhook_text(webhook, item);
	*(Preference *) wa_webhook_add(&webhook->preferences, sizeof(Preference)) = preference;
}

void
wa_webhook_store_preferences(WaWebhook *webhook)
{
	static const WaColumn columns[] = {
		WA_COLUMN(Preference, phone_number_id), WA_COLUMN(Preference, phone),
		WA_COLUMN(Preference, user_id),			WA_COLUMN(Preference, choice),
		WA_COLUMN_TIME(Preference, at),			WA_COLUMN(Preference, item),
	};
	const Preference *items = webhook->preferences.items;
	int n = webhook->preferences.count;
	WaWebhookCounts *counts = &webhook->body->counts[WA_WEBHOOK_EVENT];
	Datum values[lengthof(columns)];
	WaRows rows;
	int stored;

	if (n == 0)
		return;
	WA_ARRAYS_OF(values, columns, items, n);
	rows = wa_statement_run(&store_statement, webhook->schema, values, NULL);
	stored = (int) wa_rows_int(&rows, 0, 1, 0);
	counts->applied += stored;
	counts->duplicate += n - stored;
}
