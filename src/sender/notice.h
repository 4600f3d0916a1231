/*
 * notice.h
 *	  Tells people when a number, or all of them, are not answered, and when they are again.
 */
#ifndef WA_SENDER_NOTICE_H
#define WA_SENDER_NOTICE_H

#include "sender/state/sender.h"

/* At the start, in a transaction: what a predecessor has told. */
extern void wa_notice_read(WaSender *sender);

/* Whether there is something to tell; then write it in the cycle's transaction. */
extern bool wa_notice_due(WaSender *sender);
extern void wa_notice_write(WaSender *sender);
extern void wa_notice_committed(WaSender *sender);

/* Milliseconds until there may be; -1: not by itself. */
extern long wa_notice_wait_ms(WaSender *sender);

#endif
