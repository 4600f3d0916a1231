/*
 * path.c
 *	  A request's path, taken apart and decoded.
 */
#include "bin/gateway/path.h"

#include <stdlib.h>
#include <string.h>

#include "bin/gateway/utf8.h"
#include "bin/httpd/util.h"

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static const char *
check_segment(const char *segment)
{
	if (segment[0] == '\0')
		return "The path has an empty segment.";
	if (strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0)
		return "The path has a segment that is a dot or two.";
	if (!gw_utf8_valid(segment, strlen(segment)))
		return "The path is not valid UTF-8.";
	for (; *segment != '\0'; segment++)
	{
		if ((unsigned char) *segment < 0x20 || *segment == 0x7f)
			return "The path contains a control character.";
	}
	return NULL;
}

/* Decodes up to the next slash or the end into *out, which moves on behind a NUL. */
static const char *
take_segment(const char **in, const char *end, char **out)
{
	const char *p = *in;
	char *to = *out;

	for (; p < end && *p != '/'; p++)
	{
		char c = *p;

		if (c == '%')
		{
			int high = end - p > 2 ? hex_digit(p[1]) : -1;
			int low = high >= 0 ? hex_digit(p[2]) : -1;

			if (low < 0)
				return "The path has a % without two hexadecimal digits.";
			c = (char) (high << 4 | low);
			if (c == '/' || c == '\\' || c == '\0')
				return "The path has an encoded slash, backslash or NUL.";
			p += 2;
		}
		else if (c == '\\')
			return "The path has a backslash.";
		*to++ = c;
	}
	*to++ = '\0';
	*in = p;
	*out = to;
	return NULL;
}

const char *
gw_path_split(const char *target, GwPath *out)
{
	size_t length = strcspn(target, "?#");
	const char *end = target + length;
	const char *p = target;
	char *to;

	if (length == 0 || *target != '/')
		return "The request target must be a path.";
	if (length > GW_MAX_PATH)
		return "The path is too long.";
	out->memory = to = httpd_alloc(length + 1);
	while (p < end)
	{
		const char *problem;

		p++; /* the slash */
		if (p == end && out->n == 0)
			return NULL; /* "/" */
		if (out->n == GW_MAX_SEGMENTS)
			return "The path has too many segments.";
		out->segments[out->n] = to;
		problem = take_segment(&p, end, &to);
		if (problem == NULL)
			problem = check_segment(out->segments[out->n]);
		if (problem != NULL)
			return problem;
		out->n++;
	}
	return NULL;
}

void
gw_path_free(GwPath *path)
{
	free(path->memory);
	memset(path, 0, sizeof(*path));
}
