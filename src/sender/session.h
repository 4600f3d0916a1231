/*
 * session.h
 *	  The database session of a sender: its connection and the settings it runs
 *	  under, its lock, its extension.
 *
 * To be called outside of a transaction.
 */
#ifndef WA_SENDER_SESSION_H
#define WA_SENDER_SESSION_H

#include "postgres_ext.h"

/* Connects, as the bootstrap superuser; once, before anything that needs it. */
extern void wa_session_connect(Oid dboid);

/*
 * The lock that makes this the only sender of its index; kept for the process's
 * life.  False if another process has it.
 */
extern bool wa_session_lock_index(int index);

/* The schema of the extension and the version of its script; InvalidOid if there is none here. */
extern Oid wa_session_find_extension(char *version, size_t size);

/*
 * What is wrong with its objects, in the current memory context, or NULL: then they
 * may be called (base/ownership.h), as the owner of the tables.
 */
extern char *wa_session_find_flaw(Oid schema, Oid *owner);

#endif
