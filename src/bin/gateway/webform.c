/*
 * webform.c
 *	  What a browser sends for an HTML form.
 */
#include "bin/gateway/webform.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bin/gateway/utf8.h"
#include "bin/httpd/util.h"
#include "common/hexdigit.h"

#define MAX_FIELDS 64

/* Decodes from..end to *out, which moves on behind a NUL; false if that is not text. */
static bool
decode(const char *from, const char *end, char **out)
{
	char *start = *out;
	char *to = start;

	for (const char *p = from; p < end; p++)
	{
		char c = *p == '+' ? ' ' : *p;

		if (c == '%')
		{
			int high = end - p > 2 ? wa_hex_value(p[1]) : -1;
			int low = high >= 0 ? wa_hex_value(p[2]) : -1;

			if (low < 0)
				return false;
			c = (char) (high << 4 | low);
			p += 2;
		}
		if (c == '\0')
			return false;
		*to++ = c;
	}
	*to = '\0';
	*out = to + 1;
	return gw_utf8_valid(start, (size_t) (to - start));
}

static const char *
convert(const char *form, const char *end, char *memory, HttpdBuf *out)
{
	const char *names[MAX_FIELDS];
	int n = 0;

	httpd_buf_puts(out, "{");
	for (const char *p = form; p < end;)
	{
		const char *stop = memchr(p, '&', (size_t) (end - p));
		const char *equals;
		char *name = memory;
		char *value;

		if (stop == NULL)
			stop = end;
		equals = memchr(p, '=', (size_t) (stop - p));
		if (n == MAX_FIELDS)
			return "The form has too many fields.";
		if (!decode(p, equals != NULL ? equals : stop, &memory))
			return "The form is not valid UTF-8.";
		value = memory;
		if (!decode(equals != NULL ? equals + 1 : stop, stop, &memory))
			return "The form is not valid UTF-8.";
		for (int i = 0; i < n; i++)
		{
			if (strcmp(names[i], name) == 0)
				return "The form has a field twice.";
		}
		if (n > 0)
			httpd_buf_puts(out, ",");
		names[n++] = name;
		httpd_buf_json(out, name);
		httpd_buf_puts(out, ":");
		httpd_buf_json(out, value);
		p = stop + 1;
	}
	httpd_buf_puts(out, "}");
	return NULL;
}

const char *
gw_form_to_json(const char *form, size_t len, HttpdBuf *out)
{
	/* Each name and each value gets a NUL: of the separators there is one for each but the last. */
	char *memory = httpd_alloc(2 * len + 2);
	const char *problem = convert(form, form + len, memory, out);

	free(memory);
	return problem;
}
