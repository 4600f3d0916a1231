/*
 * test_media.c
 *	  Where Meta has a file: what is read from its response, and where the token may go.
 */
#include "wa_c.h"

#include "graph/media.h"
#include "tap.h"

#define META "https://graph.facebook.com"
#define SHA "81d3bd8a8db4868c9520ed47186e8b7c5789e61ff79f7f834be6950b808a90d3"

static const char *
problem_of(const char *body, WaMediaInfo *info)
{
	WaHttpResult result = {.body = body, .body_len = strlen(body), .status = 200};

	return wa_graph_media_read(&result, info);
}

static void
test_read(void)
{
	WaMediaInfo info;

	ok(problem_of("{\"url\":\"https:\\/\\/lookaside.fbsbx.com\\/x?mid=1\",\"mime_type\":"
				  "\"audio/ogg; codecs=opus\",\"sha256\":\"" SHA "\",\"file_size\":12,\"id\":\"1\","
				  "\"messaging_product\":\"whatsapp\"}",
				  &info) == NULL,
	   "a response of Meta's");
	is_str(info.url, "https://lookaside.fbsbx.com/x?mid=1", "its address");
	is_str(info.mime_type, "audio/ogg; codecs=opus", "its type");
	is_str(info.sha256, SHA, "its SHA-256");
	ok(info.size == 12, "its size");
	ok(problem_of("{\"url\":\"https://h/\",\"sha256\":\"" SHA "\",\"file_size\":\"303833\"}",
				  &info) == NULL &&
		   info.size == 303833 && info.mime_type[0] == '\0',
	   "a size as a string, and no type");
	ok(problem_of("{\"url\":\"https://h/\",\"sha256\":\"" SHA "\",\"file_size\":-1,\"mime_type\":"
				  "\"text/html\\r\\nX: y\"}",
				  &info) == NULL &&
		   info.size == -1 && info.mime_type[0] == '\0',
	   "what is no size and no type is none");
	is_str(problem_of("<html>", &info), "the response about the file is not JSON", "a page");
	is_str(problem_of("{}", &info), "the response does not say where the file is", "no address");
	is_str(problem_of("{\"url\":\"https://h/ x\",\"sha256\":\"" SHA "\"}", &info),
		   "the response does not say where the file is", "an address with a blank");
	is_str(problem_of("{\"url\":\"https://h/\"}", &info),
		   "the response does not have the file's SHA-256", "no SHA-256");
	is_str(problem_of("{\"url\":\"https://h/\",\"sha256\":\"81d3\"}", &info),
		   "the response does not have the file's SHA-256", "half a SHA-256");
}

static void
test_trusted(void)
{
	static const char *const good[] = {META "/v25.0/1/content",
									   META "?x",
									   META,
									   "HTTPS://Graph.Facebook.com/x",
									   "https://lookaside.fbsbx.com/whatsapp_business/x?mid=1",
									   NULL};
	static const char *const bad[] = {"http://lookaside.fbsbx.com/x",
									  "http://graph.facebook.com/x",
									  "https://lookaside.fbsbx.com.evil.example/x",
									  "https://lookaside.fbsbx.com@evil.example/x",
									  "https://evil.example/https://lookaside.fbsbx.com/",
									  "https://evil.example#@lookaside.fbsbx.com/",
									  "https://lookaside.fbsbx.com\\@evil.example/",
									  "https://u:p@lookaside.fbsbx.com/x",
									  "https://lookaside.fbsbx.com:8443/x",
									  "https://graph.facebook.com:1/x",
									  "//lookaside.fbsbx.com/x",
									  "file:///etc/passwd",
									  "",
									  NULL};

	for (const char *const *url = good; *url != NULL; url++)
		ok(wa_graph_media_url_is_trusted(*url, META), "%s is Meta's", *url);
	for (const char *const *url = bad; *url != NULL; url++)
		ok(!wa_graph_media_url_is_trusted(*url, META), "\"%s\" is not", *url);
	ok(wa_graph_media_url_is_trusted("http://127.0.0.1:81/x", "http://127.0.0.1:81/base"),
	   "graph_url's own host is, wherever that is");
	ok(!wa_graph_media_url_is_trusted("http://127.0.0.1:82/x", "http://127.0.0.1:81"),
	   "another port of it is not");
	ok(!wa_graph_media_url_is_trusted("https://lookaside.fbsbx.com/x", "http://127.0.0.1:81"),
	   "a simulator's token stays on this machine");
}

static void
test_url(void)
{
	char url[80];

	ok(wa_graph_media_url(url, sizeof(url), META, "v25.0", "12", "34"), "an address to ask");
	is_str(url, META "/v25.0/12?phone_number_id=34", "names file and number");
	ok(!wa_graph_media_url(url, sizeof(url), META, "v25.0", "1/../2", "34"), "an id that is none");
	ok(!wa_graph_media_url(url, sizeof(url), META, "v25.0", "", "34"), "an empty one");
	ok(!wa_graph_media_url(url, sizeof(url), META, "v25.0", "1", "3&x=4"), "a number that is none");
	ok(!wa_graph_media_url(url, 20, META, "v25.0", "1", "3"), "an address that does not fit");
}

int
main(void)
{
	test_read();
	test_trusted();
	test_url();
	return done_testing();
}
