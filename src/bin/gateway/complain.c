/*
 * complain.c
 *	  What the operator is to know, a line at a time.
 */
#include "bin/gateway/complain.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Less than a pipe that is writable at all takes in one piece. */
#define LONGEST_LINE 1024

#define PROGRAM "wa_gateway: "

static void
blank_controls(char *text)
{
	for (; *text != '\0'; text++)
	{
		if ((unsigned char) *text < ' ' || *text == 0x7f)
			*text = ' ';
	}
}

void
gw_complain(const char *format, ...)
{
	struct pollfd pollfd = {.fd = STDERR_FILENO, .events = POLLOUT};
	char line[LONGEST_LINE + 1] = PROGRAM;
	va_list args;
	size_t len;

	va_start(args, format);
	vsnprintf(line + strlen(PROGRAM), LONGEST_LINE - strlen(PROGRAM), format, args);
	va_end(args);
	blank_controls(line);
	len = strlen(line);
	line[len++] = '\n';
	if (poll(&pollfd, 1, 0) == 1 && (pollfd.revents & POLLOUT) &&
		write(STDERR_FILENO, line, len) < 0)
		return; /* there is nobody left to tell */
}
