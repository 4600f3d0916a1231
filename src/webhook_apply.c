/*
 * webhook_apply.c
 *	  Statuses of messages: into the tables.
 *
 * The hot path of webhooks, three statuses for each message sent.  Statuses of
 * one webhook that concern the same message are merged first; then one UPDATE,
 * joined by primary key to a relation in memory, merges the batch into the
 * rows.  It touches no indexed column and skips rows for which the batch holds
 * nothing new.
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
 *
 * A status for a message that is still in the queue proves that Meta has it:
 * the queue row goes, and the message is what the status says.  The exception
 * is a message that failed and was put back by wa_retry_message(): there, a
 * repetition of what is known of the old attempt must not end the new one.
 *
 * Locks: queue rows, then message rows, each in order of message id, as
 * src/README.md asks.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/queryenvironment.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "job.h"
#include "plan.h"
#include "store.h"
#include "wake.h"
#include "webhook.h"
#include "webhook_status.h"

/*
 * All statuses of one wamid, and what became of them.
 */
typedef struct StatusGroup
{
	WaStatus merged;
	int first; /* its items in the sorted list */
	int count;
	int repeated; /* items that said nothing new among themselves */
	bool settles; /* its queue row is ours to delete */
	bool done;	  /* counted */
} StatusGroup;

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
	BATCH_CATEGORY,
	BATCH_PRICING_TYPE,
	BATCH_BILLABLE,
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
	[BATCH_CATEGORY] = {"category", TEXTOID},
	[BATCH_PRICING_TYPE] = {"pricing_type", TEXTOID},
	[BATCH_BILLABLE] = {"billable", BOOLOID},
	[BATCH_WA_ID] = {"wa_id", TEXTOID},
	[BATCH_SETTLES] = {"settles", BOOLOID},
};

/* Which installation's data we look for. */
static WaPlan installation_plan = {
	.sql = "SELECT installation_id FROM @extschema@.whatsapp_installation"};

/* Statuses without our data, or with that of a predecessor of this database. */
static WaPlan lookup_plan = {
	.sql = "SELECT b.i::pg_catalog.int4, w.message_id"
		   " FROM pg_catalog.unnest($1) WITH ORDINALITY AS b(wamid, i)"
		   " JOIN @extschema@.whatsapp_wamids AS w ON w.whatsapp_message_id = b.wamid",
	.nargs = 1,
	.argtypes = {TEXTARRAYOID}};

/* In order of message id: so are the ids, and a nested loop keeps it. */
static WaPlan lock_queue_plan = {.sql =
									 "SELECT q.message_id, q.phone_number_id, q.rank, q.state = 'r'"
									 " FROM pg_catalog.unnest($1) AS b(id)"
									 " JOIN @extschema@.whatsapp_queue AS q ON q.message_id = b.id"
									 " FOR UPDATE OF q",
								 .nargs = 1,
								 .argtypes = {INT8ARRAYOID}};

static WaPlan dequeue_plan = {
	.sql = "DELETE FROM @extschema@.whatsapp_queue WHERE message_id = ANY ($1)",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID}};

/* What rows say whose message was begun more than once, before the UPDATE. */
static WaPlan before_plan = {.sql = "SELECT m.id, m.whatsapp_message_id"
									" FROM pg_catalog.unnest($1) AS b(id)"
									" JOIN @extschema@.whatsapp_messages AS m ON m.id = b.id"
									" WHERE m.whatsapp_message_id IS NOT NULL"
									" AND m.status IN ('accepted', 'sent', 'delivered', 'read')",
							 .nargs = 1,
							 .argtypes = {INT8ARRAYOID}};

/* Parts of the UPDATE; m is the row, b what the batch says of it. */

/* The batch speaks of a later attempt than the row, or of the first one known. */
#define SUPERSEDES                                                                                 \
	"(m.whatsapp_message_id IS NULL"                                                               \
	" OR m.whatsapp_message_id <> b.wamid AND b.attempt >= m.attempts)"

