/*
 * wake.c
 *	  Notes what a transaction has made ready, and tells the senders at COMMIT.
 *
 * Why not NOTIFY: it takes a lock on the whole database at COMMIT, which
 * serialises all writers, and a sender woken by it must run a query to learn
 * what happened.  A wake-up says which number and which rank, and costs one short
 * spinlock.
 *
 * The wake-ups of a transaction are few and of fixed size: one for each number,
 * with the lowest rank seen.  A transaction that touches more numbers than
 * there is room for asks the senders to look at everything instead.  So
 * nothing is allocated, and nothing at COMMIT can fail.
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

#include "shared/shmem.h"
#include "shared/wake.h"

#define MAX_WAKES 64

typedef struct WakeSet
{
	int count;
	bool everything; /* there were more than fit */
	WaWake wakes[MAX_WAKES];
} WakeSet;

static WakeSet at_commit;
static WakeSet at_end;		  /* at COMMIT and at abort */
static uint32 config_changed; /* WaConfigKind */
static bool consent_changed;
static bool launcher_needed;

static void
forget(void)
{
	at_commit.count = 0;
	at_commit.everything = false;
	at_end.count = 0;
	at_end.everything = false;
	config_changed = 0;
	consent_changed = false;
	launcher_needed = false;
}

static void
deliver(const WakeSet *set, uint32 config)
{
	if (set->count > 0 || set->everything || config != 0)
		wa_shmem_wake_senders(MyDatabaseId, set->wakes, set->count, set->everything, config);
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

/* The last wake-up first: messages come in runs of one number. */
static void
add_wake(WakeSet *set, WaWakeKind kind, uint64 key, int64 value)
{
	const WaWake new = {.kind = kind, .number_key = key, .value = value};

	for (int i = set->count - 1; i >= 0; i--)
	{
		WaWake *n = &set->wakes[i];

		if (n->kind == kind && n->number_key == key)
		{
			wa_wake_merge(n, &new);
			return;
		}
	}
	if (set->count == MAX_WAKES)
	{
		set->everything = true;
		return;
	}
	set->wakes[set->count++] = new;
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
