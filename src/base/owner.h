/*
 * owner.h
 *	  A section of code that runs SQL as the owner of our tables.
 */
#ifndef WA_BASE_OWNER_H
#define WA_BASE_OWNER_H

#include "fmgr.h"

typedef struct WaOwner
{
	Oid schema;

	/* private to base/owner.c */
	Oid save_userid;
	int save_sec_context;
} WaOwner;

/*
 * Connects to SPI as the owner of the tables in the schema of the function
 * called.  If an error leaves the section, the abort of the (sub)transaction
 * undoes both.  No code of the caller's choosing may run in it.
 */
extern void wa_owner_begin(WaOwner *owner, FunctionCallInfo fcinfo);
extern void wa_owner_end(WaOwner *owner);

#endif
