/*
 * util.c
 *	  Memory that cannot fail, the end of the program, its limits, numbers from text.
 */
#include "bin/httpd/util.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

void
httpd_die(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

void *
httpd_alloc(size_t size)
{
	void *p = malloc(size > 0 ? size : 1);

	if (p == NULL)
		httpd_die("out of memory");
	return p;
}

void *
httpd_alloc0(size_t size)
{
	void *p = httpd_alloc(size);

	memset(p, 0, size);
	return p;
}

void *
httpd_realloc(void *p, size_t size)
{
	p = realloc(p, size > 0 ? size : 1);
	if (p == NULL)
		httpd_die("out of memory");
	return p;
}

char *
httpd_strdup(const char *s)
{
	size_t size = strlen(s) + 1;

	return memcpy(httpd_alloc(size), s, size);
}

void
httpd_raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
	{
		limit.rlim_cur = limit.rlim_max;
		(void) setrlimit(RLIMIT_NOFILE, &limit);
	}
}

bool
httpd_parse_int(const char *text, int64_t min, int64_t max, int64_t *out)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
		return false;
	*out = value;
	return true;
}
