/*
 * webhook_rematch.c
 *	  Statuses that came before their message was known, once more.
 *
 * A status without our own data is found by its wamid, which the sender writes
 * when it has read Meta's answer.  The status can be faster: then it waits in
 * whatsapp_parked_events until some other webhook, or the upkeep of a sender,
 * looks again.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "plan.h"
#include "schema.h"
#include "store.h"
#include "webhook.h"

/* Those of other programs on the same account never match: they get a day. */
static WaPlan pick_plan = {
	.sql = "DELETE FROM @extschema@.whatsapp_parked_events AS d WHERE d.parked_id IN ("
		   "SELECT p.parked_id FROM @extschema@.whatsapp_parked_events AS p"
		   " WHERE p.kind = 'status' AND p.reason IN ('unknown_message', 'message_queued_again')"
		   " AND p.received_at > pg_catalog.now() - interval '1 day'"
		   " AND (EXISTS (SELECT FROM @extschema@.whatsapp_wamids AS w"
		   " WHERE w.whatsapp_message_id = p.whatsapp_message_id)"
		   " OR EXISTS (SELECT FROM @extschema@.whatsapp_messages AS m WHERE m.id = p.message_id))"
		   " ORDER BY p.received_at LIMIT $1 FOR UPDATE SKIP LOCKED)"
		   " RETURNING d.phone_number_id, d.event::pg_catalog.text",
	.nargs = 1,
	.argtypes = {INT4OID}};

PG_FUNCTION_INFO_V1(wa_internal_rematch);

/*
 * Tries up to "limit" of them.  Returns how many were used; they are not part
 * of the webhook's counts.
 */
int
wa_webhook_rematch(WaWebhook *webhook, int limit)
{
	WaWebhookCounts counts[WA_WEBHOOK_KINDS];
	const WaJson *outer = webhook->json;
	Datum values[1] = {Int32GetDatum(limit)};
	int n;

	wa_plan_execute(&pick_plan, webhook->schema, values, NULL, SPI_OK_DELETE_RETURNING);
	n = (int) SPI_processed;
	if (n == 0)
		return 0;

	memcpy(counts, webhook->counts, sizeof(counts));
	for (int i = 0; i < n; i++)
	{
		char *event = wa_store_text(i, 2);
		size_t len = strlen(event);
		WaJsonNode *nodes = palloc(sizeof(WaJsonNode) * wa_json_max_nodes(len));
		WaJson json;

		if (!wa_json_scan(&json, event, len, nodes, wa_json_max_nodes(len)))
			elog(ERROR, "could not read a parked status: %s", json.problem);
		webhook->json = &json;
		wa_webhook_read_status(webhook, 0, wa_store_text(i, 1));
	}
	webhook->json = outer;
	wa_webhook_apply_statuses(webhook);
	wa_webhook_draw_consequences(webhook);
	wa_webhook_write_parked(webhook);
	memcpy(webhook->counts, counts, sizeof(counts));
	return n;
}

Datum
wa_internal_rematch(PG_FUNCTION_ARGS)
{
	WaWebhook webhook;
	int n;

	wa_webhook_begin(&webhook, wa_schema_of_call(fcinfo));
	n = wa_webhook_rematch(&webhook, PG_GETARG_INT32(0));
	wa_webhook_end(&webhook);
	PG_RETURN_INT32(n);
}
