/*
 * reprocess.c
 *	  What could not be used when it came, read again.
 *
 * After an upgrade, that is: what Meta had begun to send before we knew of it.  Items
 * go the way that they would have gone, in the order in which they came, each once.
 * Those that can still not be used stay where they are.  Unmatched statuses are not
 * among them: they find their message by themselves (webhook/rematch.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/arrays.h"
#include "base/caller.h"
#include "base/rows.h"
#include "base/statement.h"
#include "webhook/envelope.h"
#include "webhook/ingest.h"
#include "webhook/newcomer.h"
#include "webhook/park.h"

PG_FUNCTION_INFO_V1(wa_reprocess_parked);

/* Read at once: bodies have up to four megabytes. */
#define PORTION 20

typedef struct ParkedItem
{
	int64 parked_id;
	const char *what;
	const char *phone_number_id; /* or NULL */
	char *event;				 /* JSON text; NULL: it is a body */
	bytea *body;				 /* or NULL */
	TimestampTz received_at;
} ParkedItem;

typedef struct Again
{
	FunctionCallInfo fcinfo;
	Datum reason; /* text, or nothing */
	bool any_reason;
	int64 last; /* parked_id of the last one that is read again */
	WaWebhookBody total;
	int64 *used; /* parked_id of what has been used */
	int nused;
	int room;
} Again;

/* Somebody else who does the same would spoil the order. */
#define LOCK_CLASS 0x57415250 /* "WARP" */

static WaStatement lock_statement = {.sql = "SELECT pg_catalog.pg_advisory_xact_lock($1, 0)",
									 .nargs = 1,
									 .argtypes = {INT4OID},
									 .expected = SPI_OK_SELECT};

/* What is parked of an item now comes after it. */
static WaStatement last_statement = {
	.sql = "SELECT pg_catalog.max(parked_id) FROM @extschema@.whatsapp_parked_events",
	.expected = SPI_OK_SELECT};

static WaStatement pick_statement = {
	.sql = "SELECT p.parked_id, p.kind, p.phone_number_id, p.event::pg_catalog.text, p.body, "
		   "p.received_at"
		   " FROM @extschema@.whatsapp_parked_events AS p"
		   " WHERE p.parked_id OPERATOR(pg_catalog.>) $1 AND p.parked_id OPERATOR(pg_catalog.<=) $4"
		   " AND ($2 IS NULL OR p.reason OPERATOR(pg_catalog.=) $2)"
		   " AND p.reason OPERATOR(pg_catalog.<>) ALL ('{unknown_message,message_queued_again}')"
		   " AND (p.event IS NOT NULL OR p.body IS NOT NULL)"
		   " ORDER BY p.parked_id LIMIT $3 FOR UPDATE OF p SKIP LOCKED",
	.nargs = 4,
	.argtypes = {INT8OID, TEXTOID, INT4OID, INT8OID},
	.expected = SPI_OK_SELECT};

static WaStatement forget_statement = {.sql =
										   "SELECT @extschema@.wa_internal_forget_reprocessed($1)",
									   .nargs = 1,
									   .argtypes = {INT8ARRAYOID},
									   .expected = SPI_OK_SELECT};

/* ---- which ---- */

static ParkedItem
item_of_row(const WaRows *rows, int row)
{
	ParkedItem item = {.parked_id = wa_rows_int(rows, row, 1, 0),
					   .what = wa_rows_text(rows, row, 2),
					   .phone_number_id = wa_rows_text(rows, row, 3),
					   .event = wa_rows_text(rows, row, 4),
					   .received_at = wa_rows_time(rows, row, 6, 0)};
	bool isnull;
	Datum body = wa_rows_datum(rows, row, 5, &isnull);

	if (!isnull)
		item.body = DatumGetByteaPCopy(body);
	return item;
}

/* In this memory context; returns how many. */
static int
read_portion(Again *again, int64 after, ParkedItem *items, MemoryContext context)
{
	WaOwner owner;
	WaRows rows;
	Datum values[4] = {Int64GetDatum(after), again->reason, Int32GetDatum(PORTION),
					   Int64GetDatum(again->last)};
	char nulls[4] = {' ', again->any_reason ? 'n' : ' ', ' ', ' '};
	MemoryContext outer;
	int n;

	wa_owner_begin(&owner, again->fcinfo);
	rows = wa_statement_run(&pick_statement, owner.schema, values, nulls);
	n = (int) rows.count;
	outer = MemoryContextSwitchTo(context);
	for (int i = 0; i < n; i++)
		items[i] = item_of_row(&rows, i);
	MemoryContextSwitchTo(outer);
	wa_owner_end(&owner);
	return n;
}

