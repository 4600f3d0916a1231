/*
 * caller.c
 *	  Who acts: for what is written down of operators' calls.
 *
 * Our functions run as the owner of the tables, so whoever asks them has to be found
 * behind that: the role that is in force outside of functions, and the session's.
 * Both are facts of the server's.  The gateway's sessions act for people, whom its
 * functions name (sql/88-gateway.sql); nobody else may, because the function is
 * granted to nobody.  A name holds for one statement and is never another one's,
 * also if that fails, because a statement has a time of its own.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "base/caller.h"
#include "base/statement.h"

/* A name that a proxy has sent. */
#define MAX_ACTOR 201

PG_FUNCTION_INFO_V1(wa_internal_act_for);
PG_FUNCTION_INFO_V1(wa_internal_caller);
PG_FUNCTION_INFO_V1(wa_internal_is_restoring);

static char actor[MAX_ACTOR];
static bool notes_calls;		/* or the statement tells of all of them at once */
static TimestampTz actor_since; /* the time of the statement; 0: none */

static bool
acts_for_somebody(void)
{
	return actor_since != 0 && actor_since == GetCurrentStatementStartTimestamp();
}

/*
 * wa_internal_act_for(actor, calls): calls: those of the functions for one message are
 * to be noted, each.
 */
Datum
wa_internal_act_for(PG_FUNCTION_ARGS)
{
	actor[0] = '\0';
	if (!PG_ARGISNULL(0))
		text_to_cstring_buffer(PG_GETARG_TEXT_PP(0), actor, sizeof(actor));
	notes_calls = PG_ARGISNULL(1) || PG_GETARG_BOOL(1);
	actor_since = GetCurrentStatementStartTimestamp();
	PG_RETURN_VOID();
}

/* A sender acts for nobody. */
static bool
is_ours(void)
{
	return MyBgworkerEntry != NULL &&
		   strcmp(MyBgworkerEntry->bgw_library_name, "whatsapp_shared") == 0;
}

/* wa_internal_caller(OUT actor, OUT role, OUT session_role) */
Datum
wa_internal_caller(PG_FUNCTION_ARGS)
{
	TupleDesc descriptor;
	Datum values[3] = {0};
	bool nulls[3] = {true, true, true};

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (!is_ours())
	{
		char *role = GetUserNameFromId(GetOuterUserId(), false);

		values[0] = CStringGetTextDatum(acts_for_somebody() && actor[0] != '\0' ? actor : role);
		values[1] = CStringGetTextDatum(role);
		values[2] = CStringGetTextDatum(GetUserNameFromId(GetSessionUserId(), false));
		memset(nulls, false, sizeof(nulls));
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}

/*
 * What pg_dump writes begins with switching off check_function_bodies, which nobody
 * else does to write rows.  Within a function that runs as its owner, as ours do, the
 * setting means nothing: whoever may call it could have switched it off.
 */
Datum
wa_internal_is_restoring(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!check_function_bodies && !InLocalUserIdChange());
}

/*
 * Written here and not by wa_internal_note(), which has the schema's name in its text:
 * what is asked for in C works on after a schema has been renamed.
 */
void
wa_caller_note_message(Oid schema, const char *action, int64 id, const char *text)
{
	static WaStatement statement = {
		.sql = "INSERT INTO @extschema@.whatsapp_events (actor, kind, scope, key, detail,"
			   " tenant_id, role, session_role, client_addr, application_name)"
			   " SELECT pg_catalog.left(c.actor, 200), $1, 'message', $2::pg_catalog.text,"
			   " pg_catalog.jsonb_build_object('text', $3),"
			   " (SELECT m.tenant_id FROM @extschema@.whatsapp_messages m"
			   "  WHERE m.id OPERATOR(pg_catalog.=) $2),"
			   " c.role, c.session_role, pg_catalog.inet_client_addr(),"
			   " pg_catalog.current_setting('application_name')"
			   " FROM @extschema@.wa_internal_caller() c",
		.nargs = 3,
		.argtypes = {TEXTOID, INT8OID, TEXTOID},
		.expected = SPI_OK_INSERT};
	Datum values[3] = {CStringGetTextDatum(action), Int64GetDatum(id), CStringGetTextDatum(text)};

	if (acts_for_somebody() && !notes_calls)
		return;
	(void) wa_statement_run(&statement, schema, values, NULL);
}

void
wa_caller_note(Oid schema, const char *action, const char *text)
{
	static WaStatement statement = {
		.sql = "SELECT @extschema@.wa_internal_note($1, 'account'::pg_catalog.text, "
			   "NULL::pg_catalog.text, pg_catalog.jsonb_build_object('text', $2))",
		.nargs = 2,
		.argtypes = {TEXTOID, TEXTOID},
		.expected = SPI_OK_SELECT};
	Datum values[2] = {CStringGetTextDatum(action), CStringGetTextDatum(text)};

	(void) wa_statement_run(&statement, schema, values, NULL);
}
