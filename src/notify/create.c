/*
 * create.c
 *	  wa_create_notification and wa_drop_notification.
 *
 * Whatever can be known to be wrong is said here and not when the first order
 * comes in: every expression is parsed, planned and checked for its type and
 * for the rights it needs.
 *
 * The trigger itself is created as a superuser, not as the caller: nobody else may
 * use wa_notify() in a trigger, and so a notification cannot be made to speak for
 * a table that it was not made for.  The owner of our tables, in turn, has no
 * right on the caller's.  The statement consists of what has been checked before,
 * and has no expression, so nothing of the caller's is run by it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/parser.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/args.h"
#include "base/owner.h"
#include "base/quote.h"
#include "base/role_section.h"
#include "base/schema.h"
#include "base/statement.h"
#include "common/message_state.h"
#include "enqueue/options.h"
#include "notify/fit.h"
#include "notify/parameters.h"
#include "notify/plan.h"
#include "notify/role.h"
#include "notify/scope.h"

PG_FUNCTION_INFO_V1(wa_create_notification);
PG_FUNCTION_INFO_V1(wa_drop_notification);

#define TRIGGER_PREFIX "whatsapp_"
#define MAX_NAME ((int) (NAMEDATALEN - sizeof(TRIGGER_PREFIX)))

enum
{
	ARG_RELATION,
	ARG_TEMPLATE,
	ARG_TENANT_COLUMN,
	ARG_RECIPIENT_COLUMN,
	ARG_PARAMETERS,
	ARG_EVENTS,
	ARG_CONDITION,
	ARG_LANGUAGE,
	ARG_NAME,
	ARG_REFERENCE,
	ARG_IDEMPOTENCY_KEY,
	ARG_SCHEDULED_AT,
	ARG_EXPIRES_AT,
	ARG_PRIORITY,
	ARG_ON_UNCERTAIN,
	ARG_STRICT
};

static WaStatement register_statement = {
	.sql = "INSERT INTO @extschema@.whatsapp_notifications (notification_id, relation, name,"
		   " events, template_name, tenant, recipient, reference, idempotency_key, scheduled_at,"
		   " expires_at, parameters, condition, language, priority, on_uncertain, strict,"
		   " registered_by, owner, search_path) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,"
		   " $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
	.nargs = 20,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,  TEXTOID, TEXTOID,
				 TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, TEXTOID, TEXTOID,
				 INT4OID, TEXTOID, BOOLOID, TEXTOID, TEXTOID,  TEXTOID},
	.expected = SPI_OK_INSERT};

static WaStatement unregister_statement = {.sql =
											   "DELETE FROM @extschema@.whatsapp_notifications"
											   " WHERE notification_id OPERATOR(pg_catalog.=) $1",
										   .nargs = 1,
										   .argtypes = {TEXTOID},
										   .expected = SPI_OK_DELETE};

static WaStatement forget_statement = {
	.sql = "SELECT @extschema@.wa_internal_forget_notifications($1)",
	.nargs = 1,
	.argtypes = {TEXTOID},
	.expected = SPI_OK_SELECT};

/* ---- the table ---- */

/*
 * Checked before the table is locked: nobody may lock what is not theirs.
 */
static void
check_owner(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	Oid owner;
	char *name;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation with OID %u does not exist", relid)));
	form = (Form_pg_class) GETSTRUCT(tuple);
	owner = form->relowner;
	name = pstrdup(NameStr(form->relname));
	ReleaseSysCache(tuple);
	if (!has_privs_of_role(GetUserId(), owner))
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be owner of table %s", name),
			 errdetail(
				 "A notification must be created by a member of the role that owns the table.")));
}

/*
 * A notification on a table of ours would send messages about messages.
 */
static void
check_table(Relation rel)
{
	const char *name = RelationGetRelationName(rel);
	Oid extension = get_extension_oid("whatsapp_shared", true);

	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a table", name)));
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is a temporary table", name)));
	if (IsCatalogRelation(rel) ||
		(OidIsValid(extension) &&
		 getExtensionOfObject(RelationRelationId, RelationGetRelid(rel)) == extension))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" is not a table of an application", name)));
}

static char *
qualified_name(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
									  RelationGetRelationName(rel));
}

/*
 * The trigger of the notification of this name, or NULL.  Any look into a catalog may
 * make the relation's description anew, and with it what this points to.
 */
static const Trigger *
find_trigger(Relation rel, Oid schema, const char *name)
{
	Oid function =
		GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("wa_notify"),
						PointerGetDatum(buildoidvector(NULL, 0)), ObjectIdGetDatum(schema));

	if (rel->trigdesc == NULL)
		return NULL;
	for (int i = 0; i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *t = &rel->trigdesc->triggers[i];

		if (t->tgfoid == function && t->tgnargs == WA_NOTIFY_ARGS &&
			strcmp(t->tgargs[WA_NOTIFY_ARG_NAME], name) == 0)
			return t;
	}
	return NULL;
}

