/*
 * gzip.c
 *	  Compression.
 */
#include "bin/gateway/gzip.h"

#include <zlib.h>

#include "bin/httpd/util.h"

/* Below that, headers are most of a response. */
#define LEAST_BYTES 1024

/* zlib: add 16 to the size of the window for gzip instead of zlib's format. */
#define GZIP_WINDOW (MAX_WBITS + 16)

bool
gw_gzip(const void *data, size_t len, GwEffort effort, HttpdBuf *out)
{
	z_stream stream = {0};
	int rc;

	if (len < LEAST_BYTES)
		return false;
	if (deflateInit2(&stream, effort == GW_WELL ? 9 : 4, Z_DEFLATED, GZIP_WINDOW, 8,
					 Z_DEFAULT_STRATEGY) != Z_OK)
		httpd_die("out of memory");

	/* Room for less than the original: what does not fit does not pay. */
	httpd_buf_reserve(out, len - len / 10);
	stream.next_in = (void *) data;
	stream.avail_in = (uInt) len;
	stream.next_out = (void *) out->data;
	stream.avail_out = (uInt) (len - len / 10);
	rc = deflate(&stream, Z_FINISH);
	out->len = stream.total_out;
	deflateEnd(&stream);
	if (rc == Z_STREAM_END)
		return true;
	httpd_buf_free(out);
	return false;
}
