/*
 * text.h
 *	  Text: length in characters, base64, hexadecimal.
 */
#ifndef SIM_TEXT_H
#define SIM_TEXT_H

#include <stddef.h>

/* Characters, not bytes. */
extern size_t sim_utf8_length(const char *s);

/* Writes 4 * ceil(len / 3) characters and a NUL. */
extern void sim_base64(char *out, const void *data, size_t len);

/* Writes 2 * len lower-case digits and a NUL. */
extern void sim_hex(char *out, const void *data, size_t len);

#endif
