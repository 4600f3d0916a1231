/*
 * owner.h
 *	  A section of code that runs SQL as the owner of our tables.
 */
#ifndef WA_BASE_OWNER_H
#define WA_BASE_OWNER_H

#include "fmgr.h"

#include "base/role_section.h"

typedef struct WaOwner
{
	Oid schema;
	WaRoleSection section; /* private to base/owner.c */
} WaOwner;

/* Whom our tables in this schema belong to; InvalidOid: they do not exist (yet). */
extern Oid wa_owner_of_tables(Oid schema);

/*
 * Connects to SPI as the owner of the tables in the schema of the function
 * called, with search_path pinned; for errors see base/role_section.h.  No code
 * of the caller's choosing may run in it.
 *
 * wa_owner_begin() is for statements that write messages, on which the owner may
 * have triggers; wa_owner_begin_restricted() is for all others.
 */
extern void wa_owner_begin(WaOwner *owner, FunctionCallInfo fcinfo);
extern void wa_owner_begin_restricted(WaOwner *owner, FunctionCallInfo fcinfo);
extern void wa_owner_end(WaOwner *owner);

#endif
