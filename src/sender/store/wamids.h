/*
 * wamids.h
 *	  Meta's ids of accepted messages, by which replies and statuses find them.
 */
#ifndef WA_SENDER_STORE_WAMIDS_H
#define WA_SENDER_STORE_WAMIDS_H

#include "sender/store/dispositions.h"

/* Notes them; needs a transaction, and raises on failure. */
extern void wa_store_wamids(const WaAccepted *accepted, int n);

#endif
