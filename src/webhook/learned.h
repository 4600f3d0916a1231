/*
 * learned.h
 *	  What statuses tell of recipients: other forms of the same person.
 */
#ifndef WA_WEBHOOK_LEARNED_H
#define WA_WEBHOOK_LEARNED_H

#include "webhook/group.h"

/*
 * The group's message is addressed to this recipient, and was written at that time and sent
 * from this number; recipient and number may be NULL.
 */
extern void wa_webhook_learn_recipient(WaWebhook *webhook, const WaStatusGroup *group,
									   const char *recipient, const char *phone_number_id,
									   TimestampTz at);

/* Writes what was learned.  Locks nothing. */
extern void wa_webhook_store_learned(WaWebhook *webhook);

#endif
