/*
 * sha256.c
 *	  SHA-256, in digits.
 */
#include "wa_c.h"

#include "common/cryptohash.h"
#include "common/sha2.h"

#include "common/sha256.h"

bool
wa_sha256(char digits[WA_SHA256_SIZE], const char *bytes, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	uint8 digest[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);
	bool computed;

	if (hash == NULL)
		return false;
	computed = pg_cryptohash_init(hash) >= 0 &&
			   pg_cryptohash_update(hash, (const uint8 *) bytes, n) >= 0 &&
			   pg_cryptohash_final(hash, digest, sizeof(digest)) >= 0;
	pg_cryptohash_free(hash);
	if (!computed)
		return false;
	for (int i = 0; i < PG_SHA256_DIGEST_LENGTH; i++)
	{
		digits[2 * i] = hex[digest[i] >> 4];
		digits[2 * i + 1] = hex[digest[i] & 15];
	}
	digits[2 * PG_SHA256_DIGEST_LENGTH] = '\0';
	return true;
}
