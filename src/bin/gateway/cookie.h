/*
 * cookie.h
 *	  Cookies that are set.
 */
#ifndef GW_COOKIE_H
#define GW_COOKIE_H

#include "bin/gateway/exchange.h"

/*
 * Sets a cookie for this host that no script can read and no other site's page makes
 * a browser send; over TLS only, unless the browser is on this machine and uses
 * plain http.
 */
extern void gw_cookie_set(GwExchange *exchange, const char *name, const char *value, int seconds);
extern void gw_cookie_clear(GwExchange *exchange, const char *name);

#endif
