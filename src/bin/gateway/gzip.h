/*
 * gzip.h
 *	  Compression.
 */
#ifndef GW_GZIP_H
#define GW_GZIP_H

#include <stdbool.h>

#include "bin/httpd/buf.h"

typedef enum GwEffort
{
	GW_QUICKLY, /* for what is sent once */
	GW_WELL		/* for what is sent often */
} GwEffort;

/* Puts the compressed bytes into out, which must be empty; false if that does not pay. */
extern bool gw_gzip(const void *data, size_t len, GwEffort effort, HttpdBuf *out);

#endif
