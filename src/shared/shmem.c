/*
 * shmem.c
 *	  The one struct in shared memory, and everything done to it under its lock.
 *
 * The launcher owns the life of a slot: it allocates the slot, gives it a new
 * generation, registers a sender for it and frees it when that process has
 * ended.  The sender attaches and detaches.  Everybody else finds slots by
 * database and leaves wake-ups.
 *
 * The lock is taken shared by whoever leaves wake-ups, because it keeps the latch
 * pointers valid: a sender clears its pointer under the exclusive lock before
 * its process ends.  Ring contents have a spinlock each, so that committing
 * backends do not wait for each other across databases.
 *
 * The slots are far apart in memory, and every COMMIT that enqueued something
 * looks for its senders: so it must not touch those that nobody uses.
 */
#include "postgres.h"

#include <unistd.h>

#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "base/secret.h"
#include "shared/shmem.h"

/* Of the ring, only for messages that came in; and what is put at a time. */
#define INBOUND_ROOM 128
#define WAKES_AT_A_TIME 128

WaShared *wa_shared = NULL;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

static void
request_memory(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();

	RequestAddinShmemSpace(MAXALIGN(sizeof(WaShared)));
	RequestAddinShmemSpace(MAXALIGN(wa_secret_shared_size()));
	RequestNamedLWLockTranche("whatsapp_shared", 2); /* the second: the credentials */
}

static void
init_counters(WaSenderCounters *c)
{
	pg_atomic_init_u64(&c->requests, 0);
	pg_atomic_init_u64(&c->accepted, 0);
	pg_atomic_init_u64(&c->failed, 0);
	pg_atomic_init_u64(&c->retried, 0);
	for (int i = 0; i < WA_THROTTLES; i++)
		pg_atomic_init_u64(&c->throttled[i], 0);
	pg_atomic_init_u64(&c->uncertain, 0);
	pg_atomic_init_u64(&c->cycles, 0);
	pg_atomic_init_u64(&c->errors, 0);
	pg_atomic_init_u32(&c->in_flight, 0);
	pg_atomic_init_u32(&c->connections, 0);
	pg_atomic_init_u32(&c->connections_wanted, 0);
	pg_atomic_init_u32(&c->connections_possible, 0);
	pg_atomic_init_u64(&c->last_cycle_at, 0);
	pg_atomic_init_u64(&c->clock_ahead, 0);
	pg_atomic_init_u64(&c->clock_seen_at, 0);
	wa_histogram_init(&c->request_duration);
	wa_histogram_init(&c->commit_to_wire);
}

/*
 * Runs in the postmaster, at start and again after a crash, when all of shared
 * memory is made anew.
 */
static void
startup(void)
{
	void *secrets;
	bool found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	wa_shared = ShmemInitStruct("whatsapp_shared", sizeof(WaShared), &found);
	if (!found)
	{
		memset(wa_shared, 0, sizeof(WaShared));
		wa_shared->lock = &GetNamedLWLockTranche("whatsapp_shared")->lock;
		ConditionVariableInit(&wa_shared->left);
		pg_atomic_init_u64(&wa_shared->first_xid, 0);
		wa_shared->began_as_standby = access(STANDBY_SIGNAL_FILE, F_OK) == 0;
		for (int i = 0; i < WA_MAX_SENDERS; i++)
		{
			SpinLockInit(&wa_shared->slots[i].ring_lock);
			pg_atomic_init_u32(&wa_shared->slots[i].config_changed, 0);
			pg_atomic_init_u64(&wa_shared->slots[i].config_generation, 1);
			pg_atomic_init_u64(&wa_shared->slots[i].consent_generation, 1);
			pg_atomic_init_u64(&wa_shared->slots[i].hearing_since, 0);
			init_counters(&wa_shared->slots[i].counters);
		}
	}
	secrets = ShmemInitStruct("whatsapp_shared credentials", wa_secret_shared_size(), &found);
	wa_secret_share(secrets, &GetNamedLWLockTranche("whatsapp_shared")[1].lock, !found);
	LWLockRelease(AddinShmemInitLock);
}

void
wa_shmem_install_hooks(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup;
}

/* ---- the launcher's side ------------------------------------------------- */

