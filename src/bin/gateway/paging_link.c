/*
 * paging_link.c
 *	  The address of the next page.
 */
#include "bin/gateway/paging_link.h"

#include <ctype.h>
#include <string.h>

static void
add_encoded(HttpdBuf *out, const char *text)
{
	for (; *text != '\0'; text++)
	{
		unsigned char c = (unsigned char) *text;

		if (isalnum(c) || strchr("-._~", c) != NULL)
			httpd_buf_add(out, text, 1);
		else
			httpd_buf_printf(out, "%%%02X", c);
	}
}

/* What came from the client, encoded where it should have been: it goes into a header. */
static void
add_as_it_came(HttpdBuf *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (isalnum(c) || (c != '\0' && strchr("-._~%!$&'()*+,;=:@/?", c) != NULL))
			httpd_buf_add(out, text + i, 1);
		else
			httpd_buf_printf(out, "%%%02X", c);
	}
}

void
gw_paging_link(const char *target, const char *cursor, HttpdBuf *out)
{
	const char *p = target + strcspn(target, "?");
	const char *separator = "?";

	add_as_it_came(out, target, (size_t) (p - target));
	while (*p != '\0')
	{
		size_t length = strcspn(++p, "&");

		if (length > 0 && strncmp(p, "cursor=", strlen("cursor=")) != 0)
		{
			httpd_buf_puts(out, separator);
			add_as_it_came(out, p, length);
			separator = "&";
		}
		p += length;
	}
	httpd_buf_printf(out, "%scursor=", separator);
	add_encoded(out, cursor);
}
