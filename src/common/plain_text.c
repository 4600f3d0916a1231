/*
 * plain_text.c
 *	  Characters of a text in UTF-8 that do not show as what they are.
 *
 * A text from outside that ends up in a log or on a terminal must not end the line and
 * begin another, move the cursor, or turn the rest of the line round: the characters
 * of C0 and C1, the line separators, and the marks that embed or override a direction
 * (Unicode Standard Annex 9).
 */
#include "wa_c.h"

#include "common/plain_text.h"

size_t
wa_plain_text_oddity(const char *text)
{
	const unsigned char *c = (const unsigned char *) text;

	if ((c[0] < 0x20 && c[0] != '\0') || c[0] == 0x7f)
		return 1;
	if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
		return 2;
	if (c[0] != 0xe2)
		return 0;
	if (c[1] == 0x80 && (c[2] == 0x8e || c[2] == 0x8f || (c[2] >= 0xa8 && c[2] <= 0xae)))
		return 3;
	if (c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9)
		return 3;
	return 0;
}

void
wa_plain_text(char *text)
{
	while (*text != '\0')
	{
		size_t odd = wa_plain_text_oddity(text);

		if (odd > 0)
			memset(text, ' ', odd);
		text += odd > 0 ? odd : 1;
	}
}
