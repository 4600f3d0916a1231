/*
 * Lists of media types: what is one, and what is in it.
 */
#include "wa_c.h"

#include <string.h>

#include "common/media_types.h"
#include "tap.h"

static bool
includes(const char *list, const char *type)
{
	return wa_media_types_are_valid(list) && wa_media_types_include(list, type, strlen(type));
}

static void
test_lists(void)
{
	static const char *const valid[] = {"image/*", "*/*", "image/*, application/pdf",
										"  application/vnd.ms-excel ,image/png  ",
										"application/atom+xml"};
	static const char *const invalid[] = {"",
										  " ",
										  "image",
										  "image/",
										  "/png",
										  "*",
										  "image/*/x",
										  "image/**",
										  "*/png",
										  "image/png,",
										  ",image/png",
										  "image/png image/gif",
										  "image/png;q=1",
										  "ima ge/png",
										  "image/p*"};

	for (int i = 0; i < lengthof(valid); i++)
		ok(wa_media_types_are_valid(valid[i]), "\"%s\"", valid[i]);
	for (int i = 0; i < lengthof(invalid); i++)
		ok(!wa_media_types_are_valid(invalid[i]), "not \"%s\"", invalid[i]);
}

static void
test_types(void)
{
	ok(includes("image/*, application/pdf", "image/png"), "any subtype");
	ok(includes("image/*, application/pdf", "application/pdf"), "the one that is listed");
	ok(includes("Image/*", "iMAGE/webp"), "in any case");
	ok(includes("audio/ogg", "audio/ogg; codecs=opus"), "with parameters");
	ok(includes(" audio/ogg ", " audio/ogg ;x"), "with spaces around");
	ok(!includes("application/pdf", "application/pdfx"), "not one that only begins so");
	ok(!includes("application/pdfx", "application/pdf"), "nor the beginning of one");
	ok(!includes("image/*", "imagex/png"), "the slash is part of it");
	ok(!includes("image/*", "image"), "and must be there");
	ok(!includes("image/*", "video/mp4"), "nor another type");
	ok(!includes("image/*, application/pdf", ""), "none is none of them");
	ok(includes("*/*", "") && includes("application/pdf,*/*", "x"), "but everything is everything");
	ok(!wa_media_types_include("image/png", "image/pngx", 8), "it ends where its length says");
	ok(wa_media_types_include("image/png", "image/pngx", 9), "and not before");
}

int
main(void)
{
	test_lists();
	test_types();
	return done_testing();
}
