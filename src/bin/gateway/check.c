/*
 * check.c
 *	  wa_gateway --check: would it work, and what is to be done if not?
 *
 * Settings that make no sense have ended the program before.  This tries what they
 * name, as the user and with the files that the service will have.
 */
#include "bin/gateway/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bin/gateway/check_database.h"
#include "bin/gateway/finding.h"
#include "bin/gateway/secret_file.h"
#include "bin/gateway/settings.h"
#include "bin/gateway/token.h"

static void
check_tokens(const char *what, const char *path, const char *without)
{
	GwTokens tokens;
	char error[600];

	if (path[0] == '\0')
		gw_found(GW_DOUBTFUL, without, "%s: no file", what);
	else if (gw_tokens_read(path, &tokens, error, sizeof(error)))
		gw_found(GW_FINE, NULL, "%s: %d in %s", what, tokens.n, path);
	else
		gw_found(GW_BROKEN, "(umask 077; openssl rand -hex 32 > FILE) makes a file as it should be",
				 "%s: %s", what, error);
}

/* What is in it, secrets.c looks at when it is used; here, whether it can be. */
static void
check_secret(const char *what, const char *path, const char *without)
{
	static char text[16384];
	const char *wrong;

	if (path[0] == '\0')
		gw_found(GW_DOUBTFUL, without, "%s: no file", what);
	else if (gw_secret_file_read(path, text, sizeof(text), &wrong) < 0)
		gw_found(GW_BROKEN, "chown root:GROUP, chmod 0640, GROUP being that of the gateway",
				 "%s: %s: %s", what, path, wrong);
	else
		gw_found(GW_FINE, NULL, "%s: %s", what, path);
	explicit_bzero(text, sizeof(text));
}

static void
check_readable(const char *what, const char *path)
{
	if (path[0] == '\0')
		return;
	if (access(path, R_OK) == 0)
		gw_found(GW_FINE, NULL, "%s: %s", what, path);
	else
		gw_found(GW_BROKEN, "give its group to the gateway's user, and chmod g+r", "%s: %s: %s",
				 what, path, strerror(errno));
}

int
gw_check(void)
{
	check_tokens("tokens of the admin", gw_settings->admin_token_file,
				 "without --admin-token-file, nobody can change anything but tenants");
	check_tokens("tokens that look only", gw_settings->viewer_token_file,
				 "monitoring needs --viewer-token-file, or --metrics-listen");
	check_secret("app secret", gw_settings->app_secret_file,
				 "without --app-secret-file, all webhooks are refused");
	check_secret("verify token", gw_settings->verify_token_file,
				 "without --verify-token-file, Meta cannot set up the webhook");
	check_readable("certificate", gw_settings->tls_cert);
	check_readable("its key", gw_settings->tls_key);
	gw_check_admin_database();
	gw_check_webhook_database();
	if (gw_found_broken() > 0)
		printf("\n%d of these must be mended before it works.\n", gw_found_broken());
	return gw_found_broken() > 0 ? 1 : 0;
}
