/*
 * request_id.c
 *	  A name for a request, by which it is found in every log.
 */
#include "bin/gateway/request_id.h"

#include <ctype.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <string.h>

#include "bin/httpd/util.h"

bool
gw_request_id_is_valid(const char *text)
{
	size_t length = strlen(text);

	if (length < 8 || length > 36)
		return false;
	for (; *text != '\0'; text++)
	{
		if (!isalnum((unsigned char) *text) && strchr("-_.", *text) == NULL)
			return false;
	}
	return true;
}

void
gw_request_id(GwExchange *exchange)
{
	const char *given = httpd_request_header(&exchange->http, "X-Request-Id");
	unsigned char random[12];

	if (given != NULL && gw_request_id_is_valid(given))
	{
		snprintf(exchange->request_id, sizeof(exchange->request_id), "%s", given);
		return;
	}
	if (gnutls_rnd(GNUTLS_RND_NONCE, random, sizeof(random)) != 0)
		httpd_die("there are no random numbers");
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(exchange->request_id + 2 * i, 3, "%02x", random[i]);
}
