/*
 * lifecycle.c
 *	  Cancelling, retrying and resolving messages by hand.
 *
 * The sender works on the same rows.  Its claim locks a queue row until the
 * lease that names it is committed; so whoever wants to take a row away from
 * it locks the row first, and then reads the leases with a snapshot taken after
 * that: wa_internal_on_wire_requests says which messages they name.
 *
 * A claim that meets our lock passes the row by, and looks behind its cursor
 * again only after a while: hence the wake-up for every row we have locked, also
 * if this transaction aborts.
 *
 * What cannot be done is found without a lock wherever it can be: the caller's
 * transaction may go on for long, and a message on the wire is to be settled meanwhile.
 *
 * All statements use such snapshots, so that a REPEATABLE READ transaction acts
 * on the rows as they are, as it must: the sender does not wait for its view.
 *
 * Being too late is no error.  The functions then return false, and a NOTICE gives
 * the message's status.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/caller.h"
#include "base/owner.h"
#include "base/quote.h"
#include "base/rows.h"
#include "base/schema.h"
#include "base/statement.h"
#include "base/tenant_role.h"
#include "common/message_state.h"
#include "common/queue_state.h"
#include "common/consent.h"
#include "enqueue/enqueue.h"
#include "enqueue/media_use.h"
#include "enqueue/service_window.h"
#include "shared/wake.h"

PG_FUNCTION_INFO_V1(wa_cancel_message);
PG_FUNCTION_INFO_V1(wa_retry_message);
PG_FUNCTION_INFO_V1(wa_resolve_message);

/* ---- reading ---- */

typedef struct QueueRow
{
	char state;
	text *phone_number_id; /* or NULL */
	int64 rank;
} QueueRow;

/*
 * The array is searched first: most messages are in no lease, and whoever cancels a
 * thousand asks for each.
 */
#define IS_ON_WIRE                                                                                 \
	"(EXISTS (SELECT FROM @extschema@.whatsapp_leases l"                                           \
	" WHERE $1 OPERATOR(pg_catalog.=) ANY (l.message_ids))"                                        \
	" AND EXISTS (SELECT FROM @extschema@.wa_internal_on_wire_requests w"                          \
	" WHERE w.message_id OPERATOR(pg_catalog.=) $1))"

static WaStatement look_statement = {.sql = "SELECT q.state, " IS_ON_WIRE
											" FROM @extschema@.whatsapp_queue q"
											" WHERE q.message_id OPERATOR(pg_catalog.=) $1",
									 .nargs = 1,
									 .argtypes = {INT8OID},
									 .expected = SPI_OK_SELECT};

static WaStatement lock_queue_statement = {
	.sql = "SELECT q.state, q.phone_number_id, q.rank"
		   " FROM @extschema@.whatsapp_queue q"
		   " WHERE q.message_id OPERATOR(pg_catalog.=) $1 FOR UPDATE",
	.nargs = 1,
	.argtypes = {INT8OID},
	.expected = SPI_OK_SELECT};

static WaStatement on_wire_statement = {
	.sql = "SELECT " IS_ON_WIRE, .nargs = 1, .argtypes = {INT8OID}, .expected = SPI_OK_SELECT};

static WaStatement lock_message_statement = {
	.sql = "SELECT m.status, m.attempts, m.tenant_id,"
		   " COALESCE(m.recipient_phone, m.recipient_user_id), m.recipient_phone IS NULL,"
		   " m.message_type, m.priority, m.scheduled_at, m.expires_at, t.category,"
		   " m.erased_at IS NOT NULL"
		   " FROM @extschema@.whatsapp_messages m"
		   " LEFT JOIN @extschema@.whatsapp_templates t"
		   "   ON t.name OPERATOR(pg_catalog.=) m.template_name"
		   "  AND t.language OPERATOR(pg_catalog.=) m.template_language"
		   " WHERE m.id OPERATOR(pg_catalog.=) $1 FOR UPDATE OF m",
	.nargs = 1,
	.argtypes = {INT8OID},
	.expected = SPI_OK_SELECT};

static WaStatement tenant_statement = {.sql =
										   "SELECT m.tenant_id FROM @extschema@.whatsapp_messages m"
										   " WHERE m.id OPERATOR(pg_catalog.=) $1",
									   .nargs = 1,
									   .argtypes = {INT8OID},
									   .expected = SPI_OK_SELECT};

static WaStatement status_statement = {.sql = "SELECT m.status FROM @extschema@.whatsapp_messages m"
											  " WHERE m.id OPERATOR(pg_catalog.=) $1",
									   .nargs = 1,
									   .argtypes = {INT8OID},
									   .expected = SPI_OK_SELECT};

