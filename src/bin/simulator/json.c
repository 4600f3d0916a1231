/*
 * json.c
 *	  JSON documents and buffers.
 */
#include "bin/simulator/json.h"

#include "bin/httpd/util.h"

static int
append(const char *text, size_t len, void *arg)
{
	httpd_buf_add(arg, text, len);
	return 0;
}

void
sim_json_write(HttpdBuf *out, json_t *doc)
{
	if (json_dump_callback(doc, append, out, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
		httpd_die("could not write JSON");
	json_decref(doc);
}

json_t *
sim_json_read(const HttpdBuf *buf, json_error_t *error)
{
	return buf->len > 0 ? json_loadb(buf->data, buf->len, 0, error) : NULL;
}
