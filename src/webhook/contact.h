/*
 * contact.h
 *	  Whom webhooks are about: numbers, user ids and names of customers.
 */
#ifndef WA_WEBHOOK_CONTACT_H
#define WA_WEBHOOK_CONTACT_H

#include "webhook/webhook.h"

/* Who the items of a change are about; "wrote": they did something themselves. */
extern void wa_webhook_read_contacts(WaWebhook *webhook, uint32 value, bool wrote);

/* That somebody's item is of this time, and what it belongs to; NULL: unknown. */
extern void wa_webhook_note_said(WaWebhook *webhook, const char *phone, const char *user_id,
								 TimestampTz at);

/* Whom a status of this time is about. */
extern void wa_webhook_read_recipient(WaWebhook *webhook, uint32 status, TimestampTz at);

/* Leaves out those who are known by one of these forms (numbers with +, user ids). */
extern void wa_webhook_drop_contacts(WaWebhook *webhook, const char *const *forms, int n);

/* Stores what is not known yet. */
extern void wa_webhook_store_contacts(WaWebhook *webhook);

#endif
