/*
 * embedded.h
 *	  The files of pages/, as bytes.
 */
#ifndef GW_EMBEDDED_H
#define GW_EMBEDDED_H

#include <stddef.h>

typedef struct GwEmbedded
{
	const char *name; /* below pages/ */
	const char *data;
	const char *end;
} GwEmbedded;

/* NULL: there is none of this name. */
extern const GwEmbedded *gw_embedded_find(const char *name);

/* All of them, by number; NULL beyond the last. */
extern const GwEmbedded *gw_embedded_at(size_t number);

#endif
