/*
 * preference.h
 *	  Customers who switch marketing off or on in WhatsApp itself.
 */
#ifndef WA_WEBHOOK_PREFERENCE_H
#define WA_WEBHOOK_PREFERENCE_H

#include "webhook/webhook.h"

/* Takes one item of user_preferences[] into the list, or rejects it. */
extern void wa_webhook_read_preference(WaWebhook *webhook, uint32 item,
									   const char *phone_number_id);

/* Writes the list. */
extern void wa_webhook_store_preferences(WaWebhook *webhook);

#endif