/* ---- writing ---- */

static WaStatement dequeue_statement = {.sql = "DELETE FROM @extschema@.whatsapp_queue q"
											   " WHERE q.message_id OPERATOR(pg_catalog.=) $1",
										.nargs = 1,
										.argtypes = {INT8OID},
										.expected = SPI_OK_DELETE};

static WaStatement cancel_statement = {
	.sql = "UPDATE @extschema@.whatsapp_messages m SET status = 'cancelled',"
		   " finished_at = pg_catalog.clock_timestamp()"
		   " WHERE m.id OPERATOR(pg_catalog.=) $1"
		   "   AND m.status OPERATOR(pg_catalog.=) ANY ('{queued,sending}'::pg_catalog.text[])",
	.nargs = 1,
	.argtypes = {INT8OID},
	.expected = SPI_OK_UPDATE};

/*
 * A failure after acceptance is known from its webhook alone; its attempt is
 * recorded before the message forgets it.
 */
static WaStatement keep_attempt_statement = {
	.sql = "INSERT INTO @extschema@.whatsapp_attempts"
		   " (message_id, attempt, phone_number_id, outcome, error_code, error_message,"
		   "  started_at, ended_at)"
		   " SELECT m.id, m.attempts, m.phone_number_id, 'failed', m.error_code, m.error_message,"
		   "  m.accepted_at, COALESCE(m.failed_at, pg_catalog.clock_timestamp())"
		   " FROM @extschema@.whatsapp_messages m"
		   " WHERE m.id OPERATOR(pg_catalog.=) $1 AND m.whatsapp_message_id IS NOT NULL",
	.nargs = 1,
	.argtypes = {INT8OID},
	.expected = SPI_OK_INSERT};

static WaStatement requeue_statement = {
	.sql = "UPDATE @extschema@.whatsapp_messages m SET status = 'queued', status_reason = NULL,"
		   " phone_number_id = $2, expires_at = $3, whatsapp_message_id = NULL,"
		   " error_code = NULL, error_message = NULL, errors = NULL, accepted_at = NULL, sent_at = "
		   "NULL,"
		   " delivered_at = NULL, read_at = NULL, played_at = NULL, failed_at = NULL,"
		   " finished_at = NULL"
		   " WHERE m.id OPERATOR(pg_catalog.=) $1",
	.nargs = 3,
	.argtypes = {INT8OID, TEXTOID, TIMESTAMPTZOID},
	.expected = SPI_OK_UPDATE};

static WaStatement resolve_arrived_statement = {
	.sql = "UPDATE @extschema@.whatsapp_messages m SET status = $2, status_reason = 'resolved',"
		   " accepted_at = COALESCE(m.accepted_at, pg_catalog.clock_timestamp()),"
		   " sent_at = CASE WHEN $2 OPERATOR(pg_catalog.=) 'sent'"
		   "   THEN COALESCE(m.sent_at, pg_catalog.clock_timestamp()) ELSE m.sent_at END,"
		   " finished_at = pg_catalog.clock_timestamp()"
		   " WHERE m.id OPERATOR(pg_catalog.=) $1",
	.nargs = 2,
	.argtypes = {INT8OID, TEXTOID},
	.expected = SPI_OK_UPDATE};

static WaStatement resolve_failed_statement = {
	.sql = "UPDATE @extschema@.whatsapp_messages m SET status = 'failed',"
		   " status_reason = 'resolved', failed_at = pg_catalog.clock_timestamp(),"
		   " finished_at = pg_catalog.clock_timestamp()"
		   " WHERE m.id OPERATOR(pg_catalog.=) $1",
	.nargs = 1,
	.argtypes = {INT8OID},
	.expected = SPI_OK_UPDATE};

static WaStatement resend_message_statement = {
	.sql = "UPDATE @extschema@.whatsapp_messages m SET status = 'queued', status_reason = NULL"
		   " WHERE m.id OPERATOR(pg_catalog.=) $1",
	.nargs = 1,
	.argtypes = {INT8OID},
	.expected = SPI_OK_UPDATE};

/* wa_internal_placements() is STABLE: it sees the rows as this statement does. */
static WaStatement resend_queue_statement = {
	.sql = "UPDATE @extschema@.whatsapp_queue q SET state = p.state, hold_reason = p.hold_reason,"
		   " due_at = p.due_at"
		   " FROM @extschema@.wa_internal_placements(ARRAY[$1], false) p"
		   " WHERE q.message_id OPERATOR(pg_catalog.=) $1"
		   "   AND p.message_id OPERATOR(pg_catalog.=) $1"
		   " RETURNING q.state, q.due_at",
	.nargs = 1,
	.argtypes = {INT8OID},
	.expected = SPI_OK_UPDATE_RETURNING};

