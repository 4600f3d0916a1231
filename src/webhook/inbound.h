/*
 * inbound.h
 *	  Messages from customers.
 */
#ifndef WA_WEBHOOK_INBOUND_H
#define WA_WEBHOOK_INBOUND_H

#include "webhook/webhook.h"

/* Takes one item of messages[] into the list, or rejects it. */
extern void wa_webhook_read_message(WaWebhook *webhook, uint32 item, const char *phone_number_id);

/* Writes the list, and notes the replies that are new, for their handlers. */
extern void wa_webhook_store_inbound(WaWebhook *webhook);

#endif
