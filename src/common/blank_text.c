/*
 * blank_text.c
 *	  Texts in which nobody sees anything.
 *
 * Three kinds of characters show nothing by themselves: white space (White_Space in
 * Unicode), those that a display ignores (Default_Ignorable_Code_Point: zero-width and
 * bidirectional marks, variation selectors, tags, Hangul fillers), and a few signs whose
 * picture is empty (blank braille, a musical one, a filler of Khitan).  Control
 * characters show nothing either.
 */
#include "wa_c.h"

#include "common/blank_text.h"

/* Unicode 16, sorted. */
static const struct
{
	unsigned int first;
	unsigned int last;
} blanks[] = {{0x0000, 0x0020},	  {0x007f, 0x00a0},	  {0x00ad, 0x00ad},	  {0x034f, 0x034f},
			  {0x061c, 0x061c},	  {0x115f, 0x1160},	  {0x1680, 0x1680},	  {0x17b4, 0x17b5},
			  {0x180b, 0x180f},	  {0x2000, 0x200f},	  {0x2028, 0x202f},	  {0x205f, 0x206f},
			  {0x2800, 0x2800},	  {0x3000, 0x3000},	  {0x3164, 0x3164},	  {0xfe00, 0xfe0f},
			  {0xfeff, 0xfeff},	  {0xffa0, 0xffa0},	  {0xfff0, 0xfffb},	  {0x16fe4, 0x16fe4},
			  {0x1bca0, 0x1bca3}, {0x1d159, 0x1d159}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}};

static bool
is_blank(unsigned int c)
{
	for (int i = 0; i < lengthof(blanks); i++)
	{
		if (c <= blanks[i].last)
			return c >= blanks[i].first;
	}
	return false;
}

/*
 * The next character, of which *size bytes are taken; 0xffffffff if it is malformed.
 */
static unsigned int
decode(const unsigned char *in, size_t len, size_t *size)
{
	unsigned int c = in[0];

	*size = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (*size == 1)
		return c;
	if (c < 0xc2 || c > 0xf4 || *size > len)
		return 0xffffffff;
	c &= 0x7f >> *size;
	for (size_t i = 1; i < *size; i++)
	{
		if ((in[i] & 0xc0) != 0x80)
			return 0xffffffff;
		c = c << 6 | (in[i] & 0x3f);
	}
	return c;
}

bool
wa_text_is_blank(const char *text, size_t len)
{
	const unsigned char *in = (const unsigned char *) text;
	size_t size;

	for (size_t i = 0; i < len; i += size)
	{
		if (!is_blank(decode(in + i, len - i, &size)))
			return false;
	}
	return true;
}
