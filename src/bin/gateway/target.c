/*
 * target.c
 *	  Request targets: which ones mean the same to everybody.
 */
#include "bin/gateway/target.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "bin/gateway/percent.h"
#include "bin/gateway/utf8.h"

/* What RFC 3986 allows in a query, and what browsers do not encode in it. */
static const char in_query[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
							   "-._~!$&'()*+,;=:@%/?[]{}|\\^`";

static const char *
authority(const char *target)
{
	if (strncasecmp(target, "http://", 7) == 0)
		return target + 7;
	if (strncasecmp(target, "https://", 8) == 0)
		return target + 8;
	return NULL;
}

const char *
gw_target_path(const char *target)
{
	const char *begin = authority(target);

	return begin == NULL ? target : begin + strcspn(begin, "/?");
}

/* Whoever chose this gateway by Host must not be told something else by the target. */
static bool
is_of_host(const char *target, const char *host)
{
	const char *begin = authority(target);
	size_t len = begin != NULL ? (size_t) (gw_target_path(target) - begin) : 0;

	return begin == NULL ||
		   (host != NULL && strlen(host) == len && strncasecmp(begin, host, len) == 0);
}

/* Two arguments of one name are the route's to refuse. */
static const char *
check_query(const char *query)
{
	char decoded[GW_TARGET_MAX];
	size_t len;
	int arguments = 1;

	if (query[strspn(query, in_query)] != '\0')
		return "The query has characters that must be encoded.";
	for (const char *p = query; *p != '\0'; p++)
		arguments += *p == '&';
	if (arguments > GW_TARGET_MAX_ARGUMENTS)
		return "The query has too many arguments.";
	if (!gw_percent_decode(query, strlen(query), decoded, &len))
		return "The query is not encoded properly.";
	if (!gw_utf8_is_text(decoded, len))
		return "The query is not UTF-8 without control characters.";
	return NULL;
}

int
gw_target_check(const char *target, const char *host, const char **reason)
{
	const char *path = gw_target_path(target);
	const char *query = path + strcspn(path, "?");

	*reason = NULL;
	if (strlen(target) >= GW_TARGET_MAX)
	{
		*reason = "The target is too long.";
		return 414;
	}
	if (!is_of_host(target, host))
		*reason = "The target is not of this host.";
	else if (*query == '?')
		*reason = check_query(query + 1);
	return *reason == NULL ? 0 : 400;
}
