/*
 * apply.h
 *	  Statuses of messages: into the tables.
 */
#ifndef WA_WEBHOOK_APPLY_H
#define WA_WEBHOOK_APPLY_H

#include "webhook/webhook.h"

/*
 * Applies all statuses in the list.  Locks queue rows, then message rows, each in
 * order of message id.
 */
extern void wa_webhook_apply_statuses(WaWebhook *webhook);

#endif
