/*
 * worker.c
 *	  A sender process: entry, signals, the one wait, recovery from errors.
 *
 * The loop has three parts that never overlap: moving the network along, short
 * transactions, and one wait that hears the latch, the network, the clock and
 * the postmaster's death.  Interrupts are served at the top of the loop, which
 * is reached at least every WA_MAX_WAIT_MS even with every request hanging,
 * so a ProcSignalBarrier never waits for the network.  Nor does a change of the
 * settings: what is out ends beside what leaves by the new ones.
 *
 * SIGTERM does not break into a statement: the sender must first write down what
 * has left it.  It stops claiming, gives the requests on the wire a short grace,
 * settles those that were answered and marks the rest uncertain.  Core's own
 * statements are bounded by lock_timeout, and ours pass by what is locked
 * (sender/aside.c) or give up after a moment.
 *
 * An ERROR ends a cycle, not the process: its transaction is rolled back, what
 * is on the wire stays there and is settled by a later cycle.  Only where memory
 * has run out the process ends, as in good order as it can: what it remembers may
 * have been changed by a half, and its successor reads it from the tables.
 */
#include "postgres.h"

#include "access/xact.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/ownership.h"
#include "base/quote.h"
#include "base/secret.h"
#include "base/version.h"
#include "compat.h"
#include "http/http.h"
#include "sender/aside.h"
#include "sender/config.h"
#include "sender/descriptors.h"
#include "sender/dispatch.h"
#include "sender/events.h"
#include "sender/home.h"
#include "sender/pace/concurrency.h"
#include "sender/pace/pair.h"
#include "sender/recovery.h"
#include "sender/session.h"
#include "sender/state/sender.h"
#include "sender/store/transaction.h"
#include "sender/tasks.h"
#include "sender/trust.h"
#include "sender/wakes.h"
#include "sender/worker.h"
#include "shared/held_numbers.h"
#include "shared/shmem.h"

/* The longest sleep while requests are on the wire. */
#define WA_MAX_WAIT_MS 100

/* Before a sleep longer than this, what the statistics collect is passed on. */
#define REPORT_BEFORE_MS 1000

/* How long requests may go on after a request to stop, and how long settling may take then. */
#define STOP_GRACE_US 1000000
#define SETTLE_GRACE_US 1000000

/* After so many failed cycles in a row the process gives up. */
#define MAX_ERRORS 20

/* How often to look whether what keeps the sender from starting is over. */
#define FLAW_CHECK_MS 1000

/*
 * A cycle that a lock has failed is repeated at once, carefully (sender/aside.c), and
 * a step of a task a little later.  That is worth a word only if it fails again and again;
 * then one now and then.  Between two tries of a step others succeed: so those of a minute count.
 */
#define LOCKS_MET_BY_CHANCE 3
#define LOCKS_MET_PER_REPORT 1000
#define STEP_LOCKS_FORGOTTEN_US INT64_C(60000000)

static WaSender *sender;
static WaSenderSlot *slot;
static uint64 generation;
static WaitEventSet *wait_set;
static bool leases_ended;		  /* those of its predecessors */
static volatile bool initialized; /* its first work is done */

static volatile int locks_met; /* by cycles in a row */

static volatile bool memory_ran_out; /* in a cycle */

static void
detach(int code, Datum arg)
{
	wa_tasks_abandon();
	if (sender != NULL)
		wa_dispatch_close(sender);
	if (slot->index == 0)
		wa_held_numbers_publish(NULL, 0);
	wa_shmem_sender_detach(slot, generation);
}

/*
 * SIGTERM is a request that the loop hears.  Only a commit that waits for a
 * synchronous standby, or is about to, is broken off: it is on this server then,
 * and maybe nowhere else.  What it has leased is not begun, but put back.
 */
static void
request_shutdown(SIGNAL_ARGS)
{
	int save_errno = errno;

	ShutdownRequestPending = true;
	if (wa_store_committing)
		ProcDiePending = true;
	SetLatch(MyLatch);
	errno = save_errno;
}

/* The tables may be those of another version by now; what is written fails then, once. */
static void
note_end(void)
{
	if (sender != NULL && initialized)
		wa_events_stopped(sender);
}

/* There is nothing to serve until somebody creates the extension. */
static void
leave_without_extension(void)
{
	wa_shmem_sender_no_extension(slot);
	proc_exit(0);
}

