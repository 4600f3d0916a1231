/*
 * signature.c
 *	  X-Hub-Signature-256 of Meta's webhooks.
 *
 * This is the only thing that stands between the internet and our tables, so
 * it is computed over the bytes as they came, before anything parses them,
 * and compared in a time that tells nothing about the right answer.
 */
#include "wa_c.h"

#include "common/hmac.h"
#include "common/sha2.h"

#include "common/hexdigit.h"
#include "common/signature.h"

#define PREFIX "sha256="
#define PREFIX_LENGTH (sizeof(PREFIX) - 1)

/*
 * The form of the header is no secret: this may leave early.
 */
static bool
read_header(const char *header, size_t len, uint8_t *digest)
{
	if (len != PREFIX_LENGTH + 2 * PG_SHA256_DIGEST_LENGTH ||
		memcmp(header, PREFIX, PREFIX_LENGTH) != 0)
		return false;

	for (int i = 0; i < PG_SHA256_DIGEST_LENGTH; i++)
	{
		int high = wa_hex_value(header[PREFIX_LENGTH + 2 * i]);
		int low = wa_hex_value(header[PREFIX_LENGTH + 2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		digest[i] = (uint8_t) (high << 4 | low);
	}
	return true;
}

/* In the server, running out of memory is an ERROR as with any allocation, but not in OpenSSL. */
static bool
compute(uint8_t digest[PG_SHA256_DIGEST_LENGTH], const uint8_t *body, size_t body_len,
		const char *secret)
{
	pg_hmac_ctx *hmac = pg_hmac_create(PG_SHA256);
	bool computed;

	if (hmac == NULL)
		return false;
	computed = pg_hmac_init(hmac, (const uint8_t *) secret, strlen(secret)) >= 0 &&
			   pg_hmac_update(hmac, body, body_len) >= 0 &&
			   pg_hmac_final(hmac, digest, PG_SHA256_DIGEST_LENGTH) >= 0;
	pg_hmac_free(hmac);
	return computed;
}

/*
 * What cannot be computed, for want of memory in OpenSSL, is no answer: who signed in
 * the right way must not hear that he did not.  A secret that is NULL or empty matches
 * nothing.
 */
WaSignature
wa_signature_matches(const char *header, size_t header_len, const uint8_t *body, size_t body_len,
					 const char *secret)
{
	uint8_t given[PG_SHA256_DIGEST_LENGTH];
	uint8_t expected[PG_SHA256_DIGEST_LENGTH];
	volatile uint8_t difference = 0;

	if (secret == NULL || secret[0] == '\0' || !read_header(header, header_len, given))
		return WA_SIGNATURE_DIFFERS;
	if (!compute(expected, body, body_len, secret))
		return WA_SIGNATURE_UNKNOWN;

	for (int i = 0; i < PG_SHA256_DIGEST_LENGTH; i++)
		difference |= given[i] ^ expected[i];
	return difference == 0 ? WA_SIGNATURE_MATCHES : WA_SIGNATURE_DIFFERS;
}

bool
wa_signature_make(char header[WA_SIGNATURE_SIZE], const uint8_t *body, size_t body_len,
				  const char *secret)
{
	uint8_t digest[PG_SHA256_DIGEST_LENGTH];

	StaticAssertStmt(WA_SIGNATURE_SIZE == PREFIX_LENGTH + 2 * PG_SHA256_DIGEST_LENGTH + 1,
					 "two digits for each byte");
	if (!compute(digest, body, body_len, secret))
		return false;
	memcpy(header, PREFIX, PREFIX_LENGTH);
	for (int i = 0; i < PG_SHA256_DIGEST_LENGTH; i++)
		snprintf(header + PREFIX_LENGTH + 2 * i, 3, "%02x", digest[i]);
	return true;
}
