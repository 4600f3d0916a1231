/*
 * owner.c
 *	  A section of code that runs SQL as the owner of our tables.
 *
 * The applications' roles may call our functions and have no right on our
 * tables.  SECURITY DEFINER with a SET clause for search_path would do, but
 * setting and resetting it on each call costs as much as all our look-ups;
 * instead every name and operator in the statements is qualified.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/owner.h"
#include "base/schema.h"

static Oid
owner_of_tables(Oid schema)
{
	Oid table = get_relname_relid("whatsapp_messages", schema);
	HeapTuple tuple;
	Oid owner;

	if (!OidIsValid(table))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the tables of whatsapp_shared are missing")));
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", table);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

void
wa_owner_begin(WaOwner *owner, FunctionCallInfo fcinfo)
{
	owner->schema = wa_schema_of_call(fcinfo);
	GetUserIdAndSecContext(&owner->save_userid, &owner->save_sec_context);
	SetUserIdAndSecContext(owner_of_tables(owner->schema),
						   owner->save_sec_context | SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

void
wa_owner_end(WaOwner *owner)
{
	SPI_finish();
	SetUserIdAndSecContext(owner->save_userid, owner->save_sec_context);
}
