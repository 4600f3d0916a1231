/*
 * What becomes of a request and its response by rules alone: encodings, entity tags,
 * the next page, routes, forms, paths in the log.
 */
#include "bin/gateway/log_path.h"
#include "bin/gateway/negotiate.h"
#include "bin/gateway/paging_link.h"
#include "bin/gateway/parameters.h"
#include "bin/gateway/route.h"
#include "bin/gateway/webform.h"

#include <stdlib.h>

#include "../tap.h"

static void
test_encodings(void)
{
	ok(!gw_accepts_gzip(NULL), "nothing said: no gzip");
	ok(!gw_accepts_gzip(""), "nothing wanted");
	ok(gw_accepts_gzip("gzip"), "gzip");
	ok(gw_accepts_gzip("deflate, GZIP;q=0.1, br"), "among others, in capitals");
	ok(gw_accepts_gzip("*"), "anything");
	ok(gw_accepts_gzip("br , gzip"), "with blanks");
	ok(!gw_accepts_gzip("gzip;q=0"), "refused");
	ok(!gw_accepts_gzip("gzip; q=0.000"), "refused with more zeroes");
	ok(!gw_accepts_gzip("*;q=1, gzip;q=0"), "refused, whatever stands for anything");
	ok(gw_accepts_gzip("*;q=0, gzip"), "the other way round");
	ok(!gw_accepts_gzip("*;q=0"), "nothing but itself");
	ok(!gw_accepts_gzip("gzipped, xgzip"), "longer words");
}

static void
test_tags(void)
{
	ok(!gw_etag_matches(NULL, "W/\"a\""), "nothing there");
	ok(gw_etag_matches("W/\"a\"", "W/\"a\""), "the same");
	ok(gw_etag_matches("\"a\"", "W/\"a\""), "a strong one is as good");
	ok(gw_etag_matches("\"x\", W/\"a\"", "W/\"a\""), "the second");
	ok(gw_etag_matches("\"x,\\\"y\",\"a\"", "W/\"a\""), "after one with a comma in it");
	ok(gw_etag_matches("*", "W/\"a\""), "any");
	ok(!gw_etag_matches("\"aa\"", "W/\"a\""), "a longer one");
	ok(!gw_etag_matches("\"x, \"a", "W/\"a\""), "one that does not end");
	ok(!gw_etag_matches("W/", "W/\"a\""), "half a one");
	ok(!gw_etag_matches("\"b\" ,, ,", "W/\"a\""), "empty ones");
}

