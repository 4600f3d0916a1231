/*
 * trigger.c
 *	  wa_notify, the trigger that sends a message for a row.
 *
 * It runs inside the application's statement and must not break it: an order
 * is worth more than the message about it.  So everything is done in a
 * subtransaction, and what goes wrong becomes a row of
 * whatsapp_notification_failures and a WARNING.  A notification that is strict
 * has no subtransaction; there an error is the statement's.
 *
 * Some errors are the statement's in any case, because they are not about the
 * message: a cancellation, and those after which the whole transaction must be
 * repeated.
 *
 * One change sends one message.  An update that changes none of the watched
 * columns sends none; and the idempotency key is made of the notification, the
 * primary key and, for an update, the old and new values of these columns.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "base/guc.h"
#include "base/lookup.h"
#include "base/role_section.h"
#include "base/rows.h"
#include "base/tenant_role.h"
#include "notify/failure.h"
#include "notify/key.h"
#include "notify/parameters.h"
#include "notify/role.h"
#include "notify/trigger.h"

PG_FUNCTION_INFO_V1(wa_notify);
extern Datum wa_enqueue_message(PG_FUNCTION_ARGS);

/* What the expressions have given. */
typedef struct Message
{
	Datum parts[WA_NOTIFY_PARTS]; /* text, or timestamptz */
	bool nulls[WA_NOTIFY_PARTS];
	Jsonb *parameters;
} Message;

enum
{
	TENANT_LANGUAGE,
	TENANT_TIME_ZONE,
	TENANT_COLUMNS
};

static WaLookup tenant_lookup = {.table = "whatsapp_tenants",
								 .index = "whatsapp_tenants_pkey",
								 .nkeys = 1,
								 .ncolumns = TENANT_COLUMNS,
								 .columns = {"language", "time_zone"}};

/* ---- what to send ---- */

/*
 * Sets the language and time zone of the tenant; whether there is one is for
 * wa_enqueue_message() to say.
 */
static void
find_tenant(const WaNotifyFiring *f, Datum tenant_id, WaFormatOptions *options)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	WaLookupRow *row = wa_lookup_one(&tenant_lookup, get_func_namespace(f->plan->enqueue_function),
									 &tenant_id, snapshot);

	UnregisterSnapshot(snapshot);
	options->language = wa_guc_default_language;
	if (row != NULL && !row->nulls[TENANT_TIME_ZONE])
		options->time_zone = DatumGetTextPP(row->values[TENANT_TIME_ZONE]);
	if (f->plan->registered->language != NULL)
		options->language = f->plan->registered->language;
	else if (row != NULL && !row->nulls[TENANT_LANGUAGE])
		options->language = TextDatumGetCString(row->values[TENANT_LANGUAGE]);
}

static char *
value_text(const WaRows *rows, const WaNotifyValue *value, WaFormatOptions *options, int column)
{
	Oid type = SPI_gettypeid(rows->table->tupdesc, column);
	Oid base = getBaseType(type);
	bool isnull;
	Datum datum = wa_rows_datum(rows, 0, column, &isnull);

	if (isnull)
	{
		if (value->fallback == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("the value for %s is null", value->place),
					 errhint("Give it a \"default\", or give the notification a condition.")));
		return pstrdup(value->fallback);
	}
	options->format = value->format == WA_FORMAT_NONE ? wa_format_default(base) : value->format;
	options->currency = value->currency;
	options->digits = value->digits;
	return wa_format_value(options, datum, options->format == WA_FORMAT_NONE ? type : base);
}

/*
 * From the values computed, in the current memory context.
 */
static void
read_message(const WaNotifyFiring *f, const WaRows *rows, Message *message)
{
	const WaNotifyPlan *plan = f->plan;
	char **texts = palloc(sizeof(char *) * (list_length(plan->values) + 1));
	WaFormatOptions options = {0};
	ListCell *lc;

	for (int i = 0; i < WA_NOTIFY_PARTS; i++)
	{
		Datum value = wa_rows_datum(rows, 0, i + 1, &message->nulls[i]);

		if (message->nulls[i])
			continue;
		if (i == WA_NOTIFY_SCHEDULED_AT || i == WA_NOTIFY_EXPIRES_AT)
			message->parts[i] = wa_format_instant(
				value, getBaseType(SPI_gettypeid(rows->table->tupdesc, i + 1)), options.time_zone);
		else
			message->parts[i] = PointerGetDatum(DatumGetTextPCopy(value));
		if (i == WA_NOTIFY_TENANT)
			find_tenant(f, message->parts[i], &options);
	}
	if (message->nulls[WA_NOTIFY_TENANT])
		options.language = wa_guc_default_language;
	foreach (lc, plan->values)
	{
		int i = foreach_current_index(lc);

		texts[i] = value_text(rows, lfirst(lc), &options, WA_NOTIFY_PARTS + i + 1);
	}
	message->parameters = wa_notify_parameters_fill(plan->registered->parameters, texts);
}

/*
 * False if the condition is not met.
 */
