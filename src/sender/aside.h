/*
 * aside.h
 *	  Settlements that have to wait for somebody's lock.
 *
 * A finished job is in one of two lists: those to be settled next, or those set
 * aside.  The functions move it; none of them needs a transaction.
 */
#ifndef WA_SENDER_ASIDE_H
#define WA_SENDER_ASIDE_H

#include "sender/state/sender.h"

/* Out of those to be settled, because somebody has one of its rows locked. */
extern void wa_aside_locked(WaSender *sender, WaJob *job);

/* ... because its settlement has failed by itself: it is tried again alone. */
extern void wa_aside_failed(WaSender *sender, WaJob *job);

/* Back to those to be settled, if their time has come. */
extern void wa_aside_take_back(WaSender *sender);

/* All of them, for a last try. */
extern void wa_aside_take_back_all(WaSender *sender);

/* When that is to be called again; PG_INT64_MAX: not. */
extern int64 wa_aside_next_us(const WaSender *sender);

/* Whether settlements look for locks before they write, and that they do from now on. */
extern bool wa_aside_is_careful(void);
extern void wa_aside_be_careful(void);

/* A settlement was written: statements need not wait longer than usual for a lock. */
extern void wa_aside_settled(void);

#endif