/* A failure that the row got from Meta; another is of our own making, or of an old attempt. */
#define ROW_FAILED "(m.failed_at IS NOT NULL AND m.status IN ('failed', 'delivered', 'read'))"

#define BATCH_FAILS                                                                                \
	"(b.failed_at IS NOT NULL AND (" SUPERSEDES " OR m.whatsapp_message_id = b.wamid"              \
	" AND (NOT " ROW_FAILED " OR b.failed_at < m.failed_at OR b.failed_at = m.failed_at"           \
	" AND COALESCE(b.error_code, 2147483647) < COALESCE(m.error_code, 2147483647))))"

#define KEEPS_FAILURE "(" ROW_FAILED " AND NOT " SUPERSEDES ")"

/*
 * Acceptance that we know from statuses alone is dated by the earliest of them.
 * Meta's times are whole seconds; the sender's own are not.
 */
#define DATES_ACCEPTANCE                                                                           \
	"(m.accepted_at IS NULL OR b.first_at < m.accepted_at"                                         \
	" AND m.accepted_at = pg_catalog.date_trunc('second', m.accepted_at))"

#define PREFERS_PRICING                                                                            \
	"(b.category IS NOT NULL AND (m.pricing_category IS NULL"                                      \
	" OR b.category COLLATE \"C\" < m.pricing_category"                                            \
	" OR b.category = m.pricing_category"                                                          \
	" AND (COALESCE(b.pricing_type, '') COLLATE \"C\" < COALESCE(m.pricing_type, '')"              \
	" OR COALESCE(b.pricing_type, '') = COALESCE(m.pricing_type, '')"                              \
	" AND COALESCE(b.billable::pg_catalog.int4, -1) >"                                             \
	" COALESCE(m.billable::pg_catalog.int4, -1))))"

#define EARLIER(column)                                                                            \
	" OR b." column " < m." column " OR b." column " IS NOT NULL AND m." column " IS NULL"

#define TAKE_EARLIER(column) " " column " = LEAST(m." column ", b." column "),"

static WaPlan apply_plan = {
	.sql = "UPDATE @extschema@.whatsapp_messages AS m SET"
		   " status = CASE"
		   " WHEN LEAST(m.read_at, b.read_at, m.played_at, b.played_at) IS NOT NULL THEN 'read'"
		   " WHEN LEAST(m.delivered_at, b.delivered_at) IS NOT NULL THEN 'delivered'"
		   " WHEN " BATCH_FAILS " OR " KEEPS_FAILURE " THEN 'failed'"
		   " WHEN LEAST(m.sent_at, b.sent_at) IS NOT NULL THEN 'sent'"
		   " ELSE 'accepted' END,"
		   " status_reason = CASE WHEN " SUPERSEDES " THEN NULL ELSE m.status_reason END,"
		   " whatsapp_message_id = CASE WHEN " SUPERSEDES " THEN b.wamid"
		   " ELSE m.whatsapp_message_id END,"
		   " attempts = GREATEST(m.attempts, b.attempt),"
		   " recipient_wa_id = COALESCE(m.recipient_wa_id, b.wa_id)," TAKE_EARLIER("sent_at")
			   TAKE_EARLIER("delivered_at") TAKE_EARLIER("read_at") TAKE_EARLIER(
				   "played_at") " failed_at = CASE WHEN " BATCH_FAILS " THEN b.failed_at"
								" WHEN " KEEPS_FAILURE " THEN m.failed_at END,"
								" error_code = CASE WHEN " BATCH_FAILS " THEN b.error_code"
								" WHEN " KEEPS_FAILURE " THEN m.error_code END,"
								" error_message = CASE WHEN " BATCH_FAILS " THEN b.error_message"
								" WHEN " KEEPS_FAILURE " THEN m.error_message END,"
								" pricing_category = CASE WHEN " PREFERS_PRICING " THEN b.category"
								" ELSE m.pricing_category END,"
								" pricing_type = CASE WHEN " PREFERS_PRICING " THEN b.pricing_type"
								" ELSE m.pricing_type END,"
								" billable = CASE WHEN " PREFERS_PRICING
								" THEN b.billable ELSE m.billable END,"
								" accepted_at = CASE WHEN " DATES_ACCEPTANCE
								" THEN b.first_at ELSE m.accepted_at END,"
								" finished_at = CASE WHEN m.finished_at IS NULL"
								" OR m.finished_at = m.accepted_at AND " DATES_ACCEPTANCE
								" THEN b.first_at"
								" ELSE m.finished_at END"
								" FROM " BATCH_NAME " AS b"
								" WHERE m.id = b.message_id"
								" AND (b.settles OR m.status NOT IN ('queued', 'sending', "
								"'uncertain'))"
								" AND (" SUPERSEDES
								" OR b.attempt > m.attempts OR " DATES_ACCEPTANCE EARLIER("sent_at")
									EARLIER("delivered_at") EARLIER("read_at") EARLIER(
										"played_at") " OR " BATCH_FAILS " OR " PREFERS_PRICING ")"
													 " RETURNING m.id, m.whatsapp_message_id = "
													 "b.wamid, m.accepted_at = b.first_at,"
													 " m.failed_at = b.failed_at AND "
													 "m.whatsapp_message_id = b.wamid"};