/* ---- the events ---- */

static void
bad_events(const char *given)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid events: \"%s\"", wa_quote(given)),
					errhint("Use INSERT, UPDATE, UPDATE OF columns, or INSERT OR UPDATE OF "
							"columns.")));
}

/*
 * What is given is what stands between AFTER and ON in a CREATE TRIGGER.  The
 * parser of that tells what it means; the statement is then built from
 * its result, so that nothing else gets into it.
 */
static CreateTrigStmt *
parse_events(const char *given)
{
	MemoryContext context = CurrentMemoryContext;
	List *volatile statements = NIL;
	CreateTrigStmt *statement;

	PG_TRY();
	{
		statements = raw_parser(psprintf("CREATE TRIGGER t AFTER %s\nON r FOR EACH ROW EXECUTE "
										 "FUNCTION f()",
										 given),
								RAW_PARSE_DEFAULT);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
		bad_events(given);
	}
	PG_END_TRY();
	if (list_length(statements) != 1)
		bad_events(given);
	statement = (CreateTrigStmt *) linitial_node(RawStmt, statements)->stmt;
	if (!IsA(statement, CreateTrigStmt) || (statement->events & TRIGGER_TYPE_TRUNCATE) ||
		(statement->events & TRIGGER_TYPE_DELETE) || strcmp(statement->relation->relname, "r") != 0)
		bad_events(given);
	return statement;
}

/*
 * The same as SQL, with the columns checked.
 */
static char *
events_sql(const WaNotifyScope *scope, const CreateTrigStmt *statement)
{
	StringInfoData sql;
	ListCell *lc;

	initStringInfo(&sql);
	if (statement->events & TRIGGER_TYPE_INSERT)
		appendStringInfoString(&sql, "INSERT");
	if (statement->events & TRIGGER_TYPE_UPDATE)
		appendStringInfo(&sql, "%sUPDATE", sql.len > 0 ? " OR " : "");
	foreach (lc, statement->columns)
	{
		const char *column = strVal(lfirst(lc));

		(void) wa_notify_expression(scope, "events", column, true);
		appendStringInfo(&sql, "%s%s", foreach_current_index(lc) == 0 ? " OF " : ", ",
						 quote_identifier(column));
	}
	return sql.data;
}

/* ---- the expressions ---- */

static bool
takes_any(const WaNotifyExpected *expected, Oid type)
{
	return true;
}

static bool
takes_boolean(const WaNotifyExpected *expected, Oid type)
{
	return type == BOOLOID;
}

static bool
takes_instant(const WaNotifyExpected *expected, Oid type)
{
	return type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID;
}

static bool
takes_format(const WaNotifyExpected *expected, Oid type)
{
	return wa_format_takes(expected->format, type);
}

/* Returns the parameters' values, as wa_notify_parameters_read() lists them. */
static List *
check_expressions(const WaNotification *n, WaNotifyScope *scope)
{
	static const WaNotifyExpected any = {"a value", takes_any};
	static const WaNotifyExpected boolean = {"boolean", takes_boolean};
	static const WaNotifyExpected instant = {"a date or timestamp", takes_instant};
	List *values = wa_notify_parameters_read(n->parameters, scope);
	ListCell *lc;

	for (int i = 0; i < WA_NOTIFY_PARTS; i++)
	{
		bool is_time = i == WA_NOTIFY_SCHEDULED_AT || i == WA_NOTIFY_EXPIRES_AT;
		const char *place = wa_notify_part_names[i];

		if (n->parts[i] != NULL)
			wa_notify_check_expression(scope, place,
									   wa_notify_expression(scope, place, n->parts[i], false),
									   is_time ? &instant : &any);
	}
	if (n->condition != NULL)
		wa_notify_check_expression(scope, "condition",
								   wa_notify_expression(scope, "condition", n->condition, false),
								   &boolean);
	foreach (lc, values)
	{
		const WaNotifyValue *value = lfirst(lc);
		WaNotifyExpected expected = {.takes = takes_format, .format = value->format};

		expected.what = psprintf("a value for the format \"%s\"", wa_format_name(value->format));
		wa_notify_check_expression(scope, value->place, value->sql, &expected);
	}
	return values;
}

/* ---- wa_create_notification ---- */

static const char *
optional_text(FunctionCallInfo fcinfo, int argno, const char *name)
{
	return PG_ARGISNULL(argno) ? NULL : text_to_cstring(wa_arg_text(fcinfo, argno, name));
}

