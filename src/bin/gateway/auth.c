/*
 * auth.c
 *	  Who asks, and may he?
 */
#include "bin/gateway/auth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bin/gateway/problem.h"
#include "bin/gateway/settings.h"
#include "bin/httpd/util.h"

#define LEAST_TOKEN 16
#define MAX_TOKENS 8
#define LINK_PREFIX "wal_"

typedef struct Tokens
{
	char *items[MAX_TOKENS];
	int n;
} Tokens;

static Tokens admin_tokens;
static Tokens viewer_tokens;

static void
forget(Tokens *tokens)
{
	for (int i = 0; i < tokens->n; i++)
	{
		explicit_bzero(tokens->items[i], strlen(tokens->items[i]));
		free(tokens->items[i]);
	}
	tokens->n = 0;
}

static void
load(Tokens *tokens, const char *path)
{
	FILE *file;
	char line[512];

	forget(tokens);
	if (path[0] == '\0')
		return;
	file = fopen(path, "r");
	if (file == NULL)
		httpd_die("could not open \"%s\": %s", path, strerror(errno));
	while (tokens->n < MAX_TOKENS && fgets(line, sizeof(line), file) != NULL)
	{
		line[strcspn(line, " \t\r\n")] = '\0';
		if (line[0] == '\0' || line[0] == '#')
			continue;
		if (strlen(line) < LEAST_TOKEN)
			httpd_die("\"%s\" has a token of less than %d characters", path, LEAST_TOKEN);
		tokens->items[tokens->n++] = httpd_strdup(line);
	}
	explicit_bzero(line, sizeof(line));
	fclose(file);
	if (tokens->n == 0)
		httpd_die("\"%s\" has no token", path);
}

void
gw_auth_load(void)
{
	load(&admin_tokens, gw_settings->admin_token_file);
	load(&viewer_tokens, gw_settings->viewer_token_file);
}

/* Takes as long wherever they differ. */
static bool
same(const char *a, const char *b)
{
	size_t length = strlen(a);
	unsigned char difference = strlen(b) != length;

	for (size_t i = 0; i < length; i++)
		difference |= (unsigned char) (a[i] ^ b[difference != 0 ? 0 : i]);
	return difference == 0;
}

static bool
is_one_of(const Tokens *tokens, const char *token)
{
	bool found = false;

	for (int i = 0; i < tokens->n; i++)
		found |= same(tokens->items[i], token);
	return found;
}

static void
identify(GwExchange *exchange)
{
	const char *header = httpd_request_header(&exchange->http, "Authorization");
	const char *token;

	if (header == NULL || strncasecmp(header, "Bearer ", 7) != 0)
		return;
	token = header + 7 + strspn(header + 7, " ");
	if (is_one_of(&admin_tokens, token))
		exchange->role = GW_ADMIN;
	else if (is_one_of(&viewer_tokens, token))
		exchange->role = GW_VIEWER;
	else if (exchange->route->least == GW_TENANT &&
			 strncmp(token, LINK_PREFIX, strlen(LINK_PREFIX)) == 0)
	{
		exchange->role = GW_TENANT;
		exchange->key = httpd_strdup(token);
	}
	if (exchange->role != GW_NOBODY)
		exchange->actor = httpd_strdup(exchange->key != NULL ? "link" : "token");
}

bool
gw_authenticate(GwExchange *exchange)
{
	const GwRoute *route = exchange->route;

	if (route->least == GW_NOBODY)
		return true;
	identify(exchange);
	if (exchange->role == GW_NOBODY)
	{
		gw_problem(exchange, 401, "This needs a valid token.");
		httpd_reply_header(&exchange->http.reply, "WWW-Authenticate",
						   "Bearer realm=\"whatsapp_shared\"");
		return false;
	}
	if (exchange->role < route->least ||
		(exchange->role == GW_VIEWER && !gw_exchange_reads(exchange)))
	{
		gw_problem(exchange, 403, "This token does not allow that.");
		return false;
	}
	return true;
}
