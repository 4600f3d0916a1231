/*
 * What is replaced in texts that are shown, and what is not.
 */
#include "wa_c.h"

#include "common/plain_text.h"
#include "tap.h"

static const struct
{
	const char *in;
	const char *out;
} cases[] = {
	{"", ""},
	{"Plain text: ñ, €, 漢, 😀.", "Plain text: ñ, €, 漢, 😀."},
	{"two\nlines\r\n", "two lines  "},
	{"\t\x1b[2J\x7f", "  [2J "},
	{"\x01\x1f", "  "},
	{"C1: \xc2\x80\xc2\x9f, not \xc2\xa0", "C1:     , not \xc2\xa0"},
	{"lines \xe2\x80\xa8\xe2\x80\xa9", "lines       "},
	{"marks \xe2\x80\x8e\xe2\x80\x8f", "marks       "},
	{"overrides \xe2\x80\xaa\xe2\x80\xae, not \xe2\x80\xaf", "overrides       , not \xe2\x80\xaf"},
	{"isolates \xe2\x81\xa6\xe2\x81\xa9, not \xe2\x81\xa5\xe2\x81\xaa",
	 "isolates       , not \xe2\x81\xa5\xe2\x81\xaa"},
	{"dash \xe2\x80\x93 joiner \xe2\x80\x8d", "dash \xe2\x80\x93 joiner \xe2\x80\x8d"},
	{"cut \xe2", "cut \xe2"},
	{"cut \xe2\x80", "cut \xe2\x80"},
	{"cut \xc2", "cut \xc2"},
};

int
main(void)
{
	for (int i = 0; i < (int) (sizeof(cases) / sizeof(cases[0])); i++)
	{
		char text[200];

		strlcpy(text, cases[i].in, sizeof(text));
		wa_plain_text(text);
		ok(strcmp(text, cases[i].out) == 0, "case %d", i);
	}
	return done_testing();
}
