/*
 * ownership.c
 *	  Whether our schema and objects are still nobody else's.
 *
 * What runs with the rights of the owner of our tables (the senders, and all
 * sections of base/owner.c) names our objects by schema and name.  Whoever can
 * put an object of his own under such a name, or hang code of his own on one of
 * our tables, has these rights.  Nobody can by himself: it takes a schema that
 * belongs to him or that he may create in, an object of ours that belongs to
 * him, or the right to create triggers on a table of ours.  All of that is in
 * the catalogs, so it is looked for there: by the script before it creates
 * anything, by each sender before it runs our first statement and whenever
 * something may have changed, and by wa_health().
 *
 * Trusted are superusers, the owner of our tables, and the database's owner
 * where he is one of these: he has all rights of pg_database_owner, to whom the
 * schema "public" belongs.
 *
 * Once all is well, only trusted roles can change that: the schema of a
 * superuser is renamed, and rights on it are granted, by superusers.  So between
 * the look and the use of a name nobody else can come, and another look is needed
 * only when something has changed, of which invalidation messages tell.  What has been left behind
 * by somebody who once had such a right is looked for, too: an overload of a
 * function of ours, which could be chosen in its place, and triggers, rules,
 * policies, constraints, defaults and indexes that call functions or operators of
 * others.  A function with SECURITY DEFINER may be a trigger's, whoever owns it,
 * because it runs as its owner.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "base/owner.h"
#include "base/ownership.h"
#include "base/role_section.h"
#include "base/schema.h"
#include "base/statement.h"

PG_FUNCTION_INFO_V1(wa_internal_ownership_flaw);
PG_FUNCTION_INFO_V1(wa_internal_owner_to_be);

/* The role that gets our objects if the administrator has created it. */
#define OWNER_ROLE "whatsapp"

/*
 * $1: the schema; $2: the owner of our tables.  The worst comes first.
 */
