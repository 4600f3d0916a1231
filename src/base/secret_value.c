/*
 * secret_value.c
 *	  A credential as it was given, cut into its parts.
 */
#include "postgres.h"

#include "utils/guc.h"

#include "base/file.h"
#include "base/secret_value.h"
#include "compat.h"

static int
most_parts(SecretName name)
{
	return name == SECRET_APP_SECRET ? WA_MAX_APP_SECRETS : 1;
}

bool
wa_secret_parse(SecretName name, const char *text, size_t len, SecretValue **result,
				const char **problem)
{
	SecretValue *value;
	size_t used = 0;
	size_t at = 0;

	*result = NULL;
	value = wa_guc_alloc(offsetof(SecretValue, text) + len + WA_MAX_APP_SECRETS + 1);
	if (value == NULL)
	{
		*problem = "Out of memory.";
		return false;
	}
	memset(value, 0, offsetof(SecretValue, text));

	while (at < len)
	{
		size_t start;

		if (strchr(" \t\r\n,", text[at]) != NULL && text[at] != '\0')
		{
			at++;
			continue;
		}
		start = at;
		while (at < len && text[at] > 0x20 && text[at] < 0x7f && text[at] != ',')
			at++;
		if (at < len && (text[at] == '\0' || strchr(" \t\r\n,", text[at]) == NULL))
			*problem = "It contains a character that is not printable ASCII.";
		else if (value->count == most_parts(name))
			*problem = name == SECRET_APP_SECRET
						   ? "At most two app secrets can be given: the current and the previous."
						   : "It must be one word without spaces or commas.";
		else if (at - start > WA_MAX_SECRET_LENGTH)
			*problem = "It is too long.";
		if (*problem != NULL)
		{
			wa_guc_release(value);
			return false;
		}
		value->starts[value->count++] = used;
		memcpy(value->text + used, text + start, at - start);
		used += at - start;
		value->text[used++] = '\0';
	}

	value->size = used;
	if (value->count == 0)
	{
		wa_guc_release(value);
		value = NULL;
	}
	*result = value;
	return true;
}

bool
wa_secret_same_value(const SecretValue *a, const SecretValue *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return a->count == b->count && a->size == b->size && memcmp(a->text, b->text, a->size) == 0;
}

SecretValue *
wa_secret_copy(const SecretValue *value)
{
	size_t size;
	SecretValue *copy;

	if (value == NULL)
		return NULL;
	size = offsetof(SecretValue, text) + value->size;
	copy = wa_guc_alloc(size);
	if (copy != NULL)
		memcpy(copy, value, size);
	return copy;
}

void
wa_secret_release(SecretValue *value)
{
	if (value == NULL)
		return;
	explicit_bzero(value->text, value->size);
	wa_guc_release(value);
}
