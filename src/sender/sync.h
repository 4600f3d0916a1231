/*
 * sync.h
 *	  Reading phone numbers, templates and the token's state from Meta.
 */
#ifndef WA_SENDER_SYNC_H
#define WA_SENDER_SYNC_H

#include "sender/state/sender.h"

struct WaHttpResult;

/* Starts what is asked for or due, and applies what has come in. */
extern void wa_sync_run(WaSender *sender);

/* A response to one of our requests: kept until the next wa_sync_run. */
extern void wa_sync_response(WaSender *sender, const struct WaHttpResult *result);

/*
 * A person may have asked for something: look at whatsapp_sync.  After a change
 * of the settings runs that failed are due again.
 */
extern void wa_sync_requested(bool reconfigured);

/* An ERROR has ended what wa_sync_run was doing. */
extern void wa_sync_aborted(WaSender *sender);

extern long wa_sync_wait_ms(WaSender *sender);

#endif
