/*
 * launcher.c
 *	  One process that keeps the senders running: for every database listed in
 *	  whatsapp_shared.databases, as many as whatsapp_shared.senders says.
 *
 * It is connected to the shared catalogs only, so that it never stands in the
 * way of DROP DATABASE, and it therefore cannot see whether a database has the
 * extension: it starts the senders and lets them look.  One that finds no
 * extension says so in its slot and exits, and is started again when some
 * transaction wakes the launcher (CREATE EXTENSION does), or after a long time.
 *
 * Everything happens in one function that compares what should run with what
 * runs, and is called whenever the latch was set: at a reload, when a sender has
 * exited, when somebody calls wa_wake_launcher().  It keeps nothing that
 * cannot be found out again, because the launcher itself may be terminated: its
 * successor adopts the senders it finds in shared memory.
 *
 * The senders of a database share out its phone numbers by their count, so
 * senders with different ideas of that count must never run side by side.
 * When it changes, all of them leave, and only when the last has gone are the
 * new ones started.  It is the count of those for which there is room, which may be
 * fewer than the setting says (launcher/room.c).
 *
 * An ERROR here ends the process; the postmaster starts it again after a
 * second.  There is no state worth recovering that would justify more.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/guc.h"
#include "base/life_cycle.h"
#include "base/secret.h"
#include "compat.h"
#include "launcher/launcher.h"
#include "launcher/room.h"
#include "launcher/standby.h"
#include "launcher/targets.h"
#include "shared/shmem.h"

/* How often to look for listed databases that do not exist. */
#define ABSENT_CHECK_MS 60000

/*
 * How often to look into databases without the extension.  CREATE EXTENSION
 * wakes us, so this only covers a wake that was lost with a crash.
 */
#define NO_EXTENSION_CHECK_MS 600000

/* A sender that lived this long did not fail at its start. */
#define SETTLED_MS 10000

/* Longest wait between two starts of a sender that keeps failing. */
#define MAX_BACKOFF_MS 60000

/* How soon to look again whether an adopted sender's process has ended. */
#define LEAVING_CHECK_MS 50

/* What the launcher knows about the sender of each slot. */
typedef struct Sender
{
	BackgroundWorkerHandle *handle; /* NULL: not running, or adopted */
	pid_t adopted_pid;				/* of a predecessor's sender, else 0 */
	TimestampTz started_at;
	TimestampTz not_before; /* when to start it again */
	int failures;			/* in a row */
	bool told_no_extension; /* it has been logged */
	uint64 wakes;			/* launcher_wakes when it was started */
} Sender;

static Sender senders[WA_MAX_SENDERS];

/* What the log says already. */
typedef struct Complained
{
	bool of_workers;
	bool of_slots;
} Complained;

static Complained complained;

