/*
 * forward.h
 *	  What belongs to other nodes.
 */
#ifndef WA_WEBHOOK_FORWARD_H
#define WA_WEBHOOK_FORWARD_H

#include "webhook/webhook.h"

/*
 * Notes a change for the nodes that it concerns.  True: it does not concern us.  Raises
 * an error that a repetition cures if one of them has too much waiting already.
 */
extern bool wa_webhook_forward(WaWebhook *webhook, uint32 entry, uint32 change, uint32 value);

/* Writes what was noted, and tells the sender. */
extern void wa_webhook_store_forwards(WaWebhook *webhook);

#endif
