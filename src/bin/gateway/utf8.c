/*
 * utf8.c
 *	  Is it UTF-8?  Neither overlong forms nor surrogates are.
 */
#include "bin/gateway/utf8.h"

/* Table 3-7 of the Unicode Standard: the second byte's range depends on the first. */
size_t
gw_utf8_length(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *) text;
	unsigned char low = 0x80;
	unsigned char high = 0xbf;
	size_t length;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	length = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (length > len)
		return 0;
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
	{
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	return length;
}

bool
gw_utf8_valid(const char *text, size_t len)
{
	while (len > 0)
	{
		size_t length = gw_utf8_length(text, len);

		if (length == 0)
			return false;
		text += length;
		len -= length;
	}
	return true;
}

/* The second half of the controls, U+0080 to U+009F, is two bytes each. */
static bool
is_control(const char *text, size_t length)
{
	unsigned char first = (unsigned char) text[0];

	if (length == 1)
		return first < 0x20 || first == 0x7f;
	return first == 0xc2 && (unsigned char) text[1] < 0xa0;
}

bool
gw_utf8_is_text(const char *text, size_t len)
{
	while (len > 0)
	{
		size_t length = gw_utf8_length(text, len);

		if (length == 0 || is_control(text, length))
			return false;
		text += length;
		len -= length;
	}
	return true;
}
