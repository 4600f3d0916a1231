/*
 * envelope.c
 *	  The way through a webhook's document: entries, changes, items.
 *
 * Each item goes to the file that knows its kind.
 */
#include "postgres.h"

#include "common/webhook_body.h"
#include "webhook/account.h"
#include "webhook/contact.h"
#include "webhook/envelope.h"
#include "webhook/event.h"
#include "webhook/field.h"
#include "webhook/forward.h"
#include "webhook/handover.h"
#include "webhook/identity_change.h"
#include "webhook/inbound.h"
#include "webhook/park.h"
#include "webhook/preference.h"
#include "webhook/status.h"
#include "webhook/traffic.h"

/* Items of one kind in a change. */
typedef struct Kind
{
	const char *name; /* of the member */
	WaWebhookKind kind;
	const char *what; /* value of whatsapp_parked_events.kind */
	void (*read)(WaWebhook *webhook, uint32 item, const char *phone_number_id);
} Kind;

static const Kind status_items = {"statuses", WA_WEBHOOK_STATUS, "status", wa_webhook_read_status};
static const Kind message_items = {"messages", WA_WEBHOOK_MESSAGE, "message",
								   wa_webhook_read_message};
static const Kind preference_items = {"user_preferences", WA_WEBHOOK_EVENT, "event",
									  wa_webhook_read_preference};

/*
 * The items of this kind in value.  Returns how many, or -1 if there is something of
 * the name which is no array.
 */
