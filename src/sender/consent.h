/*
 * consent.h
 *	  That nothing leaves which its recipient does not want.
 */
#ifndef WA_SENDER_CONSENT_H
#define WA_SENDER_CONSENT_H

#include "sender/state/sender.h"
#include "sender/store/claim_rows.h"
#include "sender/store/dispositions.h"

/* Within a claim: sets may_leave of its rows; and what people hear of those skipped. */
extern void wa_consent_read(WaClaimRow *rows, int n);
extern void wa_consent_skipped(const WaDisposition *dispositions, int n);

/*
 * Before any request is begun, outside of a transaction: whether somebody has changed
 * their mind.  Then those jobs are to be checked that have not begun: it marks what is
 * not wanted any more.
 */
extern bool wa_consent_has_changed(const WaSender *sender);
extern void wa_consent_check(WaSender *sender, WaJob **jobs, int n);

/* By the clock: rows whose turn is far away say soon, too, that they will not be sent. */
extern void wa_consent_sweep(void);
extern long wa_consent_wait_ms(void);

#endif