/* ---- again ---- */

static void
add_counts(WaWebhookBody *total, const WaWebhookBody *body)
{
	for (int i = 0; i < WA_WEBHOOK_KINDS; i++)
	{
		total->counts[i].applied += body->counts[i].applied;
		total->counts[i].duplicate += body->counts[i].duplicate;
		total->counts[i].parked += body->counts[i].parked;
		total->counts[i].ignored += body->counts[i].ignored;
		total->counts[i].foreign += body->counts[i].foreign;
	}
}

static void
remember_used(Again *again, int64 parked_id)
{
	if (again->nused == again->room)
	{
		again->room = again->room == 0 ? 64 : again->room * 2;
		again->used = again->used == NULL ? palloc(sizeof(int64) * again->room)
										  : repalloc_huge(again->used, sizeof(int64) * again->room);
	}
	again->used[again->nused++] = parked_id;
}

/* Of a body only what could be read of it now is done; it stays if there is more. */
static void
read_item(WaIngest *ingest, WaWebhookBody *body, ParkedItem *item)
{
	WaWebhook *webhook = &ingest->webhook;
	WaJson *json = palloc(sizeof(WaJson));
	const char *problem;

	webhook->body = body;
	webhook->parked_at = item->received_at;
	if (item->body != NULL)
		problem = wa_ingest_scan(json, item->body);
	else
	{
		size_t len = strlen(item->event);
		size_t max_nodes = wa_json_max_nodes(len);
		WaJsonNode *nodes = palloc_extended(sizeof(WaJsonNode) * max_nodes, MCXT_ALLOC_HUGE);

		problem = wa_json_scan(json, item->event, len, nodes, max_nodes) ? NULL : json->problem;
	}
	if (problem != NULL)
	{
		body->counts[WA_WEBHOOK_EVENT].parked++;
		return;
	}
	webhook->json = json;
	wa_webhook_read_again(webhook, item->what, item->phone_number_id);
}

static void
take_in_again(Again *again, ParkedItem *item)
{
	WaIngest ingest;
	WaWebhookBody body = {0};

	wa_ingest_begin(&ingest, again->fcinfo);
	read_item(&ingest, &body, item);
	wa_ingest_write(&ingest);
	wa_newcomers_let_go(); /* others follow, with handlers */
	wa_ingest_end(&ingest);
	if (!wa_webhook_all_parked(&body) && body.keep_body == NULL)
		remember_used(again, item->parked_id);
	add_counts(&again->total, &body);
}

/*
 * Rows are deleted when everything has been done: a session that has the same item to park
 * waits for a deletion, with locks that we might want.
 */
static void
forget_used(Again *again)
{
	WaOwner owner;
	Datum values[1];

	wa_owner_begin(&owner, again->fcinfo);
	values[0] = wa_array_of_int8(again->used, again->nused);
	wa_statement_run(&forget_statement, owner.schema, values, NULL);
	wa_caller_note(owner.schema, "reprocess_parked",
				   psprintf("Took in again %d parked items", again->nused));
	wa_owner_end(&owner);
}

static void
lock_out_others(Again *again)
{
	WaOwner owner;
	WaRows rows;
	Datum lock[1] = {Int32GetDatum(LOCK_CLASS)};

	wa_owner_begin(&owner, again->fcinfo);
	wa_statement_run(&lock_statement, owner.schema, lock, NULL);
	rows = wa_statement_run(&last_statement, owner.schema, NULL, NULL);
	again->last = wa_rows_int(&rows, 0, 1, 0);
	wa_owner_end(&owner);
}

/*
 * wa_reprocess_parked(reason)
 */
Datum
wa_reprocess_parked(PG_FUNCTION_ARGS)
{
	Again again = {.fcinfo = fcinfo, .any_reason = PG_ARGISNULL(0)};
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "parked items", ALLOCSET_DEFAULT_SIZES);
	ParkedItem items[PORTION];
	int64 last = 0;
	int n;

	if (!again.any_reason)
		again.reason = PG_GETARG_DATUM(0);
	wa_ingest_require_encoding();
	wa_role_settle_deferred();
	lock_out_others(&again);
	while ((n = read_portion(&again, last, items, context)) > 0)
	{
		for (int i = 0; i < n; i++)
		{
			CHECK_FOR_INTERRUPTS();
			take_in_again(&again, &items[i]);
		}
		last = items[n - 1].parked_id;
		MemoryContextReset(context);
	}
	forget_used(&again);
	return wa_ingest_counts(&again.total);
}
