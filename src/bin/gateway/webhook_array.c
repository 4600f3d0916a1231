/*
 * webhook_array.c
 *	  Arrays as PostgreSQL takes them in binary form.
 */
#include "bin/gateway/webhook_array.h"

#include <arpa/inet.h>
#include <stdint.h>

#define KEPT (1024 * 1024)

static void
add_int(HttpdBuf *out, uint32_t value)
{
	uint32_t network = htonl(value);

	httpd_buf_add(out, &network, sizeof(network));
}

/* As array_recv() reads it: dimensions, whether there are NULLs, type, and of each dimension
 * length and lower bound. */
void
gw_array_begin(HttpdBuf *out, Oid type, int n)
{
	out->len = 0;
	add_int(out, 1);
	add_int(out, 0);
	add_int(out, type);
	add_int(out, (uint32_t) n);
	add_int(out, 1);
}

void
gw_array_add(HttpdBuf *out, const void *data, size_t len)
{
	add_int(out, (uint32_t) len);
	httpd_buf_add(out, data, len);
}

void
gw_array_end(HttpdBuf *out)
{
	if (out->size > KEPT)
		httpd_buf_free(out);
}
