/*
 * body.h
 *	  How much of a request's body is kept, and whose.
 */
#ifndef GW_BODY_H
#define GW_BODY_H

#include <stdbool.h>

#include "bin/gateway/exchange.h"

/* Meta's webhooks have up to 3 MB. */
#define GW_MAX_BODY ((size_t) 3 * 1024 * 1024)

/* By the head: false, with 413 or 411 filled in, if it will be too long. */
extern bool gw_body_check_length(GwExchange *exchange);

/* Another len bytes are coming in. */
extern void gw_body_count(GwExchange *exchange, size_t len);

/* All of it is there. */
extern void gw_body_is_whole(GwExchange *exchange);

/* The body was longer than GW_MAX_BODY, which was not to be seen before: 413. */
extern void gw_body_too_large(GwExchange *exchange);

/* At the end. */
extern void gw_body_forget(GwExchange *exchange);

/*
 * A refusal by the head would close the connection, and while the client still sends
 * it might never see it.  So a request whose body is short is read, and not kept; the
 * refusal is put back when the request is whole.  True: it is the reply.
 */
extern void gw_body_hold_refusal(GwExchange *exchange);
extern bool gw_body_take_refusal(GwExchange *exchange);

#endif
