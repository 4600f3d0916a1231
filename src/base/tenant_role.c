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
PG_FUNCTION_INFO_V1(wa_internal_may_be_tenant);

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

/* What the roles of a session are bound to; two different ones contradict each other. */
typedef struct Bound
{
	text *tenant;  /* or NULL */
	text *another; /* or NULL */
} Bound;

static bool
is_same(const text *a, const text *b)
{
	return strcmp(text_to_cstring(a), text_to_cstring(b)) == 0;
}

static void
add_tenant(Bound *bound, const WaLookupRow *row)
{
	text *tenant = DatumGetTextPP(row->values[BOUND_TENANT]);

	if (bound->tenant == NULL)
		bound->tenant = tenant;
	else if (!is_same(bound->tenant, tenant))
		bound->another = tenant;
}

/* The one tenant, or NULL. */
static text *
only_tenant(const Bound *bound)
{
	if (bound->another != NULL)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("the roles of this session are bound to different tenants"),
						errdetail("One is bound to tenant \"%s\", another to \"%s\".",
								  wa_quote_text(bound->tenant), wa_quote_text(bound->another)),
						errhint("A role and those that it is a member of can be bound to one "
								"tenant only; wa_revoke(role, 'tenant') ends a binding.")));
	return bound->tenant;
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
add_tenant_of_role(Oid schema, Oid role, Bound *bound)
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
		add_tenant(bound, own);
	else
	{
		foreach (lc, wa_lookup_all(&all_bindings, schema, NULL, snapshot))
		{
			if (binds(lfirst(lc), role, name))
				add_tenant(bound, lfirst(lc));
		}
	}
	UnregisterSnapshot(snapshot);
}

static void
add_tenants_of_session(Oid schema, Bound *bound)
{
	Oid role = GetUserId();
	Oid outer = GetOuterUserId();
	Oid session = GetSessionUserId();

	add_tenant_of_role(schema, role, bound);
	if (outer != role)
		add_tenant_of_role(schema, outer, bound);
	if (session != role && session != outer)
		add_tenant_of_role(schema, session, bound);
}

text *
wa_tenant_role_bound(Oid schema)
{
	Bound bound = {0};

	add_tenants_of_session(schema, &bound);
	return only_tenant(&bound);
}

void
wa_tenant_role_check_bound(text *bound, text *tenant)
{
	if (bound != NULL && !is_same(bound, tenant))
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
	Bound bound = {0};

	add_tenant_of_role(schema, role, &bound);
	wa_tenant_role_check_bound(only_tenant(&bound), tenant);
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

/*
 * wa_internal_may_be_tenant(tenant): false where that would be an error, of whatever kind.
 */
Datum
wa_internal_may_be_tenant(PG_FUNCTION_ARGS)
{
	Bound bound = {0};

	add_tenants_of_session(wa_schema_of_call(fcinfo), &bound);
	PG_RETURN_BOOL(bound.another == NULL &&
				   (bound.tenant == NULL || is_same(bound.tenant, PG_GETARG_TEXT_PP(0))));
}
