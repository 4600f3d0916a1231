/*
 * util.c
 *	  Memory that cannot fail, clocks, random numbers, text helpers.
 */
#include "bin/httpd/util.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static int64_t clock_offset_us;
static int64_t stopped_at_us; /* of the steady clock; 0: it runs */

void
sim_die(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("wa_simulator: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

void *
sim_alloc(size_t size)
{
	void *p = malloc(size > 0 ? size : 1);

	if (p == NULL)
		sim_die("out of memory");
	return p;
}

void *
sim_alloc0(size_t size)
{
	void *p = sim_alloc(size);

	memset(p, 0, size);
	return p;
}

void *
sim_realloc(void *p, size_t size)
{
	p = realloc(p, size > 0 ? size : 1);
	if (p == NULL)
		sim_die("out of memory");
	return p;
}

char *
sim_strdup(const char *s)
{
	size_t size = strlen(s) + 1;

	return memcpy(sim_alloc(size), s, size);
}

static int64_t
clock_us(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
sim_now_us(void)
{
	return (stopped_at_us != 0 ? stopped_at_us : clock_us(CLOCK_MONOTONIC)) + clock_offset_us;
}

int64_t
sim_wall_us(void)
{
	int64_t lag_us = stopped_at_us != 0 ? clock_us(CLOCK_MONOTONIC) - stopped_at_us : 0;

	return clock_us(CLOCK_REALTIME) - lag_us + clock_offset_us;
}

void
sim_clock_advance(int64_t us)
{
	clock_offset_us += us;
}

/* A clock that runs again goes on from where it stood. */
void
sim_clock_stop(bool stop)
{
	if (stop && stopped_at_us == 0)
		stopped_at_us = clock_us(CLOCK_MONOTONIC);
	else if (!stop && stopped_at_us != 0)
	{
		clock_offset_us -= clock_us(CLOCK_MONOTONIC) - stopped_at_us;
		stopped_at_us = 0;
	}
}

uint64_t
sim_mix64(uint64_t x)
{
	x ^= x >> 30;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 27;
	x *= UINT64_C(0x94d049bb133111eb);
	x ^= x >> 31;
	return x;
}

uint64_t
sim_random_next(uint64_t *state)
{
	*state += UINT64_C(0x9e3779b97f4a7c15);
	return sim_mix64(*state);
}

double
sim_random_unit(uint64_t *state)
{
	return (double) (sim_random_next(state) >> 11) * 0x1.0p-53;
}

uint64_t
sim_seed_from_system(void)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = (uint64_t) clock_us(CLOCK_REALTIME) ^ ((uint64_t) getpid() << 40);
	return seed;
}

/* FNV-1a, finished by the mixer because tables use the low bits. */
uint64_t
sim_hash(const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return sim_mix64(h);
}

size_t
sim_utf8_length(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char) *s & 0xc0) != 0x80;
	return n;
}

size_t
sim_utf8_sequence(const char *s)
{
	const unsigned char *p = (const unsigned char *) s;
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (p[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++)
	{
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}

	/* Overlong forms, surrogates, and beyond U+10FFFF. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

void
sim_base64(char *out, const void *data, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = data;

	for (; len >= 3; p += 3, len -= 3)
	{
		*out++ = digits[p[0] >> 2];
		*out++ = digits[(p[0] & 3) << 4 | p[1] >> 4];
		*out++ = digits[(p[1] & 15) << 2 | p[2] >> 6];
		*out++ = digits[p[2] & 63];
	}
	if (len > 0)
	{
		*out++ = digits[p[0] >> 2];
		*out++ = digits[(p[0] & 3) << 4 | (len > 1 ? p[1] >> 4 : 0)];
		*out++ = len > 1 ? digits[(p[1] & 15) << 2] : '=';
		*out++ = '=';
	}
	*out = '\0';
}

bool
sim_parse_int(const char *text, int64_t min, int64_t max, int64_t *out)
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
