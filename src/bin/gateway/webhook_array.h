/*
 * webhook_array.h
 *	  Arrays as PostgreSQL takes them in binary form.
 */
#ifndef GW_WEBHOOK_ARRAY_H
#define GW_WEBHOOK_ARRAY_H

#include <libpq-fe.h>
#include <stddef.h>

#include "bin/httpd/buf.h"

/* The OIDs of built-in types do not change. */
#define GW_BYTEA ((Oid) 17)
#define GW_TEXT ((Oid) 25)
#define GW_BYTEA_ARRAY ((Oid) 1001)
#define GW_TEXT_ARRAY ((Oid) 1009)

/* Begins an array of n elements of this type; each is added. */
extern void gw_array_begin(HttpdBuf *out, Oid type, int n);
extern void gw_array_add(HttpdBuf *out, const void *data, size_t len);

/* Keeps the memory for the next one, unless that is much. */
extern void gw_array_end(HttpdBuf *out);

#endif
