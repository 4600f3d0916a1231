/*
 * media.c
 *	  Where Meta has a file, and what it says about it (Cloud API, media reference).
 *
 * The address that it gives needs the token.  The response is believed in so far as it
 * came over TLS from graph_url; still the token goes to nobody but Meta, whatever
 * stands there.
 */
#include "wa_c.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/jsonscan.h"
#include "graph/media.h"

/* From here Meta gives out files of messages, over https only. */
#define MEDIA_ORIGIN "https://lookaside.fbsbx.com"

/* The response has seven values in 500 bytes. */
#define MAX_NODES 64
#define MAX_LENGTH 16384

static bool
is_hex(const char *text, size_t len)
{
	return strlen(text) == len && strspn(text, "0123456789abcdefABCDEF") == len;
}

static bool
is_printable(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char) *text <= ' ' || (unsigned char) *text >= 0x7f)
			return false;
	return true;
}

/* A type with its parameters, as a row and a response header can have it. */
static bool
is_type(const char *text)
{
	return text[0] != '\0' && strchr(text, '/') != NULL && strchr(text, '\\') == NULL &&
		   strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
						"!#$&^_.+-/;= \"") == strlen(text);
}

const char *
wa_graph_media_read(const WaHttpResult *result, WaMediaInfo *info)
{
	static WaJsonNode nodes[MAX_NODES];
	static char text[MAX_LENGTH + 1];
	WaJson json;

	memset(info, 0, sizeof(*info));
	if (result->body_len > MAX_LENGTH)
		return "the response about the file is too long";
	memcpy(text, result->body, result->body_len);
	text[result->body_len] = '\0';
	for (size_t i = 0; i < result->body_len; i++)
		if ((unsigned char) text[i] >= 0x80)
			return "the response about the file is not in ASCII";
	if (!wa_json_scan(&json, text, result->body_len, nodes, MAX_NODES))
		return "the response about the file is not JSON";
	if (wa_json_string(&json, wa_json_member(&json, 0, "url"), info->url, sizeof(info->url)) <= 0 ||
		!is_printable(info->url))
		return "the response does not say where the file is";
	if (wa_json_string(&json, wa_json_member(&json, 0, "sha256"), info->sha256,
					   sizeof(info->sha256)) < 0 ||
		!is_hex(info->sha256, sizeof(info->sha256) - 1))
		return "the response does not have the file's SHA-256";
	if (wa_json_string(&json, wa_json_member(&json, 0, "mime_type"), info->mime_type,
					   sizeof(info->mime_type)) < 0 ||
		!is_type(info->mime_type))
		info->mime_type[0] = '\0';
	if (!wa_json_integer(&json, wa_json_member(&json, 0, "file_size"), &info->size) ||
		info->size < 0)
		info->size = -1;
	return NULL;
}

/* scheme://host[:port] */
static size_t
origin_length(const char *url)
{
	const char *host = strstr(url, "://");

	return host == NULL ? 0 : (size_t) (host - url) + 3 + strcspn(host + 3, "/?#");
}

/*
 * The whole of it is compared, so there is no place for a user name or a port that
 * would make another host of it.
 */
static bool
has_origin(const char *url, const char *origin, size_t len)
{
	return origin_length(url) == len && len > 0 && strncasecmp(url, origin, len) == 0;
}

bool
wa_graph_media_url_is_trusted(const char *url, const char *graph_url)
{
	if (!is_printable(url) || strchr(url, '\\') != NULL)
		return false;
	if (has_origin(url, graph_url, origin_length(graph_url)))
		return true;
	/* What is asked of this machine stays on it. */
	return strncasecmp(graph_url, "https://", 8) == 0 &&
		   has_origin(url, MEDIA_ORIGIN, strlen(MEDIA_ORIGIN));
}

static bool
is_id(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len <= 40 && strspn(text, "0123456789") == len;
}

bool
wa_graph_media_url(char *out, size_t size, const char *graph_url, const char *version,
				   const char *media_id, const char *number)
{
	int len;

	if (!is_id(media_id) || !is_id(number))
		return false;
	len = snprintf(out, size, "%s/%s/%s?phone_number_id=%s", graph_url, version, media_id, number);
	return len > 0 && (size_t) len < size;
}
