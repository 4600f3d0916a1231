/*
 * webhook.h
 *	  The address that Meta knows: its handshake, and its webhooks.
 */
#ifndef GW_WEBHOOK_H
#define GW_WEBHOOK_H

#include "bin/gateway/exchange.h"

/* GET /webhook: the challenge, for whoever has the verify token. */
extern void gw_webhook_handshake(GwExchange *exchange);

/* POST /webhook: by the head, then the whole. */
extern void gw_webhook_head(GwExchange *exchange);
extern void gw_webhook_receive(GwExchange *exchange);

#endif
