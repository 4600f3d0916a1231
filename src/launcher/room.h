/*
 * room.h
 *	  How many senders the server has room for, and how many each database gets.
 */
#ifndef WA_LAUNCHER_ROOM_H
#define WA_LAUNCHER_ROOM_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/*
 * Sets nsenders of each of these WaTargets, and puts them into the order of their
 * databases' OIDs.  If not all are to have what the settings say, looks first whether
 * there is room for more by now, from time to time: returns when it will, or DT_NOEND.
 */
extern TimestampTz wa_room_share_out(List *targets);

/*
 * The server has refused a process although so many of our senders are registered.
 * True: it is certain that there is no room, and the shares are to be made anew.
 */
extern bool wa_room_refused(int registered);
extern void wa_room_granted(void);

/* When a sender that was refused may be tried again; 0: none was. */
extern TimestampTz wa_room_next_try(void);

/* After a reload: look at once. */
extern void wa_room_look_again(void);

/* A process that only finds out whether there is room for it. */
extern PGDLLEXPORT void wa_room_probe_main(Datum main_arg);

#endif
