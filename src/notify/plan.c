/*
 * plan.c
 *	  What a session knows of the notifications that have fired in it.
 *
 * For each trigger the row of whatsapp_notifications, the shape of the table,
 * and one prepared statement that computes all values of a message:
 *
 *		SELECT (tenant)::text, (recipient)::text, …, (parameter) WHERE (condition)
 *
 * All of it is made anew after anything about the table has changed.  Creating
 * a trigger counts as that, and so does dropping one; hence a row of
 * whatsapp_notifications, which never changes while its trigger exists, need
 * not be watched.  Changes of other tables that expressions read are the
 * business of core's plan cache.
 *
 * A trigger on a partitioned table has a clone on each partition.  They share
 * what is known of the trigger they stem from; rows of a partition whose
 * columns stand in another order are converted.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/owner.h"
#include "base/rows.h"
#include "base/schema.h"
#include "base/statement.h"
#include "notify/parameters.h"
#include "notify/plan.h"
#include "notify/role.h"

const char *const wa_notify_part_names[WA_NOTIFY_PARTS] = {
	[WA_NOTIFY_TENANT] = "tenant_column",	   [WA_NOTIFY_RECIPIENT] = "recipient_column",
	[WA_NOTIFY_REFERENCE] = "reference",	   [WA_NOTIFY_KEY] = "idempotency_key",
	[WA_NOTIFY_SCHEDULED_AT] = "scheduled_at", [WA_NOTIFY_EXPIRES_AT] = "expires_at"};

enum
{
	COL_ID = 1,
	COL_NAME,
	COL_RELATION,
	COL_EVENTS,
	COL_TEMPLATE_NAME,
	COL_PARTS,
	COL_PARAMETERS = COL_PARTS + WA_NOTIFY_PARTS,
	COL_CONDITION,
	COL_LANGUAGE,
	COL_PRIORITY,
	COL_ON_UNCERTAIN,
	COL_STRICT,
	COL_REGISTERED_BY,
	COL_REGISTERED_BY_OID,
	COL_OWNER,
	COL_OWNER_OID,
	COL_SEARCH_PATH
};

static WaStatement registration_statement = {
	.sql = "SELECT notification_id, name, relation, events, template_name, tenant, recipient,"
		   " reference, idempotency_key, scheduled_at, expires_at, parameters, condition,"
		   " language, priority, on_uncertain, strict, registered_by::pg_catalog.text,"
		   " registered_by_oid, owner::pg_catalog.text, owner_oid, search_path FROM "
		   "@extschema@.whatsapp_notifications"
		   " WHERE notification_id OPERATOR(pg_catalog.=) $1",
	.nargs = 1,
	.argtypes = {TEXTOID},
	.expected = SPI_OK_SELECT};

typedef struct Known
{
	Oid trigger; /* key */
	Oid root;	 /* the trigger that it is a clone of, or itself */
	WaNotifyPlan *plan;
} Known;

static HTAB *known_triggers;

/* ---- invalidation ---- */

static void
relation_changed(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	Known *known;

	hash_seq_init(&status, known_triggers);
	while ((known = hash_seq_search(&status)) != NULL)
	{
		WaNotifyPlan *plan = known->plan;

		if (plan != NULL &&
			(!OidIsValid(relid) || plan->relid == relid || plan->partition == relid))
			plan->valid = false;
	}
}

static void
set_up(void)
{
	HASHCTL ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(Known)};

	if (known_triggers != NULL)
		return;
	known_triggers =
		hash_create("notifications of whatsapp_shared", 32, &ctl, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
}

static void
destroy(WaNotifyPlan *plan)
{
	if (plan->plan != NULL)
		SPI_freeplan(plan->plan);
	MemoryContextDelete(plan->context);
}

/*
 * What an outer call of this session is using stays until that has ended.
 */
static void
forget_invalid(void)
{
	HASH_SEQ_STATUS status;
	Known *known;

	hash_seq_init(&status, known_triggers);
	while ((known = hash_seq_search(&status)) != NULL)
	{
		if (known->plan == NULL || known->plan->valid || known->plan->users > 0)
			continue;
		destroy(known->plan);
		hash_search(known_triggers, &known->trigger, HASH_REMOVE, NULL);
	}
}

/* ---- finding ---- */

/*
 * The trigger that this one was cloned from, directly or not, and its table.
 */
