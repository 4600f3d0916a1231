/*
 * hexdigit.h
 *	  Hexadecimal digits.  Pure.
 */
#ifndef WA_COMMON_HEXDIGIT_H
#define WA_COMMON_HEXDIGIT_H

/* The value of a digit, or -1: it is none. */
static inline int
wa_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

#endif
