/*
 * shmem.h
 *	  The one struct in shared memory: a slot for each sender, through which
 *	  other backends wake it and read its counters.
 *
 * Plain values only.  The latch is a pointer into shared memory, which has the
 * same address in every process.
 */
#ifndef WA_SHARED_SHMEM_H
#define WA_SHARED_SHMEM_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/spin.h"

#include "base/version.h"
#include "shared/histogram.h"

#define WA_MAX_SENDERS 64
#define WA_WAKE_RING 1024
#define WA_WAKE_BUCKETS 8192
#define WA_MAX_GUARDS 16

/* What a sender is called in pg_stat_activity.backend_type. */
#define WA_SENDER_TYPE "whatsapp_shared sender"

typedef enum WaWakeKind
{
	WA_WAKE_READY,	/* a row of this number became ready at this rank */
	WA_WAKE_DUE,	/* a deferred row becomes due at this time */
	WA_WAKE_INBOUND /* so many messages came in at this number */
} WaWakeKind;

/* What of the configuration has changed: bits. */
typedef enum WaConfigKind
{
	WA_CONFIG_TENANTS = 1,
	WA_CONFIG_ASSIGNMENTS = 2,
	WA_CONFIG_NUMBERS = 4,
	WA_CONFIG_PAUSES = 8,
	WA_CONFIG_REST = 16, /* what senders keep no copy of */
	WA_CONFIG_ALL = 31	 /* ... also rows that are gone */
} WaConfigKind;

typedef struct WaWake
{
	WaWakeKind kind;
	uint64 number_key; /* wa_number_key(); 0 for WA_WAKE_DUE */
	int64 value;	   /* rank, TimestampTz or count */
} WaWake;

/* Two wake-ups of one kind and number as one: messages add up, the rest is "from then on". */
static inline void
wa_wake_merge(WaWake *into, const WaWake *wake)
{
	if (wake->kind == WA_WAKE_INBOUND)
		into->value += wake->value;
	else
		into->value = Min(into->value, wake->value);
}

/*
 * What did not fit into the ring any more, for one sender: the lowest rank of all
 * numbers that share a bucket.  It takes whatever comes, from however many numbers,
 * and costs the sender a look at the few that share one.
 */
typedef struct WaSpilledWakes
{
	bool any;
	bool any_due;
	int64 due; /* the earliest */
	uint64 is_set[WA_WAKE_BUCKETS / 64];
	int64 rank[WA_WAKE_BUCKETS];
} WaSpilledWakes;

/* Not by its low bits: those decide which sender has the number. */
static inline uint32
wa_wake_bucket(uint64 number_key)
{
	return (uint32) (number_key >> 32) % WA_WAKE_BUCKETS;
}

/* Whether a number may have become ready, and from which rank on. */
static inline bool
wa_wake_spilled(const WaSpilledWakes *spilled, uint64 number_key, int64 *rank)
{
	uint32 bucket = wa_wake_bucket(number_key);

	*rank = spilled->rank[bucket];
	return (spilled->is_set[bucket / 64] & (UINT64CONST(1) << (bucket % 64))) != 0;
}

/* Why a message has to wait that Meta, or the network, did not take: no attempt was lost. */
typedef enum WaThrottle
{
	WA_THROTTLE_NUMBER, /* the number's rate */
	WA_THROTTLE_PAIR,	/* the recipient's */
	WA_THROTTLE_OTHER,	/* something is paused now, or nothing has left */
	WA_THROTTLES
} WaThrottle;

typedef struct WaSenderCounters
{
	pg_atomic_uint64 requests;
	pg_atomic_uint64 accepted;
	pg_atomic_uint64 failed;
	pg_atomic_uint64 retried;
	pg_atomic_uint64 throttled[WA_THROTTLES];
	pg_atomic_uint64 uncertain;
	pg_atomic_uint64 cycles;
	pg_atomic_uint64 errors; /* cycles that ended in an ERROR */
	pg_atomic_uint32 in_flight;
	pg_atomic_uint32 connections;
	pg_atomic_uint32 connections_wanted; /* over HTTP/1.1 */
	pg_atomic_uint32 connections_possible;
	pg_atomic_uint64 last_cycle_at; /* TimestampTz */
	pg_atomic_uint64 clock_ahead;	/* of Meta's, in microseconds: int64 */
	pg_atomic_uint64 clock_seen_at; /* TimestampTz, when that was; 0: never */
	WaHistogram request_duration;	/* first byte of the request to the end of the response */
	WaHistogram commit_to_wire;		/* due to first byte: sender/measure.c */
} WaSenderCounters;

typedef struct WaSenderSlot
{
	/* guarded by WaShared.lock */
	bool in_use;
	Oid dboid;
	char dbname[NAMEDATALEN];
	int index; /* 0 .. nsenders - 1 */
	int nsenders;
	uint64 generation; /* counts up with every use of the slot */
	pid_t pid;		   /* 0 until attached */
	Latch *latch;	   /* NULL until attached */
	bool leave;		   /* the sender shall record what is on the wire, and exit */
	bool no_extension; /* the sender found none in its database */
	TimestampTz attached_at;
	char refused[WA_MAX_VERSION]; /* version of the scripts that the log says is not served; "" */

	/* guarded by ring_lock; the holder does nothing but copy */
	slock_t ring_lock;
	bool everything; /* somebody had no memory for wake-ups: look at everything */
	uint32 ring_count;
	WaWake ring[WA_WAKE_RING];
	WaSpilledWakes spilled;

	/* TimestampTz: since when no webhook can have been missed here, see shared/hearing.c */
	pg_atomic_uint64 hearing_since;

	/* first what of it has changed: WaConfigKind; then, that something has */
	pg_atomic_uint32 config_changed;
	pg_atomic_uint64 config_generation;

	/* somebody has opted out, or a template has become marketing */
	pg_atomic_uint64 consent_generation;
	WaSenderCounters counters;
} WaSenderSlot;