/* Of messages that the UPDATE has left alone: those that are there. */
static WaPlan exist_plan = {.sql = "SELECT m.id, m.status IN ('queued', 'sending', 'uncertain')"
								   " FROM pg_catalog.unnest($1) AS b(id)"
								   " JOIN @extschema@.whatsapp_messages AS m ON m.id = b.id",
							.nargs = 1,
							.argtypes = {INT8ARRAYOID}};

static WaPlan learn_plan = {
	.sql = "INSERT INTO @extschema@.whatsapp_wamids (whatsapp_message_id, message_id)"
		   " SELECT b.wamid, b.id"
		   " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS b(wamid, id)"
		   " WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_wamids AS w"
		   " WHERE w.whatsapp_message_id = b.wamid)",
	.nargs = 2,
	.argtypes = {TEXTARRAYOID, INT8ARRAYOID}};

/*
 * One turn of the work: groups of different messages, in order of message id.
 */
typedef struct Round
{
	WaWebhook *webhook;
	StatusGroup **groups;
	int n;
} Round;

static int
compare_statuses(const void *a, const void *b)
{
	const WaStatus *x = a;
	const WaStatus *y = b;

	if (x->message_id != y->message_id)
		return x->message_id < y->message_id ? -1 : 1;
	return strcmp(x->wamid, y->wamid);
}

static void
read_installation(WaWebhook *webhook)
{
	wa_plan_execute(&installation_plan, webhook->schema, NULL, NULL, SPI_OK_SELECT);
	if (SPI_processed != 1)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("table \"%s\" must have one row", "whatsapp_installation")));
	strlcpy(webhook->statuses->installation, wa_store_text(0, 1),
			sizeof(webhook->statuses->installation));
}

/*
 * Gives a list to read statuses into.
 */
void
wa_webhook_begin_statuses(WaWebhook *webhook)
{
	webhook->statuses = palloc0(sizeof(WaStatusList));
	read_installation(webhook);
}

static void
park_status(WaWebhook *webhook, const WaStatus *status, const char *reason)
{
	WaParked parked = {.what = "status",
					   .reason = reason,
					   .phone_number_id = status->phone_number_id,
					   .wamid = status->wamid,
					   .message_id = status->message_id,
					   .event = status->event,
					   .len = status->event_len};

	wa_webhook_park(webhook, WA_WEBHOOK_STATUS, &parked);
}

/*
 * Finds the messages of statuses that do not name one of ours, by wamid.
 * Those that remain leave the list: parked, or counted as another
 * installation's.
 */
