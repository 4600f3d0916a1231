/*
 * random.h
 *	  Random numbers, repeatable with a seed, and a hash.
 */
#ifndef SIM_RANDOM_H
#define SIM_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* splitmix64: a bijection, so distinct inputs give distinct outputs. */
extern uint64_t sim_mix64(uint64_t x);

/* The next number of a seeded sequence, and one in [0, 1). */
extern uint64_t sim_random_next(uint64_t *state);
extern double sim_random_unit(uint64_t *state);

/* A number that differs between runs. */
extern uint64_t sim_seed_from_system(void);

extern uint64_t sim_hash(const void *data, size_t len);

#endif