static WaStatement flaw_statement = {
	.sql =
		"WITH trusted (role) AS ("
		" SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolsuper OR r.oid "
		"OPERATOR(pg_catalog.=) $2"
		" UNION ALL"
		" SELECT o.oid FROM pg_catalog.pg_roles AS o, pg_catalog.pg_database AS d JOIN "
		"pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) d.datdba"
		" WHERE o.rolname OPERATOR(pg_catalog.=) 'pg_database_owner'::pg_catalog.name AND "
		"d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()"
		" AND (r.rolsuper OR r.oid OPERATOR(pg_catalog.=) $2)),"

		" member AS ("
		" SELECT d.classid, d.objid FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_depend AS "
		"d"
		" ON d.refclassid OPERATOR(pg_catalog.=) e.tableoid AND d.refobjid OPERATOR(pg_catalog.=) "
		"e.oid AND d.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog.\"char\""
		" WHERE e.extname OPERATOR(pg_catalog.=) 'whatsapp_shared'::pg_catalog.name),"

		" owned (classid, objid, owner) AS ("
		" SELECT m.classid, m.objid, p.proowner"
		" FROM member AS m JOIN pg_catalog.pg_proc AS p ON p.tableoid OPERATOR(pg_catalog.=) "
		"m.classid AND p.oid OPERATOR(pg_catalog.=) m.objid"
		" UNION ALL"
		" SELECT m.classid, m.objid, c.relowner"
		" FROM member AS m JOIN pg_catalog.pg_class AS c ON c.tableoid OPERATOR(pg_catalog.=) "
		"m.classid AND c.oid OPERATOR(pg_catalog.=) m.objid"
		" UNION ALL"
		" SELECT m.classid, m.objid, t.typowner"
		" FROM member AS m JOIN pg_catalog.pg_type AS t ON t.tableoid OPERATOR(pg_catalog.=) "
		"m.classid AND t.oid OPERATOR(pg_catalog.=) m.objid"
		/* Newer versions list row types and arrays, too: they are their table's or element's. */
		" WHERE t.typrelid OPERATOR(pg_catalog.=) 0::pg_catalog.oid AND t.typelem "
		"OPERATOR(pg_catalog.=) 0::pg_catalog.oid),"

		/* What runs when a table is written or read, and what it calls. */
		" attached (classid, objid, relid) AS ("
		" SELECT t.tableoid, t.oid, t.tgrelid FROM pg_catalog.pg_trigger AS t WHERE NOT "
		"t.tgisinternal"
		" UNION ALL SELECT r.tableoid, r.oid, r.ev_class FROM pg_catalog.pg_rewrite AS r"
		" UNION ALL SELECT p.tableoid, p.oid, p.polrelid FROM pg_catalog.pg_policy AS p"
		" UNION ALL SELECT c.tableoid, c.oid, c.conrelid FROM pg_catalog.pg_constraint AS c"
		" UNION ALL SELECT a.tableoid, a.oid, a.adrelid FROM pg_catalog.pg_attrdef AS a"
		" UNION ALL SELECT c.tableoid, c.oid, i.indrelid"
		" FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid "
		"OPERATOR(pg_catalog.=) i.indexrelid),"
		" called (classid, objid, owner, definer) AS ("
		" SELECT p.tableoid, p.oid, p.proowner, p.prosecdef FROM pg_catalog.pg_proc AS p"
		" UNION ALL SELECT o.tableoid, o.oid, o.oprowner, false FROM pg_catalog.pg_operator AS o),"

		/* How messages name a grantee, and how REVOKE does. */
		" grantee (role, name, sql) AS ("
		" SELECT 0::pg_catalog.oid, 'everybody', 'PUBLIC'"
		" UNION ALL SELECT r.oid, pg_catalog.format('role %s', r.oid::pg_catalog.regrole), "
		"r.oid::pg_catalog.regrole::pg_catalog.text"
		" FROM pg_catalog.pg_roles AS r WHERE r.oid OPERATOR(pg_catalog.<>) ALL (SELECT t.role "
		"FROM trusted AS t)),"

		" flaw (rank, problem, remedy) AS ("
		" SELECT 1, pg_catalog.format('schema %I belongs to role %s', n.nspname, "
		"n.nspowner::pg_catalog.regrole),"
		" pg_catalog.format('ALTER SCHEMA %I OWNER TO %s;', n.nspname, $2::pg_catalog.regrole)"
		" FROM pg_catalog.pg_namespace AS n"
		" WHERE n.oid OPERATOR(pg_catalog.=) $1 AND n.nspowner OPERATOR(pg_catalog.<>) ALL (SELECT "
		"t.role FROM trusted AS t)"

		" UNION ALL"
		" SELECT 2, pg_catalog.format('%s may create objects in schema %I', g.name, n.nspname),"
		" pg_catalog.format('REVOKE CREATE ON SCHEMA %I FROM %s;', n.nspname, g.sql)"
		" FROM pg_catalog.pg_namespace AS n, pg_catalog.aclexplode(n.nspacl) AS a JOIN grantee AS "
		"g ON g.role OPERATOR(pg_catalog.=) a.grantee"
		" WHERE n.oid OPERATOR(pg_catalog.=) $1 AND a.privilege_type OPERATOR(pg_catalog.=) "
		"'CREATE'::pg_catalog.text AND a.grantee OPERATOR(pg_catalog.<>) n.nspowner"

		" UNION ALL"
		" SELECT 3, pg_catalog.format('%s belongs to role %s', "
		"pg_catalog.pg_describe_object(o.classid, o.objid, 0),"
		" o.owner::pg_catalog.regrole), pg_catalog.format('Make role %s its owner.', "
		"$2::pg_catalog.regrole)"
		" FROM owned AS o WHERE o.owner OPERATOR(pg_catalog.<>) ALL (SELECT t.role FROM trusted AS "
		"t)"

		" UNION ALL"
		" SELECT 4, pg_catalog.format('function %s has the name of one of the extension''s', "
		"x.oid::pg_catalog.regprocedure),"
		" pg_catalog.format('DROP FUNCTION %s;', x.oid::pg_catalog.regprocedure)"
		" FROM (SELECT DISTINCT p.proname FROM member AS m"
		" JOIN pg_catalog.pg_proc AS p ON p.tableoid OPERATOR(pg_catalog.=) m.classid AND p.oid "
		"OPERATOR(pg_catalog.=) m.objid) AS f"
		" JOIN pg_catalog.pg_proc AS x ON x.proname OPERATOR(pg_catalog.=) f.proname AND "
		"x.pronamespace OPERATOR(pg_catalog.=) $1"
		" AND NOT EXISTS (SELECT FROM member AS m WHERE m.classid OPERATOR(pg_catalog.=) "
		"x.tableoid AND m.objid OPERATOR(pg_catalog.=) x.oid)"
		" AND (pg_catalog.starts_with(x.proname::pg_catalog.text, 'wa_internal_'::pg_catalog.text)"
		" OR x.proowner OPERATOR(pg_catalog.<>) ALL (SELECT t.role FROM trusted AS t))"

		" UNION ALL"
		" SELECT 5, pg_catalog.format('%s may create triggers on table %s', g.name, "
		"c.oid::pg_catalog.regclass),"
		" pg_catalog.format('REVOKE TRIGGER ON %s FROM %s;', c.oid::pg_catalog.regclass, g.sql)"
		" FROM member AS m JOIN pg_catalog.pg_class AS c ON c.tableoid OPERATOR(pg_catalog.=) "
		"m.classid AND c.oid OPERATOR(pg_catalog.=) m.objid,"
		" pg_catalog.aclexplode(c.relacl) AS a JOIN grantee AS g ON g.role OPERATOR(pg_catalog.=) "
		"a.grantee"
		" WHERE a.privilege_type OPERATOR(pg_catalog.=) 'TRIGGER'::pg_catalog.text AND a.grantee "
		"OPERATOR(pg_catalog.<>) c.relowner"

		" UNION ALL"
		" SELECT 6, pg_catalog.format('%s calls %s, which belongs to role %s',"
		" pg_catalog.pg_describe_object(h.classid, h.objid, 0), "
		"pg_catalog.pg_describe_object(c.classid, c.objid, 0),"
		" c.owner::pg_catalog.regrole),"
		" pg_catalog.format('Drop it, or make role %s the owner of what it calls.', "
		"$2::pg_catalog.regrole)"
		" FROM member AS m"
		" JOIN attached AS h ON m.classid OPERATOR(pg_catalog.=) 'pg_class'::pg_catalog.regclass "
		"AND h.relid OPERATOR(pg_catalog.=) m.objid"
		" JOIN pg_catalog.pg_depend AS d ON d.classid OPERATOR(pg_catalog.=) h.classid AND d.objid "
		"OPERATOR(pg_catalog.=) h.objid"
		" JOIN called AS c ON c.classid OPERATOR(pg_catalog.=) d.refclassid AND c.objid "
		"OPERATOR(pg_catalog.=) d.refobjid"
		" WHERE c.owner OPERATOR(pg_catalog.<>) ALL (SELECT t.role FROM trusted AS t)"
		" AND NOT (c.definer AND EXISTS (SELECT FROM pg_catalog.pg_trigger AS t"
		" WHERE t.tableoid OPERATOR(pg_catalog.=) h.classid AND t.oid OPERATOR(pg_catalog.=) "
		"h.objid AND t.tgfoid OPERATOR(pg_catalog.=) c.objid)))"

		" SELECT f.problem, f.remedy FROM flaw AS f ORDER BY f.rank, f.problem LIMIT 1",
	.nargs = 2,
	.argtypes = {OIDOID, OIDOID},
	.expected = SPI_OK_SELECT};