static const char *
choose_name(FunctionCallInfo fcinfo, const char *template_name)
{
	const char *given = optional_text(fcinfo, ARG_NAME, "name");

	if (given == NULL)
		return pnstrdup(template_name,
						pg_mbcliplen(template_name, (int) strlen(template_name), MAX_NAME));
	if (strlen(given) > MAX_NAME)
		ereport(ERROR, (errcode(ERRCODE_NAME_TOO_LONG),
						errmsg("argument \"name\" is longer than %d bytes", MAX_NAME)));
	return given;
}

static const char *
random_id(void)
{
	uint64 bits;

	if (!pg_strong_random(&bits, sizeof(bits)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a random value")));
	return psprintf("%016llx", (unsigned long long) bits);
}

static void
read_arguments(WaNotification *n, FunctionCallInfo fcinfo)
{
	static const int part_args[WA_NOTIFY_PARTS] = {
		[WA_NOTIFY_TENANT] = ARG_TENANT_COLUMN,		 [WA_NOTIFY_RECIPIENT] = ARG_RECIPIENT_COLUMN,
		[WA_NOTIFY_REFERENCE] = ARG_REFERENCE,		 [WA_NOTIFY_KEY] = ARG_IDEMPOTENCY_KEY,
		[WA_NOTIFY_SCHEDULED_AT] = ARG_SCHEDULED_AT, [WA_NOTIFY_EXPIRES_AT] = ARG_EXPIRES_AT};

	memset(n, 0, sizeof(*n));
	n->template_name = text_to_cstring(wa_arg_text(fcinfo, ARG_TEMPLATE, "template"));
	n->name = choose_name(fcinfo, n->template_name);
	n->parameters = wa_arg_jsonb(fcinfo, ARG_PARAMETERS, "parameters");
	n->events = text_to_cstring(wa_arg_text(fcinfo, ARG_EVENTS, "events"));
	for (int i = 0; i < WA_NOTIFY_PARTS; i++)
		n->parts[i] = optional_text(fcinfo, part_args[i], wa_notify_part_names[i]);
	if (n->parts[WA_NOTIFY_TENANT] == NULL)
		wa_raise_null_argument("tenant_column");
	if (n->parts[WA_NOTIFY_RECIPIENT] == NULL)
		wa_raise_null_argument("recipient_column");
	n->condition = optional_text(fcinfo, ARG_CONDITION, "condition");
	n->language = optional_text(fcinfo, ARG_LANGUAGE, "language");
	n->priority = PG_ARGISNULL(ARG_PRIORITY) ? 0 : PG_GETARG_INT32(ARG_PRIORITY);
	n->on_uncertain = optional_text(fcinfo, ARG_ON_UNCERTAIN, "on_uncertain");
	n->strict = !PG_ARGISNULL(ARG_STRICT) && PG_GETARG_BOOL(ARG_STRICT);
	wa_options_check_priority(n->priority);
	if (n->on_uncertain != NULL)
		wa_options_check_on_uncertain(cstring_to_text(n->on_uncertain));
	n->registration.registrant = GetUserNameFromId(GetUserId(), false);
	n->registration.registrant_oid = GetUserId();
	n->search_path = namespace_search_path;
	n->id = random_id();
}

static Datum
text_or_null(const char *value, char *null)
{
	*null = value == NULL ? 'n' : ' ';
	return value == NULL ? (Datum) 0 : CStringGetTextDatum(value);
}

static void
insert_registration(Oid schema, const WaNotification *n)
{
	const char *const before[] = {n->id, n->relation, n->name, n->events, n->template_name};
	Datum values[20];
	char nulls[20];
	int i = 0;

	for (int j = 0; j < lengthof(before); j++, i++)
		values[i] = text_or_null(before[j], &nulls[i]);
	for (int j = 0; j < WA_NOTIFY_PARTS; j++, i++)
		values[i] = text_or_null(n->parts[j], &nulls[i]);
	values[i] = JsonbPGetDatum(n->parameters);
	nulls[i++] = ' ';
	values[i] = text_or_null(n->condition, &nulls[i]);
	i++;
	values[i] = text_or_null(n->language, &nulls[i]);
	i++;
	values[i] = Int32GetDatum(n->priority);
	nulls[i++] = ' ';
	values[i] = text_or_null(n->on_uncertain, &nulls[i]);
	i++;
	values[i] = BoolGetDatum(n->strict);
	nulls[i++] = ' ';
	values[i] = text_or_null(n->registration.registrant, &nulls[i]);
	i++;
	values[i] = text_or_null(n->registration.owner, &nulls[i]);
	i++;
	values[i] = text_or_null(n->search_path, &nulls[i]);
	Assert(i == lengthof(values) - 1);
	wa_statement_run(&register_statement, schema, values, nulls);
}

/* With the rights to all tables, whoever may have been given ours. */
static void
execute_as_superuser(const char *command)
{
	WaRoleSection section;

	wa_role_section_begin(&section, BOOTSTRAP_SUPERUSERID, WA_ROLE_RESTRICTED, WA_PINNED_PATH);
	(void) wa_rows_taken(SPI_execute(command, false, 0), SPI_OK_UTILITY, command);
	wa_role_section_end(&section);
}

static void
attach(FunctionCallInfo fcinfo, const WaNotification *n, const List *parameters)
{
	Datum values[1] = {CStringGetTextDatum(n->relation)};
	const char *trigger = quote_identifier(psprintf("%s%s", TRIGGER_PREFIX, n->name));
	WaOwner owner;

	wa_owner_begin(&owner, fcinfo);
	wa_notify_check_template(owner.schema, n, parameters);
	wa_statement_run(&forget_statement, owner.schema, values, NULL);
	insert_registration(owner.schema, n);
	wa_owner_end(&owner);
	execute_as_superuser(psprintf("CREATE TRIGGER %s AFTER %s ON %s FOR EACH ROW EXECUTE FUNCTION "
								  "%s.wa_notify(%s, %s)",
								  trigger, n->events, n->relation, wa_schema_quoted(owner.schema),
								  quote_literal_cstr(n->name), quote_literal_cstr(n->id)));
}

Datum
wa_create_notification(PG_FUNCTION_ARGS)
{
	Oid schema = wa_schema_of_call(fcinfo);
	Oid enqueue_function = wa_notify_enqueue_function(schema);
	WaNotification n;
	WaNotifyScope scope;
	MemoryContext context = CurrentMemoryContext;
	MemoryContext save;
	WaRoleSection section;
	CreateTrigStmt *statement;
	List *parameters;
	Relation rel;
	Oid role;

	if (PG_ARGISNULL(ARG_RELATION))
		wa_raise_null_argument("relation");
	read_arguments(&n, fcinfo);
	check_owner(PG_GETARG_OID(ARG_RELATION));
	rel = relation_open(PG_GETARG_OID(ARG_RELATION), ShareRowExclusiveLock);
	check_table(rel);
	n.registration.owner_oid = rel->rd_rel->relowner;
	n.registration.owner = GetUserNameFromId(n.registration.owner_oid, false);
	role = wa_notify_check_role(&n, rel->rd_rel->relowner, RelationGetRelationName(rel),
								enqueue_function);
	if (find_trigger(rel, schema, n.name) != NULL)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("table \"%s\" already has a notification \"%s\"",
							   RelationGetRelationName(rel), n.name),
						errhint("Give this one another \"name\", or drop the other one with "
								"wa_drop_notification().")));

	statement = parse_events(n.events);
	wa_notify_scope_init(&scope, rel, (statement->events & TRIGGER_TYPE_UPDATE) != 0);
	n.events = events_sql(&scope, statement);
	n.relation = qualified_name(rel);
	wa_role_section_begin(&section, role, WA_ROLE_RESTRICTED, n.search_path);
	save = MemoryContextSwitchTo(context); /* they are needed after the section */
	parameters = check_expressions(&n, &scope);
	MemoryContextSwitchTo(save);
	wa_role_section_end(&section);

	/* The lock is kept to the end of the transaction, but not the reference. */
	relation_close(rel, NoLock);
	attach(fcinfo, &n, parameters);
	PG_RETURN_TEXT_P(cstring_to_text(n.name));
}

