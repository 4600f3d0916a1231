/*
 * buf.c
 *	  A growing string.
 */
#include "bin/httpd/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/httpd/util.h"

void
httpd_buf_reserve(HttpdBuf *buf, size_t more)
{
	size_t need = buf->len + more + 1;

	if (need <= buf->size)
		return;
	if (buf->size == 0)
		buf->size = 256;
	while (buf->size < need)
		buf->size *= 2;
	buf->data = httpd_realloc(buf->data, buf->size);
	buf->data[buf->len] = '\0';
}

void
httpd_buf_add(HttpdBuf *buf, const void *data, size_t len)
{
	httpd_buf_reserve(buf, len);
	if (len > 0)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
}

void
httpd_buf_puts(HttpdBuf *buf, const char *s)
{
	httpd_buf_add(buf, s, strlen(s));
}

void
httpd_buf_printf(HttpdBuf *buf, const char *format, ...)
{
	va_list args;
	int n;

	httpd_buf_reserve(buf, 0);
	va_start(args, format);
	n = vsnprintf(buf->data + buf->len, buf->size - buf->len, format, args);
	va_end(args);
	if (n < 0)
		httpd_die("could not format text");
	if ((size_t) n >= buf->size - buf->len)
	{
		httpd_buf_reserve(buf, (size_t) n);
		va_start(args, format);
		vsnprintf(buf->data + buf->len, buf->size - buf->len, format, args);
		va_end(args);
	}
	buf->len += (size_t) n;
}

/* Bytes of the character at the start of s (RFC 3629); 0 if it is malformed. */
static size_t
utf8_sequence(const char *s)
{
	const unsigned char *p = (const unsigned char *) s;
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (p[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++)
	{
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}

	/* Overlong forms, surrogates, and beyond U+10FFFF. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

void
httpd_buf_json(HttpdBuf *buf, const char *s)
{
	const char *plain = s;

	if (s == NULL)
	{
		httpd_buf_puts(buf, "null");
		return;
	}
	httpd_buf_add(buf, "\"", 1);
	while (*s != '\0')
	{
		unsigned char c = (unsigned char) *s;
		size_t len = utf8_sequence(s);

		if (len > 0 && c >= 0x20 && c != '"' && c != '\\')
		{
			s += len;
			continue;
		}
		httpd_buf_add(buf, plain, (size_t) (s - plain));
		if (len == 0)
			httpd_buf_puts(buf, "\\ufffd");
		else if (c == '"' || c == '\\')
			httpd_buf_printf(buf, "\\%c", c);
		else
			httpd_buf_printf(buf, "\\u%04x", c);
		plain = ++s;
	}
	httpd_buf_add(buf, plain, (size_t) (s - plain));
	httpd_buf_add(buf, "\"", 1);
}

void
httpd_buf_free(HttpdBuf *buf)
{
	free(buf->data);
	memset(buf, 0, sizeof(*buf));
}