void
wa_launcher_register(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "whatsapp_shared", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "wa_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, WA_LAUNCHER_TYPE, BGW_MAXLEN);
	strlcpy(worker.bgw_type, WA_LAUNCHER_TYPE, BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

static WaSenderSlot *
slot_of(int i)
{
	return &wa_shared->slots[i];
}

static bool
is_running(int i)
{
	return senders[i].handle != NULL || senders[i].adopted_pid != 0;
}

/* Once for a database, until a reload or until it has been found there. */
static void
complain_of_extension(int i)
{
	if (slot_of(i)->index != 0 || senders[i].told_no_extension)
		return;
	senders[i].told_no_extension = true;
	ereport(LOG, (errmsg("database \"%s\" in whatsapp_shared.databases does not have the extension",
						 slot_of(i)->dbname),
				  errhint("CREATE EXTENSION whatsapp_shared in it; a sender starts then.")));
}

/*
 * A sender has ended: decides when it may start again.
 */
static void
note_exit(int i)
{
	Sender *sender = &senders[i];
	TimestampTz now = GetCurrentTimestamp();
	bool asked;
	bool no_extension;

	LWLockAcquire(wa_shared->lock, LW_SHARED);
	asked = slot_of(i)->leave;
	no_extension = slot_of(i)->no_extension;
	LWLockRelease(wa_shared->lock);

	if (asked)
	{
		sender->failures = 0;
		sender->not_before = now;
	}
	else if (no_extension)
	{
		complain_of_extension(i);
		sender->failures = 0;
		sender->not_before = TimestampTzPlusMilliseconds(now, NO_EXTENSION_CHECK_MS);
	}
	else
	{
		int delay = 0;

		if (TimestampDifferenceExceeds(sender->started_at, now, SETTLED_MS))
			sender->failures = 0;
		if (sender->failures > 0)
			delay = Min(MAX_BACKOFF_MS, 1000 << Min(sender->failures - 1, 10));
		sender->failures++;
		sender->not_before = TimestampTzPlusMilliseconds(now, delay);
	}
}

/*
 * Notices which senders have ended.  True if one is just about to, and nobody
 * will tell us when it has.
 *
 * Of our own the postmaster tells us when the process is gone.  An adopted one
 * was registered by a predecessor; we hear when it detaches from its slot, and
 * it is gone when it has left the array of processes, a moment later.
 */
static bool
reap(void)
{
	bool leaving = false;

	for (int i = 0; i < WA_MAX_SENDERS; i++)
	{
		Sender *sender = &senders[i];
		pid_t pid;

		if (sender->handle)
		{
			if (GetBackgroundWorkerPid(sender->handle, &pid) != BGWH_STOPPED)
				continue;
			pfree(sender->handle);
			sender->handle = NULL;
			note_exit(i);
		}
		else if (sender->adopted_pid != 0 && !wa_shmem_slot_is_attached(slot_of(i)))
		{
			if (BackendPidGetProc(sender->adopted_pid) != NULL)
				leaving = true;
			else
			{
				sender->adopted_pid = 0;
				note_exit(i);
			}
		}
	}
	return leaving;
}

/*
 * Takes over the senders that a terminated launcher has left.  Those that it
 * had registered and that have not attached yet are fenced off by a new
 * generation.
 */
static void
adopt(void)
{
	for (int i = 0; i < WA_MAX_SENDERS; i++)
	{
		WaSenderSlot *slot = slot_of(i);
		bool orphan = false;

		LWLockAcquire(wa_shared->lock, LW_EXCLUSIVE);
		if (slot->in_use)
		{
			senders[i].adopted_pid = slot->pid;
			senders[i].started_at = slot->attached_at;
			senders[i].wakes = wa_shared->launcher_wakes;
			orphan = slot->pid == 0;
		}
		LWLockRelease(wa_shared->lock);
		if (orphan)
			wa_shmem_slot_free(slot);
	}
}

static int
count_running(void)
{
	int running = 0;

	for (int i = 0; i < WA_MAX_SENDERS; i++)
		running += is_running(i) ? 1 : 0;
	return running;
}

/* Once, until one was granted again or a reload. */
static void
complain_of_workers(const char *dbname)
{
	WaRoom room;

	if (complained.of_workers)
		return;
	complained.of_workers = true;
	LWLockAcquire(wa_shared->lock, LW_SHARED);
	room = wa_shared->room;
	LWLockRelease(wa_shared->lock);
	ereport(WARNING,
			(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			 errmsg("could not start a WhatsApp sender for database \"%s\"", dbname),
			 errdetail("The server has processes for %d of %d senders; the numbers are shared out "
					   "over these.",
					   room.senders, room.wanted),
			 errhint("Set max_worker_processes to %d at least: one for the launcher, one for "
					 "each sender, and those of others.",
					 room.wanted + room.others + 1)));
}

/*
 * Starts the sender of a slot.  False: the server has no room for it.
 */
static bool
start_sender(int i)
{
	WaSenderSlot *slot = slot_of(i);
	Sender *sender = &senders[i];
	BackgroundWorker worker = {0};
	uint64 generation = wa_shmem_slot_renew(slot);
	MemoryContext old;
	bool registered;

	if (generation == 0)
		return true; /* guarded since we looked; its end wakes us */

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = Int32GetDatum(i);
	memcpy(worker.bgw_extra, &generation, sizeof(generation));
	strlcpy(worker.bgw_library_name, "whatsapp_shared", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "wa_sender_main", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "%s %d for %s", WA_SENDER_TYPE, slot->index,
			 slot->dbname);
	strlcpy(worker.bgw_type, WA_SENDER_TYPE, BGW_MAXLEN);

	LWLockAcquire(wa_shared->lock, LW_SHARED);
	sender->wakes = wa_shared->launcher_wakes;
	LWLockRelease(wa_shared->lock);
	sender->started_at = GetCurrentTimestamp();

	old = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, &sender->handle);
	MemoryContextSwitchTo(old);
	if (!registered)
	{
		sender->handle = NULL;
		if (wa_room_refused(count_running()))
			complain_of_workers(slot->dbname);
		return false;
	}
	wa_room_granted();
	return true;
}

/*
 * Makes every sender leave that is not wanted (any more), and frees the slots
 * of those that have left.
 */
static void
remove_unwanted(List *targets)
{
	for (int i = 0; i < WA_MAX_SENDERS; i++)
	{
		WaSenderSlot *slot = slot_of(i);
		bool wanted = false;
		ListCell *lc;

		/* Only this process writes these fields. */
		if (!slot->in_use)
			continue;
		foreach (lc, targets)
		{
			const WaTarget *target = lfirst(lc);

			wanted |= target->dboid == slot->dboid && target->nsenders == slot->nsenders &&
					  strcmp(target->dbname, slot->dbname) == 0;
		}
		if (wanted && !wa_shmem_is_guarded(slot->dboid))
			continue;

		if (is_running(i))
			wa_shmem_slot_ask_to_leave(slot);
		else
			wa_shmem_slot_free(slot);
	}
}

/*
 * The slot of this sender; a new one if there is none yet and if no sender
 * with another idea of their number is still there.  -1: not now.
 */
static int
find_or_allocate(const WaTarget *target, int index)
{
	WaSenderSlot *slot;

	for (int i = 0; i < WA_MAX_SENDERS; i++)
	{
		slot = slot_of(i);
		if (!slot->in_use || slot->dboid != target->dboid)
			continue;
		if (slot->nsenders != target->nsenders)
			return -1;
		if (slot->index == index)
			return i;
	}

	slot = wa_shmem_slot_allocate(target->dboid, target->dbname, index, target->nsenders);
	if (slot != NULL)
	{
		int i = slot - wa_shared->slots;

		memset(&senders[i], 0, sizeof(Sender));
		return i;
	}
	if (!complained.of_slots)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many WhatsApp senders: there can be %d in a server", WA_MAX_SENDERS),
				 errhint("Shorten whatsapp_shared.databases or lower "
						 "whatsapp_shared.senders.")));
	complained.of_slots = true;
	return -1;
}

