/*
 * map.h
 *	  A hash table from strings to pointers, open addressing.
 */
#ifndef SIM_MAP_H
#define SIM_MAP_H

#include <stddef.h>
#include <stdint.h>

typedef struct SimMapEntry
{
	uint64_t hash;
	char *key; /* owned; NULL in an empty entry */
	void *value;
} SimMapEntry;

/* All zeroes is an empty one. */
typedef struct SimMap
{
	SimMapEntry *entries;
	size_t count;
	size_t size;
} SimMap;

/* The value, or NULL. */
extern void *sim_map_get(const SimMap *map, const char *key);

/* Where the value is kept; a new key starts with NULL. */
extern void **sim_map_put(SimMap *map, const char *key);

/* Removes a key and returns its value, or NULL. */
extern void *sim_map_remove(SimMap *map, const char *key);

/* Steps through the entries: start with *pos = 0; NULL at the end. */
extern SimMapEntry *sim_map_next(const SimMap *map, size_t *pos);

/* Frees the table and, unless it is NULL, calls free_value on each value. */
extern void sim_map_clear(SimMap *map, void (*free_value)(void *value));

#endif
