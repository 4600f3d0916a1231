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

/* Makes room for more bytes and a NUL. */
void
sim_buf_reserve(SimBuf *buf, size_t more)
{
	size_t need = buf->len + more + 1;

	if (need <= buf->size)
		return;
	if (buf->size == 0)
		buf->size = 256;
	while (buf->size < need)
		buf->size *= 2;
	buf->data = sim_realloc(buf->data, buf->size);
	buf->data[buf->len] = '\0';
}

void
sim_buf_add(SimBuf *buf, const void *data, size_t len)
{
	sim_buf_reserve(buf, len);
	if (len > 0)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
}

void
sim_buf_puts(SimBuf *buf, const char *s)
{
	sim_buf_add(buf, s, strlen(s));
}

void
sim_buf_printf(SimBuf *buf, const char *format, ...)
{
	va_list args;
	int n;

	sim_buf_reserve(buf, 0);
	va_start(args, format);
	n = vsnprintf(buf->data + buf->len, buf->size - buf->len, format, args);
	va_end(args);
	if (n < 0)
		sim_die("could not format text");
	if ((size_t) n >= buf->size - buf->len)
	{
		sim_buf_reserve(buf, (size_t) n);
		va_start(args, format);
		vsnprintf(buf->data + buf->len, buf->size - buf->len, format, args);
		va_end(args);
	}
	buf->len += (size_t) n;
}

void
sim_buf_json(SimBuf *buf, const char *s)
{
	const char *plain = s;

	if (s == NULL)
	{
		sim_buf_puts(buf, "null");
		return;
	}
	sim_buf_add(buf, "\"", 1);
	while (*s != '\0')
	{
		unsigned char c = (unsigned char) *s;
		size_t len = sim_utf8_sequence(s);

		if (len > 0 && c >= 0x20 && c != '"' && c != '\\')
		{
			s += len;
			continue;
		}
		sim_buf_add(buf, plain, (size_t) (s - plain));
		if (len == 0)
			sim_buf_puts(buf, "\\ufffd");
		else if (c == '"' || c == '\\')
			sim_buf_printf(buf, "\\%c", c);
		else
			sim_buf_printf(buf, "\\u%04x", c);
		plain = ++s;
	}
	sim_buf_add(buf, plain, (size_t) (s - plain));
	sim_buf_add(buf, "\"", 1);
}

void
sim_buf_free(SimBuf *buf)
{
	free(buf->data);
	memset(buf, 0, sizeof(*buf));
}
