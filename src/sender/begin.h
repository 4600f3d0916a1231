/*
 * begin.h
 *	  Whether what is leased may be begun.
 */
#ifndef WA_SENDER_BEGIN_H
#define WA_SENDER_BEGIN_H

#include "sender/state/sender.h"

typedef enum WaBegin
{
	WA_BEGIN_NOW,
	WA_BEGIN_NOT_YET, /* its lease is not on the standby */
	WA_BEGIN_NEVER	  /* its lease is too old to stand for it: put it back */
} WaBegin;

/* The lease is about to be written, and is committed. */
extern void wa_begin_leasing(WaLease *lease);
extern void wa_begin_leased(WaLease *lease);

/* To be asked right before the first byte. */
extern WaBegin wa_begin_verdict(WaLease *lease);

/* After how many milliseconds to ask again what was "not yet". */
#define WA_BEGIN_ASK_MS 100

#endif
