/*
 * event.h
 *	  Everything that is about the account and no message.
 */
#ifndef WA_WEBHOOK_EVENT_H
#define WA_WEBHOOK_EVENT_H

#include "webhook/webhook.h"

/*
 * Takes a change of any field into the list, or rejects it.  Of the field "messages"
 * only the errors count, which are no item's.
 */
extern void wa_webhook_read_event(WaWebhook *webhook, uint32 entry, uint32 change);

/* Applies them; rejects those that cannot be used.  May lock rows of the queue. */
extern void wa_webhook_apply_events(WaWebhook *webhook);

#endif