WaSenderSlot *
wa_shmem_slot_allocate(Oid dboid, const char *dbname, int index, int nsenders)
{
	WaSenderSlot *slot = NULL;

	LWLockAcquire(wa_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < WA_MAX_SENDERS; i++)
	{
		if (wa_shared->slots[i].in_use)
			continue;
		slot = &wa_shared->slots[i];
		slot->in_use = true;
		slot->dboid = dboid;
		strlcpy(slot->dbname, dbname, NAMEDATALEN);
		slot->index = index;
		slot->nsenders = nsenders;
		slot->refused[0] = '\0';
		slot->pid = 0;
		slot->latch = NULL;
		init_counters(&slot->counters);
		pg_atomic_write_u64(&slot->hearing_since, (uint64) GetCurrentTimestamp());
		wa_shared->slots_end = Max(wa_shared->slots_end, i + 1);
		break;
	}
	LWLockRelease(wa_shared->lock);
	return slot;
}

/* The caller holds the lock. */
static bool
is_guarded(Oid dboid)
{
	for (int i = 0; i < WA_MAX_GUARDS; i++)
	{
		if (wa_shared->guards[i].dboid == dboid)
			return true;
	}
	return false;
}

bool
wa_shmem_is_guarded(Oid dboid)
{
	bool guarded;

	LWLockAcquire(wa_shared->lock, LW_SHARED);
	guarded = is_guarded(dboid);
	LWLockRelease(wa_shared->lock);
	return guarded;
}

uint64
wa_shmem_slot_renew(WaSenderSlot *slot)
{
	uint64 generation = 0;

	LWLockAcquire(wa_shared->lock, LW_EXCLUSIVE);
	if (!is_guarded(slot->dboid))
	{
		generation = ++slot->generation;
		slot->pid = 0;
		slot->latch = NULL;
		slot->leave = false;
		slot->no_extension = false;
	}
	LWLockRelease(wa_shared->lock);
	return generation;
}

/* The caller holds the lock. */
static void
ask_to_leave(WaSenderSlot *slot)
{
	slot->leave = true;
	if (slot->latch)
		SetLatch(slot->latch);
}

void
wa_shmem_slot_ask_to_leave(WaSenderSlot *slot)
{
	LWLockAcquire(wa_shared->lock, LW_EXCLUSIVE);
	ask_to_leave(slot);
	LWLockRelease(wa_shared->lock);
}

bool
wa_shmem_slot_is_attached(WaSenderSlot *slot)
{
	bool attached;

	LWLockAcquire(wa_shared->lock, LW_SHARED);
	attached = slot->pid != 0;
	LWLockRelease(wa_shared->lock);
	return attached;
}

void
wa_shmem_slot_free(WaSenderSlot *slot)
{
	LWLockAcquire(wa_shared->lock, LW_EXCLUSIVE);
	slot->in_use = false;
	slot->generation++;
	slot->dboid = InvalidOid;
	slot->pid = 0;
	slot->latch = NULL;
	while (wa_shared->slots_end > 0 && !wa_shared->slots[wa_shared->slots_end - 1].in_use)
		wa_shared->slots_end--;
	LWLockRelease(wa_shared->lock);
}

/* ---- the sender's side --------------------------------------------------- */

/* There are none any more.  The caller holds the ring's lock. */
static void
take_wakes(WaSenderSlot *slot)
{
	slot->ring_count = 0;
	slot->everything = false;
	if (slot->spilled.any)
		memset(&slot->spilled, 0, offsetof(WaSpilledWakes, rank));
}

WaSenderSlot *
wa_shmem_sender_attach(int slotno, uint64 generation)
{
	WaSenderSlot *slot;
	bool wanted;

	if (wa_shared == NULL || slotno < 0 || slotno >= WA_MAX_SENDERS)
		return NULL;
	slot = &wa_shared->slots[slotno];

	LWLockAcquire(wa_shared->lock, LW_EXCLUSIVE);
	wanted = slot->in_use && slot->generation == generation && slot->pid == 0 && !slot->leave;
	if (wanted)
	{
		slot->pid = MyProcPid;
		slot->latch = MyLatch;
		slot->attached_at = GetCurrentTimestamp();

		/* Notes for a predecessor: a sender begins by looking at everything. */
		SpinLockAcquire(&slot->ring_lock);
		take_wakes(slot);
		SpinLockRelease(&slot->ring_lock);
	}
	LWLockRelease(wa_shared->lock);

	return wanted ? slot : NULL;
}

