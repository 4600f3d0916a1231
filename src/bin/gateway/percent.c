/*
 * percent.c
 *	  Percent-encoding.
 */
#include "bin/gateway/percent.h"

int
gw_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
gw_percent_decode(const char *text, size_t len, char *out, size_t *out_len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
	{
		int high;
		int low;

		if (text[i] != '%')
		{
			out[n++] = text[i];
			continue;
		}
		high = i + 2 < len ? gw_hex_value(text[i + 1]) : -1;
		low = i + 2 < len ? gw_hex_value(text[i + 2]) : -1;
		if (high < 0 || low < 0)
			return false;
		out[n++] = (char) (high << 4 | low);
		i += 2;
	}
	*out_len = n;
	return true;
}
