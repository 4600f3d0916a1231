/*
 * origin.c
 *	  Does a change come from a page of ours?
 */
#include "bin/gateway/origin.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* What is left of host behind name, which must be nothing or a port. */
static bool
is_name(const char *host, const char *name)
{
	size_t len = strlen(name);

	return strncasecmp(host, name, len) == 0 && (host[len] == '\0' || host[len] == ':');
}

bool
gw_host_is_loopback(const char *host)
{
	return host != NULL &&
		   (is_name(host, "localhost") || is_name(host, "127.0.0.1") || is_name(host, "[::1]"));
}

/* A port that the scheme implies may be written or not. */
static bool
same_authority(const char *a, const char *b, const char *port)
{
	size_t a_len = strlen(a);
	size_t b_len = strlen(b);
	size_t port_len = strlen(port);

	if (a_len > port_len && strcmp(a + a_len - port_len, port) == 0)
		a_len -= port_len;
	if (b_len > port_len && strcmp(b + b_len - port_len, port) == 0)
		b_len -= port_len;
	return a_len == b_len && a_len > 0 && strncasecmp(a, b, a_len) == 0;
}

bool
gw_origin_is_ours(const char *origin, const char *fetch_site, const char *host)
{
	if (fetch_site != NULL)
		return strcmp(fetch_site, "same-origin") == 0 || strcmp(fetch_site, "none") == 0;
	if (origin == NULL || host == NULL)
		return false;
	if (strncmp(origin, "https://", 8) == 0)
		return same_authority(origin + 8, host, ":443");
	if (strncmp(origin, "http://", 7) == 0)
		return gw_host_is_loopback(host) && same_authority(origin + 7, host, ":80");
	return false;
}
