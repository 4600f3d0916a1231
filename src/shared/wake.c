/*
 * wake.c
 *	  Notes what a transaction has made ready, and tells the senders at COMMIT.
 *
 * Why not NOTIFY: it takes a lock on the whole database at COMMIT, which
 * serialises all writers, and a sender woken by it must run a query to learn
 * what happened.  A wake-up says which number and which rank, and costs one short
 * spinlock.
 *
 * The wake-ups of a transaction are of fixed size: one for each number, with the
 * lowest rank seen.  Most transactions touch one number; room for many is obtained
 * when they come, so that nothing is allocated at COMMIT, and nothing there can
 * fail.  Where there is no memory the transaction goes on, and asks the senders to
 * look at everything.
 *
 * A subtransaction that rolls back leaves its wake-ups behind; they cost the
 * sender a look and find nothing.  PREPARE TRANSACTION forgets them, because
 * the rows become visible in some other session: the senders' slow sweep finds
 * those.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "shared/shmem.h"
#include "shared/wake.h"

/* So many are compared one by one; beyond that they are found by a hash. */
#define FEW_WAKES 64

/* The first of many are given room for this many, then for twice as many each time. */
#define MANY_WAKES 1024

typedef struct WakeSet
{
	int count;
	int max;		 /* of many; 0: only few are in use */
	bool everything; /* there was no memory for more */
	WaWake *many;
	int *places; /* 2 * max: where in many a wake-up is, by its hash; -1: free */
	WaWake few[FEW_WAKES];
} WakeSet;

static WakeSet at_commit;
static WakeSet at_end;		  /* at COMMIT and at abort */
static uint32 config_changed; /* WaConfigKind */
static bool consent_changed;
static bool launcher_needed;

static void
clear(WakeSet *set)
{
	if (set->max > 0)
	{
		pfree(set->many);
		pfree(set->places);
	}
	set->many = NULL;
	set->places = NULL;
	set->max = 0;
	set->count = 0;
	set->everything = false;
}

static void
forget(void)
{
	clear(&at_commit);
	clear(&at_end);
	config_changed = 0;
	consent_changed = false;
	launcher_needed = false;
}

static void
deliver(const WakeSet *set, uint32 config)
{
	if (set->count > 0 || set->everything || config != 0)
		wa_shmem_wake_senders(MyDatabaseId, set->max > 0 ? set->many : set->few, set->count,
							  set->everything, config);
}

/*
 * Runs after the transaction has become visible to others.  Must not raise.
 */
static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			deliver(&at_commit, config_changed);
			deliver(&at_end, 0);
			if (consent_changed)
				wa_shmem_consent_changed(MyDatabaseId);
			if (launcher_needed)
				wa_shmem_wake_launcher();
			forget();
			break;
		case XACT_EVENT_ABORT:
			deliver(&at_end, 0);
			forget();
			break;
		case XACT_EVENT_PREPARE:
			forget();
			break;
		default:
			break;
	}
}

/*
 * True if there is anybody to tell.  Without the library preloaded there is
 * not: the sender's first look after a restart finds what was written.
 *
 * The callback is registered once in the life of the process; registering it
 * for each transaction would leak, because it cannot be removed from within.
 */
static bool
prepare(void)
{
	static bool registered = false;

	if (wa_shared == NULL)
		return false;
	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		registered = true;
	}
	return true;
}

static bool
is_same(const WaWake *one, const WaWake *other)
{
	return one->kind == other->kind && one->number_key == other->number_key;
}

/* The last wake-up first: messages come in runs of one number. */
static WaWake *
find_few(WakeSet *set, const WaWake *wake)
{
	for (int i = set->count - 1; i >= 0; i--)
		if (is_same(&set->few[i], wake))
			return &set->few[i];
	return NULL;
}

/* Where it is noted among many that this wake-up is there, or would be.  The key is a hash. */
static int *
place_of(WakeSet *set, const WaWake *wake)
{
	uint64 mask = (uint64) set->max * 2 - 1;
	uint64 i = (wake->number_key + wake->kind) & mask;

	while (set->places[i] >= 0 && !is_same(&set->many[set->places[i]], wake))
		i = (i + 1) & mask;
	return &set->places[i];
}

/* Makes room for more.  False, and all is as it was, where there is no memory. */
static bool
grow(WakeSet *set)
{
	int max = set->max > 0 ? set->max * 2 : MANY_WAKES;
	const int flags = MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE;
	WaWake *many = MemoryContextAllocExtended(TopMemoryContext, sizeof(WaWake) * max, flags);
	int *places = MemoryContextAllocExtended(TopMemoryContext, sizeof(int) * max * 2, flags);

	if (many == NULL || places == NULL)
	{
		if (many != NULL)
			pfree(many);
		if (places != NULL)
			pfree(places);
		return false;
	}
	memcpy(many, set->max > 0 ? set->many : set->few, sizeof(WaWake) * set->count);
	memset(places, -1, sizeof(int) * max * 2);
	if (set->max > 0)
	{
		pfree(set->many);
		pfree(set->places);
	}
	set->many = many;
	set->places = places;
	set->max = max;
	for (int i = 0; i < set->count; i++)
		*place_of(set, &many[i]) = i;
	return true;
}

static void
add_wake(WakeSet *set, WaWakeKind kind, uint64 key, int64 value)
{
	const WaWake new = {.kind = kind, .number_key = key, .value = value};
	WaWake *found = NULL;
	int *place;

	if (set->max == 0)
		found = find_few(set, &new);
	else if (*(place = place_of(set, &new)) >= 0)
		found = &set->many[*place];
	if (found != NULL)
	{
		wa_wake_merge(found, &new);
		return;
	}
	if (set->everything || (set->count == Max(set->max, FEW_WAKES) && !grow(set)))
	{
		set->everything = true;
		return;
	}
	if (set->max == 0)
		set->few[set->count++] = new;
	else
	{
		*place_of(set, &new) = set->count;
		set->many[set->count++] = new;
	}
}

uint64
wa_number_key(const char *phone_number_id)
{
	return hash_bytes_extended((const unsigned char *) phone_number_id, strlen(phone_number_id), 0);
}

void
wa_wake_ready(const char *phone_number_id, int64 rank)
{
	if (prepare())
		add_wake(&at_commit, WA_WAKE_READY, wa_number_key(phone_number_id), rank);
}

void
wa_wake_ready_always(const char *phone_number_id, int64 rank)
{
	if (prepare())
		add_wake(&at_end, WA_WAKE_READY, wa_number_key(phone_number_id), rank);
}

void
wa_wake_due(TimestampTz due)
{
	if (prepare())
		add_wake(&at_commit, WA_WAKE_DUE, 0, due);
}

void
wa_wake_inbound(const char *phone_number_id)
{
	if (prepare())
		add_wake(&at_commit, WA_WAKE_INBOUND, wa_number_key(phone_number_id), 1);
}

void
wa_wake_config(uint32 kinds)
{
	if (prepare())
		config_changed |= kinds;
}

void
wa_wake_consent(void)
{
	if (prepare())
		consent_changed = true;
}

void
wa_wake_launcher(void)
{
	if (prepare())
		launcher_needed = true;
}
