/*
 * envelope.c
 *	  The way through a webhook's document: entries, changes, items.
 *
 * Each item goes to the file that knows its kind.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "webhook/contact.h"
#include "webhook/envelope.h"
#include "webhook/event.h"
#include "webhook/field.h"
#include "webhook/inbound.h"
#include "webhook/park.h"
#include "webhook/preference.h"
#include "webhook/status.h"
#include "webhook/traffic.h"

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
	const char *phone_number_id = wa_webhook_number(webhook, value);
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
	const char *phone_number_id = wa_webhook_number(webhook, value);
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

void
wa_webhook_read_envelope(WaWebhook *webhook)
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
