/*
 * tasks.c
 *	  What a sender does besides the messages, each by the clock or because it was asked to.
 *
 * A task runs between two cycles, in transactions of its own.  What it asks Meta, or
 * somebody else, goes through the client of the messages and comes back in a cycle; only
 * what may be large or hang has a client of its own, and with it a place in the wait.
 *
 * Tasks must not stop the sending when they fail: after an ERROR in one of them only
 * they are put off, for longer each time.
 */
#include "postgres.h"

#include "http/http.h"
#include "sender/events.h"
#include "sender/fetch.h"
#include "sender/fetch_client.h"
#include "sender/forward.h"
#include "sender/forward_client.h"
#include "sender/reach.h"
#include "sender/receipts.h"
#include "sender/recovery.h"
#include "sender/sync.h"
#include "sender/tasks.h"
#include "sender/upkeep.h"
#include "sender/upload.h"

typedef struct Task
{
	void (*run)(WaSender *sender);
	long (*wait_ms)(WaSender *sender); /* until it has something to do; -1: never */
	void (*aborted)(WaSender *sender); /* its transaction was */
	void (*requested)(void);		   /* there may be something new */

	/* if it has a client of its own */
	const WaTaskClient *client;
	void (*network)(void);
	void (*abandon)(void);
} Task;

static void
look_at_settings(WaSender *sender)
{
	wa_events_look_at_settings(sender, false);
}

/* In this order. */
static const Task tasks[] = {
	{.run = wa_recovery_run, .wait_ms = wa_recovery_wait_ms},
	{.run = wa_reach_run, .wait_ms = wa_reach_wait_ms},
	{.run = wa_upkeep_run, .wait_ms = wa_upkeep_wait_ms},
	{.run = wa_sync_run, .wait_ms = wa_sync_wait_ms, .aborted = wa_sync_aborted},
	{.run = wa_upload_run,
	 .wait_ms = wa_upload_wait_ms,
	 .aborted = wa_upload_aborted,
	 .requested = wa_upload_requested},
	{.run = wa_receipts_run,
	 .wait_ms = wa_receipts_wait_ms,
	 .aborted = wa_receipts_aborted,
	 .requested = wa_receipts_requested},
	{.run = wa_fetch_run,
	 .wait_ms = wa_fetch_wait_ms,
	 .aborted = wa_fetch_aborted,
	 .requested = wa_fetch_requested,
	 .client = &wa_fetch_client,
	 .network = wa_fetch_network,
	 .abandon = wa_fetch_abandon},
	{.run = wa_forward_run,
	 .wait_ms = wa_forward_wait_ms,
	 .aborted = wa_forward_aborted,
	 .requested = wa_forward_requested,
	 .client = &wa_forward_client,
	 .network = wa_forward_network,
	 .abandon = wa_forward_abandon},
	{.run = look_at_settings},
};

#define FOREACH_TASK(task) for (const Task *task = tasks; task < tasks + lengthof(tasks); task++)

static volatile bool running;
static volatile int errors; /* in a row */
static int64 put_off_until_us;

void
wa_tasks_configured(WaSender *sender, bool reconfigured)
{
	wa_upkeep_configured(sender);
	wa_sync_requested(reconfigured);
	wa_tasks_requested();
}

void
wa_tasks_requested(void)
{
	FOREACH_TASK(task)
	{
		if (task->requested != NULL)
			task->requested();
	}
}

void
wa_tasks_network(void)
{
	FOREACH_TASK(task)
	{
		if (task->network != NULL)
			task->network();
	}
}

void
wa_tasks_run(WaSender *sender)
{
	if (wa_now_us() < put_off_until_us)
		return;
	running = true;
	FOREACH_TASK(task)
	{
		task->run(sender);
	}
	running = false;
	errors = 0;
}

bool
wa_tasks_are_running(void)
{
	return running;
}

void
wa_tasks_aborted(WaSender *sender, bool locked)
{
	running = false;
	FOREACH_TASK(task)
	{
		if (task->aborted != NULL)
			task->aborted(sender);
	}
	/* A step that a lock has failed is put off by itself, and must not put off the rest. */
	errors = locked ? 0 : errors + 1;
	put_off_until_us = wa_now_us() + 1000 * wa_error_delay_ms(errors);
}

void
wa_tasks_abandon(void)
{
	FOREACH_TASK(task)
	{
		if (task->abandon != NULL)
			task->abandon();
	}
}

long
wa_tasks_wait_ms(WaSender *sender)
{
	int64 now = wa_now_us();
	long ms = -1;

	FOREACH_TASK(task)
	{
		if (task->client != NULL)
			ms = wa_sooner_ms(ms, wa_task_client_wait_ms(task->client));
	}
	if (sender->stopping)
		return ms;
	if (now < put_off_until_us)
		return wa_sooner_ms(ms, (long) (put_off_until_us - now) / 1000 + 1);
	FOREACH_TASK(task)
	{
		if (task->wait_ms != NULL)
			ms = wa_sooner_ms(ms, task->wait_ms(sender));
	}
	return ms;
}

int
wa_tasks_sockets(int sockets[WA_MAX_TASK_SOCKETS])
{
	int n = 0;

	FOREACH_TASK(task)
	{
		if (task->client != NULL && task->client->http != NULL)
		{
			Assert(n < WA_MAX_TASK_SOCKETS);
			sockets[n++] = wa_http_epoll_fd(task->client->http);
		}
	}
	return n;
}

/* The sum tells, since each only grows. */
uint32
wa_tasks_sockets_generation(void)
{
	uint32 sum = 0;

	FOREACH_TASK(task)
	{
		if (task->client != NULL)
			sum += task->client->generation;
	}
	return sum;
}
