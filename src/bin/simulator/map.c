/*
 * map.c
 *	  A hash table from strings to pointers, open addressing with linear probing.
 */
#include "bin/simulator/map.h"

#include <stdlib.h>
#include <string.h>

#include "bin/httpd/util.h"
#include "bin/simulator/random.h"

/* The entry of the key, or the empty entry where it belongs. */
static SimMapEntry *
find(const SimMap *map, const char *key, uint64_t hash)
{
	size_t i = hash & (map->size - 1);

	while (map->entries[i].key != NULL &&
		   (map->entries[i].hash != hash || strcmp(map->entries[i].key, key) != 0))
		i = (i + 1) & (map->size - 1);
	return &map->entries[i];
}

static void
grow(SimMap *map)
{
	SimMap bigger = {0};
	size_t pos = 0;
	SimMapEntry *entry;

	bigger.size = map->size == 0 ? 16 : map->size * 2;
	bigger.count = map->count;
	bigger.entries = httpd_alloc0(bigger.size * sizeof(SimMapEntry));
	while ((entry = sim_map_next(map, &pos)) != NULL)
		*find(&bigger, entry->key, entry->hash) = *entry;
	free(map->entries);
	*map = bigger;
}

void *
sim_map_get(const SimMap *map, const char *key)
{
	if (map->count == 0)
		return NULL;
	return find(map, key, sim_hash(key, strlen(key)))->value;
}

void **
sim_map_put(SimMap *map, const char *key)
{
	uint64_t hash = sim_hash(key, strlen(key));
	SimMapEntry *entry;

	/* At most two thirds full, so that probes stay short and always end. */
	if ((map->count + 1) * 3 > map->size * 2)
		grow(map);
	entry = find(map, key, hash);
	if (entry->key == NULL)
	{
		entry->hash = hash;
		entry->key = httpd_strdup(key);
		entry->value = NULL;
		map->count++;
	}
	return &entry->value;
}

void *
sim_map_remove(SimMap *map, const char *key)
{
	SimMapEntry *entry;
	void *value;
	size_t hole;
	size_t i;

	if (map->count == 0)
		return NULL;
	entry = find(map, key, sim_hash(key, strlen(key)));
	if (entry->key == NULL)
		return NULL;
	value = entry->value;
	free(entry->key);
	map->count--;

	/* Close the gap: move back what was pushed beyond it. */
	hole = (size_t) (entry - map->entries);
	for (i = (hole + 1) & (map->size - 1); map->entries[i].key != NULL;
		 i = (i + 1) & (map->size - 1))
	{
		size_t home = map->entries[i].hash & (map->size - 1);

		if (((i - home) & (map->size - 1)) >= ((i - hole) & (map->size - 1)))
		{
			map->entries[hole] = map->entries[i];
			hole = i;
		}
	}
	memset(&map->entries[hole], 0, sizeof(SimMapEntry));
	return value;
}

SimMapEntry *
sim_map_next(const SimMap *map, size_t *pos)
{
	while (*pos < map->size)
	{
		SimMapEntry *entry = &map->entries[(*pos)++];

		if (entry->key != NULL)
			return entry;
	}
	return NULL;
}

void
sim_map_clear(SimMap *map, void (*free_value)(void *value))
{
	size_t pos = 0;
	SimMapEntry *entry;

	while ((entry = sim_map_next(map, &pos)) != NULL)
	{
		free(entry->key);
		if (free_value != NULL)
			free_value(entry->value);
	}
	free(map->entries);
	memset(map, 0, sizeof(*map));
}
