/*
 * room.c
 *	  How many senders the server has room for, and how many each database gets.
 *
 * A phone number belongs to one of its database's senders by their count, so the
 * count must be that of senders that run: a share of the numbers given to one that
 * cannot be started would not be sent from at all.  whatsapp_shared.senders says
 * how many are wanted.  If the server has no process left for one of them
 * (max_worker_processes), what has been started is what there is room for, and
 * the databases share that; each is to have one in any case.
 *
 * Only the postmaster knows who has taken the other processes.  But when it
 * refuses us one, all are taken, so those that are not ours are others': that
 * gives the number that would be enough, for wa_health().
 *
 * A parallel query takes such a process for a moment, so one refusal proves
 * little; and a new count costs its database a second without senders.  It is
 * believed after some time, and whether there is room for more is tried, less and
 * less often, with processes that end at once.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "launcher/room.h"
#include "launcher/targets.h"
#include "shared/shmem.h"

/* The server refuses processes for so long before that is believed, ... */
#define REFUSED_MS 1500

/* ... and is asked this often meanwhile. */
#define TRY_AGAIN_MS 500

/* How long after the server was full to look whether it still is. */
#define FIRST_LOOK_MS 60000
#define MAX_LOOK_MS 3600000

static TimestampTz refused_since; /* 0: the last sender was granted its process */
static TimestampTz next_try;
static TimestampTz next_look;
static int look_after_ms = FIRST_LOOK_MS;

static int
compare_oids(const ListCell *a, const ListCell *b)
{
	Oid x = ((const WaTarget *) lfirst(a))->dboid;
	Oid y = ((const WaTarget *) lfirst(b))->dboid;

	return (x > y) - (x < y);
}

/* The server is full, and so many senders are what it has room for. */
static void
set_full(int senders)
{
	LWLockAcquire(wa_shared->lock, LW_EXCLUSIVE);
	wa_shared->room.full = true;
	wa_shared->room.senders = senders;
	wa_shared->room.others = Max(0, max_worker_processes - 1 - senders);
	LWLockRelease(wa_shared->lock);
	next_try = 0;
	next_look = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), look_after_ms);
	look_after_ms = Min(look_after_ms * 2, MAX_LOOK_MS);
}

static void
set_roomy(void)
{
	LWLockAcquire(wa_shared->lock, LW_EXCLUSIVE);
	wa_shared->room.full = false;
	LWLockRelease(wa_shared->lock);
	next_try = 0;
}

bool
wa_room_refused(int registered)
{
	TimestampTz now = GetCurrentTimestamp();
	bool news;

	if (refused_since == 0)
		refused_since = now;
	next_try = TimestampTzPlusMilliseconds(now, TRY_AGAIN_MS);
	if (!TimestampDifferenceExceeds(refused_since, now, REFUSED_MS))
		return false;
	next_try = TimestampTzPlusMilliseconds(now, FIRST_LOOK_MS);
	LWLockAcquire(wa_shared->lock, LW_SHARED);
	news = !wa_shared->room.full || wa_shared->room.senders != registered;
	LWLockRelease(wa_shared->lock);
	if (news)
		set_full(registered);
	refused_since = 0;
	return news;
}

void
wa_room_granted(void)
{
	refused_since = 0;
	next_try = 0;
}

TimestampTz
wa_room_next_try(void)
{
	return next_try;
}

void
wa_room_look_again(void)
{
	next_try = 0;
	next_look = 0;
	look_after_ms = FIRST_LOOK_MS;
}

void
wa_room_probe_main(Datum main_arg)
{
}

/* How many of so many processes the server grants now. */
static int
count_granted(int n)
{
	BackgroundWorkerHandle *handles[WA_MAX_SENDERS];
	BackgroundWorker worker = {0};
	int granted = 0;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "whatsapp_shared", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "wa_room_probe_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "whatsapp_shared probe", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "whatsapp_shared probe", BGW_MAXLEN);
	while (granted < Min(n, WA_MAX_SENDERS) &&
		   RegisterDynamicBackgroundWorker(&worker, &handles[granted]))
		granted++;
	for (int i = 0; i < granted; i++)
	{
		(void) WaitForBackgroundWorkerShutdown(handles[i]);
		pfree(handles[i]);
	}
	SetLatch(MyLatch); /* for what it was set besides while we waited */
	return granted;
}

/* Tells what is wanted, and returns what is known of the room for it. */
static WaRoom
want(int senders)
{
	WaRoom room;

	LWLockAcquire(wa_shared->lock, LW_EXCLUSIVE);
	wa_shared->room.wanted = senders;
	room = wa_shared->room;
	LWLockRelease(wa_shared->lock);
	return room;
}

/* Looks whether there is room for more, if it is time to.  Returns when it will be. */
static TimestampTz
look(const WaRoom *room)
{
	int missing = room->full ? Min(room->wanted, WA_MAX_SENDERS) - room->senders : 0;
	int granted;

	if (missing <= 0)
		return DT_NOEND;
	if (GetCurrentTimestamp() < next_look)
		return next_look;
	granted = count_granted(missing);
	if (granted == missing)
		set_roomy();
	else
		set_full(room->senders + granted);
	return granted == missing ? DT_NOEND : next_look;
}

/* Round by round, so that nobody has two more than anybody else. */
TimestampTz
wa_room_share_out(List *targets)
{
	int n_targets = list_length(targets);
	WaRoom room = want(n_targets * wa_guc_senders);
	TimestampTz next = look(&room);
	ListCell *lc;
	int left;

	room = want(room.wanted);
	left = (room.full ? Min(room.senders, WA_MAX_SENDERS) : WA_MAX_SENDERS) - n_targets;
	list_sort(targets, compare_oids);
	foreach (lc, targets)
		((WaTarget *) lfirst(lc))->nsenders = 1;
	for (int n = 1; n < wa_guc_senders; n++)
		foreach (lc, targets)
			if (left-- > 0)
				((WaTarget *) lfirst(lc))->nsenders++;
	return next;
}
