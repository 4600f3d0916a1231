/*
 * web_address.c
 *	  Addresses to which we send what others must not read.
 *
 * Tokens, keys and customers' messages travel to whatever stands there, hence the
 * narrow rule: no user name, query or fragment, which a hostile value could use to
 * make the host look like another one; and plain http to this machine only.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "fmgr.h"
#include "utils/builtins.h"

#include "base/web_address.h"

PG_FUNCTION_INFO_V1(wa_internal_address_problem);

/*
 * Is host (len bytes of a URL) an address of this machine?  Names other than
 * "localhost" are not: who answers for them is decided elsewhere.
 */
static bool
is_loopback(const char *host, size_t len)
{
	char text[INET6_ADDRSTRLEN];
	struct in_addr v4;
	struct in6_addr v6;

	if (len == strlen("localhost") && pg_strncasecmp(host, "localhost", len) == 0)
		return true;
	if (len >= 2 && host[0] == '[' && host[len - 1] == ']')
	{
		if (len - 2 >= sizeof(text))
			return false;
		strlcpy(text, host + 1, len - 1);
		return inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
	}
	if (len >= sizeof(text))
		return false;
	strlcpy(text, host, len + 1);
	return inet_pton(AF_INET, text, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

static bool
is_port(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits >= 1 && digits <= 5 && (text[digits] == '\0' || text[digits] == '/') &&
		   atoi(text) >= 1 && atoi(text) <= 65535;
}

const char *
wa_web_address_problem(const char *address, bool *is_plain)
{
	const char *host;
	const char *port;
	size_t host_len;
	bool https = strncmp(address, "https://", 8) == 0;

	*is_plain = false;
	if (!https && strncmp(address, "http://", 7) != 0)
		return "The URL must begin with \"https://\".";
	host = address + (https ? 8 : 7);
	host_len = *host == '[' ? strcspn(host, "]/") + 1 : strcspn(host, ":/");
	port = host + Min(host_len, strlen(host));

	if (host_len == 0 || (*host == '[' && host[host_len - 1] != ']') ||
		(*port != '\0' && *port != ':' && *port != '/') ||
		strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/:[]") !=
			strlen(host))
		return "The URL must be made of a host, an optional port and an optional path.";
	if (*port == ':' && !is_port(port + 1))
		return "The port must be a number between 1 and 65535.";
	*is_plain = !https && !is_loopback(host, host_len);
	return *is_plain ? "Plain http is allowed to a loopback address only." : NULL;
}

Datum
wa_internal_address_problem(PG_FUNCTION_ARGS)
{
	bool is_plain;
	const char *problem = wa_web_address_problem(text_to_cstring(PG_GETARG_TEXT_PP(0)), &is_plain);

	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}
