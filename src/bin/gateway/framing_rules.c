/*
 * framing_rules.c
 *	  Is it certain where this request ends?  Else it is refused.
 */
#include "bin/gateway/framing_rules.h"

#include <string.h>
#include <strings.h>

/* No length that could be served has more digits. */
#define MAX_LENGTH_DIGITS 15

static const char *const once[] = {
	"Host",
	"Content-Length",
	"Transfer-Encoding",
	"Expect",

	/* Of these somebody else might take the other one. */
	"Authorization",
	"Cookie",
	"Origin",
	"Sec-Fetch-Site",
	"Content-Type",
	"Content-Encoding",
	"Idempotency-Key",
	"X-Hub-Signature-256",
};
#define ONCE (sizeof(once) / sizeof(once[0]))

static void
refuse(GwFraming *framing, int status, const char *reason)
{
	if (framing->status != 0)
		return;
	framing->status = status;
	framing->reason = reason;
}

/* RFC 9110, 5.6.2: what methods and names of headers are made of. */
static bool
is_token(const char *text)
{
	static const char letters[] = "!#$%&'*+-.^_`|~0123456789"
								  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	return text[0] != '\0' && text[strspn(text, letters)] == '\0';
}

void
gw_framing_begin(GwFraming *framing, const char *method, const char *version)
{
	memset(framing, 0, sizeof(*framing));
	framing->http_1_0 = strcmp(version, "HTTP/1.0") == 0;
	if (!is_token(method))
		refuse(framing, 400, "The method is malformed.");
	else if (!framing->http_1_0 && strcmp(version, "HTTP/1.1") != 0)
		refuse(framing, 505, "The version of HTTP must be 1.1 or 1.0.");
	else if (strlen(method) > GW_FRAMING_MAX_METHOD || strcmp(method, "TRACE") == 0 ||
			 strcmp(method, "CONNECT") == 0)
		refuse(framing, 501, "This method is not implemented.");
}

/* Visible ASCII, blanks, tabs, and whatever somebody sends beyond ASCII. */
static bool
is_value(const char *text)
{
	for (; *text != '\0'; text++)
	{
		if (((unsigned char) *text < ' ' && *text != '\t') || *text == 0x7f)
			return false;
	}
	return true;
}

/* A name or address, perhaps in brackets, perhaps with a port. */
static bool
is_host(const char *text)
{
	static const char letters[] = "0123456789.-_:[]"
								  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	return text[0] != '\0' && strlen(text) <= 260 && text[strspn(text, letters)] == '\0';
}

static bool
is_length(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits > 0 && digits <= MAX_LENGTH_DIGITS && text[digits] == '\0';
}

/* False if this header may come once and came before. */
static bool
note(GwFraming *framing, const char *name)
{
	for (unsigned int i = 0; i < ONCE; i++)
	{
		if (strcasecmp(name, once[i]) != 0)
			continue;
		if ((framing->seen & 1u << i) != 0)
			return false;
		framing->seen |= 1u << i;
	}
	return true;
}

void
gw_framing_header(GwFraming *framing, const char *name, const char *value)
{
	framing->bytes += strlen(name) + strlen(value);
	if (++framing->headers > GW_FRAMING_MAX_HEADERS)
		refuse(framing, 431, "The request has too many headers.");
	if (framing->bytes > GW_FRAMING_MAX_BYTES)
		refuse(framing, 431, "The headers of the request are too long.");
	if (!is_token(name))
		refuse(framing, 400, "The name of a header is malformed.");
	if (!is_value(value))
		refuse(framing, 400, "A header has control characters.");
	if (!note(framing, name))
		refuse(framing, 400, "A header that may be there once is there twice.");

	if (strcasecmp(name, "Host") == 0)
	{
		framing->host = value;
		if (!is_host(value))
			refuse(framing, 400, "The header Host is malformed.");
	}
	else if (strcasecmp(name, "Content-Length") == 0)
	{
		framing->has_length = true;
		if (!is_length(value))
			refuse(framing, 400, "The header Content-Length is malformed.");
	}
	else if (strcasecmp(name, "Transfer-Encoding") == 0)
	{
		framing->coded = true;
		if (strcasecmp(value, "chunked") != 0)
			refuse(framing, 501, "There is no such transfer coding.");
	}
	else if (strcasecmp(name, "Expect") == 0 && strcasecmp(value, "100-continue") != 0)
		refuse(framing, 417, "The only expectation is 100-continue.");
}

void
gw_framing_end(GwFraming *framing)
{
	if (framing->coded && framing->has_length)
		refuse(framing, 400, "Content-Length and Transfer-Encoding exclude each other.");
	if (framing->coded && framing->http_1_0)
		refuse(framing, 400, "HTTP/1.0 has no Transfer-Encoding.");
	if (framing->host == NULL && !framing->http_1_0)
		refuse(framing, 400, "The header Host is missing.");
	if (framing->coded)
		refuse(framing, 411, "Send the length of the body in Content-Length.");
}
