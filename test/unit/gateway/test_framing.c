/*
 * What the head of a request may look like.
 */
#include "bin/gateway/framing_rules.h"

#include "../tap.h"

/* Headers as NAME, VALUE, ..., NULL. */
static int
status_of(const char *method, const char *version, const char *const *headers)
{
	GwFraming framing;

	gw_framing_begin(&framing, method, version);
	for (; *headers != NULL; headers += 2)
		gw_framing_header(&framing, headers[0], headers[1]);
	gw_framing_end(&framing);
	return framing.status;
}

#define HEADERS(...) ((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
#define STATUS(...) status_of("POST", "HTTP/1.1", HEADERS("Host", "x", ##__VA_ARGS__))

static void
test_request_line(void)
{
	const char *const *headers = HEADERS("Host", "x");

	is_int(status_of("GET", "HTTP/1.1", headers), 0, "a request");
	is_int(status_of("PROPFIND", "HTTP/1.1", headers), 0,
		   "an unknown method is the routes' matter");
	is_int(status_of("TRACE", "HTTP/1.1", headers), 501, "TRACE");
	is_int(status_of("CONNECT", "HTTP/1.1", headers), 501, "CONNECT");
	is_int(status_of("AMETHODTHATISMUCHTOOLONGX", "HTTP/1.1", headers), 501, "a long method");
	is_int(status_of("GE\tT", "HTTP/1.1", headers), 400, "a tab in the method");
	is_int(status_of("GET\x80", "HTTP/1.1", headers), 400, "a method that is not ASCII");
	is_int(status_of("", "HTTP/1.1", headers), 400, "no method");
	is_int(status_of("GET", "HTTP/1.0", headers), 0, "HTTP/1.0");
	is_int(status_of("GET", "HTTP/1.2", headers), 505, "HTTP/1.2");
}

static void
test_host(void)
{
	is_int(status_of("GET", "HTTP/1.1", HEADERS("A", "b")), 400, "no Host");
	is_int(status_of("GET", "HTTP/1.0", HEADERS("A", "b")), 0, "which HTTP/1.0 allows");
	is_int(STATUS("Host", "x"), 400, "two");
	is_int(STATUS("hOST", "y"), 400, "two that differ");
	is_int(status_of("GET", "HTTP/1.1", HEADERS("Host", "")), 400, "an empty one");
	is_int(status_of("GET", "HTTP/1.1", HEADERS("Host", "a b")), 400, "a blank in it");
	is_int(status_of("GET", "HTTP/1.1", HEADERS("Host", "a/b")), 400, "a slash in it");
	is_int(status_of("GET", "HTTP/1.1", HEADERS("Host", "a@b")), 400, "a user in it");
	is_int(status_of("GET", "HTTP/1.1", HEADERS("Host", "[2001:db8::1]:8080")), 0, "an address");
}

static void
test_length(void)
{
	is_int(STATUS("Content-Length", "0"), 0, "a length");
	is_int(STATUS("Content-Length", "5", "Content-Length", "6"), 400, "two lengths");
	is_int(STATUS("Content-Length", "5", "content-length", "5"), 400, "two that are the same");
	is_int(STATUS("Content-Length", "+5"), 400, "a sign");
	is_int(STATUS("Content-Length", "-1"), 400, "a negative one");
	is_int(STATUS("Content-Length", "0x5"), 400, "another base");
	is_int(STATUS("Content-Length", "5 "), 400, "a blank");
	is_int(STATUS("Content-Length", "5,5"), 400, "a list");
	is_int(STATUS("Content-Length", ""), 400, "nothing");
	is_int(STATUS("Content-Length", "18446744073709551621"), 400, "more than fits");
	is_int(STATUS("Content-Length ", "5"), 400, "a blank before the colon");
	is_int(STATUS("Content_Length", "5"), 0, "another name");
	is_int(STATUS("Transfer-Encoding", "chunked"), 411, "chunked");
	is_int(STATUS("Transfer-Encoding", "CHUNKED"), 411, "however it is written");
	is_int(STATUS("Transfer-Encoding", "gzip, chunked"), 501, "two codings");
	is_int(STATUS("Transfer-Encoding", "xchunked"), 501, "one that looks like it");
	is_int(STATUS("Transfer-Encoding", "chunked "), 501, "a blank behind it");
	is_int(STATUS("Transfer-Encoding", "identity"), 501, "one that is obsolete");
	is_int(STATUS("Transfer-Encoding", "chunked", "Transfer-Encoding", "identity"), 400,
		   "two headers");
	is_int(STATUS("Transfer-Encoding ", "chunked"), 400, "a blank before the colon");
	is_int(STATUS("Transfer-Encoding\t", "chunked"), 400, "a tab");
	is_int(STATUS("Content-Length", "5", "Transfer-Encoding", "chunked"), 400, "both");
	is_int(STATUS("Transfer-Encoding", "chunked", "Content-Length", "5"), 400,
		   "in the other order");
	is_int(status_of("POST", "HTTP/1.0", HEADERS("Transfer-Encoding", "chunked")), 400,
		   "a transfer coding in HTTP/1.0");
}

static void
test_others(void)
{
	static char longest[GW_FRAMING_MAX_BYTES];
	GwFraming framing;

	is_int(STATUS("X-HTTP-Method-Override", "DELETE"), 0, "a method override is a header only");
	is_int(STATUS("A", "b\x01"
					   "c"),
		   400, "a control character");
	is_int(STATUS("A", "b\rc"), 400, "CR alone");
	is_int(STATUS("A", "b\tc"), 0, "a tab");
	is_int(STATUS("A", "\x7f"), 400, "DEL");
	is_int(STATUS("A", "\xc3\xa1"), 0, "UTF-8");
	is_int(STATUS("A\xc3\xa1", "b"), 400, "in a name");
	is_int(STATUS("", "b"), 400, "no name");
	is_int(STATUS("Expect", "100-Continue"), 0, "an expectation");
	is_int(STATUS("Expect", "200-ok"), 417, "another one");
	is_int(STATUS("Authorization", "Bearer a", "Authorization", "Bearer b"), 400,
		   "two Authorizations");
	is_int(STATUS("X-Hub-Signature-256", "a", "x-hub-signature-256", "b"), 400, "two signatures");
	is_int(STATUS("Accept", "a", "Accept", "b"), 0, "two of what is a list");

	memset(longest, 'a', sizeof(longest) - 1);
	is_int(STATUS("A", longest + 5), 0, "headers as long as allowed");
	is_int(STATUS("A", longest + 4), 431, "longer ones");
	gw_framing_begin(&framing, "GET", "HTTP/1.1");
	gw_framing_header(&framing, "Host", "x");
	for (int i = 1; i < GW_FRAMING_MAX_HEADERS; i++)
		gw_framing_header(&framing, "A", "b");
	is_int(framing.status, 0, "as many headers as allowed");
	gw_framing_header(&framing, "A", "b");
	is_int(framing.status, 431, "one more");
	gw_framing_header(&framing, "A ", "b");
	gw_framing_end(&framing);
	is_int(framing.status, 431, "the first complaint counts");
	is_str(framing.host, "x", "the host");
}

int
main(void)
{
	test_request_line();
	test_host();
	test_length();
	test_others();
	return done_testing();
}
