/*
 * blank_text.h
 *	  Texts in which nobody sees anything.  Pure.
 */
#ifndef WA_COMMON_BLANK_TEXT_H
#define WA_COMMON_BLANK_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Whether a text in UTF-8 has no character that can be seen; so has an empty one.  What
 * is malformed counts as seen.
 */
extern bool wa_text_is_blank(const char *text, size_t len);

#endif
