/*
 * framing.h
 *	  Requests whose end is a matter of opinion.
 */
#ifndef GW_FRAMING_H
#define GW_FRAMING_H

#include <stdbool.h>

#include "bin/gateway/exchange.h"

/* Called first of all.  False: the reply is filled in, and the connection will close. */
extern bool gw_framing_check(GwExchange *exchange);

#endif
