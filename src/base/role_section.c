/*
 * role_section.c
 *	  A section of code that runs as another role.
 *
 * Everything that this extension does for somebody who may not do it himself
 * goes through here: our own statements as the owner of our tables
 * (base/owner.c), expressions of notifications and handlers of replies as the
 * role that registered them.  What must not happen is that code which somebody
 * else has chosen runs as that role.  There are four ways it could.
 *
 * 1. By name.  An unqualified function, type or operator (and a bare "=" is
 *    one) is looked up on the search_path, also when a kept plan is made
 *    again.  So the path is set for the section: to a constant for our own
 *    statements, to the registrant's for registered code.  It is set as a
 *    setting and not by overriding the active path, since a trigger function
 *    with a SET clause of its own could not set it under an override.  A plan
 *    kept under one constant path is also made once only.
 *
 * 2. By being pending.  Deferred triggers run as whoever happens to be in
 *    force when they are fired, and SET CONSTRAINTS fires them.  Nothing else
 *    but the end of the transaction does, so our own statements cannot; before
 *    code of others runs, wa_role_settle_deferred() has fired all of them, and
 *    in a restricted section none can be added ("cannot fire deferred trigger
 *    within security-restricted operation").
 *
 * 3. By being left behind.  A cursor, a prepared statement or a temporary
 *    table that code of others leaves in the session is met by what runs later
 *    as another role.  A restricted section cannot leave any; nor can it SET
 *    ROLE, which LOCAL_USERID_CHANGE forbids in every section.
 *
 * 4. By not being undone.  At the end of a section, role, path and SPI are put
 *    back in the reverse order.  If an error leaves it, they are put back by the
 *    abort of the innermost (sub)transaction that was open when it began: that
 *    restores the role and the security context it was begun with, and all
 *    settings of deeper nest levels, and closes SPI connections.  A function
 *    cannot catch an error without such an abort; core's own PG_TRY blocks
 *    throw it on.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/guc.h"

#include "base/role_section.h"

void
wa_role_section_begin(WaRoleSection *section, Oid role, WaRoleTrust trust, const char *search_path)
{
	int flags = SECURITY_LOCAL_USERID_CHANGE;

	if (trust == WA_ROLE_RESTRICTED)
		flags |= SECURITY_RESTRICTED_OPERATION;
	GetUserIdAndSecContext(&section->save_userid, &section->save_sec_context);
	section->guc_level = NewGUCNestLevel();
	SetUserIdAndSecContext(role, section->save_sec_context | flags);
	(void) set_config_option("search_path", search_path, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

void
wa_role_section_end(WaRoleSection *section)
{
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	AtEOXact_GUC(false, section->guc_level);
	SetUserIdAndSecContext(section->save_userid, section->save_sec_context);
}

/*
 * The outer user is the one outside of all SECURITY DEFINER functions, whose
 * owners must not run the triggers of their callers, either.
 */
void
wa_role_settle_deferred(void)
{
	ConstraintsSetStmt *all_immediate = makeNode(ConstraintsSetStmt);
	Oid userid;
	int sec_context;

	GetUserIdAndSecContext(&userid, &sec_context);
	SetUserIdAndSecContext(GetOuterUserId(), sec_context | SECURITY_LOCAL_USERID_CHANGE);
	AfterTriggerSetState(all_immediate);
	SetUserIdAndSecContext(userid, sec_context);
}
