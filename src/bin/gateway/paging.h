/*
 * paging.h
 *	  Where the next page of a list is.
 */
#ifndef GW_PAGING_H
#define GW_PAGING_H

#include "bin/gateway/exchange.h"

/*
 * From {"next": "cursor", "total": 123}, either of which may be missing: the headers
 * Link and X-Total-Count.
 */
extern void gw_paging_headers(GwExchange *exchange, const char *paging);

#endif
