/*
 * messaging_limit.h
 *	  The account's messaging limit, shared out among its tenants.
 */
#ifndef WA_SENDER_PACE_MESSAGING_LIMIT_H
#define WA_SENDER_PACE_MESSAGING_LIMIT_H

#include "sender/state/sender.h"
#include "sender/store/claim_rows.h"

/* The number of recipients a tier allows per 24 hours; 0: no limit, or none known. */
extern int wa_budget_tier(const char *messaging_limit);

/* Between claims: counts anew what they have used, if it is time. */
extern void wa_budget_run(WaSender *sender);

/*
 * Needs a transaction.  Looks up which of these rows cost nothing (not a
 * template, inside a window, recipient already reached); free has room for n.
 */
extern void wa_budget_prepare(WaSender *sender, const WaClaimRow *rows, int n, bool *free);

/* Whether this tenant may reach one recipient more; and then does. */
extern bool wa_budget_admits(const WaSender *sender, const WaTenant *tenant);
extern void wa_budget_reserve(WaSender *sender, WaTenant *tenant, const WaClaimRow *row);

/* Writes down what was reserved since wa_budget_prepare. */
extern void wa_budget_write(void);

/* When to look again at a message that was not admitted. */
extern TimestampTz wa_budget_next(const WaSender *sender);

#endif
