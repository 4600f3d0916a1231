/*
 * parameters.c
 *	  A statement and its parameters, and a copy of them for one that has to wait.
 */
#include "bin/gateway/parameters.h"

#include <stdlib.h>
#include <string.h>

#include "bin/httpd/util.h"

/* A text is copied with its NUL; a binary value is as long as it says, and may be empty. */
static size_t
value_size(const GwParameters *from, int i)
{
	if (from->values[i] == NULL)
		return 0;
	if (from->formats != NULL && from->formats[i] == 1)
		return (size_t) from->lengths[i];
	return strlen(from->values[i]) + 1;
}

/* Copies size bytes to *to, which moves on. */
static const void *
put(char **to, const void *from, size_t size)
{
	char *place = *to;

	if (from == NULL)
		return NULL;
	memcpy(place, from, size);
	*to += size;
	return place;
}

/* What needs the strictest alignment comes first. */
GwParameters *
gw_parameters_copy(const GwParameters *from)
{
	size_t n = (size_t) from->n;
	size_t size = sizeof(GwParameters) + n * (sizeof(char *) + sizeof(Oid) + 2 * sizeof(int)) +
				  strlen(from->sql) + 1;
	GwParameters *copy;
	const char **values;
	char *to;

	for (int i = 0; i < from->n; i++)
		size += value_size(from, i);
	copy = httpd_alloc(size);
	to = (char *) (copy + 1);
	values = (const char **) to;
	to += n * sizeof(char *);
	copy->n = from->n;
	copy->values = values;
	copy->types = put(&to, from->types, n * sizeof(Oid));
	copy->lengths = put(&to, from->lengths, n * sizeof(int));
	copy->formats = put(&to, from->formats, n * sizeof(int));
	copy->sql = put(&to, from->sql, strlen(from->sql) + 1);
	for (int i = 0; i < from->n; i++)
		values[i] = put(&to, from->values[i], value_size(from, i));
	return copy;
}

void
gw_parameters_free(GwParameters *copy)
{
	free(copy);
}
