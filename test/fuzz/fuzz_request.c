/*
 * fuzz_request.c
 *	  The head of a request as a hostile client may write it: framing, target,
 *	  path, query, and what it shows of who sent it.
 *
 * Whatever passes must mean the same to everybody: the end of the request is
 * certain, and no decoded part of the path leads elsewhere.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bin/gateway/address.h"
#include "bin/gateway/credentials.h"
#include "bin/gateway/framing_rules.h"
#include "bin/gateway/origin.h"
#include "bin/gateway/path.h"
#include "bin/gateway/session.h"
#include "bin/gateway/target.h"

typedef struct Head
{
	GwFraming framing;
	const char *origin;
	const char *fetch_site;
} Head;

static void
expect(bool truth)
{
	if (!truth)
		__builtin_trap();
}

/* Cuts off what stands before the separator; NULL if that is not there. */
static char *
cut(char **text, const char *separator)
{
	char *begin = *text;
	char *end = strstr(begin, separator);

	if (end == NULL)
		return NULL;
	*end = '\0';
	*text = end + strlen(separator);
	return begin;
}

static void
check_segment(const char *segment)
{
	expect(segment[0] != '\0' && strlen(segment) <= GW_MAX_SEGMENT);
	expect(strcmp(segment, ".") != 0 && strcmp(segment, "..") != 0);
	expect(strpbrk(segment, "/\\") == NULL);
	for (; *segment != '\0'; segment++)
		expect((unsigned char) *segment >= ' ' && *segment != 0x7f);
}

/* True if the path passes. */
static bool
check_path(const char *target)
{
	GwPath path = {.n = 0};
	bool passes = gw_path_split(target, &path) == NULL;

	for (int i = 0; passes && i < path.n; i++)
		check_segment(path.segments[i]);
	gw_path_free(&path);
	return passes;
}

/* Nobody has this key, so nothing here can be a session of it. */
static void
check_cookie(const char *value)
{
	static const GwTokens tokens = {.tokens = {{.session_key = "no token has this one"}}, .n = 1};
	char out[GW_CREDENTIAL_MAX];

	if (!gw_cookie_value(value, "wa_admin", out, sizeof(out)))
		return;
	expect(gw_is_token68(out, strlen(out)) && strstr(value, out) != NULL);
	expect(!gw_session_is_valid(&tokens, "admin", out, 0));
}

static void
check_bearer(const char *value)
{
	char out[GW_CREDENTIAL_MAX];

	if (gw_bearer_token(value, out, sizeof(out)))
		expect(gw_is_token68(out, strlen(out)) && strlen(value) >= strlen(out) + 7);
}

/* A peer that is no proxy is the client, whatever he says. */
static void
check_forwarded(const char *value)
{
	GwNetwork proxy;
	GwAddress peer;
	GwAddress client;

	expect(gw_network_parse("127.0.0.0/8", &proxy));
	expect(gw_address_parse("192.0.2.1", 9, &peer));
	client = gw_address_of_client(&peer, value, &proxy, 1);
	expect(memcmp(&client, &peer, sizeof(peer)) == 0);
	(void) gw_address_of_client(&proxy.base, value, &proxy, 1);
	(void) gw_network_parse(value, &proxy);
}

static void
take_header(Head *head, const char *name, const char *value)
{
	gw_framing_header(&head->framing, name, value);
	if (strcmp(name, "Cookie") == 0)
		check_cookie(value);
	else if (strcmp(name, "Authorization") == 0)
		check_bearer(value);
	else if (strcmp(name, "X-Forwarded-For") == 0)
		check_forwarded(value);
	else if (strcmp(name, "Origin") == 0)
		head->origin = value;
	else if (strcmp(name, "Sec-Fetch-Site") == 0)
		head->fetch_site = value;
}

/* The browser says so, or the host stands in the origin. */
static void
check_origin(const Head *head)
{
	if (!gw_origin_is_ours(head->origin, head->fetch_site, head->framing.host))
		return;
	if (head->fetch_site != NULL)
		expect(head->fetch_site[0] == 's' || head->fetch_site[0] == 'n');
	else
		expect(head->origin != NULL && head->framing.host != NULL &&
			   strlen(head->origin) >= strlen("http://") + 1);
}

static void
check_head(char *text)
{
	Head head = {.origin = NULL};
	char *method = cut(&text, " ");
	char *target = method != NULL ? cut(&text, " ") : NULL;
	char *version = target != NULL ? cut(&text, "\r\n") : NULL;
	const char *reason;
	char *line;
	bool passes;

	if (version == NULL)
		return;
	gw_framing_begin(&head.framing, method, version);
	while ((line = cut(&text, "\r\n")) != NULL)
	{
		char *name = cut(&line, ":");

		if (name != NULL)
			take_header(&head, name, line + strspn(line, " \t"));
	}
	gw_framing_end(&head.framing);
	passes = check_path(target);
	check_origin(&head);
	if (head.framing.status != 0)
		return;
	expect(!head.framing.coded && (head.framing.host != NULL || head.framing.http_1_0));
	if (gw_target_check(target, head.framing.host, &reason) == 0 && passes)
		expect(strlen(target) < GW_TARGET_MAX && strpbrk(target, "# \"<>\n") == NULL &&
			   strstr(target, "?%00") == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	expect(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	check_head(text);
	free(text);
	return 0;
}
