/*
 * account.h
 *	  Whose webhook it is.
 */
#ifndef WA_WEBHOOK_ACCOUNT_H
#define WA_WEBHOOK_ACCOUNT_H

#include "webhook/webhook.h"

/*
 * Whether a change is about another account than whatsapp_shared.business_account_id,
 * and about none of our numbers.
 */
extern bool wa_webhook_is_foreign(WaWebhook *webhook, uint32 entry, uint32 value);

#endif
