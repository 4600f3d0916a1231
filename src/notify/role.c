/*
 * role.c
 *	  As whom the expressions of notifications run.
 *
 * A role that writes to a table fires its triggers, and must gain nothing by it:
 * not by reading what the maker of a notification may read, nor by leaving code
 * to be run as somebody else.  So expressions run in a security-restricted
 * operation, as core runs those of indexes.
 *
 * The owner of the table, in turn, decides what these expressions meet: the
 * types of the columns, and so the casts, functions, operators and constraints that
 * are called.  Were they run as the role that made the notification, the owner of
 * the table would have that role's rights, too.  Hence they run as the owner, whose
 * rights the maker must have (base/registration.c).
 *
 * All of it is checked whenever a notification fires: a role that loses the table
 * or the right to send sends no more.
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "compat.h"
#include "notify/role.h"

/*
 * Not by the parser's look-up: that would ask whether the role in force, which
 * may be anybody's, may use the schema.
 */
Oid
wa_notify_enqueue_function(Oid schema)
{
	const Oid types[] = {TEXTOID,		 TEXTOID, TEXTOID, JSONBOID, TEXTOID, TIMESTAMPTZOID,
						 TIMESTAMPTZOID, INT4OID, TEXTOID, TEXTOID,	 TEXTOID};
	Oid function = GetSysCacheOid3(
		PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("wa_enqueue_message"),
		PointerGetDatum(buildoidvector(types, lengthof(types))), ObjectIdGetDatum(schema));

	if (!OidIsValid(function))
		elog(ERROR, "function wa_enqueue_message is missing");
	return function;
}

pg_noreturn static void refuse(const WaNotification *n, WaRegistrationState state,
							   const char *relation_name);

static void
refuse(const WaNotification *n, WaRegistrationState state, const char *relation_name)
{
	const WaRegistration *r = &n->registration;
	const char *make_again = psprintf("Drop it with wa_drop_notification(%s, %s), and create it "
									  "again with wa_create_notification().",
									  quote_literal_cstr(n->relation), quote_literal_cstr(n->name));

	if (state == WA_REGISTRATION_ROLE_GONE)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("role \"%s\", which created this notification, does not exist",
							   r->registrant),
						errhint("%s", make_again)));
	if (state == WA_REGISTRATION_ROLE_REPLACED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" is not the one that created this notification", r->registrant),
				 errhint("%s", make_again)));
	if (state == WA_REGISTRATION_OWNER_CHANGED)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("table \"%s\" is not owned by the role \"%s\" that owned it when "
							   "this notification was created",
							   relation_name, r->owner),
						errhint("%s", make_again)));
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("role \"%s\" does not own table \"%s\"", r->registrant, relation_name),
					errdetail("A notification must be created by a member of the role that "
							  "owns the table."),
					errhint("%s", make_again)));
}

Oid
wa_notify_check_role(const WaNotification *notification, Oid owner, const char *relation_name,
					 Oid enqueue_function)
{
	const WaRegistration *r = &notification->registration;
	Oid runs_as;
	WaRegistrationState state = wa_registration_check(r, WA_CODE_OF_TABLE, owner, &runs_as);

	if (state != WA_REGISTRATION_VALID)
		refuse(notification, state, relation_name);
	if (!DatumGetBool(DirectFunctionCall3(
			has_function_privilege_id_id, ObjectIdGetDatum(r->registrant_oid),
			ObjectIdGetDatum(enqueue_function), CStringGetTextDatum("EXECUTE"))))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("role \"%s\" may not send messages", r->registrant),
						errhint("A superuser can allow it with wa_grant(\"%s\", 'sender').",
								r->registrant)));
	return runs_as;
}