void
wa_shmem_sender_detach(WaSenderSlot *slot, uint64 generation)
{
	LWLockAcquire(wa_shared->lock, LW_EXCLUSIVE);
	if (slot->generation == generation && slot->pid == MyProcPid)
	{
		slot->pid = 0;
		slot->latch = NULL;
		pg_atomic_write_u32(&slot->counters.in_flight, 0);
		pg_atomic_write_u32(&slot->counters.connections, 0);
		pg_atomic_write_u32(&slot->counters.connections_wanted, 0);
		pg_atomic_write_u32(&slot->counters.connections_possible, 0);
	}
	if (wa_shared->launcher_latch)
		SetLatch(wa_shared->launcher_latch);
	LWLockRelease(wa_shared->lock);
	ConditionVariableBroadcast(&wa_shared->left);
}

void
wa_shmem_sender_no_extension(WaSenderSlot *slot)
{
	LWLockAcquire(wa_shared->lock, LW_EXCLUSIVE);
	if (slot->pid == MyProcPid)
		slot->no_extension = true;
	LWLockRelease(wa_shared->lock);
}

bool
wa_shmem_sender_refuses(WaSenderSlot *slot, const char *version)
{
	bool news = false;

	LWLockAcquire(wa_shared->lock, LW_EXCLUSIVE);
	if (slot->pid == MyProcPid)
	{
		news = strcmp(slot->refused, version) != 0;
		strlcpy(slot->refused, version, sizeof(slot->refused));
		slot->no_extension = *version != '\0';
	}
	LWLockRelease(wa_shared->lock);
	return news;
}

/*
 * To be asked whenever the latch was set.
 */
bool
wa_shmem_sender_must_leave(WaSenderSlot *slot)
{
	bool leave;

	LWLockAcquire(wa_shared->lock, LW_SHARED);
	leave = slot->leave || slot->pid != MyProcPid;
	LWLockRelease(wa_shared->lock);
	return leave;
}

int
wa_shmem_drain_wakes(WaSenderSlot *slot, WaWake *out, WaSpilledWakes *spilled, bool *everything)
{
	int count;

	SpinLockAcquire(&slot->ring_lock);
	count = slot->ring_count;
	*everything = slot->everything;
	memcpy(out, slot->ring, count * sizeof(WaWake));
	spilled->any = slot->spilled.any;
	if (spilled->any)
		memcpy(spilled, &slot->spilled, sizeof(WaSpilledWakes));
	take_wakes(slot);
	SpinLockRelease(&slot->ring_lock);
	return count;
}

/* ---- everybody's side ---------------------------------------------------- */

static bool
wake_is_for(const WaWake *wake, const WaSenderSlot *slot)
{
	if (wake->kind == WA_WAKE_DUE)
		return slot->index == 0;
	return wake->number_key % slot->nsenders == slot->index;
}

/*
 * Notes a wake-up for which the ring has no room.  Messages that came in cannot be
 * noted for a number that is not known exactly: the ring keeps room for some of
 * those, and what exceeds it does not count for the rate.
 */
static void
spill(WaSpilledWakes *spilled, const WaWake *wake)
{
	int64 rank;
	uint32 bucket = wa_wake_bucket(wake->number_key);

	switch (wake->kind)
	{
		case WA_WAKE_READY:
			if (!wa_wake_spilled(spilled, wake->number_key, &rank) || wake->value < rank)
				spilled->rank[bucket] = wake->value;
			spilled->is_set[bucket / 64] |= UINT64CONST(1) << (bucket % 64);
			break;
		case WA_WAKE_DUE:
			if (!spilled->any_due || wake->value < spilled->due)
				spilled->due = wake->value;
			spilled->any_due = true;
			break;
		case WA_WAKE_INBOUND:
			return;
	}
	spilled->any = true;
}

/*
 * Puts a wake-up into the ring.  One for the same number as the last one is merged
 * with it, so that a stream of messages on one number does not fill the ring.
 */
static void
put_wake(WaSenderSlot *slot, const WaWake *wake)
{
	WaWake *last = slot->ring_count > 0 ? &slot->ring[slot->ring_count - 1] : NULL;
	uint32 room = wake->kind == WA_WAKE_INBOUND ? WA_WAKE_RING : WA_WAKE_RING - INBOUND_ROOM;

	if (last && last->kind == wake->kind && last->number_key == wake->number_key)
		wa_wake_merge(last, wake);
	else if (slot->ring_count < room)
		slot->ring[slot->ring_count++] = *wake;
	else
		spill(&slot->spilled, wake);
}