/*
 * Starts what is to run in this database and does not.  Returns the time of the next
 * look at it.  *full: the server has no room for one of them, so it has for none of
 * those that follow.
 */
static TimestampTz
start_missing(const WaTarget *target, TimestampTz now, uint64 wakes, bool *full)
{
	TimestampTz next = DT_NOEND;

	for (int index = 0; index < target->nsenders && !*full; index++)
	{
		int i = find_or_allocate(target, index);
		Sender *sender = &senders[Max(i, 0)];

		if (i < 0 || is_running(i))
			continue;
		if (slot_of(i)->no_extension && sender->wakes != wakes)
			sender->not_before = now;
		if (sender->not_before <= now)
			*full = !start_sender(i);
		else
			next = Min(next, sender->not_before);
	}
	return next;
}

/*
 * Makes what runs agree with what should.  Returns the time of the next look,
 * or DT_NOEND if nothing will change by itself.
 */
static TimestampTz
reconcile(void)
{
	TimestampTz now;
	TimestampTz next;
	List *targets;
	ListCell *lc;
	uint64 wakes;
	bool missing;
	bool full;
	bool leaving = reap();

	targets = wa_targets_find(&missing);
	next = wa_room_share_out(targets);
	remove_unwanted(targets);

	LWLockAcquire(wa_shared->lock, LW_SHARED);
	wakes = wa_shared->launcher_wakes;
	LWLockRelease(wa_shared->lock);

	now = GetCurrentTimestamp();
	full = now < wa_room_next_try();
	foreach (lc, targets)
	{
		const WaTarget *target = lfirst(lc);

		if (!wa_shmem_is_guarded(target->dboid))
			next = Min(next, start_missing(target, now, wakes, &full));
	}
	if (full)
		next = Min(next, Max(now, wa_room_next_try()));
	if (leaving)
		next = Min(next, TimestampTzPlusMilliseconds(now, LEAVING_CHECK_MS));
	if (missing)
		next = Min(next, TimestampTzPlusMilliseconds(now, ABSENT_CHECK_MS));
	list_free_deep(targets);
	return next;
}

