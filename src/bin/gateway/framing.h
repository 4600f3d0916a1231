/*
 * framing.h
 *	  Requests that mean the same to everybody, and those that do not.
 */
#ifndef GW_FRAMING_H
#define GW_FRAMING_H

#include <stdbool.h>

#include "bin/gateway/exchange.h"

/*
 * In on_head, first of all: the rules of framing_rules.h and target.h.  False: the
 * reply is filled in, and the connection will close.
 */
extern bool gw_framing_check(GwExchange *exchange);

#endif
