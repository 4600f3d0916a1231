/*
 * disposition.c
 *	  The header Content-Disposition (RFC 6266).
 */
#include "bin/gateway/disposition.h"

#include <stdio.h>
#include <string.h>

/* attr-char of RFC 8187. */
static bool
is_plain(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		   (c != '\0' && strchr("!#$&+-.^_`|~", c) != NULL);
}

/*
 * The name twice: for what is older than RFC 8187, with an underscore in place of
 * each character that would not be the same to everybody; and in full.
 */
void
gw_disposition(HttpdBuf *out, bool is_shown, const char *filename)
{
	httpd_buf_printf(out, "%s; filename=\"", is_shown ? "inline" : "attachment");
	for (const char *p = filename; *p != '\0'; p++)
	{
		unsigned char c = (unsigned char) *p;

		if (c >= 0x80 && c < 0xc0)
			continue; /* the rest of a character */
		httpd_buf_add(out, is_plain(c) || c == ' ' || c == '(' || c == ')' ? p : "_", 1);
	}
	httpd_buf_puts(out, "\"; filename*=UTF-8''");
	for (const char *p = filename; *p != '\0'; p++)
	{
		unsigned char c = (unsigned char) *p;

		if (is_plain(c))
			httpd_buf_add(out, p, 1);
		else
			httpd_buf_printf(out, "%%%02X", c);
	}
}
