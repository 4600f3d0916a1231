/*
 * lifecycle.c
 *	  Cancelling, repeating and deciding messages by hand.
 *
 * The sender works on the same rows.  Its claim locks a queue row until the
 * lease that names it is committed; so whoever wants to take a row away from
 * it locks the row first, and then reads the leases with a snapshot taken after
 * that.  A message is on the wire if a lease counts more attempts of it than its
 * queue row does.
 *
 * A claim that meets our lock passes the row by, and looks behind its cursor
 * again only after a while: hence the wake-up for every row we have locked, also
 * if this transaction aborts.
 *
 * All statements use such snapshots, so that a REPEATABLE READ transaction acts
 * on the rows as they are, as it must: the sender does not wait for its view.
 *
 * What cannot be done any more is no error: the message has simply been faster.
 * The functions then return false, and a NOTICE says how it stands.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/owner.h"
#include "base/statement.h"
#include "common/message_state.h"
#include "enqueue/enqueue.h"
#include "enqueue/media_use.h"
#include "enqueue/message_functions.h"
#include "shared/wake.h"

PG_FUNCTION_INFO_V1(wa_cancel_message);
PG_FUNCTION_INFO_V1(wa_retry_message);
PG_FUNCTION_INFO_V1(wa_resolve_message);

#define STATE_READY 'r'
#define STATE_UNCERTAIN 'u'

/* ---- reading ---- */

typedef struct QueueRow
{
	char state;
	int attempts;
	text *phone_number_id; /* or NULL */
	int64 rank;
} QueueRow;

static WaPlan lock_queue_plan = {.sql = "SELECT q.state, q.attempts, q.phone_number_id, q.rank"
										" FROM @extschema@.whatsapp_queue q"
										" WHERE q.message_id OPERATOR(pg_catalog.=) $1 FOR UPDATE",
								 .nargs = 1,
								 .argtypes = {INT8OID}};

static WaPlan on_wire_plan = {
	.sql = "SELECT EXISTS (SELECT FROM @extschema@.whatsapp_leases l,"
		   " LATERAL ROWS FROM (pg_catalog.unnest(l.message_ids), pg_catalog.unnest(l.attempts))"
		   "   AS x (id, attempt)"
		   " WHERE $1 OPERATOR(pg_catalog.=) ANY (l.message_ids)"
		   "   AND x.id OPERATOR(pg_catalog.=) $1 AND x.attempt OPERATOR(pg_catalog.>) $2)",
	.nargs = 2,
	.argtypes = {INT8OID, INT2OID}};

static WaPlan lock_message_plan = {
	.sql = "SELECT m.status, m.attempts, m.tenant_id,"
		   " COALESCE(m.recipient_phone, m.recipient_user_id), m.recipient_phone IS NULL,"
		   " m.message_type, m.priority, m.scheduled_at, m.expires_at, t.category"
		   " FROM @extschema@.whatsapp_messages m"
		   " LEFT JOIN @extschema@.whatsapp_templates t"
		   "   ON t.name OPERATOR(pg_catalog.=) m.template_name"
		   "  AND t.language OPERATOR(pg_catalog.=) m.template_language"
		   " WHERE m.id OPERATOR(pg_catalog.=) $1 FOR UPDATE OF m",
	.nargs = 1,
	.argtypes = {INT8OID}};

/* ---- writing ---- */

static WaPlan dequeue_plan = {.sql = "DELETE FROM @extschema@.whatsapp_queue q"
									 " WHERE q.message_id OPERATOR(pg_catalog.=) $1",
							  .nargs = 1,
							  .argtypes = {INT8OID}};

static WaPlan cancel_plan = {
	.sql = "UPDATE @extschema@.whatsapp_messages m SET status = 'cancelled',"
		   " finished_at = pg_catalog.clock_timestamp()"
		   " WHERE m.id OPERATOR(pg_catalog.=) $1"
		   "   AND m.status OPERATOR(pg_catalog.=) ANY ('{queued,sending}'::pg_catalog.text[])",
	.nargs = 1,
	.argtypes = {INT8OID}};

