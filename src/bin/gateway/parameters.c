/*
 * parameters.c
 *	  A copy of a statement and its parameters, for one that has to wait.
 */
#include "bin/gateway/parameters.h"

#include <stdlib.h>
#include <string.h>

#include "bin/httpd/util.h"

static void *
copy(const void *from, size_t size)
{
	if (from == NULL || size == 0)
		return NULL;
	return memcpy(httpd_alloc(size), from, size);
}

/* A text ends in NUL; a binary value is as long as it says. */
static size_t
value_size(int i, const char *value, const int *lengths, const int *formats)
{
	return formats != NULL && formats[i] == 1 ? (size_t) lengths[i] : strlen(value) + 1;
}

void
gw_parameters_copy(GwParameters *out, const char *sql, int n, const Oid *types,
				   const char *const *values, const int *lengths, const int *formats)
{
	out->sql = httpd_strdup(sql);
	out->n = n;
	out->types = copy(types, (size_t) n * sizeof(Oid));
	out->lengths = copy(lengths, (size_t) n * sizeof(int));
	out->formats = copy(formats, (size_t) n * sizeof(int));
	out->values = httpd_alloc0((size_t) (n > 0 ? n : 1) * sizeof(char *));
	for (int i = 0; i < n; i++)
	{
		if (values[i] == NULL)
			continue;

		/* An empty binary value must not become NULL, which is another thing. */
		out->values[i] = httpd_alloc(value_size(i, values[i], lengths, formats) + 1);
		memcpy(out->values[i], values[i], value_size(i, values[i], lengths, formats));
	}
}

void
gw_parameters_free(GwParameters *parameters)
{
	for (int i = 0; i < parameters->n; i++)
		free(parameters->values[i]);
	free(parameters->values);
	free(parameters->types);
	free(parameters->lengths);
	free(parameters->formats);
	free(parameters->sql);
	memset(parameters, 0, sizeof(*parameters));
}