/* ---- */

static uint64
run(WaStatement *statement, Oid schema, int64 id)
{
	Datum key = Int64GetDatum(id);

	return wa_statement_run_latest(statement, schema, &key, NULL).count;
}

/* A message that nothing can be done about now, as it is without a lock. */
typedef struct Look
{
	bool queued;
	bool on_wire;
	char state; /* of the queue row */
} Look;

/*
 * Looks before anything is locked: the lock of a message that is on the wire would keep
 * its settlement waiting until this transaction ends, for nothing.
 */
static Look
look_at(Oid schema, int64 id)
{
	Look look = {0};
	Datum key = Int64GetDatum(id);
	WaRows rows = wa_statement_run_latest(&look_statement, schema, &key, NULL);
	bool isnull;

	look.queued = rows.count > 0;
	if (look.queued)
	{
		look.state = DatumGetChar(wa_rows_datum(&rows, 0, 1, &isnull));
		look.on_wire = DatumGetBool(wa_rows_datum(&rows, 0, 2, &isnull));
	}
	return look;
}

/*
 * Locks the queue row; false if there is none (any more).
 */
static bool
lock_queue_row(Oid schema, int64 id, QueueRow *row)
{
	WaRows rows;
	Datum key = Int64GetDatum(id);
	Datum value;
	bool isnull;

	rows = wa_statement_run_latest(&lock_queue_statement, schema, &key, NULL);
	if (rows.count == 0)
		return false;
	row->state = DatumGetChar(wa_rows_datum(&rows, 0, 1, &isnull));
	value = wa_rows_datum(&rows, 0, 2, &isnull);
	row->phone_number_id = isnull ? NULL : DatumGetTextPP(value);
	row->rank = DatumGetInt64(wa_rows_datum(&rows, 0, 3, &isnull));
	if (row->state == WA_QUEUE_READY)
		wa_wake_ready_always(text_to_cstring(row->phone_number_id), row->rank);
	return true;
}

/* Its queue row is locked. */
static bool
is_on_wire(Oid schema, int64 id)
{
	Datum key = Int64GetDatum(id);

	return wa_statement_select_bool(&on_wire_statement, schema, &key);
}

/* The row of a message that must be there. */
static WaRows
read_row(WaStatement *statement, Oid schema, int64 id)
{
	WaRows rows;
	Datum key = Int64GetDatum(id);

	rows = wa_statement_run_latest(statement, schema, &key, NULL);
	if (rows.count == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("message %lld does not exist", (long long) id)));
	return rows;
}

/* For a NOTICE: nothing is locked. */
static char *
status_of(Oid schema, int64 id)
{
	WaRows rows = read_row(&status_statement, schema, id);

	return wa_rows_text(&rows, 0, 1);
}

/*
 * "done" is what was asked for, such as "cancelled".
 */
static bool
refuse(int64 id, const char *done, const char *status, const char *hint)
{
	ereport(NOTICE,
			(errmsg("message %lld was not %s", (long long) id, done),
			 errdetail("Its status is \"%s\".", status), hint != NULL ? errhint("%s", hint) : 0));
	return false;
}

static int64
read_id(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		wa_raise_null_argument("id");
	return PG_GETARG_INT64(0);
}

static bool
cancel(Oid schema, int64 id)
{
	Look look = look_at(schema, id);
	QueueRow row;

	if (look.on_wire)
		return refuse(id, "cancelled", "sending", NULL);
	if (look.state == WA_QUEUE_UNCERTAIN)
		return refuse(id, "cancelled", "uncertain", "Use wa_resolve_message().");
	if (!look.queued || !lock_queue_row(schema, id, &row))
		return refuse(id, "cancelled", status_of(schema, id), NULL);
	if (row.state == WA_QUEUE_UNCERTAIN)
		return refuse(id, "cancelled", "uncertain", "Use wa_resolve_message().");
	if (is_on_wire(schema, id))
		return refuse(id, "cancelled", "sending", NULL);
	if (run(&cancel_statement, schema, id) == 0)
		return refuse(id, "cancelled", status_of(schema, id), NULL);
	run(&dequeue_statement, schema, id);
	return true;
}

/*
 * Of a role that is bound to a tenant, the message must be the tenant's.
 */
