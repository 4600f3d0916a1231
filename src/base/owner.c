/*
 * owner.c
 *	  A section of code that runs SQL as the owner of our tables.
 *
 * The applications' roles may call our functions and have no right on our
 * tables.  The section is begun in C and not by SECURITY DEFINER with a SET clause,
 * which would cost each call several times as much; base/role_section.c says why
 * nothing of the caller's can run in it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/owner.h"
#include "base/schema.h"

Oid
wa_owner_of_tables(Oid schema)
{
	Oid table = get_relname_relid("whatsapp_messages", schema);
	HeapTuple tuple;
	Oid owner;

	if (!OidIsValid(table))
		return InvalidOid;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", table);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

static void
begin(WaOwner *owner, FunctionCallInfo fcinfo, WaRoleTrust trust)
{
	Oid role;

	owner->schema = wa_schema_of_call(fcinfo);
	role = wa_owner_of_tables(owner->schema);
	if (!OidIsValid(role))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the tables of whatsapp_shared are missing")));
	wa_role_section_begin(&owner->section, role, trust, WA_PINNED_PATH);
}

void
wa_owner_begin(WaOwner *owner, FunctionCallInfo fcinfo)
{
	begin(owner, fcinfo, WA_ROLE_WITH_TRIGGERS);
}

void
wa_owner_begin_restricted(WaOwner *owner, FunctionCallInfo fcinfo)
{
	begin(owner, fcinfo, WA_ROLE_RESTRICTED);
}

void
wa_owner_end(WaOwner *owner)
{
	wa_role_section_end(&owner->section);
}
