/*
 * result.h
 *	  What became of one HTTP request.
 *
 * All that those who read responses have to know of the HTTP client.  The strings
 * belong to the client and are valid until the result is released
 * (http/http.h).
 */
#ifndef WA_HTTP_RESULT_H
#define WA_HTTP_RESULT_H

#include <stddef.h>
#include <stdint.h>

/*
 * What is certain about a finished request.  In doubt it is
 * WA_HTTP_NO_ANSWER: only what surely never left us counts as not written.
 */
typedef enum WaHttpPhase
{
	WA_HTTP_ANSWERED,	 /* a complete HTTP response */
	WA_HTTP_NOT_WRITTEN, /* no connection, or cut before the request was complete */
	WA_HTTP_NO_ANSWER	 /* written, but no complete response */
} WaHttpPhase;

typedef struct WaHttpResult
{
	void *tag; /* as given to wa_http_submit */
	WaHttpPhase phase;
	long status;	  /* HTTP status, 0 if none */
	const char *body; /* response body, NUL-terminated */
	size_t body_len;
	const char *error;		  /* libcurl's words, "" if answered */
	int error_code;			  /* CURLcode */
	int retry_after_s;		  /* Retry-After header, -1 if none */
	const char *api_version;  /* facebook-api-version header, or "" */
	const char *date;		  /* Date header, or "" */
	const char *usage;		  /* x-business-use-case-usage header, or "" */
	const char *content_type; /* or "" */
	int64_t started_us;		  /* monotonic clock: submitted */
	int64_t begun_us;		  /* the first byte may have left then; 0: none has */
	int64_t finished_us;
} WaHttpResult;

#endif
