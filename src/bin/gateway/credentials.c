/*
 * credentials.c
 *	  What a request shows: the headers Authorization and Cookie, taken apart.
 */
#include "bin/gateway/credentials.h"

#include <string.h>
#include <strings.h>

static bool
is_letter(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		   (c != '\0' && strchr("-._~+/=", c) != NULL);
}

bool
gw_is_token68(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if (!is_letter(text[i]))
			return false;
	}
	return len > 0;
}

static bool
copy(const char *text, size_t len, char *out, size_t size)
{
	if (len >= size || !gw_is_token68(text, len))
		return false;
	memcpy(out, text, len);
	out[len] = '\0';
	return true;
}

bool
gw_bearer_token(const char *header, char *out, size_t size)
{
	if (header == NULL || strncasecmp(header, "Bearer ", 7) != 0)
		return false;
	header += 7;
	header += strspn(header, " ");
	return copy(header, strlen(header), out, size);
}

/* The next NAME=VALUE of a header; false at its end. */
static bool
next_pair(const char **at, const char **pair, size_t *len)
{
	*at += strspn(*at, "; \t");
	*pair = *at;
	*len = strcspn(*at, ";");
	*at += *len;
	while (*len > 0 && ((*pair)[*len - 1] == ' ' || (*pair)[*len - 1] == '\t'))
		(*len)--;
	return *len > 0;
}

bool
gw_cookie_value(const char *header, const char *name, char *out, size_t size)
{
	size_t name_len = strlen(name);
	const char *found = NULL;
	size_t found_len = 0;
	const char *pair;
	size_t len;

	while (header != NULL && next_pair(&header, &pair, &len))
	{
		if (len <= name_len || pair[name_len] != '=' || strncmp(pair, name, name_len) != 0)
			continue;
		if (found != NULL)
			return false;
		found = pair + name_len + 1;
		found_len = len - name_len - 1;
	}
	return found != NULL && copy(found, found_len, out, size);
}
