/*
 * handover.c
 *	  Who has a customer's conversation: this application, or another one.
 *
 * Meta tells the former owner that it was taken, and the new one that it was passed: so
 * the first means that it is another one's, and the second that it is ours, whatever
 * the roles in them are called.  Of one that is given back without a new owner nobody is
 * told; the next message of the customer's says it.  The event itself is recorded
 * as any other (webhook/event.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "base/arrays.h"
#include "base/guc.h"
#include "base/statement.h"
#include "common/recipient.h"
#include "webhook/field.h"
#include "webhook/handover.h"

#define MAX_WRITTEN_NUMBER 40

typedef struct Handover
{
	const char *phone_number_id;
	const char *phone;	 /* with +, or NULL */
	const char *user_id; /* or NULL */
	TimestampTz at;
	bool taken;
} Handover;

static WaStatement note_statement = {
	.sql = "SELECT @extschema@.wa_internal_note_handovers($1, $2, $3, $4, $5)",
	.nargs = 5,
	.argtypes = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, BOOLARRAYOID},
	.expected = SPI_OK_SELECT};

/* Digits, as everywhere else, or as people write a number. */
static const char *
read_phone(const WaWebhook *webhook, uint32 sender)
{
	static const char *const names[] = {"phone_number", "wa_id"};

	for (int i = 0; i < lengthof(names); i++)
	{
		const char *phone = wa_webhook_phone(webhook, sender, names[i]);
		const char *written = wa_webhook_string(webhook, sender, names[i], MAX_WRITTEN_NUMBER);
		char canonical[WA_RECIPIENT_SIZE];

		if (phone != NULL)
			return phone;
		if (written != NULL && wa_recipient_normalise(written, strlen(written), canonical,
													  sizeof(canonical)) == WA_RECIPIENT_PHONE)
			return pstrdup(canonical);
	}
	return NULL;
}

/* Whether it is of this type: one that has a member of that name, or says so. */
static bool
is_of_type(const WaWebhook *webhook, uint32 value, const char *type)
{
	return wa_json_member(webhook->json, value, type) != WA_JSON_NONE ||
		   wa_json_equals(webhook->json, wa_json_member(webhook->json, value, "type"), type);
}

/* What cannot be used says nothing here, and is on record all the same. */
void
wa_webhook_read_handover(WaWebhook *webhook, uint32 entry, uint32 value)
{
	const WaJson *json = webhook->json;
	uint32 sender = wa_json_member(json, value, "sender");
	Handover handover = {.taken = is_of_type(webhook, value, "control_taken")};

	handover.phone_number_id = wa_webhook_string(webhook, wa_json_member(json, value, "recipient"),
												 "phone_number_id", WA_MAX_NUMBER_ID_DIGITS);
	if (handover.phone_number_id == NULL)
		handover.phone_number_id = wa_webhook_number(webhook, value);
	handover.phone = read_phone(webhook, sender);
	handover.user_id = wa_webhook_user_id(webhook, sender, "user_id");
	if (handover.phone_number_id == NULL || (handover.phone == NULL && handover.user_id == NULL) ||
		!(handover.taken || is_of_type(webhook, value, "control_passed")))
		return;
	if (!wa_webhook_time(webhook, value, "timestamp", &handover.at) &&
		!wa_webhook_time(webhook, entry, "time", &handover.at))
		handover.at = webhook->parked_at != 0 ? webhook->parked_at : webhook->now;
	if (wa_webhook_is_too_old(webhook, handover.at))
		return;
	wa_webhook_note_person(webhook, handover.phone);
	wa_webhook_note_person(webhook, handover.user_id);
	*(Handover *) wa_webhook_add(&webhook->handovers, sizeof(Handover)) = handover;
}

/* The people are locked: webhook/contact.c. */
void
wa_webhook_store_handovers(WaWebhook *webhook)
{
	static const WaColumn columns[] = {
		WA_COLUMN(Handover, phone_number_id), WA_COLUMN(Handover, phone),
		WA_COLUMN(Handover, user_id),		  WA_COLUMN_TIME(Handover, at),
		WA_COLUMN(Handover, taken),
	};
	const Handover *items = webhook->handovers.items;
	Datum values[lengthof(columns)];

	if (webhook->handovers.count == 0)
		return;
	WA_ARRAYS_OF(values, columns, items, webhook->handovers.count);
	wa_statement_run(&note_statement, webhook->schema, values, NULL);
}
