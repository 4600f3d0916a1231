/*
 * signature.h
 *	  X-Hub-Signature-256: HMAC-SHA256 of the raw body with the app secret. Pure.
 */
#ifndef WA_COMMON_SIGNATURE_H
#define WA_COMMON_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * True if header is "sha256=" and the 64 hexadecimal digits of the HMAC of
 * body under secret.  The time taken does not depend on where they differ.
 */
extern bool wa_signature_matches(const char *header, size_t header_len, const uint8_t *body,
								 size_t body_len, const char *secret);

#endif
