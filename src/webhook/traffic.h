/*
 * traffic.h
 *	  That webhooks come at all, for each number.
 */
#ifndef WA_WEBHOOK_TRAFFIC_H
#define WA_WEBHOOK_TRAFFIC_H

#include "webhook/webhook.h"

/* Something came for this number, or, if it is empty, for the account. */
extern void wa_webhook_note_traffic(WaWebhook *webhook, const char *phone_number_id, int statuses,
									int messages);

/* A report came late: others of that time may still be on their way, for whatever number. */
extern void wa_webhook_note_late_report(WaWebhook *webhook, const char *phone_number_id);

/* Copies what was noted to "kept", in this memory context: to be written after other things. */
extern void wa_webhook_keep_traffic(WaWebhookList *kept, MemoryContext context,
									const WaWebhookList *traffic);

/* Writes what was noted, unless it has been written within the last second. */
extern void wa_webhook_write_traffic(Oid schema, WaWebhookList *traffic, TimestampTz now);

#endif
