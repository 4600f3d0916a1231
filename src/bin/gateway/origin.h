/*
 * origin.h
 *	  Does a change come from a page of ours?
 *
 * A browser sends cookies with every request to us, whoever's page made it.  So a
 * change that rests on a cookie must prove that a page of this host made it.
 */
#ifndef GW_ORIGIN_H
#define GW_ORIGIN_H

#include <stdbool.h>

/*
 * The headers, each of which may be NULL.  Sec-Fetch-Site decides where it is there:
 * it is right behind a proxy that changes Host, too, and no page can set it.  Browsers
 * send it over https and to this machine; old ones, and others, are asked for Origin.
 * http is allowed from loopback names only: elsewhere anybody on the way could be
 * the page.  Neither of both is nobody's page.
 */
extern bool gw_origin_is_ours(const char *origin, const char *fetch_site, const char *host);

/* True if an address of a browser's with this host never leaves the machine. */
extern bool gw_host_is_loopback(const char *host);

#endif
