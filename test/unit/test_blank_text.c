/*
 * Which texts show nothing.
 */
#include "wa_c.h"

#include "common/blank_text.h"
#include "tap.h"

static const struct
{
	const char *text;
	bool blank;
	const char *what;
} cases[] = {
	{"", true, "nothing at all"},
	{" \t\r\n", true, "spaces, tabs and line ends"},
	{"\xc2\xa0\xe2\x80\xaf\xe3\x80\x80", true, "spaces of other widths"},
	{"\xe2\x80\x8b\xe2\x80\x8c\xe2\x80\x8d\xe2\x81\xa0\xef\xbb\xbf", true, "zero-width characters"},
	{"\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c\xe2\x80\xae\xe2\x81\xa6", true, "marks of direction"},
	{"\xc2\xad\xcd\x8f", true, "a soft hyphen and a joiner of graphemes"},
	{"\xe1\x85\x9f\xe1\x85\xa0\xe3\x85\xa4\xef\xbe\xa0", true, "fillers of Hangul"},
	{"\xe1\x9e\xb4\xe1\x9e\xb5\xe1\xa0\x8e", true, "vowels and separators that are not shown"},
	{"\xe2\xa0\x80", true, "blank braille"},
	{"\xef\xb8\x8f\xf3\xa0\x84\x80", true, "variation selectors"},
	{"\xf3\xa0\x81\xa5", true, "tags"},
	{"\xf0\x9d\x85\x99\xf0\x9d\x85\xb3\xf0\x96\xbf\xa4", true,
	 "empty signs beyond the first plane"},
	{"\x01\x7f\xc2\x85", true, "control characters"},
	{".", false, "a full stop"},
	{"\xe2\x80\x8b"
	 "a",
	 false, "a letter behind one that is not seen"},
	{"\xe2\xa0\x81", false, "braille with a dot"},
	{"\xe2\x80\x90", false, "a hyphen, beside marks of direction"},
	{"\xe1\x85\x9e\xe1\x85\xa1", false, "Hangul"},
	{"\xf0\x9f\x91\x8d", false, "an emoji"},
	{"\xe2\x9d\xa4\xef\xb8\x8f", false, "an emoji with its selector"},
	{"\xcc\x81", false, "an accent alone"},
	{"\xe2\x80", false, "half a character"},
	{"\x80", false, "the rest of one"},
	{"\xc2 ", false, "one without its end"},
};

int
main(void)
{
	for (int i = 0; i < lengthof(cases); i++)
		is_int(wa_text_is_blank(cases[i].text, strlen(cases[i].text)), cases[i].blank, "%s",
			   cases[i].what);
	is_int(wa_text_is_blank("\xe2\x80\x8b"
							"a",
							3),
		   true, "the length counts, not a terminator");
	is_int(wa_text_is_blank("\0 ", 2), true, "a NUL is not seen, and no end");
	return done_testing();
}