/*
 * A failure that followed acceptance is known by its webhook only; the row of
 * its attempt is written before the message forgets it.
 */
static WaPlan keep_attempt_plan = {
	.sql = "INSERT INTO @extschema@.whatsapp_attempts"
		   " (message_id, attempt, phone_number_id, outcome, error_code, error_message,"
		   "  started_at, ended_at)"
		   " SELECT m.id, m.attempts, m.phone_number_id, 'failed', m.error_code, m.error_message,"
		   "  m.accepted_at, COALESCE(m.failed_at, pg_catalog.clock_timestamp())"
		   " FROM @extschema@.whatsapp_messages m"
		   " WHERE m.id OPERATOR(pg_catalog.=) $1 AND m.whatsapp_message_id IS NOT NULL",
	.nargs = 1,
	.argtypes = {INT8OID}};

static WaPlan requeue_plan = {
	.sql = "UPDATE @extschema@.whatsapp_messages m SET status = 'queued', status_reason = NULL,"
		   " phone_number_id = $2, expires_at = $3, whatsapp_message_id = NULL,"
		   " error_code = NULL, error_message = NULL, accepted_at = NULL, sent_at = NULL,"
		   " delivered_at = NULL, read_at = NULL, played_at = NULL, failed_at = NULL,"
		   " finished_at = NULL"
		   " WHERE m.id OPERATOR(pg_catalog.=) $1",
	.nargs = 3,
	.argtypes = {INT8OID, TEXTOID, TIMESTAMPTZOID}};

static WaPlan resolve_arrived_plan = {
	.sql = "UPDATE @extschema@.whatsapp_messages m SET status = $2, status_reason = 'resolved',"
		   " accepted_at = COALESCE(m.accepted_at, pg_catalog.clock_timestamp()),"
		   " sent_at = CASE WHEN $2 OPERATOR(pg_catalog.=) 'sent'"
		   "   THEN COALESCE(m.sent_at, pg_catalog.clock_timestamp()) ELSE m.sent_at END,"
		   " finished_at = pg_catalog.clock_timestamp()"
		   " WHERE m.id OPERATOR(pg_catalog.=) $1",
	.nargs = 2,
	.argtypes = {INT8OID, TEXTOID}};

static WaPlan resolve_failed_plan = {
	.sql = "UPDATE @extschema@.whatsapp_messages m SET status = 'failed',"
		   " status_reason = 'resolved', failed_at = pg_catalog.clock_timestamp(),"
		   " finished_at = pg_catalog.clock_timestamp()"
		   " WHERE m.id OPERATOR(pg_catalog.=) $1",
	.nargs = 1,
	.argtypes = {INT8OID}};

static WaPlan resend_message_plan = {
	.sql = "UPDATE @extschema@.whatsapp_messages m SET status = 'queued', status_reason = NULL"
		   " WHERE m.id OPERATOR(pg_catalog.=) $1",
	.nargs = 1,
	.argtypes = {INT8OID}};

static WaPlan resend_queue_plan = {
	.sql = "UPDATE @extschema@.whatsapp_queue q SET due_at = pg_catalog.clock_timestamp(),"
		   " state = CASE WHEN q.phone_number_id IS NULL THEN 'h' ELSE 'r' END,"
		   " hold_reason = CASE WHEN q.phone_number_id IS NULL THEN 'no_number' END"
		   " WHERE q.message_id OPERATOR(pg_catalog.=) $1",
	.nargs = 1,
	.argtypes = {INT8OID}};

/* ---- */

static void
run(WaPlan *plan, Oid schema, int64 id, int expected)
{
	Datum key = Int64GetDatum(id);

	wa_plan_execute_latest(plan, schema, &key, NULL, expected);
}

