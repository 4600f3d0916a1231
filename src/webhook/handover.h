/*
 * handover.h
 *	  Who has a customer's conversation: this application, or another one.
 */
#ifndef WA_WEBHOOK_HANDOVER_H
#define WA_WEBHOOK_HANDOVER_H

#include "webhook/webhook.h"

/* The field "messaging_handovers". */
extern void wa_webhook_read_handover(WaWebhook *webhook, uint32 entry, uint32 value);

extern void wa_webhook_store_handovers(WaWebhook *webhook);

#endif
