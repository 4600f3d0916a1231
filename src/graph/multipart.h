/*
 * multipart.h
 *	  The body of an upload: multipart/form-data.  Pure.
 */
#ifndef WA_GRAPH_MULTIPART_H
#define WA_GRAPH_MULTIPART_H

#include "lib/stringinfo.h"

typedef struct WaMediaForm
{
	const char *mime_type;
	const char *filename; /* or NULL */
	const char *content;
	size_t size;
} WaMediaForm;

/* Room for a boundary: of a prefix and so many hexadecimal digits. */
#define WA_MEDIA_BOUNDARY_SIZE 64
#define WA_MEDIA_BOUNDARY_RANDOM 16

/*
 * Makes a boundary of these random bytes.  False if, against all odds, the
 * content has it: try other bytes.
 */
extern bool wa_media_form_boundary(char *boundary, const WaMediaForm *form,
								   const unsigned char *random);

extern void wa_media_form_write(StringInfo out, const WaMediaForm *form, const char *boundary);
extern void wa_media_form_content_type(StringInfo out, const char *boundary);

#endif
