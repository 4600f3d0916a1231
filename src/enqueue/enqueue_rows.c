/*
 * enqueue_rows.c
 *	  The rows of a new message: itself, and its place in the queue.
 *
 * Two plain INSERTs are a third cheaper than one statement that does both in a
 * common table expression.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/lookup.h"
#include "base/rows.h"
#include "base/statement.h"
#include "common/message_state.h"
#include "common/queue_state.h"
#include "enqueue/enqueue.h"
#include "enqueue/media_use.h"
#include "enqueue/queue_guard.h"
#include "shared/first_xid.h"
#include "shared/lost_ids.h"
#include "shared/wake.h"

static WaLookup same_key_lookup = {.table = "whatsapp_messages",
								   .index = "whatsapp_messages_idempotency_key",
								   .nkeys = 2,
								   .ncolumns = 1,
								   .columns = {"id"}};

/*
 * The arguments of the statements that insert a message, in this order.
 */
enum
{
	MSG_TENANT_ID,
	MSG_PHONE_NUMBER_ID,
	MSG_RECIPIENT_PHONE,
	MSG_RECIPIENT_USER_ID,
	MSG_MESSAGE_TYPE,
	MSG_TEMPLATE_NAME,
	MSG_TEMPLATE_LANGUAGE,
	MSG_PAYLOAD,
	MSG_CONTEXT_MESSAGE_ID,
	MSG_PRIORITY,
	MSG_IDEMPOTENCY_KEY,
	MSG_REFERENCE,
	MSG_ON_UNCERTAIN,
	MSG_SCHEDULED_AT,
	MSG_EXPIRES_AT,
	MSG_STATUS_REASON, /* of a skipped message only */
	MSG_COUNT
};

#define MSG_ARGTYPES                                                                               \
	{                                                                                              \
		TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, TEXTOID, INT2OID, \
			TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID                     \
	}

#define INSERT_MESSAGE                                                                             \
	"INSERT INTO @extschema@.whatsapp_messages (tenant_id, phone_number_id, recipient_phone,"      \
	" recipient_user_id, message_type, template_name, template_language, payload,"                 \
	" context_message_id, priority, idempotency_key, reference, on_uncertain, scheduled_at,"       \
	" expires_at"
#define MESSAGE_VALUES ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15"
#define ON_SAME_KEY                                                                                \
	" ON CONFLICT (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING"

static WaStatement message_statement = {.sql = INSERT_MESSAGE MESSAGE_VALUES ") RETURNING id",
										.nargs = MSG_STATUS_REASON,
										.argtypes = MSG_ARGTYPES,
										.expected = SPI_OK_INSERT_RETURNING};

static WaStatement message_once_statement = {.sql = INSERT_MESSAGE MESSAGE_VALUES ")" ON_SAME_KEY
																				  " RETURNING id",
											 .nargs = MSG_STATUS_REASON,
											 .argtypes = MSG_ARGTYPES,
											 .expected = SPI_OK_INSERT_RETURNING};

static WaStatement message_skipped_statement = {
	.sql = INSERT_MESSAGE ", status, status_reason, finished_at" MESSAGE_VALUES
						  ", 'skipped', $16, pg_catalog.now())" ON_SAME_KEY " RETURNING id",
	.nargs = MSG_COUNT,
	.argtypes = MSG_ARGTYPES,
	.expected = SPI_OK_INSERT_RETURNING};

enum
{
	QUEUE_MESSAGE_ID,
	QUEUE_PHONE_NUMBER_ID,
	QUEUE_RANK,
	QUEUE_DUE_AT,
	QUEUE_EXPIRES_AT,
	QUEUE_ATTEMPTS,
	QUEUE_STATE,
	QUEUE_HOLD_REASON,
	QUEUE_COUNT
};

static WaStatement queue_statement = {
	.sql = "INSERT INTO @extschema@.whatsapp_queue (message_id, phone_number_id, rank, due_at,"
		   " expires_at, attempts, state, hold_reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
	.nargs = QUEUE_COUNT,
	.argtypes = {INT8OID, TEXTOID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT2OID, CHAROID,
				 TEXTOID},
	.expected = SPI_OK_INSERT};

