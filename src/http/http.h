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

#include "http/config.h"
#include "http/result.h"

typedef struct WaHttp WaHttp;

/* The bundle that libcurl trusts by default; NULL: it has none, or does not say. */
extern const char *wa_http_system_ca_file(void);

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
