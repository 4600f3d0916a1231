/*
 * consequence.h
 *	  What follows from statuses beyond their own message.
 */
#ifndef WA_WEBHOOK_CONSEQUENCE_H
#define WA_WEBHOOK_CONSEQUENCE_H

#include "webhook/status.h"

/* The status has made its message, to this recipient, fail, for the first time. */
extern void wa_webhook_note_failure(WaWebhook *webhook, const WaStatus *status,
									const char *recipient);

/* Two attempts of one message have reached Meta. */
extern void wa_webhook_note_duplicate(WaWebhook *webhook, const WaStatus *status);

/* The message was delivered a month or more after it was due. */
extern void wa_webhook_note_late(WaWebhook *webhook, const WaStatus *status);

/* Writes what was noted, but for opt-outs. */
extern void wa_webhook_draw_consequences(WaWebhook *webhook);

/* Writes the opt-outs.  Everybody whom the webhook is about is locked. */
extern void wa_webhook_opt_out_refused(WaWebhook *webhook);

#endif
