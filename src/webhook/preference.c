/*
 * preference.c
 *	  Customers who switch marketing off or on in WhatsApp itself.
 *
 * They come as a field of their own, not among messages, but one webhook has
 * those of many customers: each is an item, and a malformed one is parked
 * alone.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/rows.h"
#include "base/statement.h"
#include "webhook/webhook.h"

#define MAX_ID 160
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

struct WaPreferenceList
{
	Preference *items;
	int count;
	int room;
};

/* How many of them were new. */
static WaStatement store_statement = {
	.sql = "SELECT @extschema@.wa_internal_store_preferences($1, $2, $3, $4, $5, $6)",
	.nargs = 6,
	.argtypes = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID,
				 TEXTARRAYOID},
	.expected = SPI_OK_SELECT};

/*
 * Takes one item of user_preferences[] into the list, or parks it.
 */
void
wa_webhook_read_preference(WaWebhook *webhook, uint32 item, const char *phone_number_id)
{
	static const char *const choices[] = {"stop", "resume", "signup"};
	const WaJson *json = webhook->json;
	WaPreferenceList *list = webhook->preferences;
	Preference preference = {.phone_number_id = phone_number_id};
	uint32 category = wa_json_member(json, item, "category");
	const char *problem = NULL;
	char *wa_id;

	wa_id = wa_webhook_wa_id(webhook, item, "wa_id");
	if (wa_id != NULL)
		preference.phone = psprintf("+%s", wa_id);
	preference.user_id = wa_webhook_string(webhook, item, "user_id", MAX_ID);
	if (preference.user_id == NULL)
		preference.user_id = wa_webhook_string(webhook, item, "from_user_id", MAX_ID);
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
	if (problem != NULL)
	{
		wa_webhook_park_node(webhook, WA_WEBHOOK_EVENT, "event", item, phone_number_id, problem);
		return;
	}

	preference.item = pnstrdup(json->text + json->nodes[item].start,
							   json->nodes[item].end - json->nodes[item].start);
	if (list == NULL)
		list = webhook->preferences = palloc0(sizeof(WaPreferenceList));
	list->items = wa_webhook_make_room(list->items, list->count, &list->room, sizeof(Preference));
	list->items[list->count++] = preference;
}

void
wa_webhook_store_preferences(WaWebhook *webhook)
{
	WaRows rows;
	WaPreferenceList *list = webhook->preferences;
	WaWebhookCounts *counts = &webhook->counts[WA_WEBHOOK_EVENT];
	Datum values[6];
	int stored;

	if (list == NULL || list->count == 0)
		return;
	values[0] = WA_WEBHOOK_TEXTS(list, Preference, phone_number_id);
	values[1] = WA_WEBHOOK_TEXTS(list, Preference, phone);
	values[2] = WA_WEBHOOK_TEXTS(list, Preference, user_id);
	values[3] = WA_WEBHOOK_TEXTS(list, Preference, choice);
	values[4] = WA_WEBHOOK_TIMES(list, Preference, at);
	values[5] = WA_WEBHOOK_TEXTS(list, Preference, item);
	rows = wa_statement_run(&store_statement, webhook->schema, values, NULL);

	stored = (int) wa_rows_int(&rows, 0, 1, 0);
	counts->applied += stored;
	counts->duplicate += list->count - stored;
	list->count = 0;
}
