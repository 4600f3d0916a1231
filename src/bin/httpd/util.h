/*
 * util.h
 *	  Memory that cannot fail, clocks, random numbers, text helpers.
 */
#ifndef HTTPD_UTIL_H
#define HTTPD_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Prints "wa_simulator: ..." to stderr and ends the program with status 1. */
extern void sim_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* As malloc and friends, but end the program when there is no memory. */
extern void *sim_alloc(size_t size);
extern void *sim_alloc0(size_t size);
extern void *sim_realloc(void *p, size_t size);
extern char *sim_strdup(const char *s);

/*
 * A steady clock, and the time of day, in microseconds.  Both can be moved
 * forward by tests that want to see what a day later brings, and stopped by
 * those that want nothing to depend on the speed of the machine.
 */
extern int64_t sim_now_us(void);
extern int64_t sim_wall_us(void);
extern void sim_clock_advance(int64_t us);
extern void sim_clock_stop(bool stop);

/* splitmix64: a bijection, so distinct inputs give distinct outputs. */
extern uint64_t sim_mix64(uint64_t x);

/* The next number of a seeded sequence, and one in [0, 1). */
extern uint64_t sim_random_next(uint64_t *state);
extern double sim_random_unit(uint64_t *state);

/* A number that differs between runs. */
extern uint64_t sim_seed_from_system(void);

extern uint64_t sim_hash(const void *data, size_t len);

/* Characters, not bytes. */
extern size_t sim_utf8_length(const char *s);

/* Bytes of the character at the start of s (RFC 3629); 0 if it is malformed. */
extern size_t sim_utf8_sequence(const char *s);

/* Writes 4 * ceil(len / 3) characters and a NUL. */
extern void sim_base64(char *out, const void *data, size_t len);
extern bool sim_parse_int(const char *text, int64_t min, int64_t max, int64_t *out);

#endif