/* Nor with scripts that this library does not know; ALTER EXTENSION wakes the launcher. */
static void
leave_because_of(const char *version)
{
	if (wa_shmem_sender_refuses(slot, version))
		ereport(
			WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("whatsapp_shared %s does not send for database \"%s\", whose scripts are of "
					"version %s",
					wa_version_of_library(), slot->dbname, wa_quote(version)),
			 errhint("Run ALTER EXTENSION whatsapp_shared UPDATE in it, or install the library "
					 "of that version and restart the server.")));
	proc_exit(0);
}

/* Names the worker in the context of every message it logs. */
static void
error_context(void *arg)
{
	errcontext("whatsapp_shared sender %d", slot->index);
}

static bool
asked_to_stop(void)
{
	return ShutdownRequestPending || memory_ran_out || wa_shmem_sender_must_leave(slot);
}

static void
leave(void)
{
	if ((ShutdownRequestPending || memory_ran_out) && !wa_shmem_sender_must_leave(slot))
		proc_exit(1); /* the launcher starts another, unless it is going too */
	proc_exit(0);
}

static void
leave_in_order(void)
{
	note_end();
	leave();
}

/* Does nothing for a while, unless the process is to end. */
static void
pause_for(long ms)
{
	int64 until = wa_now_us() + ms * 1000;

	while (wa_now_us() < until && !asked_to_stop())
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 (long) (until - wa_now_us()) / 1000 + 1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Says once, and again when it is another one, what keeps the sender from starting. */
static void
report_flaw(const char *problem)
{
	static char *reported = NULL;

	if (reported != NULL && strcmp(reported, problem) == 0)
		return;
	if (reported != NULL)
		pfree(reported);
	reported = MemoryContextStrdup(TopMemoryContext, problem);
	ereport(WARNING,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("no messages are sent from database \"%s\": %s", slot->dbname, problem),
			 errdetail("The sender would run code of others with the rights of the extension's "
					   "owner."),
			 errhint("See wa_health() in that database.")));
}

/*
 * Waits until the extension's objects are safe to call, and returns their owner.  If it
 * is changed meanwhile, a new process looks at it.
 */
static Oid
wait_for_ownership(Oid schema)
{
	char version[WA_MAX_VERSION];
	char *problem;
	Oid owner;

	while ((problem = wa_session_find_flaw(schema, &owner)) != NULL)
	{
		report_flaw(problem);
		pfree(problem);
		pause_for(FLAW_CHECK_MS);
		if (asked_to_stop())
			leave();
		if (wa_session_find_extension(version, sizeof(version)) != schema ||
			!wa_version_is_served(version))
			proc_exit(1);
	}
	return owner;
}

/* Makes the sender.  Exits if there is nothing to serve, or somebody else serves it. */
static void
start(void)
{
	char version[WA_MAX_VERSION];
	Oid schema = wa_session_find_extension(version, sizeof(version));
	Oid owner;

	if (!OidIsValid(schema))
		leave_without_extension();
	if (!wa_version_is_served(version))
		leave_because_of(version);
	(void) wa_shmem_sender_refuses(slot, "");
	if (!wa_session_lock_index(slot->index))
	{
		/* Its predecessor is still on its way out; the launcher tries again. */
		ereport(LOG, (errmsg("another sender %d of database \"%s\" is still running", slot->index,
							 slot->dbname)));
		proc_exit(1);
	}

	owner = wait_for_ownership(schema);
	sender = wa_sender_create(slot, generation);
	sender->pairs = wa_pairs_create(sender->state_context);
	wa_store_init(schema, owner);
	wa_dispatch_open(sender);
}

/*
 * A copy leaves the tables as they are.  When it becomes the place from which to
 * send, all of what a sender does first is still to be done: by a new one.  This one
 * must not send anything any more, not even in this turn: what its predecessors had on
 * the wire is in leases that nobody has ended, and looks as if it were to be sent.
 */
static void
check_home(void)
{
	wa_home_check(sender);
	if (sender->at_home && !leases_ended)
	{
		sender->at_home = false;
		wa_shmem_slot_ask_to_leave(slot);
	}
}

static void
load_config(bool reconfigured)
{
	uint64 current = pg_atomic_read_u64(&slot->config_generation);

	/* A settlement that failed may have left pauses in memory alone. */
	if (sender->config_generation == 0)
		sender->config_changed |= WA_CONFIG_PAUSES;
	sender->config_changed |= pg_atomic_exchange_u32(&slot->config_changed, 0);
	check_home();
	wa_config_load(sender);
	sender->config_generation = current;
	wa_tasks_configured(sender, reconfigured);
}

