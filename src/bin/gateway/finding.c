/*
 * finding.c
 *	  What --check finds: a line of text, and how bad it is.
 */
#include "bin/gateway/finding.h"

#include <stdarg.h>
#include <stdio.h>

static int broken;

void
gw_found(GwFinding finding, const char *todo, const char *format, ...)
{
	static const char *const words[] = {"ok", "warning", "FAILED"};
	va_list args;

	if (finding == GW_BROKEN)
		broken++;
	printf("%-8s ", words[finding]);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	if (todo != NULL)
		printf("         -> %s\n", todo);
}

int
gw_found_broken(void)
{
	return broken;
}
