/*
 * Webhook signatures: known answers, and every way to be wrong.
 */
#include "wa_c.h"

#include "common/signature.h"
#include "tap.h"

/* RFC 4231, test cases 2 and 6 (a key longer than a block of the hash). */
#define JEFE "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
#define LONG_KEY "sha256=60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"

static bool
matches(const char *header, const char *body, const char *secret)
{
	return wa_signature_matches(header, strlen(header), (const uint8_t *) body, strlen(body),
								secret);
}

int
main(void)
{
	const char *body = "what do ya want for nothing?";
	char header[128];
	char key[132];
	bool wrong = false;

	ok(matches(JEFE, body, "Jefe"), "RFC 4231, case 2");
	memset(key, 0xaa, 131);
	key[131] = '\0';
	ok(matches(LONG_KEY, "Test Using Larger Than Block-Size Key - Hash Key First", key),
	   "RFC 4231, case 6");
	ok(matches("sha256=5BDCC146BF60754E6A042426089575C75A003F089D2739839DEC58B964EC3843", body,
			   "Jefe"),
	   "upper-case digits");

	/* one wrong digit, at each of the 64 places */
	for (int i = 0; i < 64; i++)
	{
		strlcpy(header, JEFE, sizeof(header));
		header[7 + i] = header[7 + i] == '0' ? '1' : '0';
		wrong |= matches(header, body, "Jefe");
	}
	ok(!wrong, "one wrong digit anywhere");

	ok(!matches(JEFE, "what do ya want for nothing!", "Jefe"), "another body");
	ok(!matches(JEFE, body, "jefe"), "another secret");
	ok(!matches(JEFE, body, ""), "no secret");
	ok(!matches(JEFE, body, NULL), "none at all");
	ok(!matches("", body, "Jefe"), "no header");
	ok(!matches("sha256=", body, "Jefe"), "a header without digits");
	ok(!matches(JEFE + 7, body, "Jefe"), "digits without the prefix");
	ok(!matches("SHA256=", body, "Jefe"), "another prefix");
	ok(!matches("sha1=5bdcc146bf60754e6a042426089575c75a003f08", body, "Jefe"), "the old header");
	strlcpy(header, JEFE, sizeof(header));
	header[strlen(header) - 1] = '\0';
	ok(!matches(header, body, "Jefe"), "a digit too few");
	snprintf(header, sizeof(header), "%s0", JEFE);
	ok(!matches(header, body, "Jefe"), "a digit too many");
	snprintf(header, sizeof(header), "%.*sg", (int) strlen(JEFE) - 1, JEFE);
	ok(!matches(header, body, "Jefe"), "no digit at the end");

	/* the empty body is a body: HMAC of nothing under "Jefe" differs from that of something */
	ok(!wa_signature_matches(JEFE, strlen(JEFE), (const uint8_t *) "", 0, "Jefe"), "empty body");
	return done_testing();
}
