/*
 * Whose request it is, and how often he may try.
 */
#include "bin/gateway/address.h"
#include "bin/gateway/login_limit.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "../tap.h"

#define SECOND INT64_C(1000000)

static GwAddress
address(const char *text)
{
	GwAddress out;

	gw_address_parse(text, strlen(text), &out);
	return out;
}

static const char *
written(const GwAddress *address)
{
	static char out[INET6_ADDRSTRLEN];

	return inet_ntop(AF_INET6, address->bytes, out, sizeof(out));
}

static const char *
parsed(const char *text)
{
	static GwAddress out;

	return gw_address_parse(text, strlen(text), &out) ? written(&out) : "!";
}

static void
test_parse(void)
{
	is_str(parsed("192.0.2.1"), "::ffff:192.0.2.1", "an address");
	is_str(parsed("192.0.2.1:80"), "::ffff:192.0.2.1", "with a port");
	is_str(parsed("2001:db8::1"), "2001:db8::1", "a long one");
	is_str(parsed("[2001:db8::1]"), "2001:db8::1", "in brackets");
	is_str(parsed("[2001:db8::1]:80"), "2001:db8::1", "with a port");
	is_str(parsed("[2001:db8::1"), "!", "half a bracket");
	is_str(parsed("unknown"), "!", "a word");
	is_str(parsed(""), "!", "nothing");
	is_str(parsed("192.0.2.256"), "!", "no byte");
	is_str(parsed("192.0.2"), "!", "too short");
	is_str(parsed("1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb"), "!", "too long");
}

static bool
contains(const char *network, const char *text)
{
	GwNetwork parsed_network;
	GwAddress parsed_address = address(text);

	return gw_network_parse(network, &parsed_network) &&
		   gw_network_contains(&parsed_network, &parsed_address);
}

static void
test_networks(void)
{
	GwNetwork network;

	GwAddress v4 = address("192.0.2.1");
	GwAddress v6 = address("2001:db8::1");
	char text[GW_ADDRESS_TEXT];

	gw_address_format(&v4, text);
	is_str(text, "192.0.2.1", "written as it was");
	gw_address_format(&v6, text);
	is_str(text, "2001:db8::1", "so is a long one");
	ok(contains("10.0.0.0/8", "10.255.1.2"), "within");
	ok(!contains("10.0.0.0/8", "11.0.0.0"), "beyond");
	ok(contains("10.0.0.0/9", "10.127.0.1"), "bits that fill no byte");
	ok(!contains("10.0.0.0/9", "10.128.0.1"), "the bit behind them");
	ok(contains("10.1.2.3", "10.1.2.3") && !contains("10.1.2.3", "10.1.2.4"), "one address");
	ok(contains("2001:db8::/32", "2001:db8:1::1") && !contains("2001:db8::/32", "2001:db9::"),
	   "IPv6");
	ok(contains("::/0", "192.0.2.1"), "everybody");
	ok(!contains("0.0.0.0/0", "2001:db8::1"), "everybody of the old kind");
	ok(!gw_network_parse("10.0.0.0/33", &network), "too many bits");
	ok(!gw_network_parse("10.0.0.0/", &network), "none");
	ok(!gw_network_parse("10.0.0.0/8x", &network), "something else");
	ok(!gw_network_parse("proxy", &network), "a name");
}

static const char *
client(const char *peer, const char *forwarded)
{
	static GwAddress found;
	GwNetwork proxies[2];
	GwAddress parsed_peer = address(peer);

	gw_network_parse("127.0.0.1", &proxies[0]);
	gw_network_parse("10.0.0.0/8", &proxies[1]);
	found = gw_address_of_client(&parsed_peer, forwarded, proxies, 2);
	return written(&found);
}