static void
check_tenant(Oid schema, int64 id, text *bound)
{
	Datum values[1] = {Int64GetDatum(id)};
	WaRows rows;

	if (bound == NULL)
		return;
	rows = wa_statement_run(&tenant_statement, schema, values, NULL);
	if (rows.count > 0)
		wa_tenant_role_check_bound(bound, cstring_to_text(wa_rows_text(&rows, 0, 1)));
}

/*
 * wa_cancel_message(id): true if it will not be sent.
 */
Datum
wa_cancel_message(PG_FUNCTION_ARGS)
{
	int64 id = read_id(fcinfo);
	text *bound = wa_tenant_role_bound(wa_schema_of_call(fcinfo));
	WaOwner owner;
	bool done;

	wa_owner_begin(&owner, fcinfo);
	check_tenant(owner.schema, id, bound);
	done = cancel(owner.schema, id);
	if (done)
		wa_caller_note_message(owner.schema, "cancel_message", id, "Cancelled");
	wa_owner_end(&owner);
	PG_RETURN_BOOL(done);
}

static bool
may_retry(const char *status)
{
	WaMessageState state;

	return wa_message_state_parse(status, &state) && wa_message_state_may_be_retried(state);
}

/*
 * The locked message as if it were enqueued now.  Returns the attempts made.
 */
static int
read_message(const WaRows *row, WaEnqueue *e)
{
	int attempts;
	Datum value;
	bool isnull;

	attempts = DatumGetInt16(wa_rows_datum(row, 0, 2, &isnull));
	e->tenant_id = DatumGetTextPP(wa_rows_datum(row, 0, 3, &isnull));
	text_to_cstring_buffer(DatumGetTextPP(wa_rows_datum(row, 0, 4, &isnull)), e->recipient,
						   sizeof(e->recipient));
	e->recipient_is_user_id = DatumGetBool(wa_rows_datum(row, 0, 5, &isnull));
	e->message_type = DatumGetTextPP(wa_rows_datum(row, 0, 6, &isnull));
	e->options.priority = DatumGetInt16(wa_rows_datum(row, 0, 7, &isnull));
	e->options.scheduled_at = DatumGetTimestampTz(wa_rows_datum(row, 0, 8, &isnull));
	value = wa_rows_datum(row, 0, 9, &isnull);
	e->options.expires_at = isnull ? DT_NOEND : DatumGetTimestampTz(value);
	value = wa_rows_datum(row, 0, 10, &isnull);
	e->is_marketing = strcmp(text_to_cstring(e->message_type), "template") == 0 &&
					  wa_template_category_is_marketing(isnull ? NULL : TextDatumGetCString(value));
	return attempts;
}

/* No error either: who retries many by one statement is to get the others through. */
static bool
refuse_exhausted(int64 id, int attempts)
{
	ereport(NOTICE, (errmsg("message %lld was not queued again", (long long) id),
					 errdetail("It has been tried %d times, and no message is tried more than %d "
							   "times.",
							   attempts, WA_MESSAGE_MAX_ATTEMPTS),
					 errhint("Enqueue it as a new message.")));
	return false;
}

static bool
refuse_erased(int64 id)
{
	ereport(NOTICE, (errmsg("message %lld was not queued again", (long long) id),
					 errdetail("Its content and its recipient have been erased.")));
	return false;
}

static bool
retry(Oid schema, int64 id)
{
	Look look = look_at(schema, id);
	WaEnqueue e;
	const char *skip;
	char *status;
	WaRows rows;
	Datum values[3];
	char nulls[3] = {' ', ' ', ' '};
	int attempts;

	if (look.queued)
		return refuse(id, "queued again",
					  look.state == WA_QUEUE_UNCERTAIN ? "uncertain" : status_of(schema, id),
					  look.state == WA_QUEUE_UNCERTAIN ? "Use wa_resolve_message()." : NULL);
	status = status_of(schema, id);
	if (!may_retry(status))
		return refuse(id, "queued again", status, NULL);

	/* Whoever else puts it back does so under this lock. */
	rows = read_row(&lock_message_statement, schema, id);
	status = wa_rows_text(&rows, 0, 1);
	if (!may_retry(status))
		return refuse(id, "queued again", status, NULL);

	if (wa_rows_int(&rows, 0, 11, false))
		return refuse_erased(id);

	memset(&e, 0, sizeof(e));
	e.schema = schema;
	attempts = read_message(&rows, &e);
	if (attempts >= WA_MESSAGE_MAX_ATTEMPTS)
		return refuse_exhausted(id, attempts);
	wa_enqueue_look_up(&e);
	skip = wa_enqueue_reason_to_skip(&e);
	if (skip != NULL)
	{
		ereport(NOTICE, (errmsg("message %lld was not queued again", (long long) id),
						 errdetail("It would be skipped: %s.", skip)));
		return false;
	}
	if (strcmp(text_to_cstring(e.message_type), "template") != 0)
		wa_service_window_check(&e, true);

	wa_media_use_again(&e, id);

	/* An expiry that has passed cannot be meant for a message sent now. */
	if (e.options.expires_at <= e.due_at)
		e.options.expires_at = DT_NOEND;
	run(&keep_attempt_statement, schema, id);
	values[0] = Int64GetDatum(id);
	values[1] = PointerGetDatum(e.phone_number_id);
	nulls[1] = e.phone_number_id == NULL ? 'n' : ' ';
	values[2] = TimestampTzGetDatum(e.options.expires_at);
	nulls[2] = TIMESTAMP_IS_NOEND(e.options.expires_at) ? 'n' : ' ';
	wa_statement_run_latest(&requeue_statement, schema, values, nulls);

	/* Attempts go on counting: an old lease must not be taken for a new one. */
	wa_enqueue_queue_row(&e, id, attempts);
	return true;
}

