/*
 * path.c
 *	  A request's path, taken apart and decoded.
 */
#include "bin/gateway/path.h"

#include <stdlib.h>
#include <string.h>

#include "bin/gateway/percent.h"
#include "bin/gateway/target.h"
#include "bin/gateway/utf8.h"
#include "bin/httpd/util.h"

/* RFC 3986: a path consists of these and slashes. */
static const char in_path[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
							  "-._~!$&'()*+,;=:@%/";

/* A segment, decoded. */
static const char *
check_segment(const char *segment, size_t len)
{
	if (len > GW_MAX_SEGMENT)
		return "The path has a segment that is too long.";
	if (memchr(segment, '/', len) != NULL || memchr(segment, '\\', len) != NULL)
		return "The path has an encoded slash or backslash.";
	if ((len == 1 && segment[0] == '.') || (len == 2 && memcmp(segment, "..", 2) == 0))
		return "The path has a segment that is a dot or two.";
	if (!gw_utf8_is_text(segment, len))
		return "The path is not UTF-8 without control characters.";
	return NULL;
}

/* Decodes one segment to *to, which moves on behind a NUL. */
static const char *
take_segment(const char *segment, size_t len, char **to, GwPath *out)
{
	const char *wrong;
	size_t decoded;

	if (out->n == GW_MAX_SEGMENTS)
		return "The path has too many segments.";
	if (!gw_percent_decode(segment, len, *to, &decoded))
		return "The path has a % without two hexadecimal digits.";
	wrong = check_segment(*to, decoded);
	if (wrong != NULL)
		return wrong;
	out->segments[out->n++] = *to;
	(*to)[decoded] = '\0';
	*to += decoded + 1;
	return NULL;
}

const char *
gw_path_split(const char *target, GwPath *out)
{
	const char *path = gw_target_path(target);
	size_t len = strcspn(path, "?");
	const char *end = path + len;
	char *to;

	if (*path != '/')
		return "The request target must be a path.";
	if (len > GW_MAX_PATH)
		return "The path is too long.";
	if (strspn(path, in_path) < len)
		return "The path has characters that must be encoded.";
	out->memory = to = httpd_alloc(len + 1);
	while (path + 1 < end)
	{
		const char *segment = path + 1;
		const char *wrong;

		len = strcspn(segment, "/?");
		path = segment + len;
		if (len == 0 || (*path == '/' && path + 1 == end))
			return "The path has an empty segment.";
		wrong = take_segment(segment, len, &to, out);
		if (wrong != NULL)
			return wrong;
	}
	return NULL;
}

void
gw_path_free(GwPath *path)
{
	free(path->memory);
	memset(path, 0, sizeof(*path));
}
