/*
 * response.c
 *	  The response to a request, as libcurl hands it in: body and headers.
 *
 * Called from within libcurl, by the rules at the top of http/transfer.c:
 * these copy bytes and set fields, allocate with malloc only, and nothing in
 * them can raise.
 */
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "http/response.h"

/* A usage header is a hundred bytes or two for each business object. */
#define MAX_USAGE 8192

/*
 * Keeps the body.  Too large: nothing more, and libcurl ends the transfer.
 */
size_t
wa_http_response_body(char *data, size_t size, size_t n, void *arg)
{
	WaHttpResponse *response = arg;
	size_t len = size * n;

	if (len > response->max_size - response->body.len)
	{
		response->too_large = true;
		return 0;
	}
	return wa_buffer_append(&response->body, data, len) ? len : 0;
}

/*
 * If line is the header "name", points value to its trimmed value.
 */
static bool
header_is(const char *line, size_t len, const char *name, const char **value, size_t *value_len)
{
	size_t name_len = strlen(name);

	if (len <= name_len || line[name_len] != ':' || strncasecmp(line, name, name_len) != 0)
		return false;
	line += name_len + 1;
	len -= name_len + 1;
	while (len > 0 && (*line == ' ' || *line == '\t'))
		line++, len--;
	while (len > 0 && strchr(" \t\r\n", line[len - 1]) != NULL)
		len--;
	*value = line;
	*value_len = len;
	return true;
}

/*
 * What does not fit is left out whole: half a value would be a wrong one.
 */
static void
keep_header(char *out, size_t size, const char *value, size_t len)
{
	if (len >= size)
		len = 0;
	memcpy(out, value, len);
	out[len] = '\0';
}

/*
 * Retry-After: seconds, or a date.  -1 if it is neither.
 */
static int
read_retry_after(const char *value, size_t len)
{
	char text[64];
	char *end;
	long seconds;
	time_t date;

	keep_header(text, sizeof(text), value, len);
	if (text[0] >= '0' && text[0] <= '9')
	{
		errno = 0;
		seconds = strtol(text, &end, 10);
		if (*end != '\0' || errno != 0)
			return -1;
	}
	else
	{
		date = curl_getdate(text, NULL);
		if (date == (time_t) -1)
			return -1;
		seconds = (long) (date - time(NULL));
	}
	if (seconds < 0)
		return 0;
	return seconds < 86400L * 30 ? (int) seconds : 86400 * 30;
}

static void
forget_headers(WaHttpResponse *response)
{
	response->retry_after_s = -1;
	response->api_version[0] = '\0';
	response->date[0] = '\0';
	response->content_type[0] = '\0';
	wa_buffer_reset(&response->usage);
}

/*
 * Called with one whole header line, which is not terminated.
 */
size_t
wa_http_response_header(char *line, size_t size, size_t n, void *arg)
{
	WaHttpResponse *response = arg;
	size_t len = size * n;
	const char *value;
	size_t value_len;

	if (len > 7 && memcmp(line, "HTTP/", 5) == 0)
	{
		/* a new block: what came before was interim, such as 100 or 103 */
		forget_headers(response);
		response->protocol = line[5] == '1' ? WA_PROTOCOL_HTTP1 : WA_PROTOCOL_HTTP2;
	}
	else if (header_is(line, len, "content-type", &value, &value_len))
		keep_header(response->content_type, sizeof(response->content_type), value, value_len);
	else if (header_is(line, len, "date", &value, &value_len))
		keep_header(response->date, sizeof(response->date), value, value_len);
	else if (header_is(line, len, "facebook-api-version", &value, &value_len))
		keep_header(response->api_version, sizeof(response->api_version), value, value_len);
	else if (header_is(line, len, "retry-after", &value, &value_len))
		response->retry_after_s = read_retry_after(value, value_len);
	else if (header_is(line, len, "x-business-use-case-usage", &value, &value_len))
	{
		wa_buffer_reset(&response->usage);
		if (value_len <= MAX_USAGE && !wa_buffer_append(&response->usage, value, value_len))
			return 0;
	}
	return len;
}

void
wa_http_response_reset(WaHttpResponse *response)
{
	wa_buffer_reset(&response->body);
	response->too_large = false;
	response->protocol = WA_PROTOCOL_UNKNOWN;
	forget_headers(response);
}

void
wa_http_response_free(WaHttpResponse *response)
{
	free(response->body.data);
	free(response->usage.data);
}