static Datum
column(int n, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, n, isnull);
}

/*
 * Locks the queue row; false if there is none (any more).
 */
static bool
lock_queue_row(Oid schema, int64 id, QueueRow *row)
{
	Datum key = Int64GetDatum(id);
	Datum value;
	bool isnull;

	wa_plan_execute_latest(&lock_queue_plan, schema, &key, NULL, SPI_OK_SELECT);
	if (SPI_processed == 0)
		return false;
	row->state = DatumGetChar(column(1, &isnull));
	row->attempts = DatumGetInt16(column(2, &isnull));
	value = column(3, &isnull);
	row->phone_number_id = isnull ? NULL : DatumGetTextPP(value);
	row->rank = DatumGetInt64(column(4, &isnull));
	if (row->state == STATE_READY)
		wa_wake_ready_always(text_to_cstring(row->phone_number_id), row->rank);
	return true;
}

static bool
is_on_wire(Oid schema, int64 id, int attempts)
{
	Datum values[2];

	values[0] = Int64GetDatum(id);
	values[1] = Int16GetDatum((int16) attempts);
	return wa_plan_select_bool(&on_wire_plan, schema, values);
}

/*
 * Locks the message and returns its status.
 */
static char *
lock_message(Oid schema, int64 id)
{
	Datum key = Int64GetDatum(id);

	wa_plan_execute_latest(&lock_message_plan, schema, &key, NULL, SPI_OK_SELECT);
	if (SPI_processed == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("message %lld does not exist", (long long) id)));
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/*
 * "done" is what was wanted, such as "cancelled".
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
	QueueRow row;

	if (!lock_queue_row(schema, id, &row))
		return refuse(id, "cancelled", lock_message(schema, id), NULL);
	if (row.state == STATE_UNCERTAIN)
		return refuse(id, "cancelled", "uncertain", "Use wa_resolve_message().");
	if (is_on_wire(schema, id, row.attempts))
		return refuse(id, "cancelled", "sending", NULL);
	run(&cancel_plan, schema, id, SPI_OK_UPDATE);
	if (SPI_processed == 0)
		return refuse(id, "cancelled", lock_message(schema, id), NULL);
	run(&dequeue_plan, schema, id, SPI_OK_DELETE);
	return true;
}

/*
 * wa_cancel_message(id): true if it will not be sent.
 */
Datum
wa_cancel_message(PG_FUNCTION_ARGS)
{
	int64 id = read_id(fcinfo);
	WaOwner owner;
	bool done;

	wa_owner_begin(&owner, fcinfo);
	done = cancel(owner.schema, id);
	wa_owner_end(&owner);
	PG_RETURN_BOOL(done);
}

static bool
may_retry(const char *status)
{
	WaJobState state;

	return wa_job_state_parse(status, &state) && wa_job_may_become(state, WA_JOB_QUEUED) &&
		   state != WA_JOB_SENDING && state != WA_JOB_UNCERTAIN;
}

/*
 * The locked message as if it were enqueued now.  Returns the attempts made.
 */
static int
read_message(WaEnqueue *e)
{
	int attempts;
	Datum value;
	bool isnull;

	attempts = DatumGetInt16(column(2, &isnull));
	e->tenant_id = DatumGetTextPP(column(3, &isnull));
	text_to_cstring_buffer(DatumGetTextPP(column(4, &isnull)), e->recipient, sizeof(e->recipient));
	e->recipient_is_user_id = DatumGetBool(column(5, &isnull));
	e->message_type = DatumGetTextPP(column(6, &isnull));
	e->options.priority = DatumGetInt16(column(7, &isnull));
	e->options.scheduled_at = DatumGetTimestampTz(column(8, &isnull));
	value = column(9, &isnull);
	e->options.expires_at = isnull ? DT_NOEND : DatumGetTimestampTz(value);
	value = column(10, &isnull);
	e->is_marketing = strcmp(text_to_cstring(e->message_type), "template") == 0 &&
					  (isnull || pg_strcasecmp(TextDatumGetCString(value), "MARKETING") == 0);
	return attempts;
}

