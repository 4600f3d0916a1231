/*
 * field.h
 *	  Values of a webhook's document, and room for what is made of them.
 *
 * Everything is palloc'd.  A value that is absent, or not what it should be, is
 * never an error.
 */
#ifndef WA_WEBHOOK_FIELD_H
#define WA_WEBHOOK_FIELD_H

#include "webhook/webhook.h"

/* Strings; NULL if absent, empty or longer than max bytes. */
extern char *wa_webhook_string(const WaWebhook *webhook, uint32 object, const char *name,
							   size_t max);
/* The same, cut off at max bytes. */
extern char *wa_webhook_clipped(const WaWebhook *webhook, uint32 object, const char *name,
								size_t max);
/* A customer's number: digits alone, or NULL; and the same with a plus sign. */
extern char *wa_webhook_wa_id(const WaWebhook *webhook, uint32 object, const char *name);
extern char *wa_webhook_phone(const WaWebhook *webhook, uint32 object, const char *name);

/* False if there is no time, or none that WhatsApp could mean. */
extern bool wa_webhook_time(const WaWebhook *webhook, uint32 object, const char *name,
							TimestampTz *at);

/* The JSON text of a node, strings with their quotes. */
extern char *wa_webhook_text(const WaWebhook *webhook, uint32 node);

/* The number of ours that a change is about, or NULL. */
extern char *wa_webhook_number(const WaWebhook *webhook, uint32 value);

/* Adds an item of this size, and returns its place, to be written at once. */
extern void *wa_webhook_add(WaWebhookList *list, size_t size);

#endif
