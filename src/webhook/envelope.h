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

/*
 * The same for a part of one that was parked: webhook->json is the item, "what" its
 * whatsapp_parked_events.kind.
 */
extern void wa_webhook_read_again(WaWebhook *webhook, const char *what,
								  const char *phone_number_id);

#endif
