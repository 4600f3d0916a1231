/*
 * Request targets: paths that are taken apart, and queries that are checked.
 */
#include "bin/gateway/path.h"
#include "bin/gateway/target.h"

#include <stdlib.h>

#include "../tap.h"

/* The decoded segments with | between them, or an exclamation mark and what is wrong. */
static const char *
split(const char *target)
{
	static char out[8192];
	GwPath path = {.n = 0};
	const char *wrong = gw_path_split(target, &path);

	out[0] = '\0';
	if (wrong != NULL)
		snprintf(out, sizeof(out), "!%s", wrong);
	for (int i = 0; wrong == NULL && i < path.n; i++)
	{
		size_t len = strlen(out);

		snprintf(out + len, sizeof(out) - len, "%s%s", i > 0 ? "|" : "", path.segments[i]);
	}
	gw_path_free(&path);
	return out;
}

static bool
is_refused(const char *target)
{
	return split(target)[0] == '!';
}

static const char *
repeated(const char *before, const char *text, int n)
{
	static char out[8192];

	snprintf(out, sizeof(out), "%s", before);
	for (int i = 0; i < n; i++)
	{
		size_t len = strlen(out);

		snprintf(out + len, sizeof(out) - len, "%s", text);
	}
	return out;
}

static void
test_paths(void)
{
	is_str(split("/"), "", "the root");
	is_str(split("/a/b?c/d"), "a|b", "a path before a query");
	is_str(split("/caf%C3%A9/a%20b"), "café|a b", "encoded");
	is_str(split("/%25%32%66"), "%2f", "decoded once");
	is_str(split("/a/..b/.c/d."), "a|..b|.c|d.", "dots that lead nowhere");
	is_str(split("http://x/a"), "a", "the absolute form");
	is_int(strlen(split(repeated("/", "a", GW_MAX_SEGMENT))), GW_MAX_SEGMENT,
		   "as long as a segment may be");
	ok(is_refused(repeated("/", "a", GW_MAX_SEGMENT + 1)), "longer");
	ok(!is_refused(repeated("/", "%41", GW_MAX_SEGMENT)), "as long, decoded");
	ok(!is_refused(repeated("", "/a", GW_MAX_SEGMENTS)), "as many segments as there may be");
	ok(is_refused(repeated("", "/a", GW_MAX_SEGMENTS + 1)), "one more");
	ok(is_refused(repeated("", "/aaaaaaaaaaaaaaaaaaaaaaaaaaa", 200)), "a long path");
}

static void
test_refused_paths(void)
{
	static const char *const refused[] = {
		"",
		"*",
		"a",
		"?",
		"x:80",
		"//",
		"/a//b",
		"/a/",
		"/./a",
		"/a/..",
		"/a/../b",
		"/%2e%2E/a",
		"/.%2e",
		"/a%2fb",
		"/a%2Fb",
		"/a%5cb",
		"/a\\b",
		"/a%00",
		"/%00",
		"/a%0a",
		"/a%7f",
		"/a%",
		"/a%4",
		"/a%4g",
		"/a%-1",
		"/a b",
		"/a\tb",
		"/a\"b",
		"/a<b",
		"/a#b",
		"/a{b",
		"/a|b",
		"/a^b",
		"/caf\xc3\xa9",
		"/\x80",
		"/%80",
		"/%c0%af",
		"/%c0%ae%c0%ae",
		"/%e0%80%af",
		"/%f0%80%80%af",
		"/%c1%9c",
		"/%ed%a0%80",
		"/%f4%90%80%80",
		"/%f8%88%80%80%80",
		"/%c3",
		"/%e2%82",
		"/%c2%85",
		"/%ff",
		"http://x",
		"http://x?a",
		"http:///../a",
	};

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		ok(is_refused(refused[i]), "refused: %s", refused[i]);
}

static int
check(const char *target)
{
	const char *reason = "?";
	int status = gw_target_check(target, "example.org", &reason);

	return (status == 0) == (reason == NULL) ? status : -1;
}

static void
test_targets(void)
{
	is_int(check("/a"), 0, "no query");
	is_int(check("/a?"), 0, "an empty one");
	is_int(check("/a?b=c&d=%C3%A9+e%20f&g"), 0, "a query");
	is_int(check("/a?b={\"}"), 400, "a quotation mark");
	is_int(check("/a?b=%00"), 400, "NUL");
	is_int(check("/a?b=%0d%0aSet-Cookie:"), 400, "line ends");
	is_int(check("/a?b=%c0%af"), 400, "an overlong form");
	is_int(check("/a?b=%"), 400, "half a code");
	is_int(check("/a?b=#c"), 400, "a fragment");
	is_int(check("/a?b=\xc3\xa9"), 400, "bytes that are not encoded");
	is_int(check(repeated("/a?b", "&b", GW_TARGET_MAX_ARGUMENTS - 1)), 0, "many arguments");
	is_int(check(repeated("/a?b", "&b", GW_TARGET_MAX_ARGUMENTS)), 400, "one more");
	is_int(check(repeated("/a?b=", "c", GW_TARGET_MAX - 6)), 0, "as long as allowed");
	is_int(check(repeated("/a?b=", "c", GW_TARGET_MAX - 5)), 414, "one byte more");
	is_int(check("http://example.org/a"), 0, "the absolute form");
	is_int(check("HTTPS://EXAMPLE.org/a?b"), 0, "in other letters");
	is_int(check("http://example.org:80/a"), 400, "with another authority");
	is_int(check("http://evil.example/a"), 400, "of another host");
	is_int(check("http://example.org@evil/a"), 400, "with a user");
	is_str(gw_target_path("http://x?a"), "?a", "no path in it");
}

int
main(void)
{
	test_paths();
	test_refused_paths();
	test_targets();
	return done_testing();
}
