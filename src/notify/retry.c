/*
 * retry.c
 *	  wa_retry_notification: a message that a notification could not send, once
 *	  more.
 *
 * The trigger is not fired again; what it would do is done here for the row as
 * it is now, so that a mistake in the row can be fixed as well as one in the
 * notification or somewhere else, and an order that was cancelled meanwhile is
 * not announced.  OLD is what it was then.
 *
 * A notification is fixed by dropping it and making it again.  So the one that
 * is tried is that of the same name on the same table.
 *
 * An administrator may try again, and so may a role that sees the failure (for
 * which there is a row-level policy) and owns the table.  It needs both: the
 * message is made of the row as it was then, too, and the table may be another
 * one of the same name.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/args.h"
#include "base/jsonb.h"
#include "base/owner.h"
#include "base/role_section.h"
#include "base/rows.h"
#include "base/schema.h"
#include "base/statement.h"
#include "compat.h"
#include "notify/failure.h"
#include "notify/plan.h"
#include "notify/role.h"
#include "notify/trigger.h"

PG_FUNCTION_INFO_V1(wa_retry_notification);

/* A row of whatsapp_notification_failures, and the trigger that it is about. */
typedef struct Failure
{
	char *notification;
	char *relation;
	bool is_update;
	char *row_key;
	Jsonb *row_id;	/* NULL: the table had no primary key */
	Jsonb *old_row; /* of an update */
	Oid relid;		/* InvalidOid: there is no such notification */
	Oid trigger;
} Failure;

enum
{
	COL_NOTIFICATION = 1,
	COL_RELATION,
	COL_IS_UPDATE,
	COL_ROW_KEY,
	COL_ROW_ID,
	COL_OLD_ROW,
	COL_RELID,
	COL_TRIGGER
};

/*
 * Run as the caller.  Without a sub-select: not every release makes a plan anew
 * for another role if the table with the policy stands in one.
 */
static WaStatement visible_statement = {.sql =
											"SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>) 0"
											" FROM @extschema@.whatsapp_notification_failures AS f"
											" WHERE f.failure_id OPERATOR(pg_catalog.=) $1",
										.nargs = 1,
										.argtypes = {INT8OID},
										.expected = SPI_OK_SELECT};

static WaStatement find_statement = {
	.sql = "SELECT f.notification, f.relation, f.event OPERATOR(pg_catalog.=) 'UPDATE', f.row_key,"
		   " f.row_id, f.old_row, t.relid, t.trigger_id"
		   " FROM @extschema@.whatsapp_notification_failures AS f"
		   " LEFT JOIN LATERAL @extschema@.wa_internal_notification_trigger("
		   "f.relation, f.notification, f.notification_id) AS t ON true"
		   " WHERE f.failure_id OPERATOR(pg_catalog.=) $1 FOR UPDATE OF f",
	.nargs = 1,
	.argtypes = {INT8OID},
	.expected = SPI_OK_SELECT};

static WaStatement forget_statement = {.sql =
										   "DELETE FROM @extschema@.whatsapp_notification_failures"
										   " WHERE failure_id OPERATOR(pg_catalog.=) $1",
									   .nargs = 1,
									   .argtypes = {INT8OID},
									   .expected = SPI_OK_DELETE};

static WaStatement again_statement = {
	.sql = "UPDATE @extschema@.whatsapp_notification_failures SET sqlstate = $2, message = $3,"
		   " detail = $4, hint = $5, failed_at = pg_catalog.clock_timestamp()"
		   " WHERE failure_id OPERATOR(pg_catalog.=) $1",
	.nargs = 5,
	.argtypes = {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID},
	.expected = SPI_OK_UPDATE};

/* ---- the failure ---- */

pg_noreturn static void raise_unknown(int64 id);

static void
raise_unknown(int64 id)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("failure %lld of a notification does not exist", (long long) id),
					errhint("Failures are listed in whatsapp_notification_failures.")));
}

static void
check_visible(FunctionCallInfo fcinfo, int64 id)
{
	Datum key = Int64GetDatum(id);
	bool visible;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	visible = wa_statement_select_bool(&visible_statement, wa_schema_of_call(fcinfo), &key);
	SPI_finish();
	if (!visible)
		raise_unknown(id);
}

