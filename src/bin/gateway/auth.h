/*
 * auth.h
 *	  Who asks, and may he?
 *
 * By the first of these that a request shows:
 *	Authorization: Bearer, a token of a file or the key of a tenant's link;
 *	the header that a proxy on this machine sets, if there is to be one;
 *	the cookie of a session, of the admin page or of a tenant's page.
 * A browser sends the latter two by itself, so changes that rest on them must come
 * from a page of ours (origin.h).
 */
#ifndef GW_AUTH_H
#define GW_AUTH_H

#include <stdbool.h>

#include "bin/gateway/exchange.h"
#include "bin/gateway/login_limit.h"

#define GW_ADMIN_COOKIE "wa_admin"
#define GW_OWNER_COOKIE "wa_owner"
#define GW_LINK_PREFIX "wal_"

/* After the settings: what makes no sense ends the program. */
extern void gw_auth_check_settings(void);

/* At start: reads the token files; one that cannot be used ends the program. */
extern void gw_auth_open(void);

/*
 * Fills in role, actor and key, and holds them against what the route demands.
 * False: the reply (401, 403, 429) is filled in.  Never blocks.
 */
extern bool gw_authenticate(GwExchange *exchange);

/*
 * The first half of it, for a route that is open to nobody and shows him what he
 * lacks: fills in role, actor and key as far as something is shown.  False: the
 * reply (429, 403) is filled in.
 */
extern bool gw_auth_identify(GwExchange *exchange);

/* What was shown turned out not to be valid: it counts against the limit. */
extern void gw_auth_failed(const GwExchange *exchange, GwLogin login);

/* Fills in 401, and returns false.  tried: something was shown, and is not valid. */
extern bool gw_auth_refuse_stranger(GwExchange *exchange, bool tried);

/* SQL has refused the key of a link with 401: counts that, and completes the reply. */
extern void gw_auth_link_refused(GwExchange *exchange);

/* False, with 429 filled in, if this client has failed too often. */
extern bool gw_auth_may_try(GwExchange *exchange, GwLogin login);

/* False, with 403 filled in, if this change was made by somebody else's page. */
extern bool gw_auth_is_our_page(GwExchange *exchange);

/* "admin", "viewer", "tenant", "nobody". */
extern const char *gw_auth_role_name(GwRole role);

#endif
