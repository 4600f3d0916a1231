/*
 * due.h
 *	  Messages whose time has come: deferred, uncertain and expired ones.
 */
#ifndef WA_SENDER_DUE_H
#define WA_SENDER_DUE_H

#include "sender/state/sender.h"

/*
 * Inside a transaction: everything is to be looked at again, whatever has been.  When
 * the next is due, as the table knows it.
 */
extern void wa_due_rewind(WaSender *sender);

/* Runs, in transactions of its own, a batch of each. */
extern void wa_due_run(WaSender *sender);

#endif
