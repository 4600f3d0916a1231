/*
 * schema.c
 *	  The schema this extension was installed into.
 *
 * The site chooses it at CREATE EXTENSION, and it never changes (the extension
 * is not relocatable), but each database may have another one, and it may be
 * dropped and created anew elsewhere while a process lives.  So nothing is kept
 * here: both look-ups go through the catalogs.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/schema.h"

Oid
wa_schema_of_call(FunctionCallInfo fcinfo)
{
	if (fcinfo->flinfo == NULL || !OidIsValid(fcinfo->flinfo->fn_oid))
		return wa_schema_and_version(NULL, 0);
	return get_func_namespace(fcinfo->flinfo->fn_oid);
}

/*
 * get_extension_oid() and a look-up of the schema would be two scans, and the
 * latter is not exported before PostgreSQL 16; this is one.
 */
Oid
wa_schema_and_version(char *version, size_t size)
{
	Relation rel;
	SysScanDesc scan;
	HeapTuple tuple;
	ScanKeyData key[1];
	Oid schema = InvalidOid;

	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyInit(&key[0], Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("whatsapp_shared"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool isnull;
		Datum value =
			heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(rel), &isnull);

		schema = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
		if (size > 0)
			strlcpy(version, isnull ? "" : text_to_cstring(DatumGetTextPP(value)), size);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	return schema;
}

char *
wa_schema_quoted(Oid schema)
{
	char *name = get_namespace_name(schema);

	if (name == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_SCHEMA),
						errmsg("schema with OID %u does not exist", schema)));
	return pstrdup(quote_identifier(name));
}
