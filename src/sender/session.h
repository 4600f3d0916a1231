/*
 * session.h
 *	  The database session of a sender: its settings, its lock, its extension.
 *
 * To be called outside of a transaction, once connected.
 */
#ifndef WA_SENDER_SESSION_H
#define WA_SENDER_SESSION_H

extern void wa_session_set(void);

/*
 * The lock that makes this the only sender of its index; kept for the process's
 * life.  False if another process has it.
 */
extern bool wa_session_lock_index(int index);

/* The schema of the extension; InvalidOid if there is none in this database. */
extern Oid wa_session_find_extension(void);

#endif
