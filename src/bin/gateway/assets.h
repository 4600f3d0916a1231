/*
 * assets.h
 *	  The pages: files that are part of the program.
 */
#ifndef GW_ASSETS_H
#define GW_ASSETS_H

#include "bin/gateway/exchange.h"
#include "bin/gateway/settings.h"

/* Reads --theme; again after SIGHUP.  What is wrong ends the program only the first time. */
extern void gw_assets_load(void);

/* What a page may do, and who may frame it; NULL: nobody. */
extern void gw_assets_page_headers(GwExchange *exchange, const GwTextList *framed_by);

extern void gw_assets_admin_page(GwExchange *exchange);
extern void gw_assets_owner_page(GwExchange *exchange);
extern void gw_assets_file(GwExchange *exchange);  /* {folder}, {file} */
extern void gw_assets_theme(GwExchange *exchange); /* --theme */

#endif