/* The row is locked: one retries it at a time. */
static void
read_failure(FunctionCallInfo fcinfo, int64 id, Failure *failure)
{
	WaRows rows;
	MemoryContext context = CurrentMemoryContext;
	MemoryContext save;
	Datum key = Int64GetDatum(id);
	WaOwner owner;

	wa_owner_begin_restricted(&owner, fcinfo);
	rows = wa_statement_run(&find_statement, owner.schema, &key, NULL);
	if (rows.count == 0)
		raise_unknown(id);
	save = MemoryContextSwitchTo(context);
	failure->notification = wa_rows_text(&rows, 0, COL_NOTIFICATION);
	failure->relation = wa_rows_text(&rows, 0, COL_RELATION);
	failure->is_update = wa_rows_int(&rows, 0, COL_IS_UPDATE, false) != 0;
	failure->row_key = wa_rows_text(&rows, 0, COL_ROW_KEY);
	failure->row_id = wa_rows_jsonb(&rows, 0, COL_ROW_ID);
	failure->old_row = wa_rows_jsonb(&rows, 0, COL_OLD_ROW);
	failure->relid = (Oid) wa_rows_int(&rows, 0, COL_RELID, InvalidOid);
	failure->trigger = (Oid) wa_rows_int(&rows, 0, COL_TRIGGER, InvalidOid);
	MemoryContextSwitchTo(save);
	wa_owner_end(&owner);

	if (!OidIsValid(failure->trigger))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("table %s has no notification \"%s\"", failure->relation,
							   failure->notification),
						errhint("Create it again with wa_create_notification(), or call "
								"wa_enqueue_message() for the row.")));
	if (failure->row_id == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the row of failure %lld is not known", (long long) id),
						errdetail("Table %s had no primary key.", failure->relation),
						errhint("Call wa_enqueue_message() for it.")));
}

static void
forget_failure(FunctionCallInfo fcinfo, int64 id)
{
	Datum key = Int64GetDatum(id);
	WaOwner owner;

	wa_owner_begin_restricted(&owner, fcinfo);
	wa_statement_run(&forget_statement, owner.schema, &key, NULL);
	wa_owner_end(&owner);
}

static void
note_new_reason(FunctionCallInfo fcinfo, int64 id, const ErrorData *error)
{
	Datum values[5] = {Int64GetDatum(id)};
	char nulls[5] = {' ', ' ', ' ', error->detail == NULL ? 'n' : ' ',
					 error->hint == NULL ? 'n' : ' '};
	WaOwner owner;

	values[1] = CStringGetTextDatum(unpack_sql_state(error->sqlerrcode));
	values[2] = CStringGetTextDatum(error->message != NULL ? error->message : "");
	if (error->detail != NULL)
		values[3] = CStringGetTextDatum(error->detail);
	if (error->hint != NULL)
		values[4] = CStringGetTextDatum(error->hint);
	wa_owner_begin_restricted(&owner, fcinfo);
	wa_statement_run(&again_statement, owner.schema, values, nulls);
	wa_owner_end(&owner);
}

/* ---- the rows ---- */

static void
add_condition(void *arg, char *name, JsonbValue *value)
{
	StringInfo sql = arg;

	appendStringInfo(sql, " AND r.%s = %s", quote_identifier(name),
					 quote_literal_cstr(wa_jsonb_string(value)));
}

static HeapTuple
copy_composite(HeapTupleHeader header)
{
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};

	return heap_copytuple(&tuple);
}

/*
 * The row as it is now, in the given context; NULL if it is not there any
 * longer.
 */
static HeapTuple
find_row(Relation rel, Jsonb *row_id, MemoryContext context)
{
	StringInfoData sql;
	MemoryContext save;
	WaRows rows;
	HeapTuple row;
	bool isnull;
	Datum value;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT r FROM %s AS r WHERE true",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												RelationGetRelationName(rel)));
	wa_jsonb_each(wa_jsonb_root(row_id), add_condition, &sql);
	rows = wa_rows_taken(SPI_execute(sql.data, false, 1), SPI_OK_SELECT, sql.data);
	if (rows.count == 0)
		return NULL;
	value = wa_rows_datum(&rows, 0, 1, &isnull);
	save = MemoryContextSwitchTo(context);
	row = copy_composite(DatumGetHeapTupleHeader(value));
	MemoryContextSwitchTo(save);
	return row;
}

/* The row as it was; columns that are not in the document are NULL. */
static HeapTuple
old_row(Relation rel, Jsonb *document, MemoryContext context)
{
	MemoryContext save = MemoryContextSwitchTo(context);
	TupleDesc desc = RelationGetDescr(rel);
	char **texts = palloc0(sizeof(char *) * desc->natts);
	HeapTuple row;

	for (int i = 0; i < desc->natts; i++)
	{
		if (!TupleDescAttr(desc, i)->attisdropped)
			texts[i] = wa_jsonb_get_string(wa_jsonb_root(document),
										   NameStr(TupleDescAttr(desc, i)->attname));
	}
	row = BuildTupleFromCStrings(TupleDescGetAttInMetadata(desc), texts);
	MemoryContextSwitchTo(save);
	return row;
}

/* ---- once more ---- */

typedef struct Retry
{
	WaNotifyFiring *firing;
	const Failure *failure;
	bool gone; /* the row is not there any longer */
} Retry;

