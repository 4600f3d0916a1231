/*
 * text.c
 *	  Text: length in characters, base64, hexadecimal.
 */
#include "bin/simulator/text.h"

size_t
sim_utf8_length(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char) *s & 0xc0) != 0x80;
	return n;
}

void
sim_base64(char *out, const void *data, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = data;

	for (; len >= 3; p += 3, len -= 3)
	{
		*out++ = digits[p[0] >> 2];
		*out++ = digits[(p[0] & 3) << 4 | p[1] >> 4];
		*out++ = digits[(p[1] & 15) << 2 | p[2] >> 6];
		*out++ = digits[p[2] & 63];
	}
	if (len > 0)
	{
		*out++ = digits[p[0] >> 2];
		*out++ = digits[(p[0] & 3) << 4 | (len > 1 ? p[1] >> 4 : 0)];
		*out++ = len > 1 ? digits[(p[1] & 15) << 2] : '=';
		*out++ = '=';
	}
	*out = '\0';
}

void
sim_hex(char *out, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = data;

	for (; len > 0; p++, len--)
	{
		*out++ = digits[*p >> 4];
		*out++ = digits[*p & 15];
	}
	*out = '\0';
}
