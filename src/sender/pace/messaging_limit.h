/*
 * messaging_limit.h
 *	  The account's messaging limit, shared out among its tenants.
 */
#ifndef WA_SENDER_PACE_MESSAGING_LIMIT_H
#define WA_SENDER_PACE_MESSAGING_LIMIT_H

#include "sender/state/sender.h"

/* The number of recipients a tier allows per 24 hours; 0: no limit, or none known. */
extern int wa_messaging_limit_tier(const char *messaging_limit);

/* The limit, a tenant's share or the list of tenants has changed. */
extern void wa_messaging_limit_configured(WaSender *sender);

/* So many recipients more, or fewer, count for this tenant; for every tenant none does. */
extern void wa_messaging_limit_count(WaTenant *tenant, int n);
extern void wa_messaging_limit_forget(WaSender *sender);

/* When the first of all that count was reached; 0: none does. */
extern void wa_messaging_limit_oldest(TimestampTz at);

/* Whether this tenant may reach one recipient more. */
extern bool wa_messaging_limit_admits(const WaSender *sender, const WaTenant *tenant);

/* When to look again at a message that was not admitted. */
extern TimestampTz wa_messaging_limit_next(void);

#endif
