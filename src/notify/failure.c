/*
 * failure.c
 *	  Messages that a notification could not send.
 *
 * The reason becomes a WARNING and a row of whatsapp_notification_failures.
 * For wa_retry_notification() the row says which row of the table it was about,
 * and what that was before an update; as text, so that columns can come and go
 * meanwhile.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/jsonb.h"
#include "base/owner.h"
#include "base/statement.h"
#include "base/subtransaction.h"
#include "compat.h"
#include "notify/failure.h"
#include "notify/key.h"

static WaStatement failure_statement = {
	.sql =
		"INSERT INTO @extschema@.whatsapp_notification_failures (notification_id, notification,"
		" relation, event, row_key, row_id, old_row, sqlstate, message, detail, hint, table_owner)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
	.nargs = 12,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, JSONBOID, TEXTOID, TEXTOID,
				 TEXTOID, TEXTOID, TEXTOID},
	.expected = SPI_OK_INSERT};

/* A firing, and what went wrong with it. */
typedef struct Failure
{
	WaNotifyFiring *firing;
	const ErrorData *error;
} Failure;

static bool
must_pass_on(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK ||
		   error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
		   error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN;
}

ErrorData *
wa_notify_in_subtransaction(void (*step)(void *argument), void *argument)
{
	ErrorData *error = wa_subtransaction_run(step, argument);

	if (error != NULL && must_pass_on(error))
		ReThrowError(error);
	return error;
}

/*
 * {"column": "value", …} of the columns in the set, or of all.  NULLs are left
 * out, and so are values that are stored out of line: nobody wants megabytes
 * of a document in a note about a failure.
 */
static Jsonb *
row_as_text(HeapTuple row, TupleDesc desc, Bitmapset *columns)
{
	WaJsonbWriter w = {0};

	wa_jsonb_begin_object(&w, NULL);
	for (int attnum = 1; attnum <= desc->natts; attnum++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, attnum - 1);
		bool isnull;
		Datum value = heap_getattr(row, attnum, desc, &isnull);

		if (isnull || att->attisdropped ||
			(att->attlen == -1 && VARATT_IS_EXTERNAL(DatumGetPointer(value))) ||
			(columns != NULL &&
			 !bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, columns)))
			continue;
		wa_jsonb_put_string(&w, pstrdup(NameStr(att->attname)),
							wa_format_canonical(value, att->atttypid));
	}
	wa_jsonb_end_object(&w);
	return wa_jsonb_finish(&w);
}

static void
set_text(Datum *value, char *null, const char *text)
{
	*null = text == NULL ? 'n' : ' ';
	*value = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

static void
record(void *argument)
{
	WaNotifyFiring *f = ((Failure *) argument)->firing;
	const ErrorData *error = ((Failure *) argument)->error;
	const Trigger *t = f->trigger->tg_trigger;
	Relation rel = f->trigger->tg_relation;
	Bitmapset *key_columns = f->plan->key_columns;
	Datum values[12];
	char nulls[12];
	WaOwner owner;

	set_text(&values[0], &nulls[0], t->tgargs[WA_NOTIFY_ARG_ID]);
	set_text(&values[1], &nulls[1], t->tgargs[WA_NOTIFY_ARG_NAME]);
	set_text(&values[2], &nulls[2],
			 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
										RelationGetRelationName(rel)));
	set_text(&values[3], &nulls[3], f->is_update ? "UPDATE" : "INSERT");
	set_text(&values[4], &nulls[4], wa_notify_row_key(f));
	nulls[5] = key_columns == NULL ? 'n' : ' ';
	if (key_columns != NULL)
		values[5] = JsonbPGetDatum(row_as_text(f->rows.new_row, f->rows.desc, key_columns));
	nulls[6] = key_columns == NULL || !f->is_update ? 'n' : ' ';
	if (nulls[6] == ' ')
		values[6] = JsonbPGetDatum(row_as_text(f->rows.old_row, f->rows.desc, NULL));
	set_text(&values[7], &nulls[7], unpack_sql_state(error->sqlerrcode));
	set_text(&values[8], &nulls[8], error->message != NULL ? error->message : "");
	set_text(&values[9], &nulls[9], error->detail);
	set_text(&values[10], &nulls[10], error->hint);
	set_text(&values[11], &nulls[11], GetUserNameFromId(f->plan->owner, false));
	wa_owner_begin_restricted(&owner, f->fcinfo);
	wa_statement_run(&failure_statement, owner.schema, values, nulls);
	wa_owner_end(&owner);
}

/*
 * The text of an error may show what the expressions have read.  The role that
 * fires the trigger sees it only if it could have read that itself.
 */
static bool
may_see_reason(const WaNotifyFiring *f)
{
	return has_privs_of_role(GetUserId(), f->plan->owner);
}

void
wa_notify_warn(const WaNotifyFiring *f, const ErrorData *error)
{
	const char *message = error->message != NULL ? error->message : "";

	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("notification \"%s\" of table \"%s\" failed",
					f->trigger->tg_trigger->tgargs[WA_NOTIFY_ARG_NAME],
					RelationGetRelationName(f->trigger->tg_relation)),
			 !may_see_reason(f)		 ? errdetail("The reason is in whatsapp_notification_failures.")
			 : error->detail == NULL ? errdetail_internal("%s", message)
									 : errdetail_internal("%s: %s", message, error->detail)));
}

void
wa_notify_failed(WaNotifyFiring *f, const ErrorData *error)
{
	Failure failure = {.firing = f, .error = error};
	ErrorData *another;

	wa_notify_warn(f, error);
	another = wa_notify_in_subtransaction(record, &failure);
	if (another != NULL)
		wa_notify_warn(f, another);
}
