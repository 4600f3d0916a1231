/*
 * media.h
 *	  Where Meta has a file, and what it says about it.  Pure.
 */
#ifndef WA_GRAPH_MEDIA_H
#define WA_GRAPH_MEDIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/result.h"

typedef struct WaMediaInfo
{
	char url[2048];
	char mime_type[128]; /* "" if it is not told, or is none */
	char sha256[65];	 /* hexadecimal digits */
	int64_t size;		 /* bytes; -1: not told */
} WaMediaInfo;

/*
 * The response to GET /{media}.  NULL, or what is wrong with it.
 */
extern const char *wa_graph_media_read(const WaHttpResult *result, WaMediaInfo *info);

/*
 * Whether the token may be sent to this address: graph_url's own host, or the one from
 * which Meta gives out files.
 */
extern bool wa_graph_media_url_is_trusted(const char *url, const char *graph_url);

/* The address to ask about a file.  False: one of the ids is none of Meta's. */
extern bool wa_graph_media_url(char *out, size_t size, const char *graph_url, const char *version,
							   const char *media_id, const char *number);

#endif