/* ---- whose the objects are, or will be ---- */

/*
 * The role to which our objects are given: the one made for it, and if there is
 * none, whoever creates the extension.  A role of that name that can log in is
 * somebody's, and was not made for it.
 */
static Oid
owner_to_be(void)
{
	HeapTuple tuple = SearchSysCache1(AUTHNAME, CStringGetDatum(OWNER_ROLE));
	Oid owner = GetUserId();

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_authid role = (Form_pg_authid) GETSTRUCT(tuple);

		if (!role->rolcanlogin)
			owner = role->oid;
		ReleaseSysCache(tuple);
	}
	return owner;
}

/* While the script has not created the tables yet, the role that will own them. */
static Oid
present_owner(Oid schema)
{
	Oid owner = wa_owner_of_tables(schema);

	return OidIsValid(owner) ? owner : owner_to_be();
}

/* ---- when to look again ---- */

/*
 * Counts what this process has heard of, and how much of that has been found
 * harmless, for which schema.
 */
static uint64 changes = 1;
static uint64 changes_seen = 0;
static Oid schema_seen = InvalidOid;

/* Our tables, sorted: what hangs on them, and rights on them, may change. */
static Oid *tables = NULL;
static int n_tables = 0;

static WaStatement tables_statement = {
	.sql =
		"SELECT d.objid FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_depend AS d"
		" ON d.refclassid OPERATOR(pg_catalog.=) e.tableoid AND d.refobjid OPERATOR(pg_catalog.=) "
		"e.oid AND d.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog.\"char\""
		" WHERE e.extname OPERATOR(pg_catalog.=) 'whatsapp_shared'::pg_catalog.name AND d.classid "
		"OPERATOR(pg_catalog.=) 'pg_class'::pg_catalog.regclass"
		" ORDER BY d.objid",
	.expected = SPI_OK_SELECT};

