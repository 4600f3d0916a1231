/*
 * assets.h
 *	  The pages: files that are part of the program.
 */
#ifndef GW_ASSETS_H
#define GW_ASSETS_H

#include "bin/gateway/exchange.h"

/* Reads --theme; again after SIGHUP.  What is wrong ends the program only the first time. */
extern void gw_assets_load(void);

extern void gw_assets_admin_page(GwExchange *exchange);
extern void gw_assets_owner_page(GwExchange *exchange);
extern void gw_assets_file(GwExchange *exchange);  /* {folder}, {file} */
extern void gw_assets_theme(GwExchange *exchange); /* --theme */

#endif