static bool
retry(Oid schema, int64 id)
{
	QueueRow row;
	WaEnqueue e;
	const char *skip;
	char *status;
	Datum values[3];
	char nulls[3] = {' ', ' ', ' '};
	int attempts;

	if (lock_queue_row(schema, id, &row))
		return refuse(id, "queued again",
					  row.state == STATE_UNCERTAIN ? "uncertain" : lock_message(schema, id),
					  row.state == STATE_UNCERTAIN ? "Use wa_resolve_message()." : NULL);
	status = lock_message(schema, id);
	if (!may_retry(status))
		return refuse(id, "queued again", status, NULL);

	memset(&e, 0, sizeof(e));
	e.schema = schema;
	attempts = read_message(&e);
	wa_enqueue_look_up(&e);
	skip = wa_enqueue_reason_to_skip(&e);
	if (skip != NULL)
	{
		ereport(NOTICE, (errmsg("message %lld was not queued again", (long long) id),
						 errdetail("It would be skipped: %s.", skip)));
		return false;
	}
	if (strcmp(text_to_cstring(e.message_type), "template") != 0)
		wa_message_check_window(&e, true);

	wa_media_use_again(&e, id);

	/* A term that has passed cannot be meant for a message sent now. */
	if (e.options.expires_at <= e.due_at)
		e.options.expires_at = DT_NOEND;
	run(&keep_attempt_plan, schema, id, SPI_OK_INSERT);
	values[0] = Int64GetDatum(id);
	values[1] = PointerGetDatum(e.phone_number_id);
	nulls[1] = e.phone_number_id == NULL ? 'n' : ' ';
	values[2] = TimestampTzGetDatum(e.options.expires_at);
	nulls[2] = TIMESTAMP_IS_NOEND(e.options.expires_at) ? 'n' : ' ';
	wa_plan_execute_latest(&requeue_plan, schema, values, nulls, SPI_OK_UPDATE);

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
	wa_owner_end(&owner);
	PG_RETURN_BOOL(done);
}

static void
resend(Oid schema, int64 id, const QueueRow *row)
{
	run(&resend_queue_plan, schema, id, SPI_OK_UPDATE);
	run(&resend_message_plan, schema, id, SPI_OK_UPDATE);
	if (row->phone_number_id != NULL)
		wa_wake_ready(text_to_cstring(row->phone_number_id), row->rank);
}

static void
arrived(Oid schema, int64 id, const char *outcome)
{
	Datum values[2];

	values[0] = Int64GetDatum(id);
	values[1] = CStringGetTextDatum(outcome);
	run(&dequeue_plan, schema, id, SPI_OK_DELETE);
	wa_plan_execute_latest(&resolve_arrived_plan, schema, values, NULL, SPI_OK_UPDATE);
}

static bool
resolve(Oid schema, int64 id, const char *outcome)
{
	QueueRow row;

	if (!lock_queue_row(schema, id, &row) || row.state != STATE_UNCERTAIN)
		return refuse(id, "resolved", lock_message(schema, id), NULL);
	if (strcmp(outcome, "resend") == 0)
		resend(schema, id, &row);
	else if (strcmp(outcome, "failed") == 0)
	{
		run(&dequeue_plan, schema, id, SPI_OK_DELETE);
		run(&resolve_failed_plan, schema, id, SPI_OK_UPDATE);
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
				 errmsg("invalid outcome \"%s\"", outcome),
				 errhint("Use \"accepted\" or \"sent\" if the message arrived, \"failed\" if it "
						 "did not, or \"resend\".")));
	wa_owner_begin(&owner, fcinfo);
	done = resolve(owner.schema, id, outcome);
	wa_owner_end(&owner);
	PG_RETURN_BOOL(done);
}
