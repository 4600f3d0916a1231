/*
 * erased.h
 *	  What webhooks say of messages and people that have been erased.
 */
#ifndef WA_WEBHOOK_ERASED_H
#define WA_WEBHOOK_ERASED_H

#include "webhook/webhook.h"

/* Takes out of what has been read whatever would bring it back. */
extern void wa_webhook_drop_erased(WaWebhook *webhook);

#endif
