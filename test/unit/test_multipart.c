/*
 * test_multipart.c
 *	  The body of an upload, byte by byte.
 */
#include "wa_c.h"

#include "graph/multipart.h"
#include "tap.h"

static const unsigned char zeros[WA_MULTIPART_BOUNDARY_RANDOM];

static bool
equals(StringInfo text, const char *expected, size_t len)
{
	return text->len == (int) len && memcmp(text->data, expected, len) == 0;
}

static void
test_boundary(void)
{
	char boundary[WA_MULTIPART_BOUNDARY_SIZE];
	char content[WA_MULTIPART_BOUNDARY_SIZE + 8];
	unsigned char random[WA_MULTIPART_BOUNDARY_RANDOM];
	WaMultipart form = {"text/plain", NULL, "abc", 3};

	memset(random, 0xfe, sizeof(random));
	ok(wa_multipart_boundary(boundary, &form, random), "a boundary");
	is_str(boundary, "whatsapp_shared-fefefefefefefefefefefefefefefefe", "of the random bytes");
	ok(strlen(boundary) <= 70, "not longer than RFC 2046 allows");

	snprintf(content, sizeof(content), "x%cy%s", '\0', "");
	memcpy(content + 3, boundary, strlen(boundary));
	form.content = content;
	form.size = 3 + strlen(boundary);
	ok(!wa_multipart_boundary(boundary, &form, random), "one that the content has is refused");
	ok(wa_multipart_boundary(boundary, &form, zeros), "another one is not");
	form.size--;
	ok(wa_multipart_boundary(boundary, &form, random), "nor one that the content nearly has");
}

static void
test_body(void)
{
	static const char content[] = {'a', '\0', '\r', '\n', '-', '-', 'B', '\xff'};
	static const char expected[] =
		"--B1\r\nContent-Disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n"
		"--B1\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\napplication/pdf\r\n"
		"--B1\r\nContent-Disposition: form-data; name=\"file\"; filename=\"F\xc3\xb1 %22x%0D%0AY: "
		"z.pdf\"\r\n"
		"Content-Type: application/pdf\r\n\r\n"
		"a\0\r\n--B\xff\r\n--B1--\r\n";
	WaMultipart form = {"application/pdf", "F\xc3\xb1 \"x\r\nY: z.pdf", content, sizeof(content)};
	StringInfoData out;

	initStringInfo(&out);
	wa_multipart_write(&out, &form, "B1");
	ok(equals(&out, expected, sizeof(expected) - 1), "the whole body");

	resetStringInfo(&out);
	form.filename = NULL;
	wa_multipart_write(&out, &form, "B1");
	ok(strstr(out.data, "name=\"file\"; filename=\"file\"\r\n") != NULL, "a file without a name");

	resetStringInfo(&out);
	wa_multipart_content_type(&out, "B1");
	is_str(out.data, "multipart/form-data; boundary=B1", "the content type");
	pfree(out.data);
}

int
main(void)
{
	test_boundary();
	test_body();
	return done_testing();
}
