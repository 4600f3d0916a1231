/*
 * path.c
 *	  /{version}/{node}[/{edge}], taken apart.
 */
#include "bin/simulator/path.h"

#include <string.h>

/* Copies up to the next slash; false if it does not fit. */
static bool
take_segment(const char **path, char *out, size_t size)
{
	size_t len;

	if (**path == '/')
		(*path)++;
	len = strcspn(*path, "/");
	if (len >= size)
		return false;
	memcpy(out, *path, len);
	out[len] = '\0';
	*path += len;
	return true;
}

/* v25.0 */
static bool
is_version(const char *text)
{
	size_t digits;

	if (*text++ != 'v')
		return false;
	digits = strspn(text, "0123456789");
	if (digits < 1 || digits > 2 || text[digits] != '.')
		return false;
	text += digits + 1;
	return strspn(text, "0123456789") == 1 && text[1] == '\0';
}

void
sim_path_parse(const char *path, SimPath *out)
{
	memset(out, 0, sizeof(*out));
	out->valid = take_segment(&path, out->version, sizeof(out->version)) &&
				 take_segment(&path, out->node, sizeof(out->node)) &&
				 take_segment(&path, out->edge, sizeof(out->edge)) && *path == '\0' &&
				 out->node[0] != '\0' && is_version(out->version);
}

bool
sim_path_is_send(const SimPath *path, const char *method)
{
	return path->valid && strcmp(method, "POST") == 0 &&
		   (strcmp(path->edge, "messages") == 0 || strcmp(path->edge, "marketing_messages") == 0);
}

const char *
sim_path_edge_name(const SimPath *path)
{
	return path->edge[0] != '\0' ? path->edge : path->node;
}
