/*
 * ownership.h
 *	  Whether our schema and objects are still nobody else's.
 */
#ifndef WA_BASE_OWNERSHIP_H
#define WA_BASE_OWNERSHIP_H

#include "postgres_ext.h"

/* What is wrong, and what to do about it; palloc'd. */
typedef struct WaOwnershipFlaw
{
	char *problem;
	char *remedy;
} WaOwnershipFlaw;

/*
 * The worst flaw of the extension in this schema, in the current memory context,
 * or NULL.  Needs a transaction with a snapshot; an SPI connection does not
 * matter.  Reads the catalogs only: none of our own objects is called, so that the
 * answer does not depend on them.
 *
 * Costs several milliseconds (and nothing while all is as it was at the last call
 * in this process that returned NULL).  Other sessions' changes count from the
 * beginning of a transaction on.
 */
extern WaOwnershipFlaw *wa_ownership_flaw(Oid schema);

/* Makes the next call look in any case. */
extern void wa_ownership_look_again(void);

#endif
