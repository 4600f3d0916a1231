/*
 * media_types.h
 *	  Lists of media types, such as "audio/ogg, application/pdf".  Pure.
 */
#ifndef WA_COMMON_MEDIA_TYPES_H
#define WA_COMMON_MEDIA_TYPES_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Whether this is such a list, separated by commas.  An asterisk stands for every
 * subtype; one on both sides of the slash for everything.
 */
extern bool wa_media_types_are_valid(const char *list);

/*
 * Whether a media type of len bytes, with parameters or without, is one of a valid list.
 * Case does not matter.  No type, of 0 bytes, is one of them only where everything is.
 */
extern bool wa_media_types_include(const char *list, const char *type, size_t len);

#endif
