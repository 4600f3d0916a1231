/*
 * config.h
 *	  Reading what people have configured into a sender's memory.
 */
#ifndef WA_SENDER_CONFIG_H
#define WA_SENDER_CONFIG_H

#include "sender/state/sender.h"

/*
 * Reads numbers, tenants, assignments and pauses, in a transaction of its own.
 * After an ERROR what was read before stays in force in part; it is to be read
 * again.
 */
extern void wa_config_load(WaSender *sender);

#endif
