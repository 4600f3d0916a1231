/*
 * tenant_role.c
 *	  Roles that are bound to one tenant.
 *
 * wa_grant(role, 'tenant') confines a role to the tenant that its session names in
 * whatsapp_shared.tenant.  That protects an application from its own mistakes; a
 * pooler may hand the setting on to the next client.  wa_grant(role, 'tenant',
 * tenant_id) binds the role instead, and the setting is not looked at.
 *
 * A session cannot leave its tenant.  The binding of the role that has logged in holds
 * after SET ROLE, that of a role which was SET holds in SECURITY DEFINER functions, and
 * all of them must be to the same tenant.  So does membership bind: a role that
 * inherits the rights of a bound one, and has no binding of its own, is bound as
 * well.  Superusers never are.
 *
 * A binding takes rights away, and therefore holds for the role of its name as well as
 * for the one of its OID (base/registration.c is the opposite case: there both must
 * fit).
 *
 * Reads the table without SQL, since policies ask here, also in parallel workers.
 * Roles that do not hold the mark of wa_grant(…, 'tenant') are told by that alone.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/lookup.h"
#include "base/quote.h"
#include "base/schema.h"
#include "base/tenant_role.h"

PG_FUNCTION_INFO_V1(wa_internal_own_tenant);
PG_FUNCTION_INFO_V1(wa_internal_sees_every_tenant);
PG_FUNCTION_INFO_V1(wa_internal_bound_tenant);
PG_FUNCTION_INFO_V1(wa_internal_check_own_tenant);

enum
{
	BOUND_ROLE,
	BOUND_OID,
	BOUND_TENANT,
	BOUND_COLUMNS
};

static WaLookup by_name = {.table = "whatsapp_tenant_roles",
						   .index = "whatsapp_tenant_roles_pkey",
						   .nkeys = 1,
						   .ncolumns = BOUND_COLUMNS,
						   .columns = {"role", "role_oid", "tenant_id"}};
static WaLookup all_bindings = {.table = "whatsapp_tenant_roles",
								.index = "whatsapp_tenant_roles_pkey",
								.nkeys = 0,
								.ncolumns = BOUND_COLUMNS,
								.columns = {"role", "role_oid", "tenant_id"}};

static bool
has_mark(Oid schema, Oid role)
{
	Oid mark = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
							   CStringGetDatum("wa_internal_tenant_role"),
							   PointerGetDatum(buildoidvector(NULL, 0)), ObjectIdGetDatum(schema));

	if (!OidIsValid(mark))
		elog(ERROR, "function wa_internal_tenant_role is missing");
	return DatumGetBool(DirectFunctionCall3(has_function_privilege_id_id, ObjectIdGetDatum(role),
											ObjectIdGetDatum(mark),
											CStringGetTextDatum("EXECUTE")));
}

/* As a set that can have one element. */
static void
add_tenant(text **tenant, const WaLookupRow *row)
{
	text *another = DatumGetTextPP(row->values[BOUND_TENANT]);

	if (*tenant != NULL && strcmp(text_to_cstring(*tenant), text_to_cstring(another)) != 0)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("the roles of this session are bound to different tenants"),
						errdetail("One is bound to tenant \"%s\", another to \"%s\".",
								  wa_quote_text(*tenant), wa_quote_text(another)),
						errhint("A role and those that it is a member of can be bound to one "
								"tenant only; wa_revoke(role, 'tenant') ends a binding.")));
	*tenant = another;
}

static Oid
bound_oid(const WaLookupRow *row)
{
	return row->nulls[BOUND_OID] ? InvalidOid : DatumGetObjectId(row->values[BOUND_OID]);
}

/* Whether the binding is the role's, or of one whose rights it inherits. */
static bool
binds(const WaLookupRow *row, Oid role, const char *name)
{
	Oid oid = bound_oid(row);

	return strcmp(TextDatumGetCString(row->values[BOUND_ROLE]), name) == 0 ||
		   (OidIsValid(oid) && has_privs_of_role(role, oid));
}

static void
add_tenant_of_role(Oid schema, Oid role, text **tenant)
{
	const char *name;
	const WaLookupRow *own;
	Snapshot snapshot;
	Datum key;
	ListCell *lc;

	if (superuser_arg(role) || !has_mark(schema, role))
		return;
	name = GetUserNameFromId(role, false);
	key = CStringGetTextDatum(name);
	/*
	 * What is committed now: a binding is in force at once, also for long
	 * transactions.  A parallel query has one snapshot.
	 */
	snapshot = RegisterSnapshot(IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot());
	own = wa_lookup_one(&by_name, schema, &key, snapshot);
	if (own != NULL && bound_oid(own) == role)
		add_tenant(tenant, own);
	else
	{
		foreach (lc, wa_lookup_all(&all_bindings, schema, NULL, snapshot))
		{
			if (binds(lfirst(lc), role, name))
				add_tenant(tenant, lfirst(lc));
		}
	}
	UnregisterSnapshot(snapshot);
}

text *
wa_tenant_role_bound(Oid schema)
{
	Oid role = GetUserId();
	Oid outer = GetOuterUserId();
	Oid session = GetSessionUserId();
	text *tenant = NULL;

	add_tenant_of_role(schema, role, &tenant);
	if (outer != role)
		add_tenant_of_role(schema, outer, &tenant);
	if (session != role && session != outer)
		add_tenant_of_role(schema, session, &tenant);
	return tenant;
}

void
wa_tenant_role_check_bound(text *bound, text *tenant)
{
	if (bound != NULL && strcmp(text_to_cstring(bound), text_to_cstring(tenant)) != 0)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied for tenant \"%s\"", wa_quote_text(tenant)),
						errdetail("The role is bound to tenant \"%s\".", wa_quote_text(bound))));
}

void
wa_tenant_role_check(Oid schema, text *tenant)
{
	wa_tenant_role_check_bound(wa_tenant_role_bound(schema), tenant);
}

void
wa_tenant_role_check_as(Oid schema, Oid role, text *tenant)
{
	text *bound = NULL;

	add_tenant_of_role(schema, role, &bound);
	wa_tenant_role_check_bound(bound, tenant);
}

/* ---- for policies, and functions in SQL ---- */

/*
 * wa_internal_own_tenant()
 */
Datum
wa_internal_own_tenant(PG_FUNCTION_ARGS)
{
	text *bound = wa_tenant_role_bound(wa_schema_of_call(fcinfo));
	const char *setting = GetConfigOption("whatsapp_shared.tenant", true, false);

	if (bound != NULL)
		PG_RETURN_TEXT_P(bound);
	if (setting == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(setting));
}

/*
 * wa_internal_bound_tenant(), for SECURITY DEFINER functions: whom the caller is bound to.
 */
Datum
wa_internal_bound_tenant(PG_FUNCTION_ARGS)
{
	text *bound = wa_tenant_role_bound(wa_schema_of_call(fcinfo));

	if (bound == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(bound);
}

/*
 * wa_internal_sees_every_tenant()
 */
Datum
wa_internal_sees_every_tenant(PG_FUNCTION_ARGS)
{
	Oid schema = wa_schema_of_call(fcinfo);

	PG_RETURN_BOOL(!has_mark(schema, GetUserId()) && wa_tenant_role_bound(schema) == NULL);
}

/*
 * wa_internal_check_own_tenant(tenant)
 */
Datum
wa_internal_check_own_tenant(PG_FUNCTION_ARGS)
{
	wa_tenant_role_check(wa_schema_of_call(fcinfo), PG_GETARG_TEXT_PP(0));
	PG_RETURN_VOID();
}
