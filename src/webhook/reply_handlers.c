/*
 * reply_handlers.c
 *	  wa_on_reply() and wa_off_reply(): which function is called for a reply.
 *
 * In C because of two things a SQL function cannot do at once: see the
 * caller's search_path, with which the handler will run, and write a table
 * that the caller must not.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "base/args.h"
#include "base/owner.h"
#include "base/quote.h"
#include "base/registration.h"
#include "base/rows.h"
#include "base/statement.h"
#include "compat.h"

/* Meta's limit for the id of a button. */
#define MAX_PREFIX 256

/* The caller's search_path is in force: operators are qualified, too. */
static WaStatement holder_statement = {
	.sql = "SELECT registered_by::pg_catalog.text, handler,"
		   " registered_by_oid FROM @extschema@.whatsapp_reply_handlers WHERE prefix "
		   "OPERATOR(pg_catalog.=) $1 FOR UPDATE",
	.nargs = 1,
	.argtypes = {TEXTOID},
	.expected = SPI_OK_SELECT};

static WaStatement register_statement = {
	.sql = "INSERT INTO @extschema@.whatsapp_reply_handlers AS h"
		   " (prefix, handler, registered_by, owner, search_path) VALUES ($1, $2, $3, $4, $5)"
		   " ON CONFLICT (prefix) DO UPDATE SET handler = EXCLUDED.handler,"
		   " registered_by = EXCLUDED.registered_by,"
		   " registered_by_oid = EXCLUDED.registered_by_oid, owner = EXCLUDED.owner,"
		   " owner_oid = EXCLUDED.owner_oid, search_path = EXCLUDED.search_path,"
		   " registered_at = pg_catalog.now()",
	.nargs = 5,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID},
	.expected = SPI_OK_INSERT};

static WaStatement remove_statement = {
	.sql = "DELETE FROM @extschema@.whatsapp_reply_handlers WHERE prefix OPERATOR(pg_catalog.=) $1",
	.nargs = 1,
	.argtypes = {TEXTOID},
	.expected = SPI_OK_DELETE};

PG_FUNCTION_INFO_V1(wa_on_reply);
PG_FUNCTION_INFO_V1(wa_off_reply);

/*
 * The function must be callable as SELECT function(jsonb) by the caller, and
 * there must be a role that it can run as.  Returns its owner.
 */
static Oid
check_handler(Oid handler)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(handler));
	Form_pg_proc proc;
	WaRegistration registration;
	WaRegisteredCode code;
	Oid owner;
	Oid role;
	bool fits;
	bool allowed;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
						errmsg("function with OID %u does not exist", handler)));
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	fits = proc->prokind == PROKIND_FUNCTION && proc->pronargs == 1 &&
		   proc->proargtypes.values[0] == JSONBOID && proc->prorettype != TRIGGEROID &&
		   !proc->proretset;
	owner = proc->proowner;
	code = proc->prosecdef ? WA_CODE_OF_DEFINER : WA_CODE_OF_FUNCTION;
	ReleaseSysCache(tuple);
	if (!fits)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("function %s cannot handle replies", format_procedure(handler)),
				 errdetail("A handler takes one argument of type jsonb and returns no set.")));

	allowed = DatumGetBool(DirectFunctionCall2(has_function_privilege_id, ObjectIdGetDatum(handler),
											   CStringGetTextDatum("EXECUTE")));
	if (!allowed)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied for function %s", format_procedure(handler)),
						errdetail("A handler runs for the role that registers it.")));

	registration.registrant = GetUserNameFromId(GetUserId(), false);
	registration.registrant_oid = GetUserId();
	registration.owner = GetUserNameFromId(owner, false);
	registration.owner_oid = owner;
	if (wa_registration_check(&registration, code, owner, &role) != WA_REGISTRATION_VALID)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("function %s belongs to role \"%s\"", format_procedure(handler),
						registration.owner),
				 errdetail("Its owner can change it, so it must not run with rights of role \"%s\" "
						   "that the owner does not have.",
						   registration.registrant),
				 errhint("Register it as a member of that role, or let that role make it SECURITY "
						 "DEFINER.")));
	return owner;
}

/*
 * Only a member of the role that registered a prefix may change or remove it.
 * Returns false if nobody has.
 */
static bool
check_holder(Oid schema, text *prefix, Oid caller)
{
	WaRows rows;
	Datum values[1] = {PointerGetDatum(prefix)};
	char *holder;
	Oid role;

	rows = wa_statement_run(&holder_statement, schema, values, NULL);
	if (rows.count == 0)
		return false;
	holder = wa_rows_text(&rows, 0, 1);
	role = get_role_oid(holder, true);
	/* A role that is gone holds nothing any more, and another one of its name holds nothing yet. */
	if (OidIsValid(role) && role == (Oid) wa_rows_int(&rows, 0, 3, InvalidOid) &&
		!has_privs_of_role(caller, role))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("replies that begin with \"%s\" belong to another role",
							   wa_quote_text(prefix)),
						errdetail("The handler %s was registered by \"%s\".",
								  wa_rows_text(&rows, 0, 2), holder)));
	return true;
}

static text *
get_prefix(FunctionCallInfo fcinfo)
{
	text *prefix = wa_arg_text(fcinfo, 0, "prefix");

	if (VARSIZE_ANY_EXHDR(prefix) > MAX_PREFIX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("prefix is longer than %d bytes", MAX_PREFIX)));
	return prefix;
}

Datum
wa_on_reply(PG_FUNCTION_ARGS)
{
	text *prefix = get_prefix(fcinfo);
	Oid caller = GetUserId();
	Oid handler;
	Oid handler_owner;
	WaOwner owner;
	Datum values[5];

	if (PG_ARGISNULL(1))
		wa_raise_null_argument("handler");
	handler = PG_GETARG_OID(1);
	handler_owner = check_handler(handler);

	values[0] = PointerGetDatum(prefix);
	values[1] = CStringGetTextDatum(format_procedure_qualified(handler));
	values[2] = CStringGetTextDatum(GetUserNameFromId(caller, false));
	values[3] = CStringGetTextDatum(GetUserNameFromId(handler_owner, false));
	/*
	 * Temporary tables last: a session that hands webhooks in must not be able
	 * to slip one of its own to the handler.
	 */
	if (namespace_search_path[0] != '\0')
		values[4] = CStringGetTextDatum(psprintf("%s, pg_temp", namespace_search_path));
	else
		values[4] = CStringGetTextDatum("pg_temp");
	wa_owner_begin_restricted(&owner, fcinfo);
	(void) check_holder(owner.schema, prefix, caller);
	wa_statement_run(&register_statement, owner.schema, values, NULL);
	wa_owner_end(&owner);
	PG_RETURN_VOID();
}

Datum
wa_off_reply(PG_FUNCTION_ARGS)
{
	text *prefix = get_prefix(fcinfo);
	Oid caller = GetUserId();
	WaOwner owner;
	Datum values[1] = {PointerGetDatum(prefix)};
	bool found;

	wa_owner_begin_restricted(&owner, fcinfo);
	found = check_holder(owner.schema, prefix, caller);
	if (found)
		wa_statement_run(&remove_statement, owner.schema, values, NULL);
	wa_owner_end(&owner);
	PG_RETURN_BOOL(found);
}
