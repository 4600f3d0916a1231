/*
 * random.c
 *	  Random numbers, repeatable with a seed, and a hash.
 */
#include "bin/simulator/random.h"

#include <sys/random.h>

#include "bin/httpd/util.h"

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
		httpd_die("could not get random bytes");
	return seed;
}

/* FNV-1a, then mixed because hash tables use the low bits. */
uint64_t
sim_hash(const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return sim_mix64(h);
}
