/*
 * enqueue.c
 *	  Writing a message and its queue row in the caller's transaction.
 *
 * This runs inside the application's own statements, mostly from triggers, so
 * it does as little as correctness allows: one look-up, one insert of both rows,
 * and a note in memory that reaches the sender at COMMIT.  It never waits for
 * the network or the worker, and it takes no lock that two callers with
 * different idempotency keys could both want.
 *
 * The caller needs no right on our tables: the statements run as their owner.
 * That is done here and not by SECURITY DEFINER with a SET clause, because
 * setting search_path twice a call would cost as much as the look-up; instead
 * every name and operator in the statements is qualified.
 *
 * A row that is the caller's mistake raises an error.  What an operator will
 * mend (no number yet, tenant switched off) is accepted and says so in the row.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "enqueue.h"
#include "guc.h"
#include "job.h"
#include "plan.h"
#include "quiet.h"
#include "schema.h"
#include "wake.h"

/* Queue states and reason codes, as in whatsapp_queue. */
#define STATE_READY 'r'
#define STATE_DEFERRED 'd'
#define STATE_HELD 'h'

/*
 * One row, or one for each opt-out of the recipient; none: unknown tenant.
 */
enum
{
	COL_ENABLED = 1,
	COL_LANGUAGE,
	COL_QUIET_FROM,
	COL_QUIET_TO,
	COL_TIME_ZONE,
	COL_PHONE_NUMBER_ID,
	COL_OPT_OUT,
	COL_EXISTING_ID
};

static WaPlan look_up_plan = {
	.sql = "SELECT t.enabled, t.language, t.quiet_from, t.quiet_to, t.time_zone,"
		   " a.phone_number_id, o.category,"
		   " (SELECT m.id FROM @extschema@.whatsapp_messages m"
		   "   WHERE m.tenant_id OPERATOR(pg_catalog.=) $1"
		   "     AND m.idempotency_key OPERATOR(pg_catalog.=) $3)"
		   " FROM @extschema@.whatsapp_tenants t"
		   " LEFT JOIN @extschema@.whatsapp_phone_assignments a"
		   "   ON a.tenant_id OPERATOR(pg_catalog.=) t.tenant_id AND a.unassigned_at IS NULL"
		   " LEFT JOIN @extschema@.whatsapp_opt_outs o"
		   "   ON o.tenant_id OPERATOR(pg_catalog.=) t.tenant_id"
		   "  AND o.recipient OPERATOR(pg_catalog.=) $2"
		   " WHERE t.tenant_id OPERATOR(pg_catalog.=) $1",
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID}};

/*
 * The arguments of all insert statements, in this order.
 */
enum
{
	ARG_TENANT_ID,
	ARG_PHONE_NUMBER_ID,
	ARG_RECIPIENT_PHONE,
	ARG_RECIPIENT_USER_ID,
	ARG_MESSAGE_TYPE,
	ARG_TEMPLATE_NAME,
	ARG_TEMPLATE_LANGUAGE,
	ARG_PAYLOAD,
	ARG_CONTEXT_MESSAGE_ID,
	ARG_PRIORITY,
	ARG_IDEMPOTENCY_KEY,
	ARG_REFERENCE,
	ARG_ON_UNCERTAIN,
	ARG_SCHEDULED_AT,
	ARG_EXPIRES_AT,
	ARG_STATUS_REASON, /* of a skipped message */
	ARG_RANK,
	ARG_DUE_AT,
	ARG_STATE,
	ARG_HOLD_REASON,
	ARG_COUNT
};

#define INSERT_ARGTYPES                                                                            \
	{                                                                                              \
		TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, TEXTOID, INT2OID, \
			TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, INT8OID,           \
			TIMESTAMPTZOID, CHAROID, TEXTOID                                                       \
	}

#define MESSAGE_COLUMNS                                                                            \
	"tenant_id, phone_number_id, recipient_phone, recipient_user_id, message_type, template_name," \
	" template_language, payload, context_message_id, priority, idempotency_key, reference,"       \
	" on_uncertain, scheduled_at, expires_at"
#define MESSAGE_VALUES "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15"

#define ON_SAME_KEY                                                                                \
	" ON CONFLICT (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING"

