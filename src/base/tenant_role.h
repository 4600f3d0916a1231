/*
 * tenant_role.h
 *	  Roles that are bound to one tenant.
 */
#ifndef WA_BASE_TENANT_ROLE_H
#define WA_BASE_TENANT_ROLE_H

/*
 * The tenant that this session is bound to, or NULL: by the role that is in force, by
 * the one that was SET, or by the one that has logged in.  Raises an error if they are
 * bound to different ones.  "schema" is the extension's.
 */
extern text *wa_tenant_role_bound(Oid schema);

/*
 * Raises an error if the session, or the given role, is bound to another tenant.
 * For what is done for a tenant; costs next to nothing for roles without the
 * privilege "tenant".
 */
extern void wa_tenant_role_check(Oid schema, text *tenant);
/* With what wa_tenant_role_bound() has returned before the role in force was another one. */
extern void wa_tenant_role_check_bound(text *bound, text *tenant);
extern void wa_tenant_role_check_as(Oid schema, Oid role, text *tenant);

#endif
