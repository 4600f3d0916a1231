/*
 * plain_text.h
 *	  Characters of a text in UTF-8 that do not show as what they are.
 */
#ifndef WA_COMMON_PLAIN_TEXT_H
#define WA_COMMON_PLAIN_TEXT_H

#include <stddef.h>

/*
 * Bytes of the control character, line separator or mark of the direction of writing
 * at the beginning of a NUL-terminated text; 0: there is something else.
 */
extern size_t wa_plain_text_oddity(const char *text);

/* In place: spaces instead of them, one for each byte.  The length stays. */
extern void wa_plain_text(char *text);

#endif