#define INSERT_BOTH(on_conflict)                                                                   \
	"WITH m AS (INSERT INTO @extschema@.whatsapp_messages (" MESSAGE_COLUMNS ")"                   \
	" VALUES (" MESSAGE_VALUES ")" on_conflict " RETURNING id)"                                    \
	" INSERT INTO @extschema@.whatsapp_queue"                                                      \
	" (message_id, phone_number_id, rank, due_at, expires_at, state, hold_reason)"                 \
	" SELECT m.id, $2, $17, $18, $15, $19, $20 FROM m RETURNING message_id"

static WaPlan insert_plan = {
	.sql = INSERT_BOTH(""), .nargs = ARG_COUNT, .argtypes = INSERT_ARGTYPES};

static WaPlan insert_once_plan = {
	.sql = INSERT_BOTH(ON_SAME_KEY), .nargs = ARG_COUNT, .argtypes = INSERT_ARGTYPES};

static WaPlan insert_skipped_plan = {
	.sql = "INSERT INTO @extschema@.whatsapp_messages (" MESSAGE_COLUMNS
		   ", status, status_reason, finished_at)"
		   " VALUES (" MESSAGE_VALUES ", 'skipped', $16, pg_catalog.now())" ON_SAME_KEY
		   " RETURNING id",
	.nargs = ARG_STATUS_REASON + 1,
	.argtypes = INSERT_ARGTYPES};

static WaPlan same_key_plan = {.sql = "SELECT m.id FROM @extschema@.whatsapp_messages m"
									  " WHERE m.tenant_id OPERATOR(pg_catalog.=) $1"
									  "   AND m.idempotency_key OPERATOR(pg_catalog.=) $2",
							   .nargs = 2,
							   .argtypes = {TEXTOID, TEXTOID}};

static Oid
owner_of_tables(Oid schema)
{
	Oid table = get_relname_relid("whatsapp_messages", schema);
	HeapTuple tuple;
	Oid owner;

	if (!OidIsValid(table))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the tables of whatsapp_shared are missing")));
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", table);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * Connects to SPI as the owner of the tables.  If an error leaves the section,
 * the abort of the (sub)transaction undoes both.
 */
void
wa_enqueue_open(WaEnqueue *e, FunctionCallInfo fcinfo)
{
	e->schema = wa_schema_of_call(fcinfo);
	GetUserIdAndSecContext(&e->save_userid, &e->save_sec_context);
	SetUserIdAndSecContext(owner_of_tables(e->schema),
						   e->save_sec_context | SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

void
wa_enqueue_close(WaEnqueue *e)
{
	SPI_finish();
	SetUserIdAndSecContext(e->save_userid, e->save_sec_context);
}

/*
 * The number itself stays out of the message: errors end up in logs.
 */
void
wa_enqueue_recipient(WaEnqueue *e, text *recipient)
{
	WaRecipientKind kind = wa_recipient_normalise(
		VARDATA_ANY(recipient), VARSIZE_ANY_EXHDR(recipient), e->recipient, sizeof(e->recipient));
	const char *detail = NULL;

	switch (kind)
	{
		case WA_RECIPIENT_PHONE:
			e->recipient_is_user_id = false;
			return;
		case WA_RECIPIENT_USER_ID:
			e->recipient_is_user_id = true;
			return;
		case WA_RECIPIENT_EMPTY:
			detail = "It is empty.";
			break;
		case WA_RECIPIENT_NO_PLUS:
			detail = "It does not begin with \"+\" and a country code; Meta would put the country "
					 "code of the sending number before it and reach a stranger.";
			break;
		case WA_RECIPIENT_BAD_CHARACTER:
			detail = "It contains a character other than digits, spaces, hyphens and parentheses.";
			break;
		case WA_RECIPIENT_BAD_LENGTH:
			detail = "A number has 7 to 15 digits, country code included.";
			break;
		case WA_RECIPIENT_LEADING_ZERO:
			detail = "A country code does not begin with 0.";
			break;
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid recipient phone number"), errdetail_internal("%s", detail),
					errhint("Give the number in international form, such as +34600000001.")));
}

static void
raise_unknown_tenant(const WaEnqueue *e)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("tenant \"%s\" does not exist", text_to_cstring(e->tenant_id)),
					errhint("Create it with wa_assign_phone() or wa_configure_tenant().")));
}

static text *
column_text(int column)
{
	bool isnull;
	Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? NULL : DatumGetTextPP(value);
}

