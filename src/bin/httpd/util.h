/*
 * util.h
 *	  Memory that cannot fail, the end of the program, its limits, numbers from text.
 */
#ifndef HTTPD_UTIL_H
#define HTTPD_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Prints "PROGRAM: ..." to stderr and exits with status 1, without any
 * clean-up: for errors at start, and for what must not go on.
 */
extern void httpd_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* As malloc() and friends, but out of memory is the end of the program. */
extern void *httpd_alloc(size_t size);
extern void *httpd_alloc0(size_t size);
extern void *httpd_realloc(void *p, size_t size);
extern char *httpd_strdup(const char *s);

/* To as many descriptors as the system allows: each connection is one. */
extern void httpd_raise_descriptor_limit(void);

/* False, with *out unchanged, unless all of text is an integer between min and max. */
extern bool httpd_parse_int(const char *text, int64_t min, int64_t max, int64_t *out);

#endif
