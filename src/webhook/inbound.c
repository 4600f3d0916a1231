/*
 * inbound.c
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

#include "base/rows.h"
#include "base/statement.h"
#include "shared/wake.h"
#include "webhook/webhook.h"

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

static WaStatement store_statement = {
	.sql = "SELECT inbound_id, reply"
		   " FROM @extschema@.wa_internal_store_inbound($1, $2, $3, $4, $5, $6, $7)",
	.nargs = 7,
	.argtypes = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID,
				 TEXTARRAYOID, TEXTARRAYOID},
	.expected = SPI_OK_SELECT};

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
	WaRows rows;
	WaInboundList *list = webhook->inbound;
	WaWebhookCounts *counts = &webhook->counts[WA_WEBHOOK_MESSAGE];
	Datum values[7];
	int stored;

	if (list == NULL || list->count == 0)
		return;
	for (int i = 0; i < list->count; i++)
		wa_wake_inbound(list->items[i].phone_number_id);
	values[0] = WA_WEBHOOK_TEXTS(list, Inbound, phone_number_id);
	values[1] = WA_WEBHOOK_TEXTS(list, Inbound, wamid);
	values[2] = WA_WEBHOOK_TEXTS(list, Inbound, type);
	values[3] = WA_WEBHOOK_TIMES(list, Inbound, at);
	values[4] = WA_WEBHOOK_TEXTS(list, Inbound, phone);
	values[5] = WA_WEBHOOK_TEXTS(list, Inbound, user_id);
	values[6] = WA_WEBHOOK_TEXTS(list, Inbound, message);
	rows = wa_statement_run(&store_statement, webhook->schema, values, NULL);

	stored = (int) rows.count;
	counts->applied += stored;
	counts->duplicate += list->count - stored;
	webhook->replies = palloc(sizeof(int64) * Max(stored, 1));
	for (int i = 0; i < stored; i++)
	{
		if (wa_rows_int(&rows, i, 2, false))
			webhook->replies[webhook->nreplies++] = wa_rows_int(&rows, i, 1, 0);
	}
	list->count = 0;
}