static void
read_opt_outs(WaEnqueue *e)
{
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char *category = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, COL_OPT_OUT);

		if (category == NULL)
			continue;
		if (strcmp(category, "all") == 0)
			e->opted_out_all = true;
		else
			e->opted_out_marketing = true;
	}
}

/*
 * When it may leave: not before it is scheduled, and not in the tenant's quiet
 * hours unless it is urgent.
 *
 * A time in the past counts as now: else a caller that gives an old time would
 * pass everything else that waits for this number.
 */
static void
decide_due(WaEnqueue *e)
{
	TimestampTz now = GetCurrentTimestamp();
	Datum quiet_from;
	Datum quiet_to;
	bool no_quiet_hours;
	bool isnull;

	e->due_at = Max(e->options.scheduled_at, GetCurrentTransactionStartTimestamp());
	e->deferred = e->due_at > now ? "scheduled" : NULL;

	quiet_from = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, COL_QUIET_FROM,
							   &no_quiet_hours);
	if (no_quiet_hours || e->options.priority >= WA_PRIORITY_URGENT)
		return;
	quiet_to = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, COL_QUIET_TO, &isnull);
	if (isnull)
		return;
	if (wa_quiet_end(&e->due_at, DatumGetTimeADT(quiet_from), DatumGetTimeADT(quiet_to),
					 column_text(COL_TIME_ZONE)))
		e->deferred = "quiet_hours";
}

/*
 * Who sends, when, and whether this call is a repetition.  Reads what is
 * committed now, whatever the isolation level: the number is the one that the
 * tenant has, not the one it had when a long transaction began.
 */
void
wa_enqueue_look_up(WaEnqueue *e)
{
	Datum values[3];
	char nulls[3] = {' ', ' ', ' '};
	Datum value;
	bool isnull;

	values[0] = PointerGetDatum(e->tenant_id);
	values[1] = CStringGetTextDatum(e->recipient);
	values[2] = PointerGetDatum(e->options.idempotency_key);
	if (e->options.idempotency_key == NULL)
		nulls[2] = 'n';
	wa_plan_execute_latest(&look_up_plan, e->schema, values, nulls, SPI_OK_SELECT);
	if (SPI_processed == 0)
		raise_unknown_tenant(e);

	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, COL_ENABLED, &isnull);
	e->tenant_enabled = !isnull && DatumGetBool(value);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, COL_EXISTING_ID, &isnull);
	e->existing_id = isnull ? 0 : DatumGetInt64(value);
	e->tenant_language = column_text(COL_LANGUAGE);
	e->phone_number_id = column_text(COL_PHONE_NUMBER_ID);
	if (e->phone_number_id == NULL && wa_guc_phone_number_id != NULL &&
		wa_guc_phone_number_id[0] != '\0')
		e->phone_number_id = cstring_to_text(wa_guc_phone_number_id);
	read_opt_outs(e);
	decide_due(e);
}

static int64
first_id(void)
{
	bool isnull;
	Datum id = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);

	Assert(!isnull);
	return DatumGetInt64(id);
}

/*
 * The message that another transaction committed under this key while we were
 * about to; 0 if it has vanished again (retention).
 */
static int64
find_same_key(const WaEnqueue *e)
{
	Datum values[2];

	values[0] = PointerGetDatum(e->tenant_id);
	values[1] = PointerGetDatum(e->options.idempotency_key);
	wa_plan_execute_latest(&same_key_plan, e->schema, values, NULL, SPI_OK_SELECT);
	return SPI_processed > 0 ? first_id() : 0;
}

static void
set_text(Datum *values, char *nulls, int arg, const text *value)
{
	values[arg] = PointerGetDatum(value);
	nulls[arg] = value == NULL ? 'n' : ' ';
}

static const char *
reason_to_skip(const WaEnqueue *e)
{
	if (!e->tenant_enabled)
		return "tenant_disabled";
	if (e->opted_out_all || (e->is_marketing && e->opted_out_marketing))
		return "opted_out";
	return NULL;
}

