/*
 * reply.h
 *	  A response in the making: status, headers, body.
 */
#ifndef HTTPD_REPLY_H
#define HTTPD_REPLY_H

#include <stddef.h>
#include <sys/types.h>

#include "bin/httpd/buf.h"

struct HttpdRequest;

#define HTTPD_REPLY_HEADERS 24

/*
 * Gives the next piece of a body that is not to leave in one go: copies at
 * most max bytes, beginning with byte pos of the body, to out and returns how
 * many.  It may instead call httpd_request_pause() or httpd_request_hold() and return 0, or call
 * httpd_request_abort() and return -1; nothing else of request.h.
 */
typedef ssize_t (*HttpdProduce)(struct HttpdRequest *request, size_t pos, char *out, size_t max);

typedef struct HttpdReply
{
	int status;				  /* 0: there is no reply yet */
	const char *content_type; /* constant; NULL: no such header */
	HttpdBuf body;

	struct
	{
		const char *name; /* constant */
		char *value;	  /* owned */
	} headers[HTTPD_REPLY_HEADERS];
	int nheaders;

	HttpdProduce produce; /* NULL: the body leaves as fast as it can */
	size_t block;		  /* for produce: the largest max */
	size_t length;		  /* for produce: of what it gives; 0: as long as body */
} HttpdReply;

/* Copies value.  A header beyond HTTPD_REPLY_HEADERS ends the program. */
extern void httpd_reply_header(HttpdReply *reply, const char *name, const char *value);

/* Sets all of the reply but its headers. */
extern void httpd_reply_text(HttpdReply *reply, int status, const char *content_type,
							 const char *text);

/* Frees what it holds and makes it empty, for another response in its place. */
extern void httpd_reply_clear(HttpdReply *reply);

#endif
