/*
 * credentials.h
 *	  What a request shows: the headers Authorization and Cookie, taken apart.
 */
#ifndef GW_CREDENTIALS_H
#define GW_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>

#define GW_CREDENTIAL_MAX 512

/*
 * The token of "Bearer TOKEN", copied to out.  False if the header, which may be
 * NULL, is of another scheme, or the token is malformed or too long.
 */
extern bool gw_bearer_token(const char *header, char *out, size_t size);

/*
 * The value of the cookie of this name, copied to out.  False if there is none, if
 * it is malformed or too long, or if there are two: one of them was planted.
 */
extern bool gw_cookie_value(const char *header, const char *name, char *out, size_t size);

/* True if all of text may stand in a token: RFC 6750's b64token. */
extern bool gw_is_token68(const char *text, size_t len);

#endif
