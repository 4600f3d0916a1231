/*
 * store_wamid.h
 *	  Meta's ids of accepted messages, by which replies and statuses find them.
 */
#ifndef WA_STORE_WAMID_H
#define WA_STORE_WAMID_H

#include "store_settle.h"

/* Notes them; needs a transaction, and raises on failure. */
extern void wa_store_wamids(const WaAccepted *accepted, int n);

#endif
