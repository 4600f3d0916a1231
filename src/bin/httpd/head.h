/*
 * head.h
 *	  The head of a request as it came, for programs that must not be lenient.
 *
 * libmicrohttpd 0.9.75 takes much for a head that is none, and mends it without
 * a word: NUL ends a value, a folded line is glued to the name of its header,
 * LF alone ends a line.  A proxy in front may read the same bytes otherwise,
 * and what the two disagree about is how a request is smuggled.
 */
#ifndef HTTPD_HEAD_H
#define HTTPD_HEAD_H

#include "bin/httpd/request.h"

/* Later versions refuse such heads when they are told to. */
#define HTTPD_LIBRARY_IS_STRICT (MHD_VERSION >= 0x00097701)

/*
 * True if the head consists, byte for byte, of METHOD SP TARGET SP VERSION CRLF,
 * of lines NAME ":" VALUE CRLF, and of CRLF, without NUL.  What a method, a
 * target, a name and a value may consist of is up to the caller.  Only in
 * on_head.
 */
extern bool httpd_head_is_exact(const HttpdRequest *request);

/* One header; neither text has a NUL, and both end with one. */
typedef void (*HttpdHeaderVisitor)(void *arg, const char *name, const char *value);

/* Visits all headers in the order in which they came. */
extern void httpd_head_visit(const HttpdRequest *request, HttpdHeaderVisitor visitor, void *arg);

#endif
