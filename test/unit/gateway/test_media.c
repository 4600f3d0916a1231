/*
 * What is sent of a file, and under which name: the headers Range and
 * Content-Disposition.
 */
#include "bin/gateway/byte_range.h"
#include "bin/gateway/disposition.h"

#include <stdio.h>
#include <string.h>

#include "../tap.h"

/* "first+length" of a file of 100 bytes; "all": it is no range; "none": it has no such part. */
static const char *
part(const char *header)
{
	static char out[60];
	GwByteRange range;
	int64_t first;
	int64_t length;

	if (!gw_byte_range_read(header, &range))
		return "all";
	if (!gw_byte_range_apply(&range, 100, &first, &length))
		return "none";
	snprintf(out, sizeof(out), "%lld+%lld", (long long) first, (long long) length);
	return out;
}

static const char *
disposition(const char *name)
{
	static char out[2000];
	HttpdBuf buf = {0};

	gw_disposition(&buf, false, name);
	snprintf(out, sizeof(out), "%s", buf.data);
	httpd_buf_free(&buf);
	return out;
}

static void
test_ranges(void)
{
	is_str(part("bytes=0-9"), "0+10", "the first ten");
	is_str(part("bytes=90-"), "90+10", "from a byte on");
	is_str(part("bytes=-10"), "90+10", "the last ten");
	is_str(part("bytes=99-99"), "99+1", "the last one");
	is_str(part("bytes=0-0"), "0+1", "the first one");
	is_str(part("bytes=50-1000"), "50+50", "beyond the end is to the end");
	is_str(part("bytes=-1000"), "0+100", "more last ones than there are");
	is_str(part("bytes=0-999999999999999999"), "0+100", "a last one of eighteen digits");
	is_str(part("bytes=100-"), "none", "at the end there is none");
	is_str(part("bytes=999999999999999999-"), "none", "nor far behind it");
	is_str(part("bytes=-0"), "none", "no last one is none");
	is_str(part("Bytes= 0-9 "), "0+10", "however it is written");
	is_str(part(NULL), "all", "no header");
	is_str(part(""), "all", "an empty one");
	is_str(part("bytes"), "all", "no equals sign");
	is_str(part("bytes="), "all", "nothing behind it");
	is_str(part("bytes=-"), "all", "no number");
	is_str(part("bytes=5"), "all", "no dash");
	is_str(part("bytes=9-5"), "all", "backwards");
	is_str(part("bytes=0-5,7-9"), "all", "two of them");
	is_str(part("bytes=0-5x"), "all", "something behind it");
	is_str(part("bytes=--5"), "all", "two dashes");
	is_str(part("bytes=+5-"), "all", "a sign");
	is_str(part("bytes=9223372036854775808-"), "all", "a number that overflows");
	is_str(part("bytes=0-9999999999999999999"), "all", "and a last one");
	is_str(part("items=0-5"), "all", "another unit");
}

/* With any byte but NUL in it: still one line, one parameter each, nothing outside of ASCII. */
static void
test_any_byte(void)
{
	int wrong = 0;

	for (int c = 1; c < 256; c++)
	{
		char name[] = {'a', (char) c, 'b', '\0'};
		const char *out = disposition(name);
		const char *quote = strchr(out, '"');

		for (const char *p = out; *p != '\0'; p++)
			wrong += *p < 0x20 || *p > 0x7e || *p == '\\';
		wrong += strcspn(quote + 1, "\"") != (c >= 0x80 && c < 0xc0 ? 2 : 3);
		wrong += strncmp(strchr(quote + 1, '"'), "\"; filename*=UTF-8''a", 21) != 0;
		wrong += strpbrk(strchr(quote + 1, '"') + 1, "\",") != NULL;
	}
	is_int(wrong, 0, "whatever a name contains, it stays in its place");
}

static void
test_dispositions(void)
{
	HttpdBuf buf = {0};

	is_str(disposition("pan.pdf"), "attachment; filename=\"pan.pdf\"; filename*=UTF-8''pan.pdf",
		   "a name");
	is_str(disposition("n\xc2\xba 7.pdf"),
		   "attachment; filename=\"n_ 7.pdf\"; filename*=UTF-8''n%C2%BA%207.pdf",
		   "an underscore for a character, and all of it");
	is_str(disposition("a\"; x=\"b\r\nX: 1"),
		   "attachment; filename=\"a__ x__b__X_ 1\"; "
		   "filename*=UTF-8''a%22%3B%20x%3D%22b%0D%0AX%3A%201",
		   "neither the header nor the parameter is left");
	is_str(disposition("100%25.pdf"),
		   "attachment; filename=\"100_25.pdf\"; filename*=UTF-8''100%2525.pdf", "a per cent sign");
	gw_disposition(&buf, true, "a");
	is_str(buf.data, "inline; filename=\"a\"; filename*=UTF-8''a", "what is shown has one, too");
	httpd_buf_free(&buf);
}

int
main(void)
{
	test_ranges();
	test_dispositions();
	test_any_byte();
	return done_testing();
}
