/*
 * rematch.h
 *	  Statuses that came before their message was known, once more; and replies.
 */
#ifndef WA_WEBHOOK_REMATCH_H
#define WA_WEBHOOK_REMATCH_H

#include "webhook/webhook.h"

/*
 * Reads up to "limit" of them into the list of statuses, and locks their rows.
 * They are not part of the webhook's counts.
 */
extern void wa_webhook_read_unmatched(WaWebhook *webhook, int limit);

/* Customers' replies whose message has become known since, if statuses were looked at. */
extern void wa_webhook_match_early_replies(WaWebhook *webhook);

/* Deletes those that have been used. */
extern void wa_webhook_forget_matched(WaWebhook *webhook);

#endif
