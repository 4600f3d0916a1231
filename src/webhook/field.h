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
/* A customer's user id: not what could be taken for a number. */
extern char *wa_webhook_user_id(const WaWebhook *webhook, uint32 object, const char *name);
/* A customer's number, with a plus sign, or NULL. */
extern char *wa_webhook_phone(const WaWebhook *webhook, uint32 object, const char *name);
/* A user id where a number is meant to be, which must look like one. */
extern char *wa_webhook_user_id_instead(const WaWebhook *webhook, uint32 object, const char *name);

/*
 * False if there is no time, or none that WhatsApp could mean: before there was
 * WhatsApp, or more than a day ahead of the server's clock.  What it says may be
 * ahead all the same; what it is taken for is not, but for a few minutes.
 */
extern bool wa_webhook_said_time(const WaWebhook *webhook, uint32 object, const char *name,
								 TimestampTz *at);
extern bool wa_webhook_time(const WaWebhook *webhook, uint32 object, const char *name,
							TimestampTz *at);

/* The same for a time at which something will end: within a year. */
extern bool wa_webhook_later_time(const WaWebhook *webhook, uint32 object, const char *name,
								  TimestampTz *at);

/*
 * Whether an item of this time is no news: older than what Meta repeats.
 * Somebody has handed in again what Meta once signed.
 */
extern bool wa_webhook_is_too_old(const WaWebhook *webhook, TimestampTz at);

/*
 * To be asked before each entry, change, item and contact.  False: the body has more
 * than Meta ever sends; the rest is not read, and the body stored as a whole.
 */
extern bool wa_webhook_may_read(WaWebhook *webhook, WaWebhookPart part);

/* The JSON text of a node, strings with their quotes. */
extern char *wa_webhook_text(const WaWebhook *webhook, uint32 node);

/* The number of ours that a change is about, or NULL. */
extern char *wa_webhook_number(const WaWebhook *webhook, uint32 value);

/* Adds an item of this size, and returns its place, to be written at once. */
extern void *wa_webhook_add(WaWebhookList *list, size_t size);

/* That somebody known by this form, with "+" if it is a number, does something. */
extern void wa_webhook_note_person(WaWebhook *webhook, const char *identity);

#endif
