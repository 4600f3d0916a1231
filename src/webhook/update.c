/*
 * update.c
 *	  The UPDATE that merges a batch of statuses into whatsapp_messages.
 *
 * The hot path of webhooks: three statuses for each message sent.  The batch
 * is a relation in memory, joined to the messages by primary key; rows for
 * which it holds nothing new are left alone, and no indexed column is touched.
 *
 * What is known of a message is, for each kind of status, the earliest time
 * Meta gave for it; the word in "status" follows from these times alone.  Both
 * are minima and maxima, so order, repetition and batching of webhooks cannot
 * matter:
 *
 *	- read (or played) before delivered before failed before sent;
 *	- a failure counts for the last attempt only, and proof of delivery
 *	  outranks it, whatever the times say; its code and text stay on the row;
 *	- the wamid is that of the highest attempt of which one is known;
 *	- a failure of our own making (the policy "fail" for uncertain messages,
 *	  expiry, cancellation) yields to anything Meta says, because Meta has the
 *	  message.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/queryenvironment.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/statement.h"
#include "webhook/update.h"

/* The batch as the UPDATE sees it; columns in the order of batch_columns. */
#define BATCH_NAME "wa_status_batch"

typedef enum BatchColumn
{
	BATCH_MESSAGE_ID,
	BATCH_ATTEMPT,
	BATCH_WAMID,
	BATCH_SENT_AT,
	BATCH_DELIVERED_AT,
	BATCH_READ_AT,
	BATCH_PLAYED_AT,
	BATCH_FAILED_AT,
	BATCH_FIRST_AT,
	BATCH_ERROR_CODE,
	BATCH_ERROR_MESSAGE,
	BATCH_ERRORS,
	BATCH_CATEGORY,
	BATCH_PRICING_TYPE,
	BATCH_PRICING_MODEL,
	BATCH_BILLABLE,
	BATCH_CONVERSATION_ID,
	BATCH_CONVERSATION_ORIGIN,
	BATCH_CONVERSATION_ENDS_AT,
	BATCH_WA_ID,
	BATCH_SETTLES
} BatchColumn;

#define BATCH_COLUMNS (BATCH_SETTLES + 1)

static const struct
{
	const char *name;
	Oid type;
} batch_columns[BATCH_COLUMNS] = {
	[BATCH_MESSAGE_ID] = {"message_id", INT8OID},
	[BATCH_ATTEMPT] = {"attempt", INT2OID},
	[BATCH_WAMID] = {"wamid", TEXTOID},
	[BATCH_SENT_AT] = {"sent_at", TIMESTAMPTZOID},
	[BATCH_DELIVERED_AT] = {"delivered_at", TIMESTAMPTZOID},
	[BATCH_READ_AT] = {"read_at", TIMESTAMPTZOID},
	[BATCH_PLAYED_AT] = {"played_at", TIMESTAMPTZOID},
	[BATCH_FAILED_AT] = {"failed_at", TIMESTAMPTZOID},
	[BATCH_FIRST_AT] = {"first_at", TIMESTAMPTZOID},
	[BATCH_ERROR_CODE] = {"error_code", INT4OID},
	[BATCH_ERROR_MESSAGE] = {"error_message", TEXTOID},
	[BATCH_ERRORS] = {"errors", TEXTOID},
	[BATCH_CATEGORY] = {"category", TEXTOID},
	[BATCH_PRICING_TYPE] = {"pricing_type", TEXTOID},
	[BATCH_PRICING_MODEL] = {"pricing_model", TEXTOID},
	[BATCH_BILLABLE] = {"billable", BOOLOID},
	[BATCH_CONVERSATION_ID] = {"conversation_id", TEXTOID},
	[BATCH_CONVERSATION_ORIGIN] = {"conversation_origin", TEXTOID},
	[BATCH_CONVERSATION_ENDS_AT] = {"conversation_ends_at", TIMESTAMPTZOID},
	[BATCH_WA_ID] = {"wa_id", TEXTOID},
	[BATCH_SETTLES] = {"settles", BOOLOID},
};

/* Parts of the UPDATE; m is the row, b what the batch says of it. */

/* The batch speaks of a later attempt than the row, or of the first one known. */
#define SUPERSEDES                                                                                 \
	"(m.whatsapp_message_id IS NULL"                                                               \
	" OR m.whatsapp_message_id OPERATOR(pg_catalog.<>) b.wamid AND b.attempt "                     \
	"OPERATOR(pg_catalog.>=) m.attempts)"

