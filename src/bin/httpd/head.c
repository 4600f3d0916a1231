/*
 * head.c
 *	  The head of a request as it came, for programs that must not be lenient.
 *
 * libmicrohttpd up to 0.9.76 cuts the head into strings where it lies: it
 * overwrites the first blank, the colon, CR and LF by NUL.  So a head that was
 * mended in any way shows it by a gap between two of these strings.  Later
 * versions are told to refuse such heads (listener.c).
 */
#include "bin/httpd/head.h"

#include <string.h>

/* Walks over the strings; at is where the next one has to begin. */
typedef struct Walk
{
	const char *at;
	bool exact;
} Walk;

/* One string, after which bytes bytes were overwritten. */
static void
step(Walk *walk, const char *text, size_t len, size_t bytes)
{
	if (text != walk->at)
		walk->exact = false;
	walk->at = text + len + bytes;
}

static enum MHD_Result
step_header(void *arg, enum MHD_ValueKind kind, const char *name, size_t name_len,
			const char *value, size_t value_len)
{
	Walk *walk = arg;

	step(walk, name, name_len, 1);
	if (value == NULL)
	{
		walk->exact = false;
		return MHD_NO;
	}
	while (walk->exact && walk->at < value && (*walk->at == ' ' || *walk->at == '\t'))
		walk->at++;
	step(walk, value, value_len, 2);
	return walk->exact ? MHD_YES : MHD_NO;
}

bool
httpd_head_is_exact(const HttpdRequest *request)
{
	struct MHD_Connection *mhd = request->connection->mhd;
	Walk walk = {.at = request->method_at, .exact = true};
	const union MHD_ConnectionInfo *info;

	if (HTTPD_LIBRARY_IS_STRICT)
		return true;
	step(&walk, request->method_at, strlen(request->method), 1);
	step(&walk, request->target_at, strlen(request->target), 1);
	step(&walk, request->version, strlen(request->version), 2);
	MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, step_header, &walk);
	info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	return walk.exact && info != NULL && walk.at + 2 == request->method_at + info->header_size;
}

typedef struct Visit
{
	HttpdHeaderVisitor visitor;
	void *arg;
} Visit;

static enum MHD_Result
visit_header(void *arg, enum MHD_ValueKind kind, const char *name, size_t name_len,
			 const char *value, size_t value_len)
{
	const Visit *visit = arg;

	visit->visitor(visit->arg, name, value != NULL ? value : "");
	return MHD_YES;
}

void
httpd_head_visit(const HttpdRequest *request, HttpdHeaderVisitor visitor, void *arg)
{
	Visit visit = {visitor, arg};

	MHD_get_connection_values_n(request->connection->mhd, MHD_HEADER_KIND, visit_header, &visit);
}