static Oid
find_root(Oid trigger, Oid *relid)
{
	Relation catalog = table_open(TriggerRelationId, AccessShareLock);

	for (;;)
	{
		ScanKeyData key[1];
		SysScanDesc scan;
		HeapTuple tuple;
		Oid parent;

		ScanKeyInit(&key[0], Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(trigger));
		scan = systable_beginscan(catalog, TriggerOidIndexId, true, NULL, 1, key);
		tuple = systable_getnext(scan);
		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "could not find trigger %u", trigger);
		parent = ((Form_pg_trigger) GETSTRUCT(tuple))->tgparentid;
		*relid = ((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid;
		systable_endscan(scan);
		if (!OidIsValid(parent))
			break;
		trigger = parent;
	}
	table_close(catalog, AccessShareLock);
	return trigger;
}

/*
 * The first row as a structure in the current context.
 */
static WaNotification *
read_row(const WaRows *rows)
{
	WaNotification *n = palloc0(sizeof(WaNotification));

	n->id = wa_rows_text(rows, 0, COL_ID);
	n->name = wa_rows_text(rows, 0, COL_NAME);
	n->relation = wa_rows_text(rows, 0, COL_RELATION);
	n->events = wa_rows_text(rows, 0, COL_EVENTS);
	n->template_name = wa_rows_text(rows, 0, COL_TEMPLATE_NAME);
	for (int i = 0; i < WA_NOTIFY_PARTS; i++)
		n->parts[i] = wa_rows_text(rows, 0, COL_PARTS + i);
	n->parameters = wa_rows_jsonb(rows, 0, COL_PARAMETERS);
	n->condition = wa_rows_text(rows, 0, COL_CONDITION);
	n->language = wa_rows_text(rows, 0, COL_LANGUAGE);
	n->priority = (int) wa_rows_int(rows, 0, COL_PRIORITY, 0);
	n->on_uncertain = wa_rows_text(rows, 0, COL_ON_UNCERTAIN);
	n->strict = wa_rows_int(rows, 0, COL_STRICT, false) != 0;
	n->registration.registrant = wa_rows_text(rows, 0, COL_REGISTERED_BY);
	n->registration.registrant_oid = (Oid) wa_rows_int(rows, 0, COL_REGISTERED_BY_OID, InvalidOid);
	n->registration.owner = wa_rows_text(rows, 0, COL_OWNER);
	n->registration.owner_oid = (Oid) wa_rows_int(rows, 0, COL_OWNER_OID, InvalidOid);
	n->search_path = wa_rows_text(rows, 0, COL_SEARCH_PATH);
	return n;
}

/*
 * Reads what is committed now: a trigger is in force for everybody at once,
 * also where the snapshot of a long transaction does not show its row.
 */
static WaNotification *
read_registration(FunctionCallInfo fcinfo, const char *id, MemoryContext context)
{
	WaRows rows;
	WaNotification *n = NULL;
	WaOwner owner;
	Datum values[1];

	wa_owner_begin_restricted(&owner, fcinfo);
	values[0] = CStringGetTextDatum(id);
	rows = wa_statement_run_latest(&registration_statement, owner.schema, values, NULL);
	if (rows.count > 0)
	{
		MemoryContext save = MemoryContextSwitchTo(context);

		n = read_row(&rows);
		MemoryContextSwitchTo(save);
	}
	wa_owner_end(&owner);
	return n;
}

static WaNotifyPlan *
load(FunctionCallInfo fcinfo, const TriggerData *trigger)
{
	const Trigger *t = trigger->tg_trigger;
	Oid relid = RelationGetRelid(trigger->tg_relation);
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "notification", ALLOCSET_SMALL_SIZES);
	MemoryContext save;
	WaNotifyPlan *plan;
	Relation rel;

	if (t->tgisclone)
		(void) find_root(t->tgoid, &relid);
	plan = MemoryContextAllocZero(context, sizeof(WaNotifyPlan));
	plan->context = context;
	plan->relid = relid;
	plan->registered = read_registration(fcinfo, t->tgargs[WA_NOTIFY_ARG_ID], context);
	plan->enqueue_function = wa_notify_enqueue_function(wa_schema_of_call(fcinfo));

	save = MemoryContextSwitchTo(context);
	rel = relation_open(relid, AccessShareLock);
	plan->owner = rel->rd_rel->relowner;
	wa_notify_scope_init(&plan->scope, rel, TRIGGER_FOR_UPDATE(t->tgtype));
	plan->key_columns = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_PRIMARY_KEY);
	relation_close(rel, AccessShareLock);
	MemoryContextSwitchTo(save);

	/* One that has no row may get it at any time: it is looked up again. */
	plan->valid = plan->registered != NULL;
	MemoryContextSetParent(context, CacheMemoryContext);
	return plan;
}