static void
look_up_messages(WaWebhook *webhook)
{
	WaStatusList *list = webhook->statuses;
	const char **wamids = palloc(sizeof(char *) * list->count);
	int *indexes = palloc(sizeof(int) * list->count);
	int unknown = 0;
	int kept = 0;
	Datum values[1];

	for (int i = 0; i < list->count; i++)
	{
		if (list->items[i].message_id == 0)
		{
			wamids[unknown] = list->items[i].wamid;
			indexes[unknown++] = i;
		}
	}
	if (unknown == 0)
		return;

	values[0] = wa_store_text_array(wamids, unknown);
	wa_plan_execute(&lookup_plan, webhook->schema, values, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		int index = indexes[wa_store_int((int) i, 1, 0) - 1];

		list->items[index].message_id = wa_store_int((int) i, 2, 0);
	}

	for (int i = 0; i < list->count; i++)
	{
		const WaStatus *status = &list->items[i];

		if (status->message_id != 0)
			list->items[kept++] = *status;
		else if (status->foreign)
			webhook->counts[WA_WEBHOOK_STATUS].foreign++;
		else
			park_status(webhook, status, "unknown_message");
	}
	list->count = kept;
}

/*
 * Sorts the list and merges what concerns one wamid.
 */
static StatusGroup *
group_statuses(WaStatusList *list, int *ngroups)
{
	StatusGroup *groups = palloc_extended(sizeof(StatusGroup) * list->count, MCXT_ALLOC_HUGE);
	StatusGroup *group = NULL;

	qsort(list->items, list->count, sizeof(WaStatus), compare_statuses);
	*ngroups = 0;
	for (int i = 0; i < list->count; i++)
	{
		const WaStatus *status = &list->items[i];

		if (group == NULL || compare_statuses(&group->merged, status) != 0)
		{
			group = &groups[(*ngroups)++];
			memset(group, 0, sizeof(StatusGroup));
			group->merged = *status;
			group->first = i;
		}
		else if (!wa_status_merge(&group->merged, status))
			group->repeated++;
		group->count++;
	}
	return groups;
}

static StatusGroup *
find_group(const Round *round, int64 message_id)
{
	int low = 0;
	int high = round->n - 1;

	while (low <= high)
	{
		int middle = low + (high - low) / 2;
		int64 id = round->groups[middle]->merged.message_id;

		if (id == message_id)
			return round->groups[middle];
		if (id < message_id)
			low = middle + 1;
		else
			high = middle - 1;
	}
	elog(ERROR, "message " INT64_FORMAT " is not in the batch", message_id);
}

/* Their ids as an array. */
static Datum
message_ids(StatusGroup *const *groups, int n)
{
	int64 *ids = palloc(sizeof(int64) * Max(n, 1));

	for (int i = 0; i < n; i++)
		ids[i] = groups[i]->merged.message_id;
	return wa_store_int8_array(ids, n);
}

static void
count_group(WaWebhook *webhook, StatusGroup *group, bool applied)
{
	WaWebhookCounts *counts = &webhook->counts[WA_WEBHOOK_STATUS];

	counts->applied += applied ? group->count - group->repeated : 0;
	counts->duplicate += applied ? group->repeated : group->count;
	group->done = true;
}

static void
park_group(WaWebhook *webhook, StatusGroup *group, const char *reason)
{
	for (int i = 0; i < group->count; i++)
		park_status(webhook, &webhook->statuses->items[group->first + i], reason);
	group->done = true;
}

/*
 * Of groups whose message is in the queue and that do not prove delivery:
 * where the wamid is known already, the message was put back after what they
 * tell, and they change nothing.
 */
static void
drop_stale(Round *round, StatusGroup **queued, int n)
{
	const char **wamids = palloc(sizeof(char *) * Max(n, 1));
	Datum values[1];

	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
		wamids[i] = queued[i]->merged.wamid;
	values[0] = wa_store_text_array(wamids, n);
	wa_plan_execute(&lookup_plan, round->webhook->schema, values, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		StatusGroup *group = queued[wa_store_int((int) i, 1, 0) - 1];

		if (!group->done)
			count_group(round->webhook, group, false);
		group->settles = false;
	}
}

