/*
 * client.h
 *	  Whose request this is, behind however many proxies.
 */
#ifndef GW_CLIENT_H
#define GW_CLIENT_H

#include "bin/gateway/address.h"
#include "bin/gateway/exchange.h"

/* At start, after the settings: what is wrong with --trusted-proxy ends the program. */
extern void gw_client_open(void);

/* The client's address: what limits are about, and what the log shows. */
extern GwAddress gw_client_address(const GwExchange *exchange);

#endif
