/*
 * standby.h
 *	  What the launcher does while the server is a standby.
 */
#ifndef WA_LAUNCHER_STANDBY_H
#define WA_LAUNCHER_STANDBY_H

/*
 * Returns when recovery has ended, at once if there is none.  Needs no database
 * connection, and holds nothing while it waits.
 */
extern void wa_standby_watch(void);

#endif
