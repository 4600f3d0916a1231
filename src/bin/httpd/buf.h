/*
 * buf.h
 *	  A growing string.
 */
#ifndef HTTPD_BUF_H
#define HTTPD_BUF_H

#include <stddef.h>

/* All zeroes is an empty one.  data is NULL until something is added, then ends in NUL. */
typedef struct HttpdBuf
{
	char *data;
	size_t len;
	size_t size;
} HttpdBuf;

/* Makes room for that many more bytes and a NUL. */
extern void httpd_buf_reserve(HttpdBuf *buf, size_t more);
extern void httpd_buf_add(HttpdBuf *buf, const void *data, size_t len);
extern void httpd_buf_puts(HttpdBuf *buf, const char *s);
extern void httpd_buf_printf(HttpdBuf *buf, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Appends s as a JSON string with its quotes, or null for NULL.  Bytes that are
 * not UTF-8 become U+FFFD: a request may contain anything.
 */
extern void httpd_buf_json(HttpdBuf *buf, const char *s);

/* Frees the memory; the buffer is then an empty one. */
extern void httpd_buf_free(HttpdBuf *buf);

#endif
