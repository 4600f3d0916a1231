/*
 * tap.h
 *	  What a C test needs to speak TAP.  One test program a module.
 */
#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int tap_count;
static int tap_failures;

static inline void tap_line(bool good, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));
static inline bool ok(bool good, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline bool is_int(int64_t got, int64_t want, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static inline bool is_str(const char *got, const char *want, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static inline void
tap_line(bool good, const char *format, va_list args)
{
	tap_count++;
	if (!good)
		tap_failures++;
	printf("%sok %d - ", good ? "" : "not ", tap_count);
	vprintf(format, args);
	printf("\n");
	fflush(stdout);
}

static inline bool
ok(bool good, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tap_line(good, format, args);
	va_end(args);
	return good;
}

static inline bool
is_int(int64_t got, int64_t want, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tap_line(got == want, format, args);
	va_end(args);
	if (got != want)
		printf("#      got: %lld\n# expected: %lld\n", (long long) got, (long long) want);
	return got == want;
}

static inline bool
is_str(const char *got, const char *want, const char *format, ...)
{
	bool same = got != NULL && strcmp(got, want) == 0;
	va_list args;

	va_start(args, format);
	tap_line(same, format, args);
	va_end(args);
	if (!same)
		printf("#      got: %s\n# expected: %s\n", got != NULL ? got : "(null)", want);
	return same;
}

/*
 * The value to return from main().
 */
static inline int
done_testing(void)
{
	printf("1..%d\n", tap_count);
	return tap_failures == 0 ? 0 : 1;
}

#endif