int64
wa_enqueue_find_key(const WaEnqueue *e, Snapshot snapshot)
{
	Datum keys[2];
	WaLookupRow *row;

	if (e->options.idempotency_key == NULL)
		return 0;
	keys[0] = PointerGetDatum(e->tenant_id);
	keys[1] = PointerGetDatum(e->options.idempotency_key);
	row = wa_lookup_one(&same_key_lookup, e->schema, keys, snapshot);
	return row == NULL ? 0 : DatumGetInt64(row->values[0]);
}

static void
set(Datum *values, char *nulls, int arg, Datum value)
{
	values[arg] = value;
	nulls[arg] = ' ';
}

static void
set_text(Datum *values, char *nulls, int arg, const text *value)
{
	values[arg] = PointerGetDatum(value);
	nulls[arg] = value == NULL ? 'n' : ' ';
}

static void
set_expiry(Datum *values, char *nulls, int arg, TimestampTz expires_at)
{
	values[arg] = TimestampTzGetDatum(expires_at);
	nulls[arg] = TIMESTAMP_IS_NOEND(expires_at) ? 'n' : ' ';
}

const char *
wa_enqueue_reason_to_skip(const WaEnqueue *e)
{
	if (!e->tenant_enabled)
		return "tenant_disabled";
	if (wa_opt_outs_concern(e->opt_outs, e->is_marketing))
		return "opted_out";
	return NULL;
}

/*
 * Inserts the message; 0 if its idempotency key is taken.
 */
static int64
insert_message(const WaEnqueue *e, const char *skip)
{
	WaRows rows;
	const WaMessageOptions *o = &e->options;
	text *recipient = cstring_to_text(e->recipient);
	Datum values[MSG_COUNT];
	char nulls[MSG_COUNT];
	WaStatement *statement;
	int64 id = 0;
	bool isnull;

	set_text(values, nulls, MSG_TENANT_ID, e->tenant_id);
	set_text(values, nulls, MSG_PHONE_NUMBER_ID, e->phone_number_id);
	set_text(values, nulls, MSG_RECIPIENT_PHONE, e->recipient_is_user_id ? NULL : recipient);
	set_text(values, nulls, MSG_RECIPIENT_USER_ID, e->recipient_is_user_id ? recipient : NULL);
	set_text(values, nulls, MSG_MESSAGE_TYPE, e->message_type);
	set_text(values, nulls, MSG_TEMPLATE_NAME, e->template_name);
	set_text(values, nulls, MSG_TEMPLATE_LANGUAGE, e->template_language);
	set(values, nulls, MSG_PAYLOAD, JsonbPGetDatum(e->payload));
	set_text(values, nulls, MSG_CONTEXT_MESSAGE_ID, o->context_message_id);
	set(values, nulls, MSG_PRIORITY, Int16GetDatum((int16) o->priority));
	set_text(values, nulls, MSG_IDEMPOTENCY_KEY, o->idempotency_key);
	set_text(values, nulls, MSG_REFERENCE, o->reference);
	set_text(values, nulls, MSG_ON_UNCERTAIN, o->on_uncertain);
	set(values, nulls, MSG_SCHEDULED_AT, TimestampTzGetDatum(o->scheduled_at));
	set_expiry(values, nulls, MSG_EXPIRES_AT, o->expires_at);
	set_text(values, nulls, MSG_STATUS_REASON, skip == NULL ? NULL : cstring_to_text(skip));

	if (skip != NULL)
		statement = &message_skipped_statement;
	else
		statement = o->idempotency_key == NULL ? &message_statement : &message_once_statement;
	rows = wa_statement_run(statement, e->schema, values, nulls);
	if (rows.count > 0)
		id = DatumGetInt64(wa_rows_datum(&rows, 0, 1, &isnull));
	wa_rows_free(&rows);
	return id;
}

void
wa_enqueue_wake(char state, const char *phone_number_id, int64 rank, TimestampTz due_at)
{
	switch (state)
	{
		case WA_QUEUE_READY:
			wa_wake_ready(phone_number_id, rank);
			break;
		case WA_QUEUE_DEFERRED:
			wa_wake_due(due_at);
			break;
		default:
			break;
	}
}

