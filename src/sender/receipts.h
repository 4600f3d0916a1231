/*
 * receipts.h
 *	  Telling Meta which messages of customers have been read.
 */
#ifndef WA_SENDER_RECEIPTS_H
#define WA_SENDER_RECEIPTS_H

#include "sender/state/sender.h"

struct WaHttpResult;

/* Sends what is due, and records what has come in. */
extern void wa_receipts_run(WaSender *sender);

/* Whether a request with this tag is one of ours. */
extern bool wa_receipts_is_tag(const void *tag);

/* A response to one of our requests: kept until the next wa_receipts_run. */
extern void wa_receipts_response(WaSender *sender, const struct WaHttpResult *result);

/* There may be something new: look. */
extern void wa_receipts_requested(void);

/* An ERROR has ended what wa_receipts_run was doing. */
extern void wa_receipts_aborted(WaSender *sender);

extern long wa_receipts_wait_ms(WaSender *sender);

#endif
