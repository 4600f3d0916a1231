/*
 * utf8.h
 *	  Is it UTF-8?  Neither overlong forms nor surrogates are.
 */
#ifndef GW_UTF8_H
#define GW_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The length of the sequence that begins text, of len > 0 bytes; 0 if it is not a valid one. */
extern size_t gw_utf8_length(const char *text, size_t len);

extern bool gw_utf8_valid(const char *text, size_t len);

/* The same, and there are no control characters in it, NUL among them. */
extern bool gw_utf8_is_text(const char *text, size_t len);

#endif