/*
 * Locks what is still in the queue and takes out what Meta evidently has.
 *
 * A claim passes over rows that we have locked, and its cursor with it, so the
 * senders must look again at those that stay, or that stay because we fail.
 */
static void
settle_queue(Round *round)
{
	StatusGroup **queued = palloc(sizeof(StatusGroup *) * round->n);
	int nqueued = 0;
	int nsettled = 0;
	Datum values[1];
	int n;

	values[0] = message_ids(round->groups, round->n);
	wa_plan_execute(&lock_queue_plan, round->webhook->schema, values, NULL, SPI_OK_SELECT);
	n = (int) SPI_processed;
	if (n == 0)
		return;

	for (int i = 0; i < n; i++)
	{
		StatusGroup *group = find_group(round, wa_store_int(i, 1, 0));

		if (wa_store_int(i, 4, false))
			wa_wake_ready_always(wa_store_text(i, 2), wa_store_int(i, 3, 0));
		group->settles = true;
		if (!wa_status_proves_delivery(&group->merged))
			queued[nqueued++] = group;
	}
	drop_stale(round, queued, nqueued);

	for (int i = 0; i < round->n; i++)
	{
		if (round->groups[i]->settles)
			queued[nsettled++] = round->groups[i];
	}
	values[0] = message_ids(queued, nsettled);
	wa_plan_execute(&dequeue_plan, round->webhook->schema, values, NULL, SPI_OK_DELETE);
}

/*
 * The part of the round that is left for the UPDATE, as a relation.
 */
static TupleDesc
batch_descriptor(void)
{
	TupleDesc desc = CreateTemplateTupleDesc(BATCH_COLUMNS);

	for (int i = 0; i < BATCH_COLUMNS; i++)
		TupleDescInitEntry(desc, (AttrNumber) (i + 1), batch_columns[i].name, batch_columns[i].type,
						   -1, 0);
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
put_group(Tuplestorestate *store, TupleDesc desc, const StatusGroup *group)
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
	set_text(values, nulls, BATCH_CATEGORY, status->category);
	set_text(values, nulls, BATCH_PRICING_TYPE, status->pricing_type);
	values[BATCH_BILLABLE] = BoolGetDatum(status->billable > 0);
	nulls[BATCH_BILLABLE] = status->billable < 0;
	set_text(values, nulls, BATCH_WA_ID, status->recipient_wa_id);
	values[BATCH_SETTLES] = BoolGetDatum(group->settles);
	tuplestore_putvalues(store, desc, values, nulls);
}

/*
 * Messages begun more than once: if the row already has the wamid of another
 * attempt that did not fail, the recipient has it twice.
 */
static void
detect_duplicates(Round *round)
{
	StatusGroup **again = palloc(sizeof(StatusGroup *) * round->n);
	int n = 0;
	Datum values[1];

	for (int i = 0; i < round->n; i++)
	{
		if (!round->groups[i]->done && round->groups[i]->merged.attempt > 1)
			again[n++] = round->groups[i];
	}
	if (n == 0)
		return;
	values[0] = message_ids(again, n);
	wa_plan_execute(&before_plan, round->webhook->schema, values, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		StatusGroup *group = find_group(round, wa_store_int((int) i, 1, 0));

		if (strcmp(wa_store_text((int) i, 2), group->merged.wamid) != 0)
			wa_webhook_note_duplicate(round->webhook, &group->merged);
	}
}

/*
 * The UPDATE itself, seeing the groups that are not counted yet.
 */