/*
 * A database that must have no senders, because a transaction of backend pid
 * is about to drop, rename, move or copy it.
 */
typedef struct WaGuard
{
	Oid dboid; /* InvalidOid: free */
	pid_t pid;
} WaGuard;

/* Beyond so many in all databases the rest is not known. */
#define WA_MAX_HELD_NUMBERS 4096

/* The numbers that databases send from: shared/held_numbers.c. */
typedef struct WaHeldNumbers
{
	int count;
	struct
	{
		uint64 key; /* wa_number_key() */
		Oid dboid;
	} numbers[WA_MAX_HELD_NUMBERS];
} WaHeldNumbers;

/* Whether the server has processes for all senders: launcher/room.c. */
typedef struct WaRoom
{
	int wanted;	 /* senders of all databases, by the settings */
	bool full;	 /* the server has refused one */
	int senders; /* if so: how many it has granted, ... */
	int others;	 /* ... and how many processes were somebody else's then */
} WaRoom;

typedef struct WaShared
{
	LWLock *lock;
	pid_t launcher_pid;			/* 0 while there is none */
	Latch *launcher_latch;		/* NULL while there is none */
	TimestampTz launcher_began; /* the present one, or the last that there was */
	uint64 launcher_wakes;		/* counts the calls of wa_shmem_wake_launcher */
	ConditionVariable left;		/* a sender has detached */
	int slots_end;				/* no slot from this number on is in use */
	pg_atomic_uint64 first_xid; /* shared/first_xid.c; 0: none */
	bool began_as_standby;
	Oid without_lost_ids[WA_MAX_SENDERS]; /* databases: shared/lost_ids.c */
	int64 first_lost_ids[WA_MAX_SENDERS]; /* of each of them */
	WaGuard guards[WA_MAX_GUARDS];
	WaRoom room;
	WaHeldNumbers held;
	WaSenderSlot slots[WA_MAX_SENDERS];
} WaShared;

/* NULL unless the library was preloaded. */
extern WaShared *wa_shared;

extern void wa_shmem_install_hooks(void);

/*
 * The launcher's side.  NULL: all slots are taken.  Renew before each start of a
 * sender: its generation keeps a late predecessor from being taken for it; 0: the
 * database is guarded, and nothing may be started.
 */
extern WaSenderSlot *wa_shmem_slot_allocate(Oid dboid, const char *dbname, int index, int nsenders);
extern uint64 wa_shmem_slot_renew(WaSenderSlot *slot);
extern void wa_shmem_slot_free(WaSenderSlot *slot);
extern void wa_shmem_slot_ask_to_leave(WaSenderSlot *slot);
extern bool wa_shmem_slot_is_attached(WaSenderSlot *slot);
extern bool wa_shmem_is_guarded(Oid dboid);

/*
 * The sender's side.  Attach before connecting to the database: NULL means that
 * the sender is not wanted any more and must exit.  Detach in a before_shmem_exit
 * callback.  A sender whose database lacks the extension says so and exits; it is
 * started again when one is created.
 */
extern WaSenderSlot *wa_shmem_sender_attach(int slotno, uint64 generation);
extern void wa_shmem_sender_detach(WaSenderSlot *slot, uint64 generation);
extern void wa_shmem_sender_no_extension(WaSenderSlot *slot);

/*
 * The scripts of the database have a version that the library does not serve; "": one
 * that it does.  Until the launcher is woken that is as if there were no extension.
 * True: the log has to say so, because it does not yet.
 */
extern bool wa_shmem_sender_refuses(WaSenderSlot *slot, const char *version);
extern bool wa_shmem_sender_must_leave(WaSenderSlot *slot);

/*
 * Takes all wake-ups out of the slot: those of the ring into out, which has room for
 * WA_WAKE_RING, and what was spilled, if anything (spilled->any).  Returns how many came
 * from the ring.  *everything: the caller must look at everything.
 */
extern int wa_shmem_drain_wakes(WaSenderSlot *slot, WaWake *out, WaSpilledWakes *spilled,
								bool *everything);

/* Everybody's side.  Nothing here allocates or raises. */
extern void wa_shmem_wake_senders(Oid dboid, const WaWake *wakes, int count, bool everything,
								  uint32 config);
extern void wa_shmem_consent_changed(Oid dboid);
extern void wa_shmem_wake_launcher(void);

/*
 * Makes the senders of a database leave, without waiting for it.  Returns how many
 * there are, and their process ids in pids (room for WA_MAX_SENDERS) if not NULL.
 */
extern int wa_shmem_ask_to_leave(Oid dboid, pid_t *pids);

/* Keeps senders from being started for a database, until released by this backend. */
extern void wa_shmem_guard(Oid dboid);
extern void wa_shmem_release_guards(void);

#endif
