/*
 * route.c
 *	  The address of a route, /a/{b}/c, against a path.
 */
#include "bin/gateway/route.h"

#include <stdio.h>
#include <string.h>

bool
gw_route_matches(const GwRoute *route, const GwPath *path, char *arguments[GW_MAX_ARGUMENTS])
{
	const char *p = route->path;
	int narguments = 0;

	memset(arguments, 0, GW_MAX_ARGUMENTS * sizeof(char *));
	for (int i = 0; i < path->n; i++)
	{
		size_t length;

		if (*p++ != '/')
			return false;
		length = strcspn(p, "/");
		if (*p == '{')
			arguments[narguments++] = path->segments[i];
		else if (strlen(path->segments[i]) != length || memcmp(path->segments[i], p, length) != 0)
			return false;
		p += length;
	}
	return *p == '\0';
}

void
gw_route_argument_name(const GwRoute *route, int number, char *out, size_t size)
{
	const char *p = strchr(route->path, '{');

	for (; number > 0 && p != NULL; number--)
		p = strchr(p + 1, '{');
	snprintf(out, size, "%.*s", p != NULL ? (int) strcspn(p + 1, "}") : 0, p != NULL ? p + 1 : "");
}
