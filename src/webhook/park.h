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
	WaWebhookBody *body; /* that has it; set by wa_webhook_park() */
	const char *what;	 /* value of whatsapp_parked_events.kind */
	const char *reason;
	const char *phone_number_id; /* or NULL */
	const char *wamid;			 /* or NULL */
	int64 message_id;			 /* or 0 */
	const char *event;			 /* JSON text; NULL: too large to be stored by itself */
	const char *text;			 /* the same where it stands in the body, for its hash; */
	size_t text_len;			 /* or NULL and 0 */
} WaParked;

/* Notes an item, to be written with the others.  "kind" is where it is counted. */
extern void wa_webhook_park(WaWebhook *webhook, WaWebhookBody *body, WaWebhookKind kind,
							const WaParked *parked);

/*
 * The same for an item that is rejected.  Only the first hundred of a body are
 * stored one by one; if there are more, or one is too large, the body is stored as
 * a whole.
 */
extern void wa_webhook_park_node(WaWebhook *webhook, WaWebhookKind kind, const char *what,
								 uint32 node, const char *phone_number_id, const char *reason);

/* Whether it is larger than anything that Meta could mean by an item. */
extern bool wa_webhook_is_too_large(const WaWebhook *webhook, uint32 node);

/*
 * Writes a body whose signature was right and of which nothing, or not everything, can
 * be read: at most so many bytes of it.
 */
#define WA_WEBHOOK_BODY_TO_LOOK_AT (256 * 1024)
#define WA_WEBHOOK_WHOLE_BODY SIZE_MAX
extern void wa_webhook_park_body(WaWebhook *webhook, const char *body, size_t len, size_t max,
								 const char *reason);

/* Whether nothing of a body could be used. */
extern bool wa_webhook_all_parked(const WaWebhookBody *body);

/*
 * Writes what was noted, and counts as repeated what was there already.  What was
 * parked before, and is again, stands there as it came.
 */
extern void wa_webhook_write_parked(WaWebhook *webhook);

/*
 * Tells people of what has been written, if a customer may say something in it.  Last
 * of all: who has the same to tell waits until this transaction has ended.
 */
extern void wa_webhook_alert_parked(WaWebhook *webhook);

#endif
