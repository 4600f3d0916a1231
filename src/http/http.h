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

/* Waits for nothing, whatever is under way. */
extern void wa_http_destroy(WaHttp *http);

/*
 * Other settings, for all that has not begun to leave.  What has, ends as it began,
 * on the connections that it has, and counts for no limit any more.  The epoll
 * descriptor stays.  False (out of memory): nothing has changed.
 */
extern bool wa_http_reconfigure(WaHttp *http, const WaHttpConfig *config);

/* The bearer token for requests submitted from now on; copied. */
extern bool wa_http_set_token(WaHttp *http, const char *token);

/*
 * Starts a request.  body is copied; NULL makes it a GET.  content_type may be
 * NULL for application/json.  False (out of memory, too many in flight): nothing
 * was started.
 */
extern bool wa_http_submit(WaHttp *http, const char *url, const char *body, size_t body_len,
						   const char *content_type, void *tag);

/* The same for JSON with a header line of its own, "Name: value", without its end. */
extern bool wa_http_submit_json(WaHttp *http, const char *url, const char *body, size_t body_len,
								const char *line, void *tag);

extern int wa_http_epoll_fd(const WaHttp *http);
extern long wa_http_timeout_ms(WaHttp *http); /* -1: none; call it before each wait */
extern void wa_http_step(WaHttp *http);

/*
 * The next request that has begun to leave and has not ended: sets its tag and when,
 * by the monotonic clock.  A request that is begun anew, since nothing of it was
 * taken, is told again.  Of one that ends before this is asked, result.begun_us tells.
 */
extern bool wa_http_next_begun(WaHttp *http, void **tag, int64_t *begun_us);

/*
 * Asks may_begin of each request that has not begun to leave.  One that may not ends
 * as a result that is WA_HTTP_NOT_WRITTEN.  may_begin MUST NOT call back.
 */
extern void wa_http_ask_unbegun(WaHttp *http, bool (*may_begin)(void *tag, void *arg), void *arg);

/* The next finished request, or NULL; valid until released. */
extern WaHttpResult *wa_http_next_result(WaHttp *http);
extern void wa_http_release(WaHttp *http, WaHttpResult *result);

/* Ends every transfer; each then appears as a result with what is certain of it. */
extern void wa_http_abort_all(WaHttp *http);

/* Ends those that have no connection yet, which surely were not written. */
extern void wa_http_abort_unbegun(WaHttp *http);

extern int wa_http_in_flight(const WaHttp *http); /* submitted and not finished */
extern int wa_http_draining(const WaHttp *http);  /* ... of these, begun with other settings */

/* How many can be under way at once; more would wait, as far as is known now. */
extern int wa_http_capacity(const WaHttp *http);
extern int wa_http_connections(const WaHttp *http);

#endif
