/*
 * paging.c
 *	  Where the next page of a list is.
 */
#include "bin/gateway/paging.h"

#include <jansson.h>
#include <stdio.h>

#include "bin/gateway/paging_link.h"

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