/*
 * What reads the rows may be code of the table's owner, and runs as that role.
 */
static void
retry(void *argument)
{
	Retry *r = argument;
	WaNotifyFiring *f = r->firing;
	WaNotifyPlan *plan = f->plan;
	Relation rel = f->trigger->tg_relation;
	MemoryContext context = CurrentMemoryContext;
	Oid role = wa_notify_check_role(plan->registered, plan->owner, plan->scope.relation_name,
									plan->enqueue_function);
	WaRoleSection section;
	HeapTuple new_row;
	HeapTuple before = NULL;

	wa_role_section_begin(&section, role, WA_ROLE_RESTRICTED, plan->registered->search_path);
	new_row = find_row(rel, r->failure->row_id, context);
	if (f->is_update && new_row != NULL)
		before = old_row(rel, r->failure->old_row, context);
	wa_role_section_end(&section);

	r->gone = new_row == NULL;
	if (r->gone)
		return;
	f->trigger->tg_trigtuple = f->is_update ? before : new_row;
	f->trigger->tg_newtuple = f->is_update ? new_row : NULL;
	f->rows.new_row = wa_notify_convert_row(plan, rel, new_row);
	f->rows.old_row = wa_notify_convert_row(plan, rel, before);
	wa_notify_send(f);
}

static Trigger *
find_trigger(Relation rel, Oid oid)
{
	/* A copy: what the relation has may move when it is read anew. */
	TriggerDesc *triggers = CopyTriggerDesc(rel->trigdesc);

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		if (triggers->triggers[i].tgoid == oid)
			return &triggers->triggers[i];
	}
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("the notification's trigger on table \"%s\" has just been dropped",
						   RelationGetRelationName(rel))));
}

static void
check_owner(FunctionCallInfo fcinfo, const WaNotifyPlan *plan)
{
	Oid all_notifications = get_relname_relid("whatsapp_notifications", wa_schema_of_call(fcinfo));

	if (!has_privs_of_role(GetUserId(), plan->owner) &&
		pg_class_aclcheck(all_notifications, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be owner of table %s", plan->scope.relation_name),
						errdetail("A failure can be retried by a member of the role that owns the "
								  "table, or by an administrator.")));
}

static bool
retry_failure(WaNotifyFiring *f, const Failure *failure, int64 id)
{
	Retry r = {.firing = f, .failure = failure};
	ErrorData *error = wa_notify_in_subtransaction(retry, &r);

	if (error != NULL)
	{
		wa_notify_warn(f, error);
		note_new_reason(f->fcinfo, id, error);
		return false;
	}
	forget_failure(f->fcinfo, id);
	if (f->message_id == 0)
		ereport(NOTICE, (errmsg("nothing was sent for failure %lld", (long long) id),
						 r.gone ? errdetail("Row %s of table %s no longer exists.",
											failure->row_key, failure->relation)
								: errdetail("Row %s of table %s does not call for a message as it "
											"is now.",
											failure->row_key, failure->relation)));
	return true;
}

/*
 * wa_retry_notification(failure_id)
 */
Datum
wa_retry_notification(PG_FUNCTION_ARGS)
{
	int64 id;
	Failure failure;
	TriggerData trigger = {.type = T_TriggerData};
	WaNotifyFiring f = {.trigger = &trigger};
	FmgrInfo function = *fcinfo->flinfo;
	LOCAL_FCINFO(call, 0);
	Relation rel;
	volatile bool done = false;

	if (PG_ARGISNULL(0))
		wa_raise_null_argument("failure_id");
	id = PG_GETARG_INT64(0);

	/* As a trigger is called: nothing is known of the types of arguments. */
	function.fn_expr = NULL;
	InitFunctionCallInfoData(*call, &function, 0, InvalidOid, (Node *) &trigger, NULL);
	f.fcinfo = call;

	check_visible(fcinfo, id);
	read_failure(fcinfo, id, &failure);
	rel = table_open(failure.relid, AccessShareLock);
	trigger.tg_event = failure.is_update ? TRIGGER_EVENT_UPDATE : TRIGGER_EVENT_INSERT;
	trigger.tg_event |= TRIGGER_EVENT_ROW | TRIGGER_EVENT_AFTER;
	trigger.tg_relation = rel;
	trigger.tg_trigger = find_trigger(rel, failure.trigger);
	f.is_update = failure.is_update;
	f.plan = wa_notify_find(call, &trigger);
	PG_TRY();
	{
		check_owner(fcinfo, f.plan);
		f.rows.desc = f.plan->scope.desc;
		done = retry_failure(&f, &failure, id);
	}
	PG_FINALLY();
	{
		wa_notify_release(f.plan);
	}
	PG_END_TRY();
	table_close(rel, AccessShareLock);
	PG_RETURN_BOOL(done);
}
