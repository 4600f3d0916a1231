/*
 * rematch.c
 *	  Statuses that came before their message was known, once more; and replies.
 *
 * A status without our own data is found by its wamid, which the sender writes
 * when it has read Meta's response.  The status can be faster: then it waits in
 * whatsapp_parked_events until some other webhook, or the upkeep of a sender,
 * looks again.  They join the statuses of the webhook that is being taken in,
 * because messages must be locked in one order, and leave the table last.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "base/arrays.h"
#include "base/lookup.h"
#include "base/rows.h"
#include "base/statement.h"
#include "webhook/rematch.h"
#include "webhook/status.h"

/* Replies to messages that were not known, looked at by one webhook. */
#define EARLY_BATCH 100

/*
 * Those of other programs on the same account never match: they get a day.
 * Rows are locked and not deleted here: a session that stores the same status
 * would wait for a deletion, with locks on messages that we are about to want.
 */
static WaStatement pick_statement = {
	.sql = "SELECT p.parked_id, p.phone_number_id, p.event::pg_catalog.text"
		   " FROM @extschema@.whatsapp_parked_events AS p"
		   " WHERE p.kind OPERATOR(pg_catalog.=) 'status' AND p.reason OPERATOR(pg_catalog.=) ANY "
		   "('{unknown_message,message_queued_again}')"
		   " AND p.received_at OPERATOR(pg_catalog.>) (pg_catalog.now() OPERATOR(pg_catalog.-) "
		   "interval '1 day')"
		   " AND (EXISTS (SELECT FROM @extschema@.whatsapp_wamids AS w"
		   " WHERE w.whatsapp_message_id OPERATOR(pg_catalog.=) p.whatsapp_message_id)"
		   " OR EXISTS (SELECT FROM @extschema@.whatsapp_messages AS m WHERE m.id "
		   "OPERATOR(pg_catalog.=) p.message_id))"
		   " ORDER BY p.received_at LIMIT $1 FOR UPDATE OF p SKIP LOCKED",
	.nargs = 1,
	.argtypes = {INT4OID},
	.expected = SPI_OK_SELECT};

static WaStatement forget_statement = {.sql = "DELETE FROM @extschema@.whatsapp_parked_events "
											  "WHERE parked_id OPERATOR(pg_catalog.=) ANY ($1)",
									   .nargs = 1,
									   .argtypes = {INT8ARRAYOID},
									   .expected = SPI_OK_DELETE};

void
wa_webhook_read_unmatched(WaWebhook *webhook, int limit)
{
	WaRows rows;
	const WaJson *outer = webhook->json;
	Datum values[1] = {Int32GetDatum(limit)};
	int n;

	webhook->looks_again = true;
	rows = wa_statement_run(&pick_statement, webhook->schema, values, NULL);
	n = (int) rows.count;
	if (n == 0)
		return;
	webhook->matched = palloc(sizeof(int64) * n);
	for (int i = 0; i < n; i++)
	{
		char *event = wa_rows_text(&rows, i, 3);
		size_t len = strlen(event);
		WaJsonNode *nodes = palloc(sizeof(WaJsonNode) * wa_json_max_nodes(len));
		WaJson json;

		if (!wa_json_scan(&json, event, len, nodes, wa_json_max_nodes(len)))
			elog(ERROR, "could not read an unmatched status: %s", json.problem);
		webhook->json = &json;
		webhook->parked_id = wa_rows_int(&rows, i, 1, 0);
		wa_webhook_read_status(webhook, 0, wa_rows_text(&rows, i, 2));
	}
	webhook->json = outer;
	webhook->parked_id = 0;
}

/* Nothing is looked for where nothing waits. */
void
wa_webhook_match_early_replies(WaWebhook *webhook)
{
	static WaLookup early = {.table = "whatsapp_early_replies",
							 .index = "whatsapp_early_replies_pkey",
							 .ncolumns = 1,
							 .columns = {"inbound_id"}};
	static WaStatement statement = {.sql = "SELECT @extschema@.wa_internal_match_early_replies($1)",
									.nargs = 1,
									.argtypes = {INT4OID},
									.expected = SPI_OK_SELECT};
	Datum values[1] = {Int32GetDatum(EARLY_BATCH)};

	if (webhook->looks_again && wa_lookup_may_find(&early, webhook->schema))
		wa_statement_run(&statement, webhook->schema, values, NULL);
}

void
wa_webhook_forget_matched(WaWebhook *webhook)
{
	Datum values[1];

	if (webhook->nmatched == 0)
		return;
	values[0] = wa_array_of_int8(webhook->matched, webhook->nmatched);
	wa_statement_run(&forget_statement, webhook->schema, values, NULL);
}
