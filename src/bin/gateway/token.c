/*
 * token.c
 *	  Tokens of the platform's people: the files they come from, and comparing them.
 */
#include "bin/gateway/token.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>

#include "bin/gateway/credentials.h"
#include "bin/gateway/secret_file.h"
#include "bin/httpd/util.h"

#define MAX_FILE 4096

static void
digest(const char *text, size_t len, unsigned char *out)
{
	if (gnutls_hash_fast(GNUTLS_DIG_SHA256, text, len, out) != 0)
		httpd_die("SHA-256 cannot be computed");
}

/* Whoever has the token may make sessions of it, so it need not be a key of its own. */
static void
derive_session_key(const char *token, size_t len, unsigned char *out)
{
	static const char label[] = "wa_gateway session, version 1";

	if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, token, len, label, strlen(label), out) != 0)
		httpd_die("HMAC-SHA256 cannot be computed");
}

const GwToken *
gw_tokens_find(const GwTokens *tokens, const char *token)
{
	unsigned char given[GW_TOKEN_DIGEST];
	const GwToken *found = NULL;

	digest(token, strlen(token), given);
	for (int i = 0; i < tokens->n; i++)
	{
		if (gnutls_memcmp(given, tokens->tokens[i].digest, sizeof(given)) == 0)
			found = &tokens->tokens[i];
	}
	return found;
}

/* One line.  NULL, or what is wrong with it. */
static const char *
take_line(const char *line, size_t len, GwTokens *out)
{
	unsigned char given[GW_TOKEN_DIGEST];

	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' ' || line[len - 1] == '\t'))
		len--;
	if (len == 0 || line[0] == '#')
		return NULL;
	if (len < GW_TOKEN_MIN || len >= GW_CREDENTIAL_MAX)
		return "has a token that is shorter than 32 characters or longer than 511";
	if (!gw_is_token68(line, len))
		return "has a token with characters other than letters, digits and -._~+/=";
	if (out->n == GW_TOKENS_A_FILE)
		return "has more than two tokens";
	digest(line, len, given);
	if (out->n == 1 && memcmp(given, out->tokens[0].digest, sizeof(given)) == 0)
		return "has the same token twice";
	memcpy(out->tokens[out->n].digest, given, sizeof(given));
	derive_session_key(line, len, out->tokens[out->n].session_key);
	out->n++;
	return NULL;
}

static const char *
take_text(const char *text, size_t len, GwTokens *out)
{
	const char *end = text + len;
	const char *wrong = NULL;

	while (wrong == NULL && text < end)
	{
		const char *newline = memchr(text, '\n', (size_t) (end - text));
		const char *line_end = newline != NULL ? newline : end;

		wrong = take_line(text, (size_t) (line_end - text), out);
		text = line_end + 1;
	}
	return wrong == NULL && out->n == 0 ? "has no token" : wrong;
}

static const char *
read_file(const char *path, GwTokens *out)
{
	char text[MAX_FILE];
	const char *wrong;
	ssize_t len = gw_secret_file_read(path, text, sizeof(text), &wrong);

	if (len < 0)
		return wrong;
	wrong = take_text(text, (size_t) len, out);
	gnutls_memset(text, 0, sizeof(text));
	return wrong;
}

bool
gw_tokens_read(const char *path, GwTokens *out, char *error, size_t error_size)
{
	GwTokens tokens = {.n = 0};
	const char *wrong = read_file(path, &tokens);

	if (wrong == NULL)
		*out = tokens;
	else
		snprintf(error, error_size, "%s: %s", path, wrong);
	gnutls_memset(&tokens, 0, sizeof(tokens));
	return wrong == NULL;
}
