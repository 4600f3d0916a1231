/*
 * replication.h
 *	  What of a commit is on the synchronous standbys.
 */
#ifndef WA_SENDER_STORE_REPLICATION_H
#define WA_SENDER_STORE_REPLICATION_H

#include "access/xlogdefs.h"

/* Whether commits of this server wait for standbys, as the configuration that was read last has it.
 */
extern bool wa_replication_is_synchronous(void);

/*
 * Whether what was committed up to here is flushed wherever synchronous_standby_names
 * asks for that; true where it asks for nothing.  Outside of a transaction, too.
 */
extern bool wa_replication_has(XLogRecPtr lsn);

/* Where the last commit of this process ends. */
extern XLogRecPtr wa_replication_last_commit(void);

#endif
