/*
 * media_types.c
 *	  Lists of media types.
 *
 * What is valid and what it includes stands side by side here, since both read the same
 * text: the setting is checked when it is set, and asked for each file.
 */
#include "wa_c.h"

#include <string.h>
#include <strings.h>

#include "common/media_types.h"

/* RFC 6838, 4.2, without the rule for the first character. */
static const char token[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
							"!#$&^_.+-";

static size_t
without_spaces_at_the_end(const char *text, size_t len)
{
	while (len > 0 && text[len - 1] == ' ')
		len--;
	return len;
}

/* The entry that begins here, without the spaces around it; returns where the next one is, or NULL.
 */
static const char *
next_entry(const char *list, const char **entry, size_t *len)
{
	const char *end = list + strcspn(list, ",");

	*entry = list + strspn(list, " ");
	*len = *entry < end ? without_spaces_at_the_end(*entry, (size_t) (end - *entry)) : 0;
	return *end == ',' ? end + 1 : NULL;
}

static bool
is_everything(const char *entry, size_t len)
{
	return len == 3 && memcmp(entry, "*/*", 3) == 0;
}

static bool
is_valid(const char *entry, size_t len)
{
	size_t main_len = strspn(entry, token);
	size_t sub_len;

	if (is_everything(entry, len))
		return true;
	if (main_len == 0 || entry[main_len] != '/')
		return false;
	sub_len = entry[main_len + 1] == '*' ? 1 : strspn(entry + main_len + 1, token);
	return sub_len > 0 && main_len + 1 + sub_len == len;
}

bool
wa_media_types_are_valid(const char *list)
{
	while (list != NULL)
	{
		const char *entry;
		size_t len;

		list = next_entry(list, &entry, &len);
		if (!is_valid(entry, len))
			return false;
	}
	return true;
}

static bool
includes(const char *entry, size_t entry_len, const char *type, size_t len)
{
	if (is_everything(entry, entry_len))
		return true;
	if (entry_len > 0 && entry[entry_len - 1] == '*')
		return len >= entry_len - 1 && strncasecmp(entry, type, entry_len - 1) == 0;
	return len == entry_len && len > 0 && strncasecmp(entry, type, len) == 0;
}

bool
wa_media_types_include(const char *list, const char *type, size_t len)
{
	const char *parameters = memchr(type, ';', len);

	if (parameters != NULL)
		len = (size_t) (parameters - type);
	for (; len > 0 && *type == ' '; len--)
		type++;
	len = without_spaces_at_the_end(type, len);
	while (list != NULL)
	{
		const char *entry;
		size_t entry_len;

		list = next_entry(list, &entry, &entry_len);
		if (includes(entry, entry_len, type, len))
			return true;
	}
	return false;
}
