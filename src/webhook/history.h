/*
 * history.h
 *	  The app's history, in pieces.
 */
#ifndef WA_WEBHOOK_HISTORY_H
#define WA_WEBHOOK_HISTORY_H

#include "webhook/webhook.h"

/* Takes one piece: the JSON text of a value of the field "history", palloc'd. */
typedef void (*WaHistoryTake)(WaWebhook *webhook, const char *value, void *arg);

/*
 * Hands out the messages of a change of the field "history" in values that are as good
 * as its own, and none of them large.  False: a message is too large to be one of them,
 * and is in none.
 */
extern bool wa_webhook_read_history(WaWebhook *webhook, uint32 value, WaHistoryTake take,
									void *arg);

#endif