/*
 * wa_retry_message(id): true if it is queued again.
 */
Datum
wa_retry_message(PG_FUNCTION_ARGS)
{
	int64 id = read_id(fcinfo);
	WaOwner owner;
	bool done;

	wa_owner_begin(&owner, fcinfo);
	done = retry(owner.schema, id);
	if (done)
		wa_caller_note_message(owner.schema, "retry_message", id, "Queued again");
	wa_owner_end(&owner);
	PG_RETURN_BOOL(done);
}

/*
 * It takes its place in the queue like any other: it waits for a number, or for the
 * end of quiet hours.
 */
static void
resend(Oid schema, int64 id, const QueueRow *row)
{
	WaRows rows;
	Datum key = Int64GetDatum(id);
	bool isnull;

	rows = wa_statement_run_latest(&resend_queue_statement, schema, &key, NULL);
	run(&resend_message_statement, schema, id);
	wa_enqueue_wake(DatumGetChar(wa_rows_datum(&rows, 0, 1, &isnull)),
					row->phone_number_id == NULL ? NULL : text_to_cstring(row->phone_number_id),
					row->rank, DatumGetTimestampTz(wa_rows_datum(&rows, 0, 2, &isnull)));
}

static void
arrived(Oid schema, int64 id, const char *outcome)
{
	Datum values[2];

	values[0] = Int64GetDatum(id);
	values[1] = CStringGetTextDatum(outcome);
	run(&dequeue_statement, schema, id);
	wa_statement_run_latest(&resolve_arrived_statement, schema, values, NULL);
}

static bool
resolve(Oid schema, int64 id, const char *outcome)
{
	Look look = look_at(schema, id);
	QueueRow row;

	if (look.state != WA_QUEUE_UNCERTAIN || !lock_queue_row(schema, id, &row) ||
		row.state != WA_QUEUE_UNCERTAIN)
		return refuse(id, "resolved", status_of(schema, id), NULL);
	if (strcmp(outcome, "resend") == 0)
		resend(schema, id, &row);
	else if (strcmp(outcome, "failed") == 0)
	{
		run(&dequeue_statement, schema, id);
		run(&resolve_failed_statement, schema, id);
	}
	else
		arrived(schema, id, outcome);
	return true;
}

/*
 * wa_resolve_message(id, outcome): what became of an uncertain message; true if
 * it was uncertain.
 */
Datum
wa_resolve_message(PG_FUNCTION_ARGS)
{
	static const char *const outcomes[] = {"accepted", "sent", "failed", "resend"};
	int64 id = read_id(fcinfo);
	char *outcome = text_to_cstring(wa_arg_text(fcinfo, 1, "outcome"));
	WaOwner owner;
	bool known = false;
	bool done;

	for (int i = 0; i < lengthof(outcomes); i++)
		known = known || strcmp(outcome, outcomes[i]) == 0;
	if (!known)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid outcome \"%s\"", wa_quote(outcome)),
				 errhint("Use \"accepted\" or \"sent\" if the message arrived, \"failed\" if it "
						 "did not, or \"resend\".")));
	wa_owner_begin(&owner, fcinfo);
	done = resolve(owner.schema, id, outcome);
	if (done)
		wa_caller_note_message(owner.schema, "resolve_message", id,
							   psprintf("Resolved: %s", outcome));
	wa_owner_end(&owner);
	PG_RETURN_BOOL(done);
}