static void
bind(const WaEnqueue *e, Datum *values, char *nulls)
{
	text *recipient = cstring_to_text(e->recipient);

	set_text(values, nulls, ARG_TENANT_ID, e->tenant_id);
	set_text(values, nulls, ARG_PHONE_NUMBER_ID, e->phone_number_id);
	set_text(values, nulls, ARG_RECIPIENT_PHONE, e->recipient_is_user_id ? NULL : recipient);
	set_text(values, nulls, ARG_RECIPIENT_USER_ID, e->recipient_is_user_id ? recipient : NULL);
	set_text(values, nulls, ARG_MESSAGE_TYPE, e->message_type);
	set_text(values, nulls, ARG_TEMPLATE_NAME, e->template_name);
	set_text(values, nulls, ARG_TEMPLATE_LANGUAGE, e->template_language);
	values[ARG_PAYLOAD] = PointerGetDatum(e->payload);
	nulls[ARG_PAYLOAD] = ' ';
	set_text(values, nulls, ARG_CONTEXT_MESSAGE_ID, e->options.context_message_id);
	values[ARG_PRIORITY] = Int16GetDatum((int16) e->options.priority);
	nulls[ARG_PRIORITY] = ' ';
	set_text(values, nulls, ARG_IDEMPOTENCY_KEY, e->options.idempotency_key);
	set_text(values, nulls, ARG_REFERENCE, e->options.reference);
	set_text(values, nulls, ARG_ON_UNCERTAIN, e->options.on_uncertain);
	values[ARG_SCHEDULED_AT] = TimestampTzGetDatum(e->options.scheduled_at);
	nulls[ARG_SCHEDULED_AT] = ' ';
	values[ARG_EXPIRES_AT] = TimestampTzGetDatum(e->options.expires_at);
	nulls[ARG_EXPIRES_AT] = TIMESTAMP_IS_NOEND(e->options.expires_at) ? 'n' : ' ';
}

/*
 * The queue row: ready, or the reason why not yet.
 */
static void
bind_queue(const WaEnqueue *e, int64 rank, Datum *values, char *nulls)
{
	const char *hold_reason = NULL;
	char state = STATE_READY;

	if (e->phone_number_id == NULL)
	{
		state = STATE_HELD;
		hold_reason = "no_number";
	}
	else if (e->deferred != NULL)
	{
		state = STATE_DEFERRED;
		hold_reason = e->deferred;
	}
	values[ARG_RANK] = Int64GetDatum(rank);
	nulls[ARG_RANK] = ' ';
	values[ARG_DUE_AT] = TimestampTzGetDatum(e->due_at);
	nulls[ARG_DUE_AT] = ' ';
	values[ARG_STATE] = CharGetDatum(state);
	nulls[ARG_STATE] = ' ';
	set_text(values, nulls, ARG_HOLD_REASON,
			 hold_reason == NULL ? NULL : cstring_to_text(hold_reason));
}

static void
note_for_sender(const WaEnqueue *e, int64 rank)
{
	if (e->phone_number_id == NULL)
		return;
	if (e->deferred != NULL)
		wa_wake_due(e->due_at);
	else
		wa_wake_ready(text_to_cstring(e->phone_number_id), rank);
}

/*
 * Writes the message, unless its idempotency key is taken, and returns the id
 * of the message that then exists.
 *
 * A conflicting key can vanish between our insert and our look (its message is
 * removed by retention), hence the loop.
 */
int64
wa_enqueue_write(WaEnqueue *e)
{
	Datum values[ARG_COUNT];
	char nulls[ARG_COUNT];
	const char *skip = reason_to_skip(e);
	int64 rank = wa_job_rank(e->due_at, e->options.priority);
	WaPlan *plan;
	int64 id;

	bind(e, values, nulls);
	if (skip != NULL)
	{
		set_text(values, nulls, ARG_STATUS_REASON, cstring_to_text(skip));
		plan = &insert_skipped_plan;
	}
	else
	{
		set_text(values, nulls, ARG_STATUS_REASON, NULL);
		bind_queue(e, rank, values, nulls);
		plan = e->options.idempotency_key == NULL ? &insert_plan : &insert_once_plan;
	}

	for (;;)
	{
		wa_plan_execute(plan, e->schema, values, nulls, SPI_OK_INSERT_RETURNING);
		if (SPI_processed > 0)
		{
			id = first_id();
			break;
		}
		id = find_same_key(e);
		if (id != 0)
			return id;
		CHECK_FOR_INTERRUPTS();
	}
	if (skip == NULL)
		note_for_sender(e, rank);
	return id;
}