/* A schema, a database, a role, a function or an operator: that is rare enough to count all. */
static void
catalog_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	changes++;
}

/* Relations change all the time, if only by vacuum: ours count. */
static void
relation_changed(Datum arg, Oid relid)
{
	if (!OidIsValid(relid) ||
		(n_tables > 0 && bsearch(&relid, tables, n_tables, sizeof(Oid), oid_cmp) != NULL))
		changes++;
}

static void
watch_catalogs(void)
{
	static const int caches[] = {NAMESPACEOID, DATABASEOID, AUTHOID, PROCOID, OPEROID};
	static bool watching = false;

	if (watching)
		return;
	for (int i = 0; i < lengthof(caches); i++)
		CacheRegisterSyscacheCallback(caches[i], catalog_changed, (Datum) 0);
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	watching = true;
}

static void
find_tables(Oid schema)
{
	WaRows rows = wa_statement_run(&tables_statement, schema, NULL, NULL);
	Oid *found = MemoryContextAlloc(TopMemoryContext, sizeof(Oid) * Max(rows.count, 1));
	Oid *old = tables;

	for (int i = 0; i < rows.count; i++)
		found[i] = (Oid) wa_rows_int(&rows, i, 1, InvalidOid);
	n_tables = (int) rows.count;
	tables = found;
	if (old != NULL)
		pfree(old);
}

void
wa_ownership_look_again(void)
{
	changes++;
}

/* ---- the check ---- */

static WaOwnershipFlaw *
look(Oid schema)
{
	MemoryContext context = CurrentMemoryContext;
	Oid owner = present_owner(schema);
	Datum values[2] = {ObjectIdGetDatum(schema), ObjectIdGetDatum(owner)};
	WaOwnershipFlaw *flaw = NULL;
	WaRoleSection section;
	WaRows rows;

	wa_role_section_begin(&section, GetUserId(), WA_ROLE_RESTRICTED, WA_PINNED_PATH);
	find_tables(schema);
	rows = wa_statement_run(&flaw_statement, schema, values, NULL);
	if (rows.count > 0)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		flaw = palloc(sizeof(WaOwnershipFlaw));
		flaw->problem = wa_rows_text(&rows, 0, 1);
		flaw->remedy = wa_rows_text(&rows, 0, 2);
		MemoryContextSwitchTo(old);
	}
	wa_role_section_end(&section);
	return flaw;
}

/*
 * What changes while we look makes us look again the next time.
 */
WaOwnershipFlaw *
wa_ownership_flaw(Oid schema)
{
	WaOwnershipFlaw *flaw;
	uint64 seen = changes;

	if (likely(seen == changes_seen && schema == schema_seen))
		return NULL;
	watch_catalogs();
	flaw = look(schema);
	if (flaw == NULL)
	{
		changes_seen = seen;
		schema_seen = schema;
	}
	return flaw;
}

Datum
wa_internal_ownership_flaw(PG_FUNCTION_ARGS)
{
	WaOwnershipFlaw *flaw = wa_ownership_flaw(wa_schema_of_call(fcinfo));
	Datum values[2] = {0};
	bool nulls[2] = {true, true};
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (flaw != NULL)
	{
		values[0] = CStringGetTextDatum(flaw->problem);
		values[1] = CStringGetTextDatum(flaw->remedy);
		memset(nulls, false, sizeof(nulls));
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * Whoever owns the tables keeps them, unless it is a superuser.
 */
Datum
wa_internal_owner_to_be(PG_FUNCTION_ARGS)
{
	Oid owner = wa_owner_of_tables(wa_schema_of_call(fcinfo));

	if (!OidIsValid(owner) || superuser_arg(owner))
		owner = owner_to_be();
	PG_RETURN_OID(owner);
}
