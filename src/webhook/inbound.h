/*
 * inbound.h
 *	  Messages from customers.
 */
#ifndef WA_WEBHOOK_INBOUND_H
#define WA_WEBHOOK_INBOUND_H

#include "webhook/webhook.h"

/* Takes one item of messages[] into the list, or rejects it. */
extern void wa_webhook_read_message(WaWebhook *webhook, uint32 item, const char *phone_number_id);

/* What the list has: the place of a wamid, and who wrote (with +; either may be NULL). */
extern const char **wa_webhook_inbound_wamid(WaWebhook *webhook, int i);
extern void wa_webhook_inbound_sender(const WaWebhook *webhook, int i, const char **phone,
									  const char **user_id);

/* Writes the list, and notes the replies that are new, for their handlers. */
extern void wa_webhook_store_inbound(WaWebhook *webhook);

#endif
