/*
 * park.h
 *	  Items of webhooks that cannot be used: stored, with the reason.
 */
#ifndef WA_WEBHOOK_PARK_H
#define WA_WEBHOOK_PARK_H

#include "webhook/webhook.h"

/* An unmatched or rejected item.  Strings must live until it is written. */
typedef struct WaParked
{
	const char *what; /* value of whatsapp_parked_events.kind */
	const char *reason;
	const char *phone_number_id; /* or NULL */
	const char *wamid;			 /* or NULL */
	int64 message_id;			 /* or 0 */
	const char *event;			 /* JSON text */
} WaParked;

/* Notes an item, to be written with the others.  "kind" is where it is counted. */
extern void wa_webhook_park(WaWebhook *webhook, WaWebhookKind kind, const WaParked *parked);
extern void wa_webhook_park_node(WaWebhook *webhook, WaWebhookKind kind, const char *what,
								 uint32 node, const char *phone_number_id, const char *reason);

/* Writes a body whose signature was right and of which nothing can be read. */
extern void wa_webhook_park_body(WaWebhook *webhook, const char *body, size_t len,
								 const char *reason);

/* Writes what was noted, and counts as repeated what was there already. */
extern void wa_webhook_write_parked(WaWebhook *webhook);

#endif
