/*
 * webhook_inbound.c
 *	  Messages from customers.
 *
 * Here only the envelope of a message is looked at: who, when, which number,
 * which type.  The types themselves are open-ended and stored as they come;
 * wa_internal_store_inbound() takes out of them what it knows.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "plan.h"
#include "store.h"
#include "wake.h"
#include "webhook.h"

#define MAX_WAMID 255
#define MAX_TYPE 64
#define MAX_ID 160

typedef struct Inbound
{
	const char *phone_number_id;
	const char *wamid;
	const char *type;
	TimestampTz at;
	const char *phone;	 /* with +, or NULL */
	const char *user_id; /* or NULL */
	const char *message; /* JSON text */
} Inbound;

struct WaInboundList
{
	Inbound *items;
	int count;
	int room;
};

static WaPlan store_plan = {
	.sql = "SELECT inbound_id, reply"
		   " FROM @extschema@.wa_internal_store_inbound($1, $2, $3, $4, $5, $6, $7)",
	.nargs = 7,
	.argtypes = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID,
				 TEXTARRAYOID, TEXTARRAYOID}};

/* An array with room for one more. */
void *
wa_webhook_make_room(void *items, int count, int *room, size_t size)
{
	if (count < *room)
		return items;
	*room = *room == 0 ? 64 : *room * 2;
	return items == NULL ? palloc(size * *room) : repalloc_huge(items, size * *room);
}

static WaInboundList *
get_list(WaWebhook *webhook)
{
	if (webhook->inbound == NULL)
		webhook->inbound = palloc0(sizeof(WaInboundList));
	return webhook->inbound;
}

/*
 * Takes one item of messages[] into the list, or parks it.
 */
void
wa_webhook_read_message(WaWebhook *webhook, uint32 item, const char *phone_number_id)
{
	const WaJson *json = webhook->json;
	WaInboundList *list = get_list(webhook);
	Inbound inbound = {.phone_number_id = phone_number_id};
	const char *problem = NULL;
	char *wa_id;

	inbound.wamid = wa_webhook_string(webhook, item, "id", MAX_WAMID);
	inbound.type = wa_webhook_string(webhook, item, "type", MAX_TYPE);
	inbound.user_id = wa_webhook_string(webhook, item, "from_user_id", MAX_ID);
	wa_id = wa_webhook_wa_id(webhook, item, "from");
	if (wa_id != NULL)
		inbound.phone = psprintf("+%s", wa_id);

	if (!wa_json_is(json, item, WA_JSON_OBJECT))
		problem = "not_an_object";
	else if (phone_number_id == NULL)
		problem = "phone_number_id_missing";
	else if (inbound.wamid == NULL)
		problem = "id_missing";
	else if (inbound.type == NULL)
		problem = "type_missing";
	else if (inbound.phone == NULL && inbound.user_id == NULL)
		problem = "sender_missing";
	else if (!wa_webhook_time(webhook, item, "timestamp", &inbound.at))
		problem = "timestamp_invalid";
	if (problem != NULL)
	{
		wa_webhook_park_node(webhook, WA_WEBHOOK_MESSAGE, "message", item, phone_number_id,
							 problem);
		return;
	}
	inbound.message = pnstrdup(json->text + json->nodes[item].start,
							   json->nodes[item].end - json->nodes[item].start);
	list->items = wa_webhook_make_room(list->items, list->count, &list->room, sizeof(Inbound));
	list->items[list->count++] = inbound;
}

/*
 * Writes the list, and notes the replies that are new, for their handlers.
 */
void
wa_webhook_store_inbound(WaWebhook *webhook)
{
	WaInboundList *list = webhook->inbound;
	WaWebhookCounts *counts = &webhook->counts[WA_WEBHOOK_MESSAGE];
	const char **texts[6];
	TimestampTz *times;
	Datum values[7];
	int stored;

	if (list == NULL || list->count == 0)
		return;
	for (int i = 0; i < lengthof(texts); i++)
		texts[i] = palloc(sizeof(char *) * list->count);
	times = palloc(sizeof(TimestampTz) * list->count);
	for (int i = 0; i < list->count; i++)
	{
		const Inbound *inbound = &list->items[i];

		texts[0][i] = inbound->phone_number_id;
		texts[1][i] = inbound->wamid;
		texts[2][i] = inbound->type;
		texts[3][i] = inbound->phone;
		texts[4][i] = inbound->user_id;
		texts[5][i] = inbound->message;
		times[i] = inbound->at;
		wa_wake_inbound(inbound->phone_number_id);
	}
	values[0] = wa_store_text_array(texts[0], list->count);
	values[1] = wa_store_text_array(texts[1], list->count);
	values[2] = wa_store_text_array(texts[2], list->count);
	values[3] = wa_store_time_array(times, list->count);
	values[4] = wa_store_text_array(texts[3], list->count);
	values[5] = wa_store_text_array(texts[4], list->count);
	values[6] = wa_store_text_array(texts[5], list->count);
	wa_plan_execute(&store_plan, webhook->schema, values, NULL, SPI_OK_SELECT);

	stored = (int) SPI_processed;
	counts->applied += stored;
	counts->duplicate += list->count - stored;
	webhook->replies = palloc(sizeof(int64) * Max(stored, 1));
	for (int i = 0; i < stored; i++)
	{
		if (wa_store_int(i, 2, false))
			webhook->replies[webhook->nreplies++] = wa_store_int(i, 1, 0);
	}
	list->count = 0;
}