void
wa_enqueue_queue_row(const WaEnqueue *e, int64 id, int attempts)
{
	WaPlacementFacts facts = e->facts;
	WaPlacement place;
	int64 rank;
	Datum values[QUEUE_COUNT];
	char nulls[QUEUE_COUNT];

	facts.has_number = e->phone_number_id != NULL;
	facts.awaits_upload = e->awaits_media;
	facts.attempted = attempts > 0;
	place = wa_placement_decide(&facts);
	rank = wa_message_rank(place.due_at, e->options.priority);

	set(values, nulls, QUEUE_MESSAGE_ID, Int64GetDatum(id));
	set_text(values, nulls, QUEUE_PHONE_NUMBER_ID, e->phone_number_id);
	set(values, nulls, QUEUE_RANK, Int64GetDatum(rank));
	set(values, nulls, QUEUE_DUE_AT, TimestampTzGetDatum(place.due_at));
	set_expiry(values, nulls, QUEUE_EXPIRES_AT, e->options.expires_at);
	set(values, nulls, QUEUE_ATTEMPTS, Int16GetDatum((int16) attempts));
	set(values, nulls, QUEUE_STATE, CharGetDatum(place.state));
	set_text(values, nulls, QUEUE_HOLD_REASON,
			 place.hold_reason == NULL ? NULL : cstring_to_text(place.hold_reason));
	wa_first_xid_note();
	wa_queue_guard_expect();
	wa_statement_run(&queue_statement, e->schema, values, nulls);

	wa_enqueue_wake(place.state,
					e->phone_number_id == NULL ? NULL : text_to_cstring(e->phone_number_id), rank,
					place.due_at);
	if (e->awaits_media && e->phone_number_id != NULL)
		wa_wake_due(GetCurrentTimestamp()); /* sender 0 sees whether its file is on its way */
}

/*
 * The scripts of 1.0.0 have no place for it.  The library may be newer for a while,
 * until somebody updates the extension; nothing is sent then, but enqueued.
 */
static bool
knows_consent(const WaEnqueue *e)
{
	return OidIsValid(get_relname_relid("whatsapp_fallbacks", e->schema));
}

static void
insert_fallback(const WaEnqueue *e, int64 id)
{
	static WaStatement statement = {
		.sql = "INSERT INTO @extschema@.whatsapp_fallbacks"
			   " (message_id, template_name, template_language, payload) VALUES ($1, $2, $3, $4)",
		.nargs = 4,
		.argtypes = {INT8OID, TEXTOID, TEXTOID, JSONBOID},
		.expected = SPI_OK_INSERT};
	Datum values[4] = {Int64GetDatum(id), PointerGetDatum(e->fallback.template_name),
					   PointerGetDatum(e->fallback.template_language),
					   JsonbPGetDatum(e->fallback.payload)};

	wa_statement_run(&statement, e->schema, values, NULL);
}

/* People hear of it once per person, if it was not about marketing. */
static void
alert_skipped(const WaEnqueue *e, int64 id)
{
	static WaStatement statement = {.sql =
										"SELECT @extschema@.wa_internal_alert_skipped(ARRAY[$1])",
									.nargs = 1,
									.argtypes = {INT8OID},
									.expected = SPI_OK_SELECT};
	Datum values[1] = {Int64GetDatum(id)};

	if (e->opt_outs.all && !e->is_marketing && knows_consent(e))
		wa_statement_run(&statement, e->schema, values, NULL);
}

/*
 * Writes the message and returns its id; if another transaction has committed
 * one under the same idempotency key since the look-up, the id of that.
 */
int64
wa_enqueue_write(WaEnqueue *e)
{
	const char *skip = wa_enqueue_reason_to_skip(e);

	wa_lost_ids_leave_out(e->schema);
	for (;;)
	{
		int64 id = insert_message(e, skip);
		Snapshot snapshot;

		if (id != 0)
		{
			if (e->media != 0)
				wa_media_note_use(e, id);
			if (skip == NULL)
				wa_enqueue_queue_row(e, id, 0);
			else
				alert_skipped(e, id);
			if (skip == NULL && e->fallback.payload != NULL && knows_consent(e))
				insert_fallback(e, id);
			return id;
		}

		snapshot = RegisterSnapshot(GetLatestSnapshot());
		id = wa_enqueue_find_key(e, snapshot);
		UnregisterSnapshot(snapshot);
		if (id != 0)
			return id;

		/* Retention has removed it between our two statements: the key is free. */
		CHECK_FOR_INTERRUPTS();
	}
}
