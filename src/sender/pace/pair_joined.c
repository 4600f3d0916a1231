/*
 * pair_joined.c
 *	  Which keys are one recipient's.
 *
 * A person may be written to by a number and by user ids, and which of them belong
 * together may be learned while messages wait.  What was remembered under one key is
 * then moved to another, and the former means that from there on: the structure of
 * disjoint sets, of which most have one member and are not in it.
 *
 * A key that means another has nothing of its own.  So it may be forgotten as soon
 * as nothing is known of what it means; who is whose stands in the tables.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "sender/pace/pair_joined.h"

/* The keys are hashes already. */
typedef struct Joined
{
	uint64 key;
	uint64 to;
	char status; /* the table's */
} Joined;

#define SH_GROW_MAX_DIB 1000
#define SH_GROW_MAX_MOVE 10000
#define SH_PREFIX joined
#define SH_ELEMENT_TYPE Joined
#define SH_KEY_TYPE uint64
#define SH_KEY key
#define SH_HASH_KEY(table, key) ((uint32) (key))
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Fewer are not worth a look: a quarter of a megabyte. */
#define FEW 8192

struct WaPairsJoined
{
	joined_hash *table;
	uint32 many; /* from so many on it is time to forget some */
};

WaPairsJoined *
wa_pairs_joined_create(MemoryContext context)
{
	WaPairsJoined *joined = MemoryContextAlloc(context, sizeof(WaPairsJoined));

	joined->table = joined_create(context, 64, NULL);
	joined->many = FEW;
	return joined;
}

uint64
wa_pair_joined_to(const WaPairsJoined *joined, uint64 key)
{
	Joined *entry;

	if (joined->table->members == 0)
		return key;
	while ((entry = joined_lookup(joined->table, key)) != NULL)
		key = entry->to;
	return key;
}

void
wa_pair_join(WaPairsJoined *joined, uint64 key, uint64 to)
{
	bool found;

	Assert(key != to && wa_pair_joined_to(joined, to) == to);
	joined_insert(joined->table, key, &found)->to = to;
	Assert(!found);
}

bool
wa_pairs_joined_are_many(const WaPairsJoined *joined)
{
	return joined->table->members >= joined->many;
}

/*
 * First all that mean the unknown are found, then they go: one that means another
 * by way of a third must not lose its way.
 */
void
wa_pairs_joined_forget(WaPairsJoined *joined, bool (*is_known)(void *arg, uint64 key), void *arg)
{
	uint64 *gone =
		palloc_extended(sizeof(uint64) * Max(joined->table->members, 1), MCXT_ALLOC_HUGE);
	uint32 n = 0;
	joined_iterator scan;
	Joined *entry;

	joined_start_iterate(joined->table, &scan);
	while ((entry = joined_iterate(joined->table, &scan)) != NULL)
		if (!is_known(arg, wa_pair_joined_to(joined, entry->to)))
			gone[n++] = entry->key;
	for (uint32 i = 0; i < n; i++)
		joined_delete(joined->table, gone[i]);
	pfree(gone);
	joined->many = Max(FEW, joined->table->members * 2);
}
