/*
 * reply.c
 *	  A response in the making: status, headers, body.
 */
#include "bin/httpd/reply.h"

#include <stdlib.h>
#include <string.h>

#include "bin/httpd/util.h"

void
httpd_reply_header(HttpdReply *reply, const char *name, const char *value)
{
	if (reply->nheaders >= HTTPD_REPLY_HEADERS)
		httpd_die("too many response headers");
	reply->headers[reply->nheaders].name = name;
	reply->headers[reply->nheaders].value = httpd_strdup(value);
	reply->nheaders++;
}

void
httpd_reply_text(HttpdReply *reply, int status, const char *content_type, const char *text)
{
	reply->status = status;
	reply->content_type = content_type;
	reply->body.len = 0;
	httpd_buf_puts(&reply->body, text);
}

void
httpd_reply_clear(HttpdReply *reply)
{
	for (int i = 0; i < reply->nheaders; i++)
		free(reply->headers[i].value);
	httpd_buf_free(&reply->body);
	memset(reply, 0, sizeof(*reply));
}