static void
test_links(void)
{
	static const char *const cases[][3] = {
		{"/a", "c", "/a?cursor=c"},
		{"/a?limit=5", "c", "/a?limit=5&cursor=c"},
		{"/a?cursor=old&limit=5", "c", "/a?limit=5&cursor=c"},
		{"/a?limit=5&cursor=old", "c", "/a?limit=5&cursor=c"},
		{"/a?&&x&", "c", "/a?x&cursor=c"},
		{"/a?q=%20%22", "a b/+&=>\"", "/a?q=%20%22&cursor=a%20b%2F%2B%26%3D%3E%22"},
		{"/a?q=>\"<;x", "c", "/a?q=%3E%22%3C;x&cursor=c"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		HttpdBuf link = {0};

		gw_paging_link(cases[i][0], cases[i][1], &link);
		is_str(link.data, cases[i][2], "the page after %s", cases[i][0]);
		httpd_buf_free(&link);
	}
}

static void
test_routes(void)
{
	const GwRoute route = {.method = "GET", .path = "/a/{first}/b/{second}"};
	char a[] = "a", x[] = "x", b[] = "b", y[] = "y", longer[] = "aa";
	char *arguments[GW_MAX_ARGUMENTS];
	char name[40];

	ok(gw_route_matches(&route, &(GwPath){{a, x, b, y}, 4, NULL}, arguments), "it matches");
	ok(arguments[0] == x && arguments[1] == y && arguments[2] == NULL, "with its arguments");
	ok(!gw_route_matches(&route, &(GwPath){{a, x, b}, 3, NULL}, arguments), "too short");
	ok(!gw_route_matches(&route, &(GwPath){{a, x, b, y, a}, 5, NULL}, arguments), "too long");
	ok(!gw_route_matches(&route, &(GwPath){{longer, x, b, y}, 4, NULL}, arguments), "another word");
	ok(!gw_route_matches(&route, &(GwPath){{0}, 0, NULL}, arguments), "nothing");
	gw_route_argument_name(&route, 1, name, sizeof(name));
	is_str(name, "second", "the name of an argument");
	gw_route_argument_name(&route, 2, name, sizeof(name));
	is_str(name, "", "there is no third");
}

static void
test_forms(void)
{
	static const char *const good[][2] = {
		{"", "{}"},
		{"a=1", "{\"a\":\"1\"}"},
		{"a=1&b=x+y%26z", "{\"a\":\"1\",\"b\":\"x y&z\"}"},
		{"a&b=", "{\"a\":\"\",\"b\":\"\"}"},
		{"a=b=c", "{\"a\":\"b=c\"}"},
		{"n=%C3%B1%22%0A", "{\"n\":\"\303\261\\\"\\u000a\"}"},
	};
	static const char *const bad[] = {"a=%", "a=%4", "a=%zz", "a=%00", "a=%ff", "a=1&a=2", "%c3=1"};
	HttpdBuf many = {0};
	HttpdBuf out = {0};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		out.len = 0;
		ok(gw_form_to_json(good[i][0], strlen(good[i][0]), &out) == NULL, "\"%s\"", good[i][0]);
		is_str(out.data, good[i][1], "as JSON");
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(gw_form_to_json(bad[i], strlen(bad[i]), &out) != NULL, "\"%s\" is none", bad[i]);
	for (int i = 0; i < 65; i++)
		httpd_buf_printf(&many, "f%d=1&", i);
	ok(gw_form_to_json(many.data, many.len, &out) != NULL, "65 fields are too many");
	httpd_buf_free(&many);
	httpd_buf_free(&out);
}

static void
test_log_paths(void)
{
	const GwRoute tenants = {.method = "GET", .path = "/t/{tenant_id}/x"};
	const GwRoute messages = {.method = "GET", .path = "/m/{id}"};
	static const struct
	{
		const char *argument;
		const char *logged;
	} cases[] = {
		{"alba", "/t/alba/x"},
		{"+34600000104", "/t/+\342\200\24604/x"},
		{"34 600-000.104", "/t/\342\200\24604/x"},
		{"600123", "/t/600123/x"},
		{"550e8400-e29b-41d4-a716-446655440000", "/t/550e8400-e29b-41d4-a716-446655440000/x"},
	};
	static const char *const unknown[][2] = {
		{"/a/b?key=secret", "/a/b"},
		{"/a#x", "/a"},
		{"/+34600000104", "/+\342\200\24604"},
		{"/%2B34600000104/x", "/%2B\342\200\24604/x"},
		{"/x600000104y", "/x\342\200\24604y"},
		{"/wal_abcdefghijklmnopqrstuvw", "/wal_abcd\342\200\246"},
		{"", ""},
	};
	HttpdBuf out = {0};
	HttpdBuf target = {0};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char *arguments[] = {(char *) cases[i].argument};

		out.len = 0;
		gw_log_path(&tenants, arguments, "", &out);
		is_str(out.data, cases[i].logged, "the tenant %s", cases[i].argument);
	}
	out.len = 0;
	gw_log_path(&messages, (char *[]){"34600000104"}, "", &out);
	is_str(out.data, "/m/34600000104", "a message's id stays");
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
	{
		out.len = 0;
		gw_log_path(NULL, NULL, unknown[i][0], &out);
		is_str(out.data, unknown[i][1], "the address %s", unknown[i][0]);
	}
	for (int i = 0; i < 1000; i++)
		httpd_buf_puts(&target, "/abc");
	out.len = 0;
	gw_log_path(NULL, NULL, target.data, &out);
	is_int((int64_t) out.len, 200, "it is cut");
	httpd_buf_free(&target);
	httpd_buf_free(&out);
}

static void
test_parameters(void)
{
	const char *values[] = {"text", NULL, "bi\0nary", ""};
	const int lengths[] = {0, 0, 7, 0};
	const int formats[] = {0, 0, 1, 1};
	const Oid types[] = {25, 25, 17, 17};
	const GwParameters original = {"SELECT $1", 4, types, values, lengths, formats};
	GwParameters *copy = gw_parameters_copy(&original);

	is_str(copy->sql, "SELECT $1", "the statement");
	is_str(copy->values[0], "text", "a text");
	ok(copy->values[1] == NULL, "NULL");
	ok(memcmp(copy->values[2], "bi\0nary", 7) == 0 && copy->lengths[2] == 7, "bytes");
	ok(copy->values[3] != NULL && copy->lengths[3] == 0, "no bytes are not NULL");
	ok(copy->types[2] == 17 && copy->formats[2] == 1, "types and formats");
	gw_parameters_free(copy);
	copy = gw_parameters_copy(&(const GwParameters){"SELECT 1", 0, NULL, NULL, NULL, NULL});
	ok(copy->types == NULL && copy->n == 0, "one without parameters");
	gw_parameters_free(copy);
}

int
main(void)
{
	test_encodings();
	test_tags();
	test_links();
	test_routes();
	test_forms();
	test_log_paths();
	test_parameters();
	return done_testing();
}
