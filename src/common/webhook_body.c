/*
 * webhook_body.c
 *	  What kind of webhook a body is, before anything is made of it.
 */
#include "wa_c.h"

#include "common/webhook_body.h"

/*
 * Far below what is read of one body at most (webhook/field.c, webhook/park.c): a
 * plain body has nothing that would be kept as a whole.  Meta sends one status in
 * a body as a rule.
 */
#define MAX_PARTS 100

/* How many elements, or -1 if it is there and no array. */
static int
count_elements(const WaJson *json, uint32_t array)
{
	int n = 0;

	if (array == WA_JSON_NONE)
		return 0;
	if (!wa_json_is(json, array, WA_JSON_ARRAY))
		return -1;
	for (uint32_t element = wa_json_first(json, array); element != WA_JSON_NONE;
		 element = wa_json_after(json, array, element))
		n++;
	return n;
}

bool
wa_webhook_change_is_plain(const WaJson *json, uint32_t change, int *parts)
{
	uint32_t value = wa_json_member(json, change, "value");
	int statuses = count_elements(json, wa_json_member(json, value, "statuses"));
	int contacts = count_elements(json, wa_json_member(json, value, "contacts"));

	*parts += 1 + Max(statuses, 0) + Max(contacts, 0);
	return wa_json_equals(json, wa_json_member(json, change, "field"), "messages") &&
		   statuses > 0 && contacts >= 0 &&
		   wa_json_member(json, value, "messages") == WA_JSON_NONE &&
		   wa_json_member(json, value, "errors") == WA_JSON_NONE;
}

bool
wa_webhook_body_is_plain(const WaJson *json)
{
	uint32_t entries = wa_json_member(json, 0, "entry");
	int parts = 0;

	if (json->len > WA_WEBHOOK_BODY_MAX_PLAIN ||
		!wa_json_equals(json, wa_json_member(json, 0, "object"), "whatsapp_business_account"))
		return false;
	for (uint32_t entry = wa_json_first(json, entries); entry != WA_JSON_NONE;
		 entry = wa_json_after(json, entries, entry))
	{
		uint32_t changes = wa_json_member(json, entry, "changes");

		for (uint32_t change = wa_json_first(json, changes); change != WA_JSON_NONE;
			 change = wa_json_after(json, changes, change))
			if (!wa_webhook_change_is_plain(json, change, &parts) || parts > MAX_PARTS)
				return false;
		if (wa_json_first(json, changes) == WA_JSON_NONE)
			return false;
	}
	return parts > 0;
}

bool
wa_webhook_body_has_messages(const WaJson *json)
{
	uint32_t entries = wa_json_member(json, 0, "entry");

	for (uint32_t entry = wa_json_first(json, entries); entry != WA_JSON_NONE;
		 entry = wa_json_after(json, entries, entry))
	{
		uint32_t changes = wa_json_member(json, entry, "changes");

		for (uint32_t change = wa_json_first(json, changes); change != WA_JSON_NONE;
			 change = wa_json_after(json, changes, change))
		{
			uint32_t value = wa_json_member(json, change, "value");
			uint32_t standby = wa_json_member(json, value, "standby");

			if (wa_json_member(json, value, "messages") != WA_JSON_NONE ||
				wa_json_member(json, standby, "messages") != WA_JSON_NONE)
				return true;
		}
	}
	return false;
}