/*
 * Puts those wake-ups that concern this sender into its slot, so many at a time that
 * others who commit need not wait long.  True if there was any.
 */
static bool
put_wakes(WaSenderSlot *slot, const WaWake *wakes, int count, bool everything)
{
	bool any = everything;

	for (int begin = 0; begin < count || everything; begin += WAKES_AT_A_TIME)
	{
		SpinLockAcquire(&slot->ring_lock);
		if (everything)
			slot->everything = true;
		everything = false;
		for (int i = begin; i < Min(begin + WAKES_AT_A_TIME, count); i++)
		{
			if (!wake_is_for(&wakes[i], slot))
				continue;
			any = true;
			put_wake(slot, &wakes[i]);
		}
		SpinLockRelease(&slot->ring_lock);
	}
	return any;
}

void
wa_shmem_wake_senders(Oid dboid, const WaWake *wakes, int count, bool everything, uint32 config)
{
	LWLockAcquire(wa_shared->lock, LW_SHARED);
	for (int i = 0; i < wa_shared->slots_end; i++)
	{
		WaSenderSlot *slot = &wa_shared->slots[i];
		bool wake = config != 0;

		if (!slot->in_use || slot->dboid != dboid)
			continue;
		if (config != 0)
		{
			pg_atomic_fetch_or_u32(&slot->config_changed, config);
			pg_atomic_fetch_add_u64(&slot->config_generation, 1);
		}
		if ((count > 0 || everything) && put_wakes(slot, wakes, count, everything))
			wake = true;
		if (wake && slot->latch)
			SetLatch(slot->latch);
	}
	LWLockRelease(wa_shared->lock);
}

/*
 * Not one of the wake-ups in the ring: what has only been leased must not be begun
 * any more, so the sender looks for this before it begins any request, and that has
 * to cost it no more than reading a number.
 */
void
wa_shmem_consent_changed(Oid dboid)
{
	LWLockAcquire(wa_shared->lock, LW_SHARED);
	for (int i = 0; i < wa_shared->slots_end; i++)
	{
		WaSenderSlot *slot = &wa_shared->slots[i];

		if (!slot->in_use || slot->dboid != dboid)
			continue;
		pg_atomic_fetch_add_u64(&slot->consent_generation, 1);
		if (slot->latch)
			SetLatch(slot->latch);
	}
	LWLockRelease(wa_shared->lock);
}

void
wa_shmem_wake_launcher(void)
{
	LWLockAcquire(wa_shared->lock, LW_EXCLUSIVE);
	wa_shared->launcher_wakes++;
	if (wa_shared->launcher_latch)
		SetLatch(wa_shared->launcher_latch);
	LWLockRelease(wa_shared->lock);
}

int
wa_shmem_ask_to_leave(Oid dboid, pid_t *pids)
{
	int asked = 0;

	LWLockAcquire(wa_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < wa_shared->slots_end; i++)
	{
		WaSenderSlot *slot = &wa_shared->slots[i];

		if (!slot->in_use || slot->dboid != dboid)
			continue;
		if (pids)
			pids[asked] = slot->pid;
		ask_to_leave(slot);
		asked++;
	}
	LWLockRelease(wa_shared->lock);
	return asked;
}

/*
 * With every place taken the database stays unguarded: its senders may be
 * started again too early, and the caller's statement then waits for them or
 * fails, as it would have without us.
 */
void
wa_shmem_guard(Oid dboid)
{
	LWLockAcquire(wa_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < WA_MAX_GUARDS; i++)
	{
		WaGuard *guard = &wa_shared->guards[i];

		if (OidIsValid(guard->dboid) && !(guard->dboid == dboid && guard->pid == MyProcPid))
			continue;
		guard->dboid = dboid;
		guard->pid = MyProcPid;
		break;
	}
	LWLockRelease(wa_shared->lock);
}

void
wa_shmem_release_guards(void)
{
	LWLockAcquire(wa_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < WA_MAX_GUARDS; i++)
	{
		if (wa_shared->guards[i].pid == MyProcPid)
			wa_shared->guards[i] = (WaGuard){InvalidOid, 0};
	}
	LWLockRelease(wa_shared->lock);
}
