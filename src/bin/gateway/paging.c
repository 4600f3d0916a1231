/*
 * paging.c
 *	  Where the next page of a list is.
 */
#include "bin/gateway/paging.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
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

void
gw_paging_headers(GwExchange *exchange, const char *paging)
{
	HttpdReply *reply = &exchange->http.reply;
	json_t *document = json_loads(paging, 0, NULL);
	const char *next = json_string_value(json_object_get(document, "next"));
	const json_t *total = json_object_get(document, "total");

	if (next != NULL)
	{
		HttpdBuf link = {0};

		httpd_buf_puts(&link, "<");
		gw_paging_link(exchange->http.target, next, &link);
		httpd_buf_puts(&link, ">; rel=\"next\"");
		httpd_reply_header(reply, "Link", link.data);
		httpd_buf_free(&link);
	}
	if (json_is_integer(total))
	{
		char text[32];

		snprintf(text, sizeof(text), "%lld", (long long) json_integer_value(total));
		httpd_reply_header(reply, "X-Total-Count", text);
	}
	json_decref(document);
}