static void
test_client(void)
{
	is_str(client("192.0.2.1", NULL), "::ffff:192.0.2.1", "the peer");
	is_str(client("192.0.2.1", "198.51.100.1"), "::ffff:192.0.2.1", "who is no proxy of ours");
	is_str(client("127.0.0.1", "198.51.100.1"), "::ffff:198.51.100.1", "whom the proxy names");
	is_str(client("127.0.0.1", "203.0.113.9, 198.51.100.1"), "::ffff:198.51.100.1",
		   "not whom the client names");
	is_str(client("127.0.0.1", "203.0.113.9,198.51.100.1 ,10.1.1.1"), "::ffff:198.51.100.1",
		   "two proxies");
	is_str(client("127.0.0.1", ",203.0.113.9,198.51.100.1"), "::ffff:198.51.100.1", "two headers");
	is_str(client("127.0.0.1", "10.1.1.1"), "::ffff:10.1.1.1", "a proxy's own request");
	is_str(client("127.0.0.1", "198.51.100.1, junk"), "::ffff:127.0.0.1", "junk says nothing");
	is_str(client("127.0.0.1", ""), "::ffff:127.0.0.1", "nothing");
	is_str(client("127.0.0.1", ",,"), "::ffff:127.0.0.1", "empty items");
	is_str(client("127.0.0.1", "2001:db8::7"), "2001:db8::7", "IPv6");
}

static void
test_limit(void)
{
	GwAddress a = address("192.0.2.1");
	GwAddress b = address("192.0.2.2");
	int64_t now = 1000 * SECOND;
	int known = 0;

	gw_login_limit_init();
	for (int i = 0; i < GW_LOGIN_BURST; i++)
	{
		is_int(gw_login_limit_wait(&a, GW_LOGIN_TOKEN, now), 0, "attempt %d", i + 1);
		gw_login_limit_failed(&a, GW_LOGIN_TOKEN, now);
	}
	is_int(gw_login_limit_wait(&a, GW_LOGIN_TOKEN, now), 6, "not an eleventh");
	is_int(gw_login_limit_wait(&b, GW_LOGIN_TOKEN, now), 0, "another address");
	is_int(gw_login_limit_wait(&a, GW_LOGIN_LINK, now), 0, "another kind");
	is_int(gw_login_limit_wait(&a, GW_LOGIN_TOKEN, now + 5500000), 1, "later");
	is_int(gw_login_limit_wait(&a, GW_LOGIN_TOKEN, now + 6 * SECOND), 0, "one after six seconds");
	gw_login_limit_failed(&a, GW_LOGIN_TOKEN, now + 6 * SECOND);
	is_int(gw_login_limit_wait(&a, GW_LOGIN_TOKEN, now + 6 * SECOND), 6, "and no second one");
	is_int(gw_login_limit_wait(&a, GW_LOGIN_TOKEN, now + 3600 * SECOND), 0, "an hour later");

	/* What is not paid back does not grow beyond all bounds by waiting. */
	now += 7200 * SECOND;
	for (int i = 0; i < GW_LOGIN_BURST; i++)
		gw_login_limit_failed(&a, GW_LOGIN_TOKEN, now);
	is_int(gw_login_limit_wait(&a, GW_LOGIN_TOKEN, now), 6, "quiet time buys one burst only");

	a = address("2001:db8::1");
	b = address("2001:db8::ffff:1");
	for (int i = 0; i < GW_LOGIN_BURST; i++)
		gw_login_limit_failed(&a, GW_LOGIN_TOKEN, now);
	ok(gw_login_limit_wait(&b, GW_LOGIN_TOKEN, now) > 0, "a network of 64 bits is one client");
	b = address("2001:db8:0:1::1");
	is_int(gw_login_limit_wait(&b, GW_LOGIN_TOKEN, now), 0, "the next one is another");

	/* More addresses than there is room for: the table keeps its size and goes on. */
	for (int i = 0; i < 100000; i++)
	{
		GwAddress many = address("10.0.0.0");

		memcpy(many.bytes + 12, &i, 4);
		gw_login_limit_failed(&many, GW_LOGIN_TOKEN, now + i);
	}
	for (int j = 0; j < GW_LOGIN_BURST; j++)
		gw_login_limit_failed(&a, GW_LOGIN_TOKEN, now + 200000);
	for (int i = 100000; i < 101000; i++)
	{
		GwAddress many = address("10.0.0.0");

		memcpy(many.bytes + 12, &i, 4);
		gw_login_limit_failed(&many, GW_LOGIN_TOKEN, now + 200000);
	}
	known = gw_login_limit_wait(&a, GW_LOGIN_TOKEN, now + 200000) > 0;
	ok(known, "whoever owes the most is not forgotten for those who come once");
}

int
main(void)
{
	test_parse();
	test_networks();
	test_client();
	test_limit();
	return done_testing();
}
