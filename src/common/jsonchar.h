/*
 * jsonchar.h
 *	  Characters and escapes of JSON, for those who index and those who read it.
 *
 * Internal to common/jsonscan.c and common/jsonread.c.
 */
#ifndef WA_COMMON_JSONCHAR_H
#define WA_COMMON_JSONCHAR_H

#include <stdbool.h>

#include "common/hexdigit.h"

#define WA_JSON_ESCAPE_LENGTH 6 /* of \uXXXX */

static inline bool
wa_json_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The value of the four hexadecimal digits at p, or -1. */
static inline int
wa_json_hex4(const char *p)
{
	int value = 0;

	for (int i = 0; i < 4; i++)
	{
		int digit = wa_hex_value(p[i]);

		if (digit < 0)
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

static inline bool
wa_json_is_high_surrogate(int code)
{
	return code >= 0xD800 && code <= 0xDBFF;
}

static inline bool
wa_json_is_low_surrogate(int code)
{
	return code >= 0xDC00 && code <= 0xDFFF;
}

#endif
