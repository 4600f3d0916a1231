/*
 * consent_rows.h
 *	  Who has opted out, and whose service window is open: what the claim asks of
 *	  the tables about its rows, and what is written of those that must not leave.
 *
 * All of these need a transaction begun with wa_store_begin, and raise on failure.
 */
#ifndef WA_SENDER_STORE_CONSENT_ROWS_H
#define WA_SENDER_STORE_CONSENT_ROWS_H

#include "sender/store/claim_rows.h"

/*
 * Sets may_leave of each row, by what is committed now.  A message whose window has
 * closed becomes its fallback template, if it has one, in the table and in the row.
 * True: somebody wants no message at all, and people may have to hear of it
 * (wa_store_alert_skipped).
 */
extern bool wa_store_read_consent(WaClaimRow *rows, int n);

/* Those of these messages that their recipients do not want any more. */
extern int wa_store_opted_out(const int64 *ids, int n, int64 **opted_out);

/*
 * Takes out of the queue what is not wanted any more, on one page of it after this
 * message.  Returns where the next page begins; PG_INT64_MIN: there is none.
 */
extern int64 wa_store_skip_opted_out(int64 after_id, int page);

/* Alerts about those of these skipped messages that were no marketing, once per person. */
extern void wa_store_alert_skipped(const int64 *ids, int n);

/* Whether it is a template that Meta lists as marketing. */
extern bool wa_store_is_marketing_template(const WaClaimRow *row);

#endif
