/*
 * webhook_kind.h
 *	  Which webhooks may go together, and which must not hold up others.
 */
#ifndef GW_WEBHOOK_KIND_H
#define GW_WEBHOOK_KIND_H

#include <stddef.h>

typedef enum GwWebhookKind
{
	GW_WEBHOOK_PLAIN,	/* a few statuses, to be written together with others */
	GW_WEBHOOK_ALONE,	/* anything else that calls nobody, also what is no webhook at all */
	GW_WEBHOOK_MESSAGES /* from customers: it may call the application */
} GwWebhookKind;

/* By the same rules as the server reads it (common/webhook_body.h). */
extern GwWebhookKind gw_webhook_kind(const char *body, size_t len);

#endif
