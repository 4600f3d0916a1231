/*
 * http.h
 *	  Many HTTP requests at once over kept-alive connections.
 *
 * Knows neither SQL nor JSON.  Nothing here allocates PostgreSQL memory or
 * raises an error.  The caller waits for wa_http_epoll_fd() to become readable
 * or for wa_http_timeout_ms() to pass, then calls wa_http_step().
 */
#ifndef WA_HTTP_HTTP_H
#define WA_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct WaHttp WaHttp;

typedef struct WaHttpConfig
{
	const char *ca_file; /* CA bundle to trust instead of the system's; NULL or "" */
	int max_in_flight;
	int max_connections; /* 0: chosen by the protocol spoken */
	int connect_timeout_ms;
	int request_timeout_ms;
	size_t max_response; /* bytes of body kept; more is an error */
} WaHttpConfig;

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
	const char *usage;		  /* x-business-use-case-usage header, or "" */
	const char *content_type; /* or "" */
	int64_t started_us;		  /* monotonic clock: submitted */
	int64_t finished_us;
} WaHttpResult;

extern WaHttp *wa_http_create(const WaHttpConfig *config);
extern void wa_http_destroy(WaHttp *http);

/* The bearer token for requests submitted from now on; copied. */
extern bool wa_http_set_token(WaHttp *http, const char *token);

/*
 * Starts a request.  body is copied; NULL makes it a GET.  content_type may be
 * NULL for application/json.  False (out of memory, too many in flight): nothing
 * was started.
 */
extern bool wa_http_submit(WaHttp *http, const char *url, const char *body, size_t body_len,
						   const char *content_type, void *tag);

extern int wa_http_epoll_fd(const WaHttp *http);
extern long wa_http_timeout_ms(WaHttp *http); /* -1: none; call it before each wait */
extern void wa_http_step(WaHttp *http);

/* The next finished request, or NULL; valid until released. */
extern WaHttpResult *wa_http_next_result(WaHttp *http);
extern void wa_http_release(WaHttp *http, WaHttpResult *result);

/* Ends every transfer; each then appears as a result with what is certain of it. */
extern void wa_http_abort_all(WaHttp *http);

extern int wa_http_in_flight(const WaHttp *http);
extern int wa_http_connections(const WaHttp *http);

#endif
