/*
 * multipart.h
 *	  The body of an upload: multipart/form-data.  Pure.
 */
#ifndef WA_GRAPH_MULTIPART_H
#define WA_GRAPH_MULTIPART_H

#include "lib/stringinfo.h"

typedef struct WaMultipart
{
	const char *mime_type;
	const char *filename; /* or NULL */
	const char *content;
	size_t size;
} WaMultipart;

/* Room for a boundary: of a prefix and so many hexadecimal digits. */
#define WA_MULTIPART_BOUNDARY_SIZE 64
#define WA_MULTIPART_BOUNDARY_RANDOM 16

/*
 * Makes a boundary of these random bytes.  False if, against all odds, the
 * content has it: try other bytes.
 */
extern bool wa_multipart_boundary(char *boundary, const WaMultipart *form,
								  const unsigned char *random);

extern void wa_multipart_write(StringInfo out, const WaMultipart *form, const char *boundary);
extern void wa_multipart_content_type(StringInfo out, const char *boundary);

#endif