/* A failure that the row got from Meta; another is of our own making, or of an old attempt. */
#define ROW_FAILED                                                                                 \
	"(m.failed_at IS NOT NULL AND m.status OPERATOR(pg_catalog.=) ANY "                            \
	"('{failed,delivered,read}'))"

#define BATCH_FAILS                                                                                \
	"(b.failed_at IS NOT NULL AND (" SUPERSEDES                                                    \
	" OR m.whatsapp_message_id OPERATOR(pg_catalog.=) b.wamid"                                     \
	" AND (NOT " ROW_FAILED " OR b.failed_at OPERATOR(pg_catalog.<) m.failed_at OR b.failed_at "   \
	"OPERATOR(pg_catalog.=) m.failed_at"                                                           \
	" AND (COALESCE(b.error_code, 2147483647), COALESCE(b.error_message, ''))"                     \
	" OPERATOR(pg_catalog.<) (COALESCE(m.error_code, 2147483647), COALESCE(m.error_message, "      \
	"'')))))"

#define KEEPS_FAILURE "(" ROW_FAILED " AND NOT " SUPERSEDES ")"

/*
 * Acceptance that we know from statuses alone is dated by the earliest of them.
 * Meta's times are whole seconds; the sender's own are not.
 */
#define DATES_ACCEPTANCE                                                                           \
	"(m.accepted_at IS NULL OR b.first_at OPERATOR(pg_catalog.<) m.accepted_at"                    \
	" AND m.accepted_at OPERATOR(pg_catalog.=) pg_catalog.date_trunc('second', m.accepted_at))"

#define LOWER(column)                                                                              \
	"b." column " OPERATOR(pg_catalog.<) m." column " OR b." column " IS NOT NULL AND m." column   \
	" IS NULL"

/*
 * Meta sends the same price each time.  Should it ever not, the least of each
 * column is kept, whatever came first.
 */
#define LOWER_CONVERSATION                                                                         \
	"(" LOWER("conversation_id") " OR " LOWER("conversation_origin") " OR " LOWER(                 \
		"conversation_ends_at") ")"

#define LOWER_PRICING                                                                              \
	"(b.category OPERATOR(pg_catalog.<) m.pricing_category"                                        \
	" OR b.category IS NOT NULL AND m.pricing_category IS NULL"                                    \
	" OR " LOWER("pricing_type") " OR " LOWER("pricing_model") " OR " LOWER(                       \
		"billable") " OR " LOWER_CONVERSATION ")"

/*
 * Of an attempt that had failed when wa_retry_message() put the message back:
 * what is repeated of it is no news.  Proof of delivery is, though.
 */
#define REPEATS_OLD_ATTEMPT                                                                        \
	"(COALESCE(m.whatsapp_message_id OPERATOR(pg_catalog.<>) b.wamid,"                             \
	" m.whatsapp_message_id IS NOT NULL OR b.wamid IS NOT NULL)"                                   \
	" AND LEAST(b.delivered_at, b.read_at, b.played_at) IS NULL"                                   \
	" AND (b.attempt OPERATOR(pg_catalog.<) 0 OR (SELECT pg_catalog.count(*) FROM "                \
	"@extschema@.whatsapp_attempts AS a"                                                           \
	" WHERE a.message_id OPERATOR(pg_catalog.=) b.message_id AND a.attempt "                       \
	"OPERATOR(pg_catalog.=) b.attempt AND a.outcome OPERATOR(pg_catalog.=) 'failed') "             \
	"OPERATOR(pg_catalog.>) 0))"

/* Something in the batch that the row does not have. */
#define EARLIER_TIME                                                                               \
	"(b.sent_at OPERATOR(pg_catalog.<) m.sent_at OR b.sent_at IS NOT NULL AND m.sent_at IS NULL"   \
	" OR b.delivered_at OPERATOR(pg_catalog.<) m.delivered_at"                                     \
	" OR b.delivered_at IS NOT NULL AND m.delivered_at IS NULL"                                    \
	" OR b.read_at OPERATOR(pg_catalog.<) m.read_at OR b.read_at IS NOT NULL AND m.read_at IS "    \
	"NULL"                                                                                         \
	" OR b.played_at OPERATOR(pg_catalog.<) m.played_at OR b.played_at IS NOT NULL AND "           \
	"m.played_at IS NULL)"