static bool
compute(WaNotifyFiring *f, Message *message)
{
	const WaNotification *n = f->plan->registered;
	MemoryContext context = CurrentMemoryContext;
	Oid role = wa_notify_check_role(n, f->plan->owner, f->plan->scope.relation_name,
									f->plan->enqueue_function);
	WaRoleSection section;
	WaRows rows;

	wa_role_section_begin(&section, role, WA_ROLE_RESTRICTED, n->search_path);
	wa_notify_compile(f->plan);
	rows = wa_notify_execute(&f->plan->scope, f->plan->plan, &f->rows);
	if (rows.count > 1)
		ereport(ERROR, (errcode(ERRCODE_CARDINALITY_VIOLATION),
						errmsg("an expression of notification \"%s\" gives more than one value",
							   n->name)));
	if (rows.count == 1)
	{
		MemoryContext save = MemoryContextSwitchTo(context);

		read_message(f, &rows, message);
		MemoryContextSwitchTo(save);
	}
	wa_role_section_end(&section);
	return rows.count == 1;
}

static void
set_argument(FunctionCallInfo call, int argno, Datum value, bool isnull)
{
	call->args[argno].value = value;
	call->args[argno].isnull = isnull;
}

static void
set_text(FunctionCallInfo call, int argno, const char *value)
{
	set_argument(call, argno, value == NULL ? (Datum) 0 : CStringGetTextDatum(value),
				 value == NULL);
}

/*
 * Calls wa_enqueue_message() with its arguments in their order.  It finds its
 * schema by the function called: ours is the same.
 */
static void
enqueue(WaNotifyFiring *f, const Message *m)
{
	const WaNotification *n = f->plan->registered;
	LOCAL_FCINFO(call, 11);

	if (!m->nulls[WA_NOTIFY_TENANT])
		wa_tenant_role_check_as(get_func_namespace(f->plan->enqueue_function),
								n->registration.registrant_oid,
								DatumGetTextPP(m->parts[WA_NOTIFY_TENANT]));
	InitFunctionCallInfoData(*call, f->fcinfo->flinfo, 11, InvalidOid, (Node *) f->trigger, NULL);
	set_argument(call, 0, m->parts[WA_NOTIFY_TENANT], m->nulls[WA_NOTIFY_TENANT]);
	set_argument(call, 1, m->parts[WA_NOTIFY_RECIPIENT], m->nulls[WA_NOTIFY_RECIPIENT]);
	set_text(call, 2, n->template_name);
	set_argument(call, 3, JsonbPGetDatum(m->parameters), false);
	set_text(call, 4, n->language);
	set_argument(call, 5, m->parts[WA_NOTIFY_SCHEDULED_AT], m->nulls[WA_NOTIFY_SCHEDULED_AT]);
	set_argument(call, 6, m->parts[WA_NOTIFY_EXPIRES_AT], m->nulls[WA_NOTIFY_EXPIRES_AT]);
	set_argument(call, 7, Int32GetDatum(n->priority), false);
	if (n->parts[WA_NOTIFY_KEY] != NULL)
		set_argument(call, 8, m->parts[WA_NOTIFY_KEY], m->nulls[WA_NOTIFY_KEY]);
	else
	{
		text *key = wa_notify_key(f);

		set_argument(call, 8, PointerGetDatum(key), key == NULL);
	}
	set_argument(call, 9, m->parts[WA_NOTIFY_REFERENCE], m->nulls[WA_NOTIFY_REFERENCE]);
	set_text(call, 10, n->on_uncertain);
	f->message_id = DatumGetInt64(wa_enqueue_message(call));
}

void
wa_notify_send(void *firing)
{
	WaNotifyFiring *f = firing;
	Message message = {0};

	if (f->plan->registered == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("the notification of trigger \"%s\" is not registered",
							   f->trigger->tg_trigger->tgname),
						errhint("Drop the trigger, and create the notification again with "
								"wa_create_notification().")));
	if (f->is_update && !wa_notify_has_changed(f->trigger))
		return;
	if (compute(f, &message))
		enqueue(f, &message);
}

static void
notify_without_breaking(WaNotifyFiring *f)
{
	ErrorData *error = wa_notify_in_subtransaction(wa_notify_send, f);

	if (error != NULL)
		wa_notify_failed(f, error);
}

/* ---- the trigger ---- */

static void
check_call(FunctionCallInfo fcinfo)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!(TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ||
		  TRIGGER_FIRED_BY_UPDATE(trigger->tg_event)) ||
		trigger->tg_trigger->tgnargs != WA_NOTIFY_ARGS)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("wa_notify is called by triggers of wa_create_notification() only")));
}

Datum
wa_notify(PG_FUNCTION_ARGS)
{
	TriggerData *trigger;
	WaNotifyFiring f = {.fcinfo = fcinfo};

	check_call(fcinfo);
	trigger = (TriggerData *) fcinfo->context;
	f.trigger = trigger;
	f.is_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	f.plan = wa_notify_find(fcinfo, trigger);
	PG_TRY();
	{
		HeapTuple new_row = f.is_update ? trigger->tg_newtuple : trigger->tg_trigtuple;
		HeapTuple old_row = f.is_update ? trigger->tg_trigtuple : NULL;

		f.rows.desc = f.plan->scope.desc;
		f.rows.new_row = wa_notify_convert_row(f.plan, trigger->tg_relation, new_row);
		f.rows.old_row = wa_notify_convert_row(f.plan, trigger->tg_relation, old_row);
		if (f.plan->registered != NULL && f.plan->registered->strict)
			wa_notify_send(&f);
		else
			notify_without_breaking(&f);
	}
	PG_FINALLY();
	{
		wa_notify_release(f.plan);
	}
	PG_END_TRY();
	return PointerGetDatum(NULL);
}
