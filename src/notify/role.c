/*
 * role.c
 *	  As whom the expressions of notifications run.
 *
 * A role that writes to a table fires its triggers, and must gain nothing by it:
 * not by reading what the maker of a notification may read, nor by leaving code
 * to be run as somebody else.  So expressions run as the role that made the
 * notification, in a security-restricted operation, as core runs those of
 * indexes.
 *
 * The owner of the table, in turn, decides what these expressions meet: the
 * types of the columns, and so the functions and operators that are called.
 * Were they run as a superuser who made the notification for somebody else's
 * table, the owner of that table would be a superuser, too.  Hence the
 * table's owner takes the place of a superuser.
 *
 * Both are checked whenever a notification fires: a role that loses the table
 * or the right to send sends no more.
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

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

Oid
wa_notify_check_role(const char *role, Oid owner, const char *relation_name, Oid enqueue_function)
{
	Oid oid = get_role_oid(role, true);

	if (!OidIsValid(oid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\", which created this notification, does not exist", role),
				 errhint("Drop the notification and create it as another role.")));
	if (!has_privs_of_role(oid, owner))
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("role \"%s\" does not own table \"%s\"", role, relation_name),
			 errdetail(
				 "A notification must be created by a member of the role that owns the table.")));
	if (!DatumGetBool(DirectFunctionCall3(has_function_privilege_id_id, ObjectIdGetDatum(oid),
										  ObjectIdGetDatum(enqueue_function),
										  CStringGetTextDatum("EXECUTE"))))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" may not send messages", role),
				 errhint("A superuser can allow it with wa_grant(\"%s\", 'sender').", role)));
	return superuser_arg(oid) ? owner : oid;
}
