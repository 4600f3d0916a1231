/*
 * login.h
 *	  The routes by which a page gets its cookie, and loses it again.
 */
#ifndef GW_LOGIN_H
#define GW_LOGIN_H

#include "bin/gateway/exchange.h"

/* GET /api/v1/session: {"role", "name"}. */
extern void gw_login_show(GwExchange *exchange);

/* The admin page: {"token"}, from a script or a form; and the end of it. */
extern void gw_login_admin(GwExchange *exchange);
extern void gw_login_admin_end(GwExchange *exchange);

/* A tenant's page: {"key"}, which SQL checks; what to do once it has; and the end of it. */
extern void gw_login_link(GwExchange *exchange);
extern void gw_login_link_succeeded(GwExchange *exchange);
extern void gw_login_link_end(GwExchange *exchange);

#endif
