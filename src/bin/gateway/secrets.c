/*
 * secrets.c
 *	  What Meta shows that it is Meta: the app secret's signature, the verify token.
 *
 * The gateway has files of its own, or reads the server's, and does not ask the
 * database for them: a function that gave away the secrets would give them to
 * everybody who may call it, and a wrong signature must be refused also while the
 * database is away.  The server verifies each signature again: it trusts nobody
 * who calls wa_webhook_ingest_many().
 */
#include "bin/gateway/secrets.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>

#include "bin/gateway/complain.h"
#include "bin/gateway/secret_file.h"
#include "bin/gateway/settings.h"
#include "bin/gateway/watched_file.h"
#include "bin/httpd/clock.h"
#include "bin/httpd/timer.h"
#include "bin/httpd/util.h"
#include "common/hexdigit.h"

/* As base/secret_limits.h has them. */
#define MAX_VALUES 2
#define MAX_VALUE 4096
#define MAX_FILE (3 * MAX_VALUE)

#define DIGEST 32
#define PREFIX "sha256="
#define PREFIX_LENGTH (sizeof(PREFIX) - 1)
#define HEADER_LENGTH (PREFIX_LENGTH + 2 * (size_t) DIGEST)

typedef struct Values
{
	int n;
	char text[MAX_VALUES][MAX_VALUE + 1];
} Values;

typedef struct Secret
{
	const char *what;
	int max; /* how many may be valid at a time */
	GwWatchedFile watched;
	Values values;
} Secret;

static Secret app_secret = {.what = "app secret", .max = 2};
static Secret verify_token = {.what = "verify token", .max = 1};

static HttpdTimer timer;

/*
 * Files
 */

static const char *
take_value(const char *text, size_t len, int max, Values *out)
{
	while (len > 0 && strchr(" \t\r", text[0]) != NULL)
	{
		text++;
		len--;
	}
	while (len > 0 && strchr(" \t\r", text[len - 1]) != NULL)
		len--;
	if (len == 0)
		return NULL;
	if (len > MAX_VALUE || memchr(text, '\0', len) != NULL)
		return "has one that is too long, or a NUL";
	if (out->n == max)
		return max == 1 ? "has more than one" : "has more than two";
	memcpy(out->text[out->n], text, len);
	out->text[out->n++][len] = '\0';
	return NULL;
}

/* Commas and line ends separate values, as they do in the server's files. */
static const char *
take_values(const char *text, size_t len, int max, Values *out)
{
	const char *end = text + len;
	const char *wrong = NULL;

	while (wrong == NULL && text < end)
	{
		const char *to = text;

		while (to < end && *to != ',' && *to != '\n')
			to++;
		wrong = take_value(text, (size_t) (to - text), max, out);
		text = to + 1;
	}
	return wrong == NULL && out->n == 0 ? "is empty" : wrong;
}

static const char *
read_values(Secret *secret)
{
	static Values values;
	static char text[MAX_FILE];
	const char *wrong;
	ssize_t len = gw_secret_file_read(secret->watched.path, text, sizeof(text), &wrong);

	values.n = 0;
	if (len >= 0)
		wrong = take_values(text, (size_t) len, secret->max, &values);
	if (wrong == NULL)
		secret->values = values;
	gnutls_memset(text, 0, sizeof(text));
	gnutls_memset(&values, 0, sizeof(values));
	return wrong;
}

static void
load(Secret *secret, bool at_start)
{
	const char *wrong;

	if (secret->watched.path[0] == '\0')
		return;
	gw_watched_file_look(&secret->watched);
	wrong = read_values(secret);
	if (wrong == NULL)
		return;
	if (at_start)
		httpd_die("%s %s", secret->watched.path, wrong);
	gw_complain("%s %s; the %s that it had before is still valid", secret->watched.path, wrong,
				secret->what);
}

static void
look_for_changes(void *arg)
{
	if (gw_watched_file_has_changed(&app_secret.watched))
		load(&app_secret, false);
	if (gw_watched_file_has_changed(&verify_token.watched))
		load(&verify_token, false);
	httpd_timer_set(&timer, httpd_now_us() + GW_LOOK_US, look_for_changes, NULL);
}

void
gw_secrets_open(void)
{
	app_secret.watched.path = gw_settings->app_secret_file;
	verify_token.watched.path = gw_settings->verify_token_file;
	load(&app_secret, true);
	load(&verify_token, true);
	look_for_changes(NULL);
}

void
gw_secrets_reload(void)
{
	load(&app_secret, false);
	load(&verify_token, false);
}

bool
gw_secrets_have_app_secret(void)
{
	return app_secret.values.n > 0;
}

bool
gw_secrets_have_verify_token(void)
{
	return verify_token.values.n > 0;
}

/*
 * Comparing
 */

/* The form of the header is no secret: this may leave early. */
static bool
read_header(const char *header, unsigned char *digest)
{
	if (header == NULL || strlen(header) != HEADER_LENGTH ||
		memcmp(header, PREFIX, PREFIX_LENGTH) != 0)
		return false;
	for (int i = 0; i < DIGEST; i++)
	{
		int high = wa_hex_value(header[PREFIX_LENGTH + 2 * (size_t) i]);
		int low = wa_hex_value(header[PREFIX_LENGTH + 2 * (size_t) i + 1]);

		if (high < 0 || low < 0)
			return false;
		digest[i] = (unsigned char) (high << 4 | low);
	}
	return true;
}

bool
gw_signature_is_well_formed(const char *header)
{
	unsigned char digest[DIGEST];

	return read_header(header, digest);
}

/* All are tried, so that the time does not tell which one it was. */
bool
gw_signature_matches(const char *header, const void *body, size_t len)
{
	unsigned char given[DIGEST];
	unsigned char right[DIGEST];
	bool matches = false;

	if (!read_header(header, given))
		return false;
	for (int i = 0; i < app_secret.values.n; i++)
	{
		const char *secret = app_secret.values.text[i];

		if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, secret, strlen(secret), body, len, right) != 0)
			httpd_die("HMAC-SHA256 cannot be computed");
		matches |= gnutls_memcmp(given, right, DIGEST) == 0;
	}
	return matches;
}

bool
gw_verify_token_matches(const char *token)
{
	unsigned char given[DIGEST];
	unsigned char right[DIGEST];

	if (!gw_secrets_have_verify_token() ||
		gnutls_hash_fast(GNUTLS_DIG_SHA256, token, strlen(token), given) != 0 ||
		gnutls_hash_fast(GNUTLS_DIG_SHA256, verify_token.values.text[0],
						 strlen(verify_token.values.text[0]), right) != 0)
		return false;
	return gnutls_memcmp(given, right, DIGEST) == 0;
}