/* A trigger remains the clone that it is. */
static Oid
root_of(const Trigger *t)
{
	Known *known;

	if (!t->tgisclone)
		return t->tgoid;
	known = hash_search(known_triggers, &t->tgoid, HASH_FIND, NULL);
	if (known == NULL)
	{
		Oid relid;
		Oid root = find_root(t->tgoid, &relid);

		known = hash_search(known_triggers, &t->tgoid, HASH_ENTER, NULL);
		known->root = root;
		known->plan = NULL;
	}
	return known->root;
}

WaNotifyPlan *
wa_notify_find(FunctionCallInfo fcinfo, TriggerData *trigger)
{
	Oid root;
	Known *known;

	set_up();
	root = root_of(trigger->tg_trigger);
	known = hash_search(known_triggers, &root, HASH_FIND, NULL);
	if (known == NULL || !known->plan->valid)
	{
		WaNotifyPlan *plan;

		forget_invalid();
		plan = load(fcinfo, trigger);
		known = hash_search(known_triggers, &root, HASH_FIND, NULL);
		if (known != NULL)
			known->plan->abandoned = true;
		else
			known = hash_search(known_triggers, &root, HASH_ENTER, NULL);
		known->root = root;
		known->plan = plan;
	}
	known->plan->users++;
	return known->plan;
}

void
wa_notify_release(WaNotifyPlan *plan)
{
	if (--plan->users == 0 && plan->abandoned)
		destroy(plan);
}

/* ---- computing ---- */

static char *
value_sql(const WaNotifyValue *value)
{
	/* The line break ends a comment that an expression may end in. */
	if (value->format == WA_FORMAT_NUMBER || value->format == WA_FORMAT_MONEY)
		return psprintf("(%s\n)::pg_catalog.numeric", value->sql);
	return psprintf("(%s\n)", value->sql);
}

static char *
build_statement(const WaNotifyPlan *plan)
{
	const WaNotification *n = plan->registered;
	StringInfoData sql;
	ListCell *lc;

	initStringInfo(&sql);
	for (int i = 0; i < WA_NOTIFY_PARTS; i++)
	{
		bool is_time = i == WA_NOTIFY_SCHEDULED_AT || i == WA_NOTIFY_EXPIRES_AT;

		appendStringInfoString(&sql, i == 0 ? "SELECT " : ", ");
		if (n->parts[i] == NULL)
			appendStringInfoString(&sql, "NULL::pg_catalog.text");
		else
			appendStringInfo(
				&sql, "(%s\n)%s",
				wa_notify_expression(&plan->scope, wa_notify_part_names[i], n->parts[i], false),
				is_time ? "" : "::pg_catalog.text");
	}
	foreach (lc, plan->values)
		appendStringInfo(&sql, ", %s", value_sql(lfirst(lc)));
	if (n->condition != NULL)
		appendStringInfo(&sql, " WHERE (%s\n)",
						 wa_notify_expression(&plan->scope, "condition", n->condition, false));
	return sql.data;
}

void
wa_notify_compile(WaNotifyPlan *plan)
{
	MemoryContext save;
	SPIPlanPtr prepared;

	if (plan->plan != NULL)
		return;
	save = MemoryContextSwitchTo(plan->context);
	plan->values = wa_notify_parameters_read(plan->registered->parameters, &plan->scope);
	MemoryContextSwitchTo(save);
	prepared = wa_notify_prepare(&plan->scope, build_statement(plan));
	if (SPI_keepplan(prepared) != 0)
		elog(ERROR, "could not keep prepared statement");
	plan->plan = prepared;
}

/*
 * The map of one partition is kept: rows come in runs of the same.
 */
HeapTuple
wa_notify_convert_row(WaNotifyPlan *plan, Relation rel, HeapTuple row)
{
	Oid relid = RelationGetRelid(rel);

	if (row == NULL || relid == plan->relid)
		return row;
	if (plan->partition != relid)
	{
		MemoryContext save = MemoryContextSwitchTo(plan->context);

		plan->partition = InvalidOid;
		if (plan->from_partition != NULL)
			free_conversion_map(plan->from_partition);
		plan->from_partition = convert_tuples_by_name(
			CreateTupleDescCopyConstr(RelationGetDescr(rel)), plan->scope.desc);
		plan->partition = relid;
		MemoryContextSwitchTo(save);
	}
	if (plan->from_partition == NULL)
		return row;
	return execute_attr_map_tuple(row, plan->from_partition);
}
