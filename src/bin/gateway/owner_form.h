/*
 * owner_form.h
 *	  A tenant's page without scripts: its switch, as a plain form.
 */
#ifndef GW_OWNER_FORM_H
#define GW_OWNER_FORM_H

#include "bin/gateway/exchange.h"

extern void gw_owner_page(GwExchange *exchange);	/* GET: the page; with ?plain=1 this one */
extern void gw_owner_form(GwExchange *exchange);	/* POST: its switch */
extern void gw_owner_session(GwExchange *exchange); /* POST …/session: the key of a link */

/* For the routes: a page of what the API has replied. */
extern void gw_owner_form_present(GwExchange *exchange);
extern void gw_owner_session_present(GwExchange *exchange);

#endif
