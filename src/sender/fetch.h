/*
 * fetch.h
 *	  Fetching the files that customers send.
 */
#ifndef WA_SENDER_FETCH_H
#define WA_SENDER_FETCH_H

#include "sender/state/sender.h"

/* Moves the network along; no SQL. */
extern void wa_fetch_network(void);

/* Starts what is due, and stores what has come in. */
extern void wa_fetch_run(WaSender *sender);

/* There may be something new: look. */
extern void wa_fetch_requested(void);

/* An ERROR has ended what wa_fetch_run was doing. */
extern void wa_fetch_aborted(WaSender *sender);

/* Ends what is under way: the rows are due again after their back-off. */
extern void wa_fetch_abandon(void);

extern long wa_fetch_wait_ms(WaSender *sender);

#endif
