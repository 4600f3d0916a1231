/*
 * messaging_limit.h
 *	  The account's messaging limit, shared out among its tenants.
 */
#ifndef WA_SENDER_PACE_MESSAGING_LIMIT_H
#define WA_SENDER_PACE_MESSAGING_LIMIT_H

#include "sender/state/sender.h"
#include "sender/store/reach_rows.h"

/* The number of recipients a tier allows per 24 hours; 0: no limit, or none known. */
extern int wa_messaging_limit_tier(const char *messaging_limit);

/* What each tenant has used, as counted now: all tenants, in any order. */
extern void wa_messaging_limit_counted(WaSender *sender, const WaReachRow *rows, int n);

/* Whether this tenant may reach one recipient more; and it does. */
extern bool wa_messaging_limit_admits(const WaSender *sender, const WaTenant *tenant);
extern void wa_messaging_limit_use(WaTenant *tenant);

/* When to look again at a message that was not admitted. */
extern TimestampTz wa_messaging_limit_next(void);

#endif