#define NEWS                                                                                       \
	"(" EARLIER_TIME " OR " SUPERSEDES                                                             \
	" OR b.attempt OPERATOR(pg_catalog.>) m.attempts OR " DATES_ACCEPTANCE " OR " BATCH_FAILS      \
	" OR " LOWER_PRICING ")"

/* When it counts as delivered, and whether it is free. */
#define COUNTS_AT "COALESCE(m.delivered_at, m.read_at, m.played_at)"
#define IS_FREE "@extschema@.wa_internal_is_free(m.billable, m.pricing_type, m.pricing_category)"

/*
 * Delivered so long after it was written, and meant for, that neither time
 * leads wa_costs to it.  Hours, because days would ask for the time zone.
 */
#define DELIVERED_LATE                                                                             \
	"LEAST(m.delivered_at, m.read_at, m.played_at)"                                                \
	" OPERATOR(pg_catalog.>) (GREATEST(m.created_at, m.scheduled_at)"                              \
	" OPERATOR(pg_catalog.+) interval '720 hours')"

static WaStatement update_statement = {
	.sql = "UPDATE @extschema@.whatsapp_messages AS m SET"
		   " status = CASE"
		   " WHEN LEAST(m.read_at, b.read_at, m.played_at, b.played_at) IS NOT NULL THEN 'read'"
		   " WHEN LEAST(m.delivered_at, b.delivered_at) IS NOT NULL THEN 'delivered'"
		   " WHEN " BATCH_FAILS " OR " KEEPS_FAILURE " THEN 'failed'"
		   " WHEN LEAST(m.sent_at, b.sent_at) IS NOT NULL THEN 'sent'"
		   " ELSE 'accepted' END,"
		   " status_reason = CASE WHEN " SUPERSEDES " THEN NULL ELSE m.status_reason END,"
		   " whatsapp_message_id ="
		   " CASE WHEN NOT " SUPERSEDES " THEN m.whatsapp_message_id"
		   " WHEN m.whatsapp_message_id IS NULL OR m.status OPERATOR(pg_catalog.<>) ALL "
		   "('{accepted,sent,delivered,read}') THEN b.wamid"
		   " ELSE @extschema@.wa_internal_replacing_wamid(m.id, b.wamid) END,"
		   " attempts = GREATEST(m.attempts, b.attempt),"
		   " recipient_wa_id = COALESCE(m.recipient_wa_id, b.wa_id),"
		   " sent_at = LEAST(m.sent_at, b.sent_at),"
		   " delivered_at = LEAST(m.delivered_at, b.delivered_at),"
		   " read_at = LEAST(m.read_at, b.read_at),"
		   " played_at = @extschema@.wa_internal_noting_delivery(m.id, " COUNTS_AT
		   ", m.pricing_category, " IS_FREE ", LEAST(m.played_at, b.played_at)),"
		   " failed_at = CASE WHEN " BATCH_FAILS " THEN b.failed_at"
		   " WHEN " KEEPS_FAILURE " THEN m.failed_at END,"
		   " error_code = CASE WHEN " BATCH_FAILS " THEN b.error_code"
		   " WHEN " KEEPS_FAILURE " THEN m.error_code END,"
		   " error_message = CASE WHEN " BATCH_FAILS " THEN b.error_message"
		   " WHEN " KEEPS_FAILURE " THEN m.error_message END,"
		   " pricing_category = LEAST(m.pricing_category, b.category),"
		   " errors = CASE WHEN " BATCH_FAILS " THEN b.errors::pg_catalog.jsonb"
		   " WHEN " KEEPS_FAILURE " THEN m.errors END,"
		   " pricing_type = LEAST(m.pricing_type, b.pricing_type),"
		   " pricing_model = LEAST(m.pricing_model, b.pricing_model),"
		   " conversation_id = LEAST(m.conversation_id, b.conversation_id),"
		   " conversation_origin = LEAST(m.conversation_origin, b.conversation_origin),"
		   " conversation_ends_at = LEAST(m.conversation_ends_at, b.conversation_ends_at),"
		   " billable = LEAST(m.billable, b.billable),"
		   " accepted_at = CASE WHEN " DATES_ACCEPTANCE " THEN b.first_at ELSE m.accepted_at END,"
		   " finished_at = CASE WHEN m.finished_at IS NULL"
		   " OR m.finished_at OPERATOR(pg_catalog.=) m.accepted_at AND " DATES_ACCEPTANCE
		   " THEN b.first_at"
		   " ELSE m.finished_at END"
		   " FROM " BATCH_NAME " AS b"
		   " WHERE m.id OPERATOR(pg_catalog.=) b.message_id"
		   " AND (b.settles OR m.status OPERATOR(pg_catalog.<>) ALL ('{queued,sending,uncertain}'))"
		   " AND " NEWS " AND NOT " REPEATS_OLD_ATTEMPT
		   " RETURNING m.id, m.whatsapp_message_id OPERATOR(pg_catalog.=) b.wamid, m.accepted_at "
		   "OPERATOR(pg_catalog.=) b.first_at,"
		   " m.failed_at OPERATOR(pg_catalog.=) b.failed_at AND m.whatsapp_message_id "
		   "OPERATOR(pg_catalog.=) b.wamid, " DELIVERED_LATE ","
		   " CASE WHEN m.sent_at OPERATOR(pg_catalog.=) b.sent_at THEN m.accepted_at END,"
		   " " COUNTS_AT ", m.pricing_category, " IS_FREE ", " WA_STATUS_RECIPIENT ", "
		   "m.phone_number_id, m.created_at",
	.expected = SPI_OK_UPDATE_RETURNING};

