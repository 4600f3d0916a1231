/*
 * service.h
 *	  What a program does with the requests of a listener: limits and hooks.
 *
 * The program fills one of these and gives it to the listener; it must stay
 * until httpd_listener_stop().  Hooks run in the loop, one at a time.  They
 * must not block: everybody waits meanwhile.  All but on_request may be NULL.
 */
#ifndef HTTPD_SERVICE_H
#define HTTPD_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct HttpdConnection;
struct HttpdRequest;

typedef struct HttpdService
{
	/*
	 * The size of the program's own struct for a request, which begins with a
	 * HttpdRequest; the server allocates it, zeroed, and frees it.
	 */
	size_t request_size;

	/*
	 * The longest request body that is kept.  The rest of a longer one is
	 * read and dropped, with too_large set: a client that is still sending
	 * would not see a response.
	 */
	size_t max_body;

	/*
	 * How long a client may take, after which its connection is closed: from
	 * accept to the end of its first request, and from the beginning of a
	 * response to the end of the next request, so also to take the response.
	 * The time between belongs to the program.  0 is no limit.  The listener's
	 * inactivity timeout does not do this: a byte now and then satisfies it.
	 */
	int64_t deadline_us;

	/*
	 * How much longer it may take to begin its next request, which then has the whole
	 * deadline.  A proxy that keeps connections for a minute sends its next request on
	 * one of them at any time within it.
	 */
	int64_t idle_us;

	/*
	 * How many connections may stay open after a response, for their next request;
	 * beyond that a response closes its connection.  Thousands that have not yet sent
	 * anything then cost little, and the others are few.  0: all of them, and each
	 * costs the same from the beginning.
	 */
	int max_kept_open;

	/* A connection was accepted, before TLS; and it is gone. */
	void (*on_connect)(struct HttpdConnection *connection);
	void (*on_disconnect)(struct HttpdConnection *connection);

	/*
	 * Method, path and headers are there.  A reply that is filled here is sent
	 * at once and the body is not read; the connection then closes.
	 */
	void (*on_head)(struct HttpdRequest *request);

	/* Another len bytes of the body are there and will be added to it. */
	void (*on_body)(struct HttpdRequest *request, size_t len);

	/* The whole request is there: fills the reply, or defers it. */
	void (*on_request)(struct HttpdRequest *request);

	/*
	 * The exchange is over, once for every request: sent says that the whole
	 * response was handed to the network.  The request is freed afterwards, so
	 * whoever still holds a pointer to it must forget it here.
	 */
	void (*on_end)(struct HttpdRequest *request, bool sent);
} HttpdService;

#endif
