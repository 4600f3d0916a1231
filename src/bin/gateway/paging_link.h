/*
 * paging_link.h
 *	  The address of the next page.
 */
#ifndef GW_PAGING_LINK_H
#define GW_PAGING_LINK_H

#include "bin/httpd/buf.h"

/* The request target with this cursor in place of its own: "/a?limit=5&cursor=x". */
extern void gw_paging_link(const char *target, const char *cursor, HttpdBuf *out);

#endif
