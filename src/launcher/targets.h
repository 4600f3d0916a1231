/*
 * targets.h
 *	  Which databases should have senders.
 */
#ifndef WA_LAUNCHER_TARGETS_H
#define WA_LAUNCHER_TARGETS_H

#include "nodes/pg_list.h"

typedef struct WaTarget
{
	Oid dboid;
	char dbname[NAMEDATALEN];
	int nsenders; /* that it is to have: launcher/room.c */
} WaTarget;

/*
 * The databases listed in the settings that exist and can be connected to, as
 * WaTargets in the current memory context.  *missing: some cannot.  Runs a
 * transaction of its own.
 */
extern List *wa_targets_find(bool *missing);

#endif
