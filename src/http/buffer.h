/*
 * buffer.h
 *	  Growable memory for bodies and headers.
 *
 * Internal to the http files.
 */
#ifndef WA_HTTP_BUFFER_H
#define WA_HTTP_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

/* NUL-terminated, if there is anything; the next transfer uses it again. */
typedef struct WaBuffer
{
	char *data;
	size_t len;
	size_t size;
} WaBuffer;

/* False if out of memory. */
extern bool wa_buffer_append(WaBuffer *b, const char *data, size_t len);

/* Empties it, and gives back what a single large request has taken. */
extern void wa_buffer_reset(WaBuffer *b);

/* Its content, or "". */
extern const char *wa_buffer_text(const WaBuffer *b);

#endif
