/*
 * What a request shows: tokens in headers, cookies, origins.
 */
#include "bin/gateway/credentials.h"
#include "bin/gateway/origin.h"

#include "../tap.h"

static const char *
bearer(const char *header)
{
	static char out[40];

	return gw_bearer_token(header, out, sizeof(out)) ? out : "!";
}

static const char *
cookie(const char *header)
{
	static char out[40];

	return gw_cookie_value(header, "wa_admin", out, sizeof(out)) ? out : "!";
}

static void
test_bearer(void)
{
	is_str(bearer("Bearer abc-._~+/="), "abc-._~+/=", "a token");
	is_str(bearer("bearer  abc"), "abc", "however the scheme is written");
	is_str(bearer(NULL), "!", "no header");
	is_str(bearer(""), "!", "an empty one");
	is_str(bearer("Bearer"), "!", "no token");
	is_str(bearer("Bearer "), "!", "a blank");
	is_str(bearer("Bearer abc def"), "!", "two tokens");
	is_str(bearer("Bearer abc,"), "!", "a comma");
	is_str(bearer("Bearer \xc3\xa9"), "!", "no ASCII");
	is_str(bearer("Basic abc"), "!", "another scheme");
	is_str(bearer("Bearerabc"), "!", "no blank");
	is_str(bearer("Bearer 012345678901234567890123456789012345678"),
		   "012345678901234567890123456789012345678", "as long as the buffer");
	is_str(bearer("Bearer 0123456789012345678901234567890123456789"), "!", "longer");
}

static void
test_cookie(void)
{
	is_str(cookie("wa_admin=abc"), "abc", "a cookie");
	is_str(cookie("a=b; wa_admin=abc; c=d"), "abc", "among others");
	is_str(cookie("a=b;wa_admin=abc ;c=d"), "abc", "blanks");
	is_str(cookie("xwa_admin=abc"), "!", "a name that ends so");
	is_str(cookie("wa_adminx=abc"), "!", "a name that begins so");
	is_str(cookie("WA_ADMIN=abc"), "!", "names have cases");
	is_str(cookie("a=wa_admin=abc"), "!", "within a value");
	is_str(cookie("wa_admin=abc; wa_admin=abd"), "!", "two of them");
	is_str(cookie("wa_admin=\"abc\""), "!", "in quotation marks");
	is_str(cookie("wa_admin="), "!", "empty");
	is_str(cookie("wa_admin"), "!", "no value");
	is_str(cookie("; ;;"), "!", "nothing");
	is_str(cookie(NULL), "!", "no header");
	is_str(cookie("wa_admin=0123456789012345678901234567890123456789"), "!", "too long");
}

static void
test_origin(void)
{
	ok(gw_origin_is_ours("https://wa.example", NULL, "wa.example"), "the same host");
	ok(gw_origin_is_ours("https://wa.example", "same-origin", "wa.example:443"), "with its port");
	ok(gw_origin_is_ours("https://WA.example:8443", NULL, "wa.example:8443"), "another port");
	ok(!gw_origin_is_ours("https://wa.example:8443", NULL, "wa.example"), "not this one");
	ok(!gw_origin_is_ours("https://evil.example", NULL, "wa.example"), "another host");
	ok(!gw_origin_is_ours("https://wa.example.evil.example", NULL, "wa.example"), "a longer one");
	ok(!gw_origin_is_ours("https://wa", NULL, "wa.example"), "a shorter one");
	ok(!gw_origin_is_ours("https://evil-wa.example", NULL, "wa.example"), "a prefix");
	ok(!gw_origin_is_ours("http://wa.example", NULL, "wa.example"), "plain http");
	ok(gw_origin_is_ours("http://localhost:8080", NULL, "localhost:8080"), "on this machine");
	ok(gw_origin_is_ours("http://127.0.0.1:8080", NULL, "127.0.0.1:8080"), "by its address");
	ok(gw_origin_is_ours("http://[::1]:8080", NULL, "[::1]:8080"), "by the other one");
	ok(!gw_origin_is_ours("http://localhost:8081", NULL, "localhost:8080"), "another program");
	ok(!gw_origin_is_ours("http://localhost.evil.example", NULL, "localhost.evil.example"),
	   "a name that begins so");
	ok(!gw_origin_is_ours("null", NULL, "wa.example"), "a sandbox");
	ok(!gw_origin_is_ours("", NULL, "wa.example"), "an empty one");
	ok(!gw_origin_is_ours("https://", NULL, ""), "nothing is nothing's origin");
	ok(!gw_origin_is_ours("file://wa.example", NULL, "wa.example"), "another scheme");
	ok(!gw_origin_is_ours(NULL, NULL, "wa.example"), "none");
	ok(gw_origin_is_ours(NULL, "same-origin", "wa.example"), "what the browser says instead");
	ok(!gw_origin_is_ours(NULL, "same-site", "wa.example"), "a sister site");
	ok(!gw_origin_is_ours(NULL, "cross-site", "wa.example"), "another site");
	ok(!gw_origin_is_ours("https://wa.example", "cross-site", "wa.example"), "both count");
	ok(gw_origin_is_ours("https://wa.example", "same-origin", "upstream"), "a proxy changed Host");
	ok(gw_origin_is_ours(NULL, "none", "wa.example"), "the person itself");
	ok(!gw_origin_is_ours(NULL, "", "wa.example"), "an empty word");
	ok(!gw_origin_is_ours("https://wa.example", NULL, NULL), "no host");
}

int
main(void)
{
	test_bearer();
	test_cookie();
	test_origin();
	return done_testing();
}
