/*
 * negotiate.c
 *	  What a client will take: encodings, and what it has already.
 */
#include "bin/gateway/negotiate.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* True for ";q=0", ";q=0.0" and the like. */
static bool
is_refused(const char *parameters, const char *end)
{
	const char *q = parameters;

	while (q < end && (*q == ';' || *q == ' ' || *q == '\t'))
		q++;
	if (end - q < 3 || (q[0] != 'q' && q[0] != 'Q') || q[1] != '=')
		return false;
	for (q += 2; q < end && (*q == '0' || *q == '.'); q++)
		;
	return q == end || *q == ' ' || *q == '\t';
}

/* gzip itself decides, else the star. */
bool
gw_accepts_gzip(const char *accept_encoding)
{
	bool star = false;

	for (const char *p = accept_encoding; p != NULL && *p != '\0';)
	{
		size_t length;
		const char *end;

		p += strspn(p, ", \t");
		end = p + strcspn(p, ",");
		length = strcspn(p, ",; \t");
		if (length == 4 && strncasecmp(p, "gzip", 4) == 0)
			return !is_refused(p + length, end);
		if (length == 1 && *p == '*')
			star = !is_refused(p + length, end);
		p = end;
	}
	return star;
}

static const char *
opaque_tag(const char *etag)
{
	return strncmp(etag, "W/", 2) == 0 ? etag + 2 : etag;
}

bool
gw_etag_matches(const char *if_none_match, const char *etag)
{
	const char *wanted = opaque_tag(etag);
	size_t length = strlen(wanted);

	if (if_none_match != NULL && strcmp(if_none_match, "*") == 0)
		return true;
	for (const char *p = if_none_match; p != NULL && *p != '\0';)
	{
		p += strspn(p, ", \t");
		p = opaque_tag(p);
		if (strncmp(p, wanted, length) == 0 && strchr(", \t", p[length]) != NULL)
			return true;
		if (*p == '"')
		{
			/* A comma may stand within a tag. */
			p = strchr(p + 1, '"');
			if (p == NULL)
				return false;
		}
		p += strcspn(p, ",");
	}
	return false;
}
