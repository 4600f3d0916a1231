/*
 * events.c
 *	  What a sender writes down of itself and of the settings, for wa_timeline().
 *
 * The launcher knows first of a reload, and of its own start, but has no database to
 * write to; so sender 0 of each database writes both down for it.  A sender that ends
 * in good order says so.  What it cannot say is that it crashed: its successor finds
 * a start without an end.
 *
 * Settings are held against what was last written of them, so a change is found
 * also if it was made while the server was down.  Of credentials and of paths nothing
 * is ever written: that they have changed is known as long as the process lives.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "base/life_cycle.h"
#include "base/secret.h"
#include "sender/events.h"
#include "sender/store/event_rows.h"
#include "sender/store/transaction.h"
#include "shared/shmem.h"

/* How often to look at credentials, whose files change without a reload. */
#define LOOK_INTERVAL_US INT64_C(30000000)

static const char *const paths[] = {"access_token_file", "app_secret_file", "ca_file",
									"webhook_verify_token_file"};

/* What is not written down yet. */
static const char *pending[WA_CREDENTIALS + lengthof(paths)];
static int n_pending;
static int64 look_us;
static bool settings_written;

static TimestampTz
launcher_began(void)
{
	TimestampTz began;

	LWLockAcquire(wa_shared->lock, LW_SHARED);
	began = wa_shared->launcher_began;
	LWLockRelease(wa_shared->lock);
	return began;
}

void
wa_events_started(WaSender *sender)
{
	static bool told = false;

	/* What a sender does first is repeated after an ERROR; it has not crashed meanwhile. */
	if (told)
		return;
	if (!sender->at_home)
	{
		told = true;
		ereport(LOG, (errmsg(WA_LIFE_CYCLE("sender_start") "database \"%s\", sender %d: it sends "
														   "nothing (process %d)",
							 sender->slot->dbname, sender->index, MyProcPid)));
		return;
	}
	wa_store_begin("noting the start of a WhatsApp sender");
	wa_store_note_start(sender->index, launcher_began());
	wa_store_commit();
	told = true;
}

void
wa_events_stopped(WaSender *sender)
{
	static bool told = false;

	if (told)
		return;
	told = true;
	if (!sender->at_home)
	{
		ereport(LOG, (errmsg(WA_LIFE_CYCLE("sender_stop") "database \"%s\", sender %d: it sent "
														  "nothing (process %d)",
							 sender->slot->dbname, sender->index, MyProcPid)));
		return;
	}
	wa_store_begin("noting the end of a WhatsApp sender");
	wa_store_note_stop(sender->index);
	wa_store_commit();
}

static void
remember(const char *setting)
{
	for (int i = 0; i < n_pending; i++)
		if (strcmp(pending[i], setting) == 0)
			return;
	pending[n_pending++] = setting;
}

static void
look_at_paths(void)
{
	static char *known[lengthof(paths)];

	for (int i = 0; i < lengthof(paths); i++)
	{
		char name[NAMEDATALEN];
		const char *value;

		snprintf(name, sizeof(name), "whatsapp_shared.%s", paths[i]);
		value = GetConfigOption(name, false, false);
		if (known[i] != NULL && strcmp(known[i], value) == 0)
			continue;
		if (known[i] != NULL)
		{
			remember(paths[i]);
			pfree(known[i]);
		}
		known[i] = MemoryContextStrdup(TopMemoryContext, value);
	}
}

void
wa_events_look_at_settings(WaSender *sender, bool reloaded)
{
	const char *changed[WA_CREDENTIALS];
	int n;

	if (sender->index != 0 || !sender->at_home)
		return;
	if (reloaded)
		settings_written = false;
	else if (settings_written && wa_now_us() < look_us)
		return;
	look_us = wa_now_us() + LOOK_INTERVAL_US;
	n = wa_secret_changes(changed);
	for (int i = 0; i < n; i++)
		remember(changed[i]);
	look_at_paths();
	if (settings_written && n_pending == 0)
		return;

	wa_store_begin("noting the settings of WhatsApp");
	wa_store_note_settings(pending, n_pending);
	wa_store_commit();
	settings_written = true;
	n_pending = 0;
}
