/*
 * sha256.h
 *	  SHA-256, in digits. Pure.
 */
#ifndef WA_COMMON_SHA256_H
#define WA_COMMON_SHA256_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the digits, with the NUL. */
#define WA_SHA256_SIZE (64 + 1)

/*
 * In lower-case hexadecimal digits.  False: it could not be computed, for want of memory (in
 * the server, an ERROR).  In the server, hashes belong to a resource owner: call it in a
 * transaction.
 */
extern bool wa_sha256(char digits[WA_SHA256_SIZE], const char *bytes, size_t n);

#endif
