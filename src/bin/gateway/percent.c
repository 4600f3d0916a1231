/*
 * percent.c
 *	  Percent-encoding.
 */
#include "bin/gateway/percent.h"

#include "common/hexdigit.h"

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
		high = i + 2 < len ? wa_hex_value(text[i + 1]) : -1;
		low = i + 2 < len ? wa_hex_value(text[i + 2]) : -1;
		if (high < 0 || low < 0)
			return false;
		out[n++] = (char) (high << 4 | low);
		i += 2;
	}
	*out_len = n;
	return true;
}
