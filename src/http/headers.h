/*
 * headers.h
 *	  Request headers, kept for as long as a request needs them.
 */
#ifndef WA_HTTP_HEADERS_H
#define WA_HTTP_HEADERS_H

#include <stdbool.h>

struct curl_slist;

/*
 * The request headers of one token, shared by all requests that were begun
 * with it.  libcurl reads the lists until a transfer has ended.
 */
typedef struct WaHttpHeaders
{
	int refcount;
	char *authorization;	 /* the whole line, or NULL */
	struct curl_slist *json; /* for the usual content type */
	struct curl_slist *get;	 /* without content type */
} WaHttpHeaders;

/* With one reference; NULL if out of memory or if the token cannot be one. */
extern WaHttpHeaders *wa_http_headers_create(const char *token);
extern void wa_http_headers_release(WaHttpHeaders *h);

/* A list of its own for an unusual content type, or with another line; NULL as above. */
extern struct curl_slist *wa_http_headers_list(const WaHttpHeaders *h, const char *content_type,
											   const char *line);
extern void wa_http_headers_free_list(struct curl_slist *list);

#endif
