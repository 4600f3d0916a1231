/*
 * slots.c
 *	  A number of connections to one database, which are kept open.
 */
#include "bin/gateway/slots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/gateway/complain.h"
#include "bin/httpd/clock.h"
#include "bin/httpd/util.h"

/* Between attempts to connect: doubles from the one to the other, half of it random. */
#define FIRST_PAUSE_US INT64_C(100000)
#define LONGEST_PAUSE_US INT64_C(3000000)

static void open_slot(void *arg);

GwSlots *
gw_slots_of(const GwSlot *slot)
{
	return slot->link.owner;
}

static bool
is_coming_up(const GwSlot *slot)
{
	return slot->link.state == GW_LINK_CONNECTING || slot->link.state == GW_LINK_PREPARING;
}

static bool
is_about_to_open(const GwSlot *slot)
{
	return slot->reopen.slot != 0;
}

static bool
is_free(const GwSlot *slot)
{
	return slot->link.state == GW_LINK_FREE;
}

static GwSlot *
find(const GwSlots *slots, bool (*is)(const GwSlot *slot))
{
	for (int i = 0; i < slots->size; i++)
	{
		if (is(&slots->items[i]))
			return &slots->items[i];
	}
	return NULL;
}

GwSlot *
gw_slots_free(const GwSlots *slots)
{
	return find(slots, is_free);
}

/*
 * Opening
 */

/* Equal jitter: many gateways, and many connections of one, do not come at once. */
static int64_t
pause_us(const GwSlots *slots)
{
	int64_t pause = FIRST_PAUSE_US;

	for (int i = 1; i < slots->failures && pause < LONGEST_PAUSE_US; i++)
		pause *= 2;
	if (pause > LONGEST_PAUSE_US)
		pause = LONGEST_PAUSE_US;
	return pause / 2 + (int64_t) ((double) pause / 2 * ((double) random() / RAND_MAX));
}

static void
open_soon(const GwSlots *slots, GwSlot *slot)
{
	httpd_timer_set(&slot->reopen, httpd_now_us() + pause_us(slots), open_slot, slot);
}

/* While there is none, one tries for all of them. */
static void
reopen(const GwSlots *slots, GwSlot *slot)
{
	if (slots->connected > 0 ||
		(find(slots, is_coming_up) == NULL && find(slots, is_about_to_open) == NULL))
		open_soon(slots, slot);
}

static void
open_slot(void *arg)
{
	GwSlot *slot = arg;
	GwSlots *slots = gw_slots_of(slot);

	if (slots->connected > 0 || find(slots, is_coming_up) == NULL)
		gw_link_open(&slot->link, slots->conninfo, slots->application_name,
					 slots->statement_timeout_ms);
}

static void
open_others(const GwSlots *slots)
{
	for (int i = 0; i < slots->size; i++)
	{
		GwSlot *slot = &slots->items[i];

		if (slot->link.state == GW_LINK_DOWN && !is_about_to_open(slot))
			open_soon(slots, slot);
	}
}

/*
 * What happens to them
 */

/* Once for each change, not for each attempt. */
static void
say(GwSlots *slots, const char *trouble)
{
	if (strcmp(slots->trouble, trouble) == 0)
		return;
	snprintf(slots->trouble, sizeof(slots->trouble), "%s", trouble);
	gw_complain("database (%s): %s", slots->name, trouble[0] != '\0' ? trouble : "connected");
}

static void
note_away(GwSlots *slots, const char *reason)
{
	if (slots->connected > 0)
		return;
	say(slots, reason);
	if (slots->away_since == 0)
		slots->away_since = httpd_now_us();
}

static void
link_opened(GwLink *link)
{
	GwSlot *slot = (GwSlot *) link;
	GwSlots *slots = link->owner;

	slots->connected++;
	slots->failures = 0;
	slots->away_since = 0;
	free(slots->schema);
	slots->schema = httpd_strdup(link->schema);
	say(slots, "");
	open_others(slots);
	slots->opened(slot);
}

/* The server has become a standby, or the extension has gone elsewhere: look again. */
static bool
is_outdated(const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return state != NULL && (strcmp(state, "25006") == 0 || strcmp(state, "42883") == 0 ||
							 strcmp(state, "3F000") == 0);
}

static void
link_finished(GwLink *link, PGresult *result)
{
	GwSlot *slot = (GwSlot *) link;
	GwSlots *slots = link->owner;

	if (is_outdated(result))
	{
		gw_link_close(link);
		slots->connected--;
		note_away(slots, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
		reopen(slots, slot);
	}
	slots->done(slot, result);
}

static void
link_lost(GwLink *link, bool was_open, const char *reason)
{
	GwSlot *slot = (GwSlot *) link;
	GwSlots *slots = link->owner;

	if (was_open)
	{
		slots->connected--;
		slots->lost++;
	}
	else
		slots->failures++;
	note_away(slots, reason);
	reopen(slots, slot);
	slots->done(slot, NULL);
}

/*
 * All of them
 */

void
gw_slots_open(GwSlots *slots)
{
	static const GwLinkEvents events = {link_opened, link_finished, link_lost};

	snprintf(slots->application_name, sizeof(slots->application_name), "wa_gateway %s",
			 slots->name);
	slots->items = httpd_alloc0((size_t) slots->size * sizeof(GwSlot));
	slots->away_since = httpd_now_us();
	for (int i = 0; i < slots->size; i++)
	{
		slots->items[i].link.events = &events;
		slots->items[i].link.owner = slots;
	}
	open_slot(&slots->items[0]);
}

void
gw_slots_close(GwSlots *slots)
{
	for (int i = 0; i < slots->size; i++)
	{
		httpd_timer_cancel(&slots->items[i].reopen);
		gw_link_close(&slots->items[i].link);
	}
	free(slots->items);
	free(slots->schema);
}
