/*
 * byte_range.c
 *	  The header Range (RFC 9110, section 14): which part of a file.
 */
#include "bin/gateway/byte_range.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* More digits than any file's size has, and fewer than an int64_t could overflow by. */
#define MOST_DIGITS 18

/* Reads digits; NULL: there are none, or too many. */
static const char *
read_number(const char *p, int64_t *out)
{
	int digits = 0;

	for (*out = 0; *p >= '0' && *p <= '9'; p++)
	{
		if (++digits > MOST_DIGITS)
			return NULL;
		*out = *out * 10 + (*p - '0');
	}
	return digits > 0 ? p : NULL;
}

bool
gw_byte_range_read(const char *header, GwByteRange *out)
{
	static const char unit[] = "bytes=";
	const char *p = header;

	if (p == NULL || strncasecmp(p, unit, strlen(unit)) != 0)
		return false;
	p += strlen(unit);
	p += strspn(p, " \t");
	out->last = INT64_MAX;
	if (*p == '-')
	{
		p = read_number(p + 1, &out->first);
		/* None at all is past the end, of every file. */
		out->first = out->first == 0 ? INT64_MAX : -out->first;
	}
	else
	{
		p = read_number(p, &out->first);
		if (p == NULL || *p++ != '-')
			return false;
		if (*p >= '0' && *p <= '9')
			p = read_number(p, &out->last);
	}
	if (p == NULL)
		return false;
	p += strspn(p, " \t");
	return *p == '\0' && out->last >= out->first;
}

bool
gw_byte_range_apply(const GwByteRange *range, int64_t size, int64_t *first, int64_t *length)
{
	int64_t from = range->first;

	if (from < 0)
		from = size > -from ? size + from : 0;
	if (from >= size)
		return false;
	*first = from;
	*length = (range->last < size ? range->last + 1 : size) - from;
	return true;
}
