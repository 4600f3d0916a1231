/*
 * buf.h
 *	  A growing string.
 */
#ifndef HTTPD_BUF_H
#define HTTPD_BUF_H

#include <stddef.h>

/* All zeroes is an empty one.  data is NUL-terminated once there was room. */
typedef struct SimBuf
{
	char *data;
	size_t len;
	size_t size;
} SimBuf;

extern void sim_buf_reserve(SimBuf *buf, size_t more);
extern void sim_buf_add(SimBuf *buf, const void *data, size_t len);
extern void sim_buf_puts(SimBuf *buf, const char *s);
extern void sim_buf_printf(SimBuf *buf, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * s as a JSON string, quotes included; NULL gives null.  Bytes that are not
 * UTF-8 become U+FFFD: requests are full of what their sender likes.
 */
extern void sim_buf_json(SimBuf *buf, const char *s);

extern void sim_buf_free(SimBuf *buf);

#endif
