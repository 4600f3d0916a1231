/*
 * request.h
 *	  A request: from bytes to a whole request, and from a reply to bytes.
 *
 * One thread does everything.  A request that waits is suspended and costs
 * nothing but its memory until a timer or the program resumes it, so
 * thousands can wait.
 */
#ifndef HTTPD_REQUEST_H
#define HTTPD_REQUEST_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "bin/httpd/buf.h"
#include "bin/httpd/connection.h"
#include "bin/httpd/list.h"
#include "bin/httpd/reply.h"
#include "bin/httpd/timer.h"

/* READING -> READY -> SENDING, and WAITING before READY or within SENDING. */
typedef enum HttpdStage
{
	HTTPD_READING, /* the head or the body */
	HTTPD_WAITING, /* deferred, for httpd_request_finish() */
	HTTPD_READY,   /* to be sent as soon as libmicrohttpd asks */
	HTTPD_SENDING
} HttpdStage;

typedef struct HttpdRequest
{
	HttpdConnection *connection;
	char *method;
	const char *version; /* HTTP/1.1, say; valid until the response is sent */
	char *target;		 /* as it came: not decoded, with the query */
	char *path;			 /* decoded by the library, without the query */
	HttpdBuf body;		 /* no more than max_body of it */
	bool too_large;		 /* it was longer than that */
	HttpdReply reply;	 /* for the program to fill */

	/* Where the others were in the memory of the library; for head.c. */
	const char *method_at;
	const char *target_at;

	/* request.c's own */
	HttpdStage stage;
	bool deferred;
	bool suspended;
	bool aborted;
	HttpdTimer timer; /* of a delay, an expiry or a pause */
	void (*expired)(struct HttpdRequest *request);
	HttpdTimer client_check;
	HttpdLink link; /* of the suspended ones */
} HttpdRequest;

/*
 * In on_request: the reply comes later, by httpd_request_finish().  Until then
 * the program may hold a pointer to the request, to be forgotten in on_end.
 */
extern void httpd_request_defer(HttpdRequest *request);
extern void httpd_request_finish(HttpdRequest *request);

/* In on_request: defers it, and finishes it after delay_us. */
extern void httpd_request_delay(HttpdRequest *request, int64_t delay_us);

/*
 * For a deferred request: calls expired at due_us unless it was finished by
 * then.  expired fills the reply and finishes the request, or aborts it.
 */
extern void httpd_request_expire(HttpdRequest *request, int64_t due_us,
								 void (*expired)(HttpdRequest *request));

/*
 * For a deferred request: aborts it soon after its client has left, which is
 * not noticed otherwise before the response is sent.
 */
extern void httpd_request_watch_client(HttpdRequest *request);

/* In a reply's produce: no further piece for pause_us. */
extern void httpd_request_pause(HttpdRequest *request, int64_t pause_us);

/*
 * The same until httpd_request_go_on().  Meanwhile the request is aborted if its
 * client leaves.
 */
extern void httpd_request_hold(HttpdRequest *request);
extern void httpd_request_go_on(HttpdRequest *request);

/*
 * Ends the connection without a response, or within it: by RST, or (how a
 * dying server looks) by FIN.  From any hook or timer.  on_end follows, but
 * never before this returns.
 */
extern void httpd_request_abort(HttpdRequest *request, bool reset);

/* A query argument or a header, or NULL.  Valid until the response is sent. */
extern const char *httpd_request_argument(const HttpdRequest *request, const char *name);
extern const char *httpd_request_header(const HttpdRequest *request, const char *name);

/*
 * For the listener
 */

/* What libmicrohttpd calls; cls of httpd_request_access() is the service. */
extern void *httpd_request_begun(void *cls, const char *target, struct MHD_Connection *mhd);
extern enum MHD_Result httpd_request_access(void *cls, struct MHD_Connection *mhd, const char *path,
											const char *method, const char *version,
											const char *upload_data, size_t *upload_data_size,
											void **con_cls);
extern void httpd_request_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
									enum MHD_RequestTerminationCode reason);

/* True, once, if requests were resumed: libmicrohttpd must then get its turn. */
extern bool httpd_request_take_resumed(void);

/* How many requests are between their head and their end. */
extern int httpd_request_count(void);

/* From now on each response says that the connection closes. */
extern void httpd_request_close_connections(void);

/* Aborts the requests that wait, and every one that still comes. */
extern void httpd_request_abort_all(void);

#endif
