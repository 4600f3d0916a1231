/*
 * descriptors.h
 *	  How many connections a sender may have open.
 */
#ifndef WA_SENDER_DESCRIPTORS_H
#define WA_SENDER_DESCRIPTORS_H

/*
 * Makes room for the sockets of this many connections and says how many there may
 * be: 0 for any number.  Logs it if they are not as many as wanted.  What an earlier
 * call made room for is taken back.
 */
extern int wa_descriptors_for_sockets(int connections);

/* How many connections that makes; as many as wanted if there is room for all. */
extern int wa_descriptors_connections(void);

/* A set to wait for this many events, in spite of what is borrowed for sockets. */
extern struct WaitEventSet *wa_descriptors_create_wait_set(int events);

/* Makes *borrowed, of PostgreSQL's share, as many as count. */
extern void wa_descriptors_borrow(int *borrowed, int count);

#endif
