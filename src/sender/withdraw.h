/*
 * withdraw.h
 *	  What was leased or handed over, and must not be begun any more.
 */
#ifndef WA_SENDER_WITHDRAW_H
#define WA_SENDER_WITHDRAW_H

#include "sender/state/sender.h"

/*
 * Notes where requests go from now on.  If they went elsewhere before, what has not
 * begun is stopped by the next of the calls below.
 */
extern void wa_withdraw_note_address(WaSender *sender);

/*
 * Stop what has been handed over already and still waits for a connection, before the
 * network moves and before more is submitted.  Cost nothing unless something has
 * changed.  Only the latter asks once more who wants his message after that has failed.
 */
extern void wa_withdraw_before_network(WaSender *sender);
extern void wa_withdraw_before_submit(WaSender *sender);

/* Since its lease, somebody has stopped what this one belongs to. */
extern bool wa_withdraw_is_stopped(const WaJob *job);

/* A request that belongs to a job: not a reading from Meta and not an upload, which nobody stops.
 */
extern bool wa_withdraw_is_message(const void *tag);

#endif
