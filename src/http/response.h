/*
 * response.h
 *	  What comes in of the response to a request, and the callbacks that keep it.
 *
 * Internal to the http files.
 */
#ifndef WA_HTTP_RESPONSE_H
#define WA_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>

#include "http/buffer.h"

typedef enum WaProtocol
{
	WA_PROTOCOL_UNKNOWN,
	WA_PROTOCOL_HTTP1,
	WA_PROTOCOL_HTTP2
} WaProtocol;

typedef struct WaHttpResponse
{
	size_t max_size; /* of the body */
	WaBuffer body;
	bool too_large;
	WaProtocol protocol; /* unknown until it begins */
	WaBuffer usage;
	int retry_after_s;
	char api_version[16];
	char date[40];
	char content_type[64];
} WaHttpResponse;

/*
 * For CURLOPT_WRITEFUNCTION and CURLOPT_HEADERFUNCTION; arg is the WaHttpResponse.
 * libcurl calls them: they MUST NOT call it, nor PostgreSQL.
 */
extern size_t wa_http_response_body(char *data, size_t size, size_t n, void *arg);
extern size_t wa_http_response_header(char *line, size_t size, size_t n, void *arg);

/* Nothing has come in; buffers are kept.  And gives them back. */
extern void wa_http_response_reset(WaHttpResponse *response);
extern void wa_http_response_free(WaHttpResponse *response);

#endif
