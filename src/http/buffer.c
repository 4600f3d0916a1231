/*
 * buffer.c
 *	  Bytes on their way to a peer, or from one.
 *
 * Obtained by plain malloc, because it happens within libcurl's callbacks, and
 * kept from one request to the next.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/buffer.h"

/* Buffers that a single large request has blown up beyond this are given back. */
#define MAX_KEPT_BUFFER 65536

/*
 * False if out of memory.
 */
bool
wa_buffer_append(WaBuffer *b, const char *data, size_t len)
{
	if (len > SIZE_MAX / 4 || b->len > SIZE_MAX / 4)
		return false;
	if (b->len + len + 1 > b->size)
	{
		size_t size = b->size > 0 ? b->size : 512;
		char *grown;

		while (size < b->len + len + 1)
			size *= 2;
		grown = realloc(b->data, size);
		if (grown == NULL)
			return false;
		b->data = grown;
		b->size = size;
	}
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
	return true;
}

void
wa_buffer_reset(WaBuffer *b)
{
	if (b->size > MAX_KEPT_BUFFER)
	{
		free(b->data);
		b->data = NULL;
		b->size = 0;
	}
	b->len = 0;
	if (b->data != NULL)
		b->data[0] = '\0';
}

const char *
wa_buffer_text(const WaBuffer *b)
{
	return b->data != NULL ? b->data : "";
}
