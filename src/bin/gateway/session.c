/*
 * session.c
 *	  Sessions of the admin page: what the cookie says, and whether we said it.
 */
#include "bin/gateway/session.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bin/httpd/util.h"

#define RANDOM_BYTES 16
#define HEX_DIGITS "0123456789abcdef"

static void
to_hex(const unsigned char *bytes, size_t len, char *out)
{
	for (size_t i = 0; i < len; i++)
	{
		out[2 * i] = HEX_DIGITS[bytes[i] >> 4];
		out[2 * i + 1] = HEX_DIGITS[bytes[i] & 15];
	}
	out[2 * len] = '\0';
}

static void
compute_mac(const GwToken *token, const char *text, size_t len, char *out)
{
	unsigned char mac[32];

	if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, token->session_key, sizeof(token->session_key), text,
						 len, mac) != 0)
		httpd_die("HMAC-SHA256 cannot be computed");
	to_hex(mac, sizeof(mac), out);
}

void
gw_session_make(const GwToken *token, const char *role, int64_t now_s, char *out, size_t size)
{
	unsigned char random[RANDOM_BYTES];
	char random_hex[2 * RANDOM_BYTES + 1];
	char mac[65];
	int len;

	if (gnutls_rnd(GNUTLS_RND_NONCE, random, sizeof(random)) != 0)
		httpd_die("no random numbers can be had");
	to_hex(random, sizeof(random), random_hex);
	len = snprintf(out, size, "%s.%" PRId64 ".%s", role, now_s + GW_SESSION_SECONDS, random_hex);
	compute_mac(token, out, (size_t) len, mac);
	snprintf(out + len, size - (size_t) len, ".%s", mac);
}

/* What it says; whether that is true, the MAC decides. */
static bool
is_current(const char *value, const char *role, int64_t now_s)
{
	size_t role_len = strlen(role);
	char expiry[20];
	size_t digits;
	int64_t until;

	if (strncmp(value, role, role_len) != 0 || value[role_len] != '.')
		return false;
	value += role_len + 1;
	digits = strspn(value, "0123456789");
	if (digits == 0 || digits >= sizeof(expiry) || value[digits] != '.')
		return false;
	memcpy(expiry, value, digits);
	expiry[digits] = '\0';
	return httpd_parse_int(expiry, 0, INT64_MAX, &until) && now_s < until;
}

bool
gw_session_is_valid(const GwTokens *tokens, const char *role, const char *value, int64_t now_s)
{
	const char *mac = strrchr(value, '.');
	bool valid = false;

	if (mac == NULL || strlen(mac + 1) != 64 || !is_current(value, role, now_s))
		return false;
	for (int i = 0; i < tokens->n; i++)
	{
		char expected[65];

		compute_mac(&tokens->tokens[i], value, (size_t) (mac - value), expected);
		if (gnutls_memcmp(expected, mac + 1, 64) == 0)
			valid = true;
	}
	return valid;
}
