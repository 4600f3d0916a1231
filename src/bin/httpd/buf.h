/*
 * buf.h
 *	  A growing string.
 */
#ifndef HTTPD_BUF_H
#define HTTPD_BUF_H

#include <stddef.h>

/* All zeroes is an empty one.  data is NUL-terminated once there was room. */
typedef struct HttpdBuf
{
	char *data;
	size_t len;
	size_t size;
} HttpdBuf;

extern void httpd_buf_reserve(HttpdBuf *buf, size_t more);
extern void httpd_buf_add(HttpdBuf *buf, const void *data, size_t len);
extern void httpd_buf_puts(HttpdBuf *buf, const char *s);
extern void httpd_buf_printf(HttpdBuf *buf, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * s as a JSON string, quotes included; NULL gives null.  Bytes that are not
 * UTF-8 become U+FFFD: requests are full of what their sender likes.
 */
extern void httpd_buf_json(HttpdBuf *buf, const char *s);

extern void httpd_buf_free(HttpdBuf *buf);

#endif
