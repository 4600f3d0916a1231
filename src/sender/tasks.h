/*
 * tasks.h
 *	  What a sender does besides the messages.
 */
#ifndef WA_SENDER_TASKS_H
#define WA_SENDER_TASKS_H

#include "sender/state/sender.h"

/* The most descriptors that wa_tasks_sockets() may hand over. */
#define WA_MAX_TASK_SOCKETS 2

/* The configuration was read; reconfigured: settings of the server, too. */
extern void wa_tasks_configured(WaSender *sender, bool reconfigured);

/* There may be something new, or due: look. */
extern void wa_tasks_requested(void);

/* Moves the network of those along that have one of their own; no SQL. */
extern void wa_tasks_network(void);

/* Does what is due, in transactions of its own. */
extern void wa_tasks_run(WaSender *sender);

/*
 * For the handler of an ERROR: whether wa_tasks_run() was ended by it; then what was
 * under way is taken back, and all tasks are put off, but not for a lock (locked).
 */
extern bool wa_tasks_are_running(void);
extern void wa_tasks_aborted(WaSender *sender, bool locked);

/* Ends what is under way on the network; none of it is lost. */
extern void wa_tasks_abandon(void);

/* Milliseconds until there is something to do; -1: never. */
extern long wa_tasks_wait_ms(WaSender *sender);

/* For the wait: the descriptors of the network; another generation, others. */
extern int wa_tasks_sockets(int sockets[WA_MAX_TASK_SOCKETS]);
extern uint32 wa_tasks_sockets_generation(void);

#endif
