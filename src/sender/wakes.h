/*
 * wakes.h
 *	  Takes in what commits have told the sender.
 */
#ifndef WA_SENDER_WAKES_H
#define WA_SENDER_WAKES_H

#include "sender/state/sender.h"

extern void wa_wakes_take(WaSender *sender);

#endif
