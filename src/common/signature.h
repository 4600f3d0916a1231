/*
 * signature.h
 *	  X-Hub-Signature-256: HMAC-SHA256 of the raw body with the app secret. Pure.
 */
#ifndef WA_COMMON_SIGNATURE_H
#define WA_COMMON_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum WaSignature
{
	WA_SIGNATURE_UNKNOWN = -1, /* it could not be computed */
	WA_SIGNATURE_DIFFERS = 0,
	WA_SIGNATURE_MATCHES = 1,
} WaSignature;

/*
 * Whether header is "sha256=" and the 64 hexadecimal digits of the HMAC of
 * body under secret.  The time taken does not depend on where they differ.
 */
extern WaSignature wa_signature_matches(const char *header, size_t header_len, const uint8_t *body,
										size_t body_len, const char *secret);

/* Bytes of the header's value, with the NUL. */
#define WA_SIGNATURE_SIZE (7 + 64 + 1)

/*
 * Makes it.  False: it could not be computed, for want of memory (in the server, an ERROR).
 * In the server, hashes belong to a resource owner: call both in a transaction.
 */
extern bool wa_signature_make(char header[WA_SIGNATURE_SIZE], const uint8_t *body, size_t body_len,
							  const char *secret);

#endif