/* The first work of the process, under the error handling of the loop. */
static void
initialize(void)
{
	wa_home_check(sender);
	wa_events_started(sender);
	/* It may have become doubtful meanwhile. */
	if (sender->at_home)
	{
		wa_recovery_end_leases(sender);
		leases_ended = true;
	}
	load_config(true);
	wa_recovery_read_recipients(sender);
}

/*
 * The latch, the postmaster and the network, for the one wait.  Made again when the client
 * of a task is opened or closed, which happens once for a run of files, and when there
 * are other nodes.
 */
static void
make_wait_set(void)
{
	static uint32 made_for;
	uint32 generation_now = wa_tasks_sockets_generation();
	int sockets[1 + WA_MAX_TASK_SOCKETS];
	WaitEventSet *set;
	int n;

	if (wait_set != NULL && made_for == generation_now)
		return;
	if (wait_set != NULL)
		FreeWaitEventSet(wait_set);
	wait_set = NULL;
	sockets[0] = wa_http_epoll_fd(sender->http);
	n = 1 + wa_tasks_sockets(&sockets[1]);
	set = wa_descriptors_create_wait_set(2 + n);
	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	for (int i = 0; i < n; i++)
		AddWaitEventToSet(set, WL_SOCKET_READABLE, sockets[i], NULL, NULL);
	made_for = generation_now;
	wait_set = set;
}

/* Milliseconds until a file that could not be used is worth another look; -1: none. */
static long
files_wait_ms(void)
{
	return wa_sooner_ms(wa_secret_wait_ms(), wa_trust_wait_ms());
}

static void
wait_for_work(void)
{
	WaitEvent event;
	int64 began = wa_now_us();
	long ms = wa_sooner_ms(wa_sooner_ms(wa_dispatch_wait_ms(sender), wa_home_wait_ms(sender)),
						   wa_sooner_ms(wa_tasks_wait_ms(sender), files_wait_ms()));

	make_wait_set();
	if (sender->n_in_flight > 0 || sender->stopping)
		ms = wa_sooner_ms(ms, WA_MAX_WAIT_MS);
	if (ms < 0 || ms > REPORT_BEFORE_MS)
		pgstat_report_stat(true); /* nobody else would for a while */
	if (WaitEventSetWait(wait_set, ms, &event, 1, PG_WAIT_EXTENSION) > 0 &&
		event.events == WL_LATCH_SET)
		ResetLatch(MyLatch);
	wa_concurrency_slept(sender, wa_now_us() - began);
}

/* The extension may have been dropped, or created anew, or updated. */
static void
leave_if_changed(void)
{
	char version[WA_MAX_VERSION];

	if (wa_session_find_extension(version, sizeof(version)) != wa_store_schema())
		leave_without_extension();
	if (!wa_version_is_served(version))
	{
		note_end();
		leave_because_of(version);
	}
}

/*
 * Ends the process in good order.  Until the grace is over responses still come
 * in; then every transfer is cut, and what had been written is uncertain.  What
 * cannot be settled in time, because somebody keeps its row locked, is left to
 * the successor: its lease stands, so it is found, and is uncertain too.
 */
static void
stop(void)
{
	static int64 deadline;

	if (!sender->stopping)
	{
		/* The last settlements wait for this server's disk, not for a standby. */
		SetConfigOption("synchronous_commit", "local", PGC_USERSET, PGC_S_OVERRIDE);
		wa_dispatch_stop(sender);
		wa_aside_take_back_all(sender);
		deadline = wa_now_us() + STOP_GRACE_US;
	}
	if (sender->n_in_flight > 0)
	{
		if (wa_now_us() < deadline)
			return;
		wa_dispatch_abandon(sender);
	}
	else if (wa_now_us() >= deadline + SETTLE_GRACE_US)
		leave_in_order();
	wa_dispatch_cycle(sender);
	if (sender->n_finished + sender->n_aside == 0)
		leave_in_order();
}

