/*
 * access_log.h
 *	  A JSON line for every request.
 *
 * No bodies, no query strings, no headers, no key; of what looks like a phone
 * number only the last two digits.
 */
#ifndef GW_ACCESS_LOG_H
#define GW_ACCESS_LOG_H

#include "bin/gateway/exchange.h"

/* Opens what --access-log names; again after SIGHUP, when the file was moved away. */
extern void gw_access_log_open(void);

/* At the end of an exchange. */
extern void gw_access_log(const GwExchange *exchange, bool sent);

/* Writes what was logged since the last call: a turn of the loop. */
extern void gw_access_log_flush(void *arg);

#endif