static void
execute_update(Round *round)
{
	TupleDesc desc = batch_descriptor();
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
	EphemeralNamedRelation batch = palloc0(sizeof(EphemeralNamedRelationData));
	int n = 0;

	for (int i = 0; i < round->n; i++)
	{
		if (!round->groups[i]->done)
		{
			put_group(store, desc, round->groups[i]);
			n++;
		}
	}
	batch->md.name = BATCH_NAME;
	batch->md.reliddesc = InvalidOid;
	batch->md.tupdesc = desc;
	batch->md.enrtype = ENR_NAMED_TUPLESTORE;
	batch->md.enrtuples = n;
	batch->reldata = store;

	if (SPI_register_relation(batch) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register the batch of statuses");
	wa_plan_execute(&apply_plan, round->webhook->schema, NULL, NULL, SPI_OK_UPDATE_RETURNING);
	if (SPI_unregister_relation(BATCH_NAME) != SPI_OK_REL_UNREGISTER)
		elog(ERROR, "could not unregister the batch of statuses");
	tuplestore_end(store);
}

/*
 * Remembers wamids that the sender has not written, or that it never saw.
 */
static void
learn_wamids(Round *round, StatusGroup *const *groups, int n)
{
	const char **wamids = palloc(sizeof(char *) * Max(n, 1));
	Datum values[2];

	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
		wamids[i] = groups[i]->merged.wamid;
	values[0] = wa_store_text_array(wamids, n);
	values[1] = message_ids(groups, n);
	wa_plan_execute(&learn_plan, round->webhook->schema, values, NULL, SPI_OK_INSERT);
}

static void
update_messages(Round *round)
{
	StatusGroup **learned = palloc(sizeof(StatusGroup *) * round->n);
	int nlearned = 0;

	execute_update(round);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		int row = (int) i;
		StatusGroup *group = find_group(round, wa_store_int(row, 1, 0));
		bool current = wa_store_int(row, 2, false);
		bool dates_acceptance = wa_store_int(row, 3, false);

		count_group(round->webhook, group, true);
		if (!current &&
			(wa_status_proves_delivery(&group->merged) || group->merged.at[WA_STATUS_SENT] != 0))
			wa_webhook_note_duplicate(round->webhook, &group->merged);
		if (!current || dates_acceptance || group->settles || group->merged.attempt > 1)
			learned[nlearned++] = group;
		if (wa_store_int(row, 4, false))
			wa_webhook_note_failure(round->webhook, &group->merged);
	}
	learn_wamids(round, learned, nlearned);
}

/*
 * What the UPDATE has left alone: nothing new in it, or no such message, or a
 * message that has come back into the queue this very moment.
 */
static void
account_for_rest(Round *round)
{
	StatusGroup **rest = palloc(sizeof(StatusGroup *) * round->n);
	int n = 0;
	Datum values[1];

	for (int i = 0; i < round->n; i++)
	{
		if (!round->groups[i]->done)
			rest[n++] = round->groups[i];
	}
	if (n == 0)
		return;
	values[0] = message_ids(rest, n);
	wa_plan_execute(&exist_plan, round->webhook->schema, values, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		StatusGroup *group = find_group(round, wa_store_int((int) i, 1, 0));

		if (wa_store_int((int) i, 2, false))
			park_group(round->webhook, group, "message_queued_again");
		else
			count_group(round->webhook, group, false);
	}
	for (int i = 0; i < n; i++)
	{
		if (!rest[i]->done)
			park_group(round->webhook, rest[i], "unknown_message");
	}
}

/*
 * Everything in the list.  One round does for messages that were sent once;
 * the statuses of several attempts of one message go one after the other.
 */
void
wa_webhook_apply_statuses(WaWebhook *webhook)
{
	WaStatusList *list = webhook->statuses;
	StatusGroup *groups;
	int ngroups;
	bool more;

	if (list->count > 0)
		look_up_messages(webhook);
	if (list->count == 0)
		return;
	groups = group_statuses(list, &ngroups);
	do
	{
		Round round = {.webhook = webhook};
		int64 last = 0;

		more = false;
		round.groups = palloc(sizeof(StatusGroup *) * ngroups);
		for (int i = 0; i < ngroups; i++)
		{
			if (groups[i].done)
				continue;
			if (groups[i].merged.message_id == last)
			{
				more = true;
				continue;
			}
			last = groups[i].merged.message_id;
			round.groups[round.n++] = &groups[i];
		}

		settle_queue(&round);
		detect_duplicates(&round);
		update_messages(&round);
		account_for_rest(&round);
	} while (more);
	list->count = 0;
}
