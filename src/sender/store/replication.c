/*
 * replication.c
 *	  What of a commit is on the synchronous standbys.
 *
 * That a commit has returned does not say so.  Its wait for a standby ends with a
 * WARNING when somebody cancels it, when the process is told to end and when the
 * postmaster has died; and it does not wait at all between a reload that names
 * standbys and the moment at which the checkpointer has heard of it, or where
 * somebody's trigger has turned synchronous_commit off for the transaction.  The
 * one thing that holds is the position up to which the walsenders have released
 * waiters, by whatever rule synchronous_standby_names has: first ones, a quorum.
 *
 * Whether there are standbys to wait for is read from the setting and not from
 * shared memory, whose flag for it has changed between minor releases.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/lwlock.h"

#include "sender/store/replication.h"

bool
wa_replication_is_synchronous(void)
{
	return max_wal_senders > 0 && SyncRepStandbyNames != NULL && SyncRepStandbyNames[0] != '\0';
}

/* The walsenders advance the positions of all modes, whoever waits for which. */
bool
wa_replication_has(XLogRecPtr lsn)
{
	XLogRecPtr flushed;

	if (!wa_replication_is_synchronous())
		return true;
	LWLockAcquire(SyncRepLock, LW_SHARED);
	flushed = WalSndCtl->lsn[SYNC_REP_WAIT_FLUSH];
	LWLockRelease(SyncRepLock);
	return lsn <= flushed;
}

XLogRecPtr
wa_replication_last_commit(void)
{
	return XactLastCommitEnd;
}
