/*
 * registration.c
 *	  Whose rights registered code runs with.
 *
 * A handler of replies, or the expressions of a notification, are registered
 * once and run later, in transactions of others.  Two roles can decide what then
 * runs: the one that registered it, and the one that owns the function, which
 * can replace its body, or the table, which can give a column a type whose
 * casts and constraints are functions of its own.  If it ran as the registrant, the
 * owner could do what the registrant may.  If it ran as the owner, the
 * registrant could do what the owner may.  So it runs as the one whose rights the
 * other has as well; and if neither has the other's, it does not run.  A superuser
 * who registers something of somebody else's thereby gives nothing away.
 *
 * A SECURITY DEFINER function is its owner's in any case.  The owner meant everybody
 * to run it as the owner who may call it, and must not have more.
 *
 * Neither a name nor an OID alone says which role it was.  A role can be dropped
 * and another one created with its name; and OIDs of a dump mean nothing in
 * another cluster.  Both are recorded, and both must fit.  A trigger on the
 * tables finds the OIDs of the names that are written or restored, so a
 * registration survives a restore if the roles are there before, as pg_dumpall
 * and every guide have it; else it must be registered again.  So must it after a role
 * was renamed.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "base/registration.h"

PG_FUNCTION_INFO_V1(wa_internal_registration_state);

static bool
is_same_role(const char *name, Oid oid)
{
	return OidIsValid(oid) && get_role_oid(name, true) == oid;
}

/* InvalidOid: nobody may run it. */
static Oid
least_role(Oid registrant, WaRegisteredCode code, Oid owner)
{
	if (code == WA_CODE_OF_DEFINER || has_privs_of_role(registrant, owner))
		return owner;
	if (code == WA_CODE_OF_FUNCTION && has_privs_of_role(owner, registrant))
		return registrant;
	return InvalidOid;
}

WaRegistrationState
wa_registration_check(const WaRegistration *registration, WaRegisteredCode code, Oid owner_now,
					  Oid *runs_as)
{
	*runs_as = InvalidOid;
	if (!OidIsValid(get_role_oid(registration->registrant, true)))
		return WA_REGISTRATION_ROLE_GONE;
	if (!is_same_role(registration->registrant, registration->registrant_oid))
		return WA_REGISTRATION_ROLE_REPLACED;
	*runs_as = least_role(registration->registrant_oid, code, owner_now);
	if (!OidIsValid(*runs_as))
		return WA_REGISTRATION_NO_MEMBER;
	if (owner_now != registration->owner_oid ||
		!is_same_role(registration->owner, registration->owner_oid))
		return WA_REGISTRATION_OWNER_CHANGED;
	return WA_REGISTRATION_VALID;
}

/*
 * wa_internal_registration_state(registered_by, registered_by_oid, owner,
 * owner_oid, owner_now, definer)
 *
 * For what people read.  NULL: valid.  "definer" is NULL for a table.
 */
Datum
wa_internal_registration_state(PG_FUNCTION_ARGS)
{
	static const char *const words[] = {[WA_REGISTRATION_ROLE_GONE] = "role gone",
										[WA_REGISTRATION_ROLE_REPLACED] = "role replaced",
										[WA_REGISTRATION_NO_MEMBER] = "roles without common rights",
										[WA_REGISTRATION_OWNER_CHANGED] = "owner changed"};
	WaRegistration registration;
	WaRegisteredCode code = WA_CODE_OF_TABLE;
	WaRegistrationState state;
	Oid runs_as;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(2) || PG_ARGISNULL(4))
		PG_RETURN_NULL();
	registration.registrant = NameStr(*PG_GETARG_NAME(0));
	registration.registrant_oid = PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1);
	registration.owner = NameStr(*PG_GETARG_NAME(2));
	registration.owner_oid = PG_ARGISNULL(3) ? InvalidOid : PG_GETARG_OID(3);
	if (!PG_ARGISNULL(5))
		code = PG_GETARG_BOOL(5) ? WA_CODE_OF_DEFINER : WA_CODE_OF_FUNCTION;
	state = wa_registration_check(&registration, code, PG_GETARG_OID(4), &runs_as);
	if (state == WA_REGISTRATION_VALID)
		PG_RETURN_NULL();
	if (state == WA_REGISTRATION_NO_MEMBER && code == WA_CODE_OF_TABLE)
		PG_RETURN_TEXT_P(cstring_to_text("role does not own the table"));
	PG_RETURN_TEXT_P(cstring_to_text(words[state]));
}