/* One turn of the loop. */
static void
turn(void)
{
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		sender->config_loaded = false;
		wa_ownership_look_again();
		wa_dispatch_check_settings(sender);
	}
	if (wa_trust_wait_ms() == 0 && wa_trust_changed())
		sender->reopen = true;
	MemoryContextReset(sender->cycle_context);
	MemoryContextSwitchTo(sender->cycle_context);
	Assert(CurrentMemoryContext == sender->cycle_context);

	if (sender->reopen)
	{
		wa_tasks_abandon(); /* they trust what is trusted no more: sender/trust.h */
		wa_dispatch_reopen(sender);
	}
	wa_dispatch_network(sender);
	wa_tasks_network();
	wa_wakes_take(sender);
	if (asked_to_stop())
	{
		stop();
		wa_dispatch_cycle(sender);
		return;
	}
	if (!sender->config_loaded ||
		pg_atomic_read_u64(&slot->config_generation) != sender->config_generation)
	{
		bool reloaded = !sender->config_loaded;

		leave_if_changed();
		load_config(reloaded);
		wa_events_look_at_settings(sender, reloaded);
	}
	else if (wa_home_check_due(sender))
		check_home();
	wa_dispatch_cycle(sender);
	wa_tasks_run(sender);
}

/* After a lock that was waited for in vain. */
static bool
lock_is_worth_a_word(bool in_task)
{
	static int by_steps;
	static int64 last_us;
	int met;

	if (in_task)
	{
		int64 now = wa_now_us();

		if (now - last_us > STEP_LOCKS_FORGOTTEN_US)
			by_steps = 0;
		last_us = now;
		met = ++by_steps;
	}
	else
		met = ++locks_met;
	return met % LOCKS_MET_PER_REPORT == LOCKS_MET_BY_CHANCE;
}

/*
 * Rolls back after an ERROR.  The requests on the wire are not touched: their
 * leases stand, and their responses will be settled.
 */
static void
recover_from_error(volatile int *errors)
{
	bool locked = geterrcode() == ERRCODE_LOCK_NOT_AVAILABLE;
	bool in_task = wa_tasks_are_running();
	bool matters = !locked || lock_is_worth_a_word(in_task);
	long delay = 0;

	HOLD_INTERRUPTS();
	/* Statements of a task may need more than there is, again and again: they are put off. */
	if (!in_task && geterrcode() == ERRCODE_OUT_OF_MEMORY)
		memory_ran_out = true;
	if (matters)
	{
		EmitErrorReport();
		pg_atomic_fetch_add_u64(&slot->counters.errors, 1);
	}
	AbortCurrentTransaction();
	MemoryContextSwitchTo(sender->cycle_context);
	FlushErrorState();
	pgstat_report_activity(STATE_IDLE, NULL);
	if (in_task)
		wa_tasks_aborted(sender, locked);
	else
	{
		wa_dispatch_aborted(sender);
		/* Whoever keeps a row locked has made everybody wait already: sender/aside.c. */
		if (!locked)
		{
			(*errors)++;
			delay = wa_error_delay_ms(*errors);
		}
	}
	RESUME_INTERRUPTS();

	if (*errors >= MAX_ERRORS)
	{
		ereport(LOG,
				(errmsg("sender %d gives up after %d failures in a row", slot->index, *errors)));
		proc_exit(1);
	}
	if (memory_ran_out && !sender->stopping)
		ereport(LOG, (errmsg("sender %d ends since memory has run out", slot->index)));
	leave_if_changed();
	pause_for(delay);
}

void
wa_sender_main(Datum main_arg)
{
	sigjmp_buf on_error;
	ErrorContextCallback context = {.callback = error_context};
	volatile int errors = 0;

	pqsignal(SIGTERM, request_shutdown);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();

	memcpy(&generation, MyBgworkerEntry->bgw_extra, sizeof(generation));
	slot = wa_shmem_sender_attach(DatumGetInt32(main_arg), generation);
	if (slot == NULL)
		proc_exit(0);
	before_shmem_exit(detach, (Datum) 0);

	wa_session_connect(slot->dboid);
	context.previous = error_context_stack;
	error_context_stack = &context;
	start();

	if (sigsetjmp(on_error, 1) != 0)
	{
		error_context_stack = &context;
		recover_from_error(&errors);
	}
	PG_exception_stack = &on_error;

	for (;;)
	{
		if (!initialized)
		{
			CHECK_FOR_INTERRUPTS();
			if (asked_to_stop())
				leave();
			initialize();
			initialized = true;
		}
		turn();
		errors = 0;
		locks_met = 0;
		wait_for_work();
	}
}
