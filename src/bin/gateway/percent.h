/*
 * percent.h
 *	  Percent-encoding.
 */
#ifndef GW_PERCENT_H
#define GW_PERCENT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Decodes len bytes to out, which has room for as many; they may be the same.
 * False if a per cent sign has no two hexadecimal digits behind it.
 */
extern bool gw_percent_decode(const char *text, size_t len, char *out, size_t *out_len);

#endif