/* ---- wa_drop_notification ---- */

Datum
wa_drop_notification(PG_FUNCTION_ARGS)
{
	Oid schema = wa_schema_of_call(fcinfo);
	char *name = text_to_cstring(wa_arg_text(fcinfo, 1, "name"));
	const Trigger *trigger;
	char *trigger_name;
	char *command;
	Datum values[1];
	WaOwner owner;
	Relation rel;

	if (PG_ARGISNULL(0))
		wa_raise_null_argument("relation");
	check_owner(PG_GETARG_OID(0));
	rel = relation_open(PG_GETARG_OID(0), AccessExclusiveLock);
	trigger = find_trigger(rel, schema, name);
	if (trigger == NULL)
	{
		relation_close(rel, NoLock);
		PG_RETURN_BOOL(false);
	}
	values[0] = CStringGetTextDatum(trigger->tgargs[WA_NOTIFY_ARG_ID]);
	trigger_name = pstrdup(trigger->tgname);
	command =
		psprintf("DROP TRIGGER %s ON %s", quote_identifier(trigger_name), qualified_name(rel));
	relation_close(rel, NoLock);

	execute_as_superuser(command);
	wa_owner_begin(&owner, fcinfo);
	wa_statement_run(&unregister_statement, owner.schema, values, NULL);
	wa_owner_end(&owner);
	PG_RETURN_BOOL(true);
}