/*
 * After a reload everything is worth a try at once.
 */
static void
forget_failures(void)
{
	complained = (Complained){0};
	wa_room_look_again();
	for (int i = 0; i < WA_MAX_SENDERS; i++)
	{
		senders[i].failures = 0;
		senders[i].told_no_extension = false;
		senders[i].not_before = 0;
	}
}

static void
detach(int code, Datum arg)
{
	LWLockAcquire(wa_shared->lock, LW_EXCLUSIVE);
	wa_shared->launcher_pid = 0;
	wa_shared->launcher_latch = NULL;
	LWLockRelease(wa_shared->lock);
	ereport(LOG, (errmsg(WA_LIFE_CYCLE("launcher_stop") "process %d ends", MyProcPid)));
}

static void
attach(void)
{
	LWLockAcquire(wa_shared->lock, LW_EXCLUSIVE);
	wa_shared->launcher_pid = MyProcPid;
	wa_shared->launcher_latch = MyLatch;
	wa_shared->launcher_began = GetCurrentTimestamp();
	LWLockRelease(wa_shared->lock);
	before_shmem_exit(detach, (Datum) 0);
	ereport(LOG, (errmsg(WA_LIFE_CYCLE("launcher_start") "process %d begins", MyProcPid)));
}

void
wa_launcher_main(Datum main_arg)
{
	static uint32 wait_event = 0;
	MemoryContext cycle;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	wa_standby_watch();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname(WA_LAUNCHER_TYPE);
	pgstat_report_activity(STATE_IDLE, NULL);

	/* A reload between our start and the handler above would have been lost. */
	ProcessConfigFile(PGC_SIGHUP);

	attach();
	adopt();
	cycle = AllocSetContextCreate(TopMemoryContext, "whatsapp_shared launcher cycle",
								  ALLOCSET_SMALL_SIZES);

	for (;;)
	{
		TimestampTz next;
		long timeout = 0;
		int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			forget_failures();
		}

		MemoryContextReset(cycle);
		MemoryContextSwitchTo(cycle);
		wa_secret_refresh(); /* at the start, after a reload, and while a file is refused */
		next = reconcile();
		Assert(CurrentMemoryContext == cycle);
		MemoryContextSwitchTo(TopMemoryContext);

		if (next != DT_NOEND)
		{
			events |= WL_TIMEOUT;
			timeout = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next);
		}
		if (wa_secret_wait_ms() >= 0)
		{
			timeout = events & WL_TIMEOUT ? Min(timeout, wa_secret_wait_ms()) : wa_secret_wait_ms();
			events |= WL_TIMEOUT;
		}
		(void) WaitLatch(MyLatch, events, timeout,
						 wa_wait_event(wait_event, "WhatsappLauncherMain"));
		ResetLatch(MyLatch);
	}
}