/* ---- what rows were ------------------------------------------------------------ */

/*
 * The UPDATE returns what rows are, not what they were.  So some of its expressions
 * note that, in passing, in the message's group.  If a row has changed while the UPDATE
 * waited for its lock, they are evaluated again, and what is noted last holds.
 */

/* What is being written, in order of message id. */
static WaStatusGroup *const *updating;
static int n_updating; /* 0 outside of the UPDATE */
static MemoryContext updating_context;

PG_FUNCTION_INFO_V1(wa_internal_replacing_wamid);
PG_FUNCTION_INFO_V1(wa_internal_noting_delivery);

/* NULL: it is not being written. */
static WaStatusGroup *
updating_group(int64 message_id)
{
	int low = 0;
	int high = n_updating - 1;

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (updating[middle]->merged.message_id < message_id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < n_updating && updating[low]->merged.message_id == message_id ? updating[low]
																			  : NULL;
}

/*
 * The second argument, and notes that this message had another wamid.
 */
Datum
wa_internal_replacing_wamid(PG_FUNCTION_ARGS)
{
	WaStatusGroup *group = updating_group(PG_GETARG_INT64(0));

	if (group != NULL)
		group->replaces = true;
	PG_RETURN_DATUM(PG_GETARG_DATUM(1));
}

/*
 * The last argument, and notes how this message counted: when it was delivered, its
 * category, and whether it was free.
 */
Datum
wa_internal_noting_delivery(PG_FUNCTION_ARGS)
{
	WaStatusGroup *group = PG_ARGISNULL(0) ? NULL : updating_group(PG_GETARG_INT64(0));

	if (group != NULL && !PG_ARGISNULL(1))
	{
		group->before.at = PG_GETARG_TIMESTAMPTZ(1);
		group->before.category =
			PG_ARGISNULL(2)
				? NULL
				: MemoryContextStrdup(updating_context, text_to_cstring(PG_GETARG_TEXT_PP(2)));
		group->before.is_free = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
	}
	if (PG_ARGISNULL(4))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(PG_GETARG_DATUM(4));
}

/* ---- the batch ----------------------------------------------------------------- */

/*
 * The part of the round that is left for the UPDATE, as a relation.
 */
static TupleDesc
batch_descriptor(void)
{
	TupleDesc desc = CreateTemplateTupleDesc(BATCH_COLUMNS);

	for (int i = 0; i < BATCH_COLUMNS; i++)
	{
		TupleDescInitEntry(desc, (AttrNumber) (i + 1), batch_columns[i].name, batch_columns[i].type,
						   -1, 0);
		/* Texts are compared as strcmp() in webhook/status.c does. */
		if (batch_columns[i].type == TEXTOID)
			TupleDescInitEntryCollation(desc, (AttrNumber) (i + 1), C_COLLATION_OID);
	}
	return desc;
}

static void
set_text(Datum *values, bool *nulls, BatchColumn column, const char *text)
{
	nulls[column] = text == NULL;
	values[column] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

static void
set_time(Datum *values, bool *nulls, BatchColumn column, TimestampTz at)
{
	nulls[column] = at == 0;
	values[column] = TimestampTzGetDatum(at);
}

static void
put_group(Tuplestorestate *store, TupleDesc desc, const WaStatusGroup *group)
{
	const WaStatus *status = &group->merged;
	Datum values[BATCH_COLUMNS];
	bool nulls[BATCH_COLUMNS] = {0};

	values[BATCH_MESSAGE_ID] = Int64GetDatum(status->message_id);
	values[BATCH_ATTEMPT] = Int16GetDatum((int16) Min(status->attempt, PG_INT16_MAX));
	set_text(values, nulls, BATCH_WAMID, status->wamid);
	set_time(values, nulls, BATCH_SENT_AT, status->at[WA_STATUS_SENT]);
	set_time(values, nulls, BATCH_DELIVERED_AT, status->at[WA_STATUS_DELIVERED]);
	set_time(values, nulls, BATCH_READ_AT, status->at[WA_STATUS_READ]);
	set_time(values, nulls, BATCH_PLAYED_AT, status->at[WA_STATUS_PLAYED]);
	set_time(values, nulls, BATCH_FAILED_AT, status->at[WA_STATUS_FAILED]);
	set_time(values, nulls, BATCH_FIRST_AT, wa_status_first_at(status));
	values[BATCH_ERROR_CODE] = Int32GetDatum(status->error_code);
	nulls[BATCH_ERROR_CODE] = status->error_code == WA_STATUS_NO_ERROR;
	set_text(values, nulls, BATCH_ERROR_MESSAGE, status->error_message);
	set_text(values, nulls, BATCH_ERRORS, status->errors);
	set_text(values, nulls, BATCH_CATEGORY, status->category);
	set_text(values, nulls, BATCH_PRICING_TYPE, status->pricing_type);
	set_text(values, nulls, BATCH_PRICING_MODEL, status->pricing_model);
	set_text(values, nulls, BATCH_CONVERSATION_ID, status->conversation_id);
	set_text(values, nulls, BATCH_CONVERSATION_ORIGIN, status->conversation_origin);
	set_time(values, nulls, BATCH_CONVERSATION_ENDS_AT, status->conversation_ends_at);
	values[BATCH_BILLABLE] = BoolGetDatum(status->billable > 0);
	nulls[BATCH_BILLABLE] = status->billable < 0;
	set_text(values, nulls, BATCH_WA_ID, status->recipient_wa_id);
	values[BATCH_SETTLES] = BoolGetDatum(group->settles);
	tuplestore_putvalues(store, desc, values, nulls);
}

/*
 * The plan must go from the batch to the messages by index.  Made while the
 * table was nearly empty it may go the other way, which is right then and a
 * disaster a minute later; autovacuum, whose statistics would end it, may come
 * much later.  So it is made anew whenever the table has doubled.
 */
static void
replan_if_grown(Oid schema)
{
	static BlockNumber planned_for = 0;
	Oid oid = get_relname_relid("whatsapp_messages", schema);
	Relation messages;
	BlockNumber blocks;

	if (!OidIsValid(oid))
		return;
	messages = table_open(oid, RowExclusiveLock);
	blocks = RelationGetNumberOfBlocks(messages);
	table_close(messages, NoLock);
	if (blocks / 2 > planned_for || blocks < planned_for / 2)
	{
		wa_statement_forget(&update_statement);
		planned_for = blocks;
	}
}

WaRows
wa_status_update(Oid schema, WaStatusGroup *const *groups, int n)
{
	TupleDesc desc = batch_descriptor();
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
	EphemeralNamedRelation batch = palloc0(sizeof(EphemeralNamedRelationData));
	int n_rows = 0;
	WaRows rows;

	for (int i = 0; i < n; i++)
	{
		if (!groups[i]->done)
		{
			put_group(store, desc, groups[i]);
			n_rows++;
		}
	}
	batch->md.name = BATCH_NAME;
	batch->md.reliddesc = InvalidOid;
	batch->md.tupdesc = desc;
	batch->md.enrtype = ENR_NAMED_TUPLESTORE;
	batch->md.enrtuples = n_rows;
	batch->reldata = store;

	replan_if_grown(schema);
	if (SPI_register_relation(batch) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register the batch of statuses");
	updating = groups;
	n_updating = n;
	updating_context = CurrentMemoryContext;
	PG_TRY();
	{
		rows = wa_statement_run(&update_statement, schema, NULL, NULL);
	}
	PG_FINALLY();
	{
		n_updating = 0;
	}
	PG_END_TRY();
	if (SPI_unregister_relation(BATCH_NAME) != SPI_OK_REL_UNREGISTER)
		elog(ERROR, "could not unregister the batch of statuses");
	tuplestore_end(store);
	return rows;
}