static int
read_items(WaWebhook *webhook, const Kind *kind, uint32 value, const char *phone_number_id)
{
	const WaJson *json = webhook->json;
	uint32 items = wa_json_member(json, value, kind->name);
	int count = 0;

	if (items == WA_JSON_NONE)
		return 0;
	if (!wa_json_is(json, items, WA_JSON_ARRAY))
		return -1;
	for (uint32 item = wa_json_first(json, items); item != WA_JSON_NONE;
		 item = wa_json_after(json, items, item))
	{
		if (!wa_webhook_may_read(webhook, WA_WEBHOOK_ITEMS))
			break;
		if (wa_webhook_is_too_large(webhook, item))
			wa_webhook_park_node(webhook, kind->kind, kind->what, item, phone_number_id,
								 "too_large");
		else
			kind->read(webhook, item, phone_number_id);
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
	int old = webhook->body->too_old;
	int statuses = read_items(webhook, &status_items, value, phone_number_id);
	int messages = read_items(webhook, &message_items, value, phone_number_id);

	/* People are known as they are now, not as they were. */
	if (webhook->body->too_old == old)
		wa_webhook_read_contacts(webhook, value, messages > 0);
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

/*
 * The field "standby": what customers write while Meta's agent, or another
 * application, has the conversation, and what that one answers.  It has been seen
 * with the arrays of "messages" in the value, and in a member of the field's name.
 */
static void
read_standby(WaWebhook *webhook, uint32 entry, uint32 change, uint32 value)
{
	const WaJson *json = webhook->json;
	const char *phone_number_id = wa_webhook_number(webhook, value);
	uint32 places[] = {value, wa_json_member(json, value, "standby")};
	int old = webhook->body->too_old;
	bool echoes = false;
	int statuses = 0;
	int messages = 0;

	webhook->standby = true;
	for (int i = 0; i < lengthof(places); i++)
	{
		int told = read_items(webhook, &status_items, places[i], phone_number_id);
		int wrote = read_items(webhook, &message_items, places[i], phone_number_id);

		statuses += Max(told, 0);
		messages += Max(wrote, 0);
		if (webhook->body->too_old == old)
			wa_webhook_read_contacts(webhook, places[i], messages > 0);
		echoes |= wa_json_member(json, places[i], "message_echoes") != WA_JSON_NONE;
	}
	webhook->standby = false;
	if (echoes)
		wa_webhook_read_event(webhook, entry, change);
	else if (statuses + messages == 0)
		wa_webhook_park_node(webhook, WA_WEBHOOK_EVENT, "change", change, phone_number_id,
							 "nothing_known");
	if (phone_number_id != NULL)
		wa_webhook_note_traffic(webhook, phone_number_id, statuses, messages);
}

/* The field "user_preferences". */
static void
read_preferences(WaWebhook *webhook, uint32 change, uint32 value)
{
	const char *phone_number_id = wa_webhook_number(webhook, value);
	int old = webhook->body->too_old;
	int count = read_items(webhook, &preference_items, value, phone_number_id);

	if (count > 0 && webhook->body->too_old == old)
		wa_webhook_read_contacts(webhook, value, true);
	if (count <= 0)
		wa_webhook_park_node(webhook, WA_WEBHOOK_EVENT, "change", change, phone_number_id,
							 count < 0 ? "preferences_not_an_array" : "nothing_known");
	wa_webhook_note_traffic(webhook, "", 0, 0);
}

/* How many there are, of those that a body may have. */
static int
count_items(WaWebhook *webhook, const Kind *kind, uint32 value)
{
	const WaJson *json = webhook->json;
	uint32 items = wa_json_member(json, value, kind->name);
	int count = 0;

	for (uint32 item = wa_json_first(json, items);
		 item != WA_JSON_NONE && wa_webhook_may_read(webhook, WA_WEBHOOK_ITEMS);
		 item = wa_json_after(json, items, item))
		count++;
	return count;
}

static void
count_foreign(WaWebhook *webhook, uint32 value)
{
	WaWebhookCounts *counts = webhook->body->counts;
	int statuses = count_items(webhook, &status_items, value);
	int messages = count_items(webhook, &message_items, value);

	counts[WA_WEBHOOK_STATUS].foreign += statuses;
	counts[WA_WEBHOOK_MESSAGE].foreign += messages;
	if (statuses + messages == 0)
		counts[WA_WEBHOOK_EVENT].foreign++;
}

/* The field "user_id_update": recorded as an event, with what follows from it. */
static void
read_user_id_updates(WaWebhook *webhook, uint32 entry, uint32 change, uint32 value)
{
	if (wa_identity_change_read_updates(webhook, value))
		wa_webhook_read_event(webhook, entry, change);
	else
		wa_webhook_park_node(webhook, WA_WEBHOOK_EVENT, "change", change,
							 wa_webhook_number(webhook, value), "identities_missing");
}

/* Nothing has been read of this change yet. */
static void
begin_change(WaWebhook *webhook, uint32 value)
{
	const WaJson *json = webhook->json;
	uint32 contacts = wa_json_member(json, value, "contacts");
	uint32 first = WA_JSON_NONE;

	if (wa_json_is(json, contacts, WA_JSON_ARRAY))
		first = wa_json_first(json, contacts);
	if (first != WA_JSON_NONE && wa_json_after(json, contacts, first) != WA_JSON_NONE)
		first = WA_JSON_NONE;
	webhook->sole_contact = first;
	webhook->said.count = 0;
	webhook->said_at = 0;
	webhook->first_change = webhook->changes.count;
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
	if (wa_webhook_forward(webhook, entry, change, value))
		return;
	if (wa_webhook_is_foreign(webhook, entry, value))
	{
		count_foreign(webhook, value);
		return;
	}
	begin_change(webhook, value);
	if (wa_json_equals(json, field, "user_id_update") ||
		wa_json_equals(json, field, "user_id_updates"))
	{
		read_user_id_updates(webhook, entry, change, value);
		return;
	}
	if (wa_json_equals(json, field, "user_preferences"))
	{
		read_preferences(webhook, change, value);
		return;
	}
	if (wa_json_equals(json, field, "standby"))
	{
		read_standby(webhook, entry, change, value);
		return;
	}
	if (wa_json_equals(json, field, "messaging_handovers"))
		wa_webhook_read_handover(webhook, entry, value);
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
	{
		if (!wa_webhook_may_read(webhook, WA_WEBHOOK_CHANGES))
			break;
		read_change(webhook, entry, change);
	}
}

void
wa_webhook_read_again(WaWebhook *webhook, const char *what, const char *phone_number_id)
{
	static const Kind *const kinds[] = {&status_items, &message_items, &preference_items};

	begin_change(webhook, WA_JSON_NONE);
	if (strcmp(what, "body") == 0)
		wa_webhook_read_envelope(webhook);
	else if (strcmp(what, "entry") == 0)
		read_entry(webhook, 0);
	else if (strcmp(what, "change") == 0)
		read_change(webhook, WA_JSON_NONE, 0);
	for (int i = 0; i < lengthof(kinds); i++)
		if (strcmp(what, kinds[i]->what) == 0)
			kinds[i]->read(webhook, 0, phone_number_id);
}

void
wa_webhook_read_envelope(WaWebhook *webhook)
{
	const WaJson *json = webhook->json;
	uint32 entries = wa_json_member(json, 0, "entry");

	webhook->was_forwarded = wa_json_member(json, 0, WA_WEBHOOK_BODY_FORWARDED) != WA_JSON_NONE;
	if (!wa_json_equals(json, wa_json_member(json, 0, "object"), "whatsapp_business_account"))
		wa_webhook_park_node(webhook, WA_WEBHOOK_EVENT, "body", 0, NULL, "wrong_object");
	else if (!wa_json_is(json, entries, WA_JSON_ARRAY))
		wa_webhook_park_node(webhook, WA_WEBHOOK_EVENT, "body", 0, NULL, "entry_missing");
	else
	{
		for (uint32 entry = wa_json_first(json, entries); entry != WA_JSON_NONE;
			 entry = wa_json_after(json, entries, entry))
		{
			if (!wa_webhook_may_read(webhook, WA_WEBHOOK_ENTRIES))
				break;
			read_entry(webhook, entry);
		}
	}
}
