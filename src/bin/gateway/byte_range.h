/*
 * byte_range.h
 *	  The header Range (RFC 9110, section 14): which part of a file.
 */
#ifndef GW_BYTE_RANGE_H
#define GW_BYTE_RANGE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct GwByteRange
{
	int64_t first; /* negative: so many bytes before the end */
	int64_t last;  /* the last byte; INT64_MAX: to the end */
} GwByteRange;

/*
 * Reads one range.  False: there is none, or several, or it is none that is known:
 * then the whole file is meant, which is always a right answer.
 */
extern bool gw_byte_range_read(const char *header, GwByteRange *out);

/* What it means for a file of this size; false: nothing of that file (416). */
extern bool gw_byte_range_apply(const GwByteRange *range, int64_t size, int64_t *first,
								int64_t *length);

#endif
