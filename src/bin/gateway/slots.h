/*
 * slots.h
 *	  A number of connections to one database, which are kept open.
 *
 * One that is lost is made again, ever more slowly; while there is none, one
 * attempt at a time is made for all.  What runs on them is the owner's matter.
 */
#ifndef GW_SLOTS_H
#define GW_SLOTS_H

#include <stdint.h>

#include "bin/gateway/pglink.h"

typedef struct GwSlot
{
	GwLink link; /* first */
	HttpdTimer reopen;
	void *user; /* the owner's */
} GwSlot;

typedef struct GwSlots
{
	/* To be filled in; the texts must stay. */
	const char *conninfo;
	const char *name; /* for application_name and messages */
	int size;
	int statement_timeout_ms;
	void *owner;
	void (*opened)(GwSlot *slot); /* is free for its first statement */

	/*
	 * A statement is over; the slot is free for another one, unless its connection is
	 * lost.  NULL: it was lost before the result was there; user may be NULL then.
	 */
	void (*done)(GwSlot *slot, PGresult *result);

	/* To be read */
	GwSlot *items;
	int connected;
	int64_t away_since; /* 0: there is one */
	char trouble[300];	/* why there is none, or "" */
	char *schema;		/* of the extension, quoted; NULL until there was one */
	uint64_t lost;		/* connections */

	/* slots.c's own */
	char application_name[64];
	int failures; /* to connect, since one succeeded */
} GwSlots;

/* Begins to connect. */
extern void gw_slots_open(GwSlots *slots);
extern void gw_slots_close(GwSlots *slots);

extern GwSlots *gw_slots_of(const GwSlot *slot);

/* NULL: each is busy or away. */
extern GwSlot *gw_slots_free(const GwSlots *slots);

#endif
