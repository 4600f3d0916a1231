/*
 * envelope.h
 *	  The way through a webhook's document: entries, changes, items.
 */
#ifndef WA_WEBHOOK_ENVELOPE_H
#define WA_WEBHOOK_ENVELOPE_H

#include "webhook/webhook.h"

/*
 * Reads the document webhook->json into the lists.  Writes no row and raises no
 * error for anything that Meta may send: what is not understood is rejected and stored.
 */
extern void wa_webhook_read_envelope(WaWebhook *webhook);

#endif
