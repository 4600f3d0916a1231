/*
 * standby.c
 *	  What the launcher does while the server is a standby.
 *
 * It notes in the data directory that this server streams, and on which timeline,
 * so that after a promotion the senders know it for the successor of the server
 * that it followed, and not for a backup that somebody has started
 * (base/home.c); and, when recovery has ended, up to which time it knows of what
 * that server did.  A standby that is only fed from an archive looks like such a
 * backup, and is taken for one.
 *
 * Nothing in the server tells an extension of the end of recovery, so this looks
 * for it.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "replication/walreceiver.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#include "base/home.h"
#include "launcher/standby.h"

/* The senders of a promoted standby start this much later at most. */
#define LOOK_AGAIN_MS 500

void
wa_standby_watch(void)
{
	TimeLineID noted = 0;
	TimeLineID replayed;

	while (RecoveryInProgress())
	{
		CHECK_FOR_INTERRUPTS();
		(void) GetXLogReplayRecPtr(&replayed);
		if (replayed != noted && WalRcvStreaming())
		{
			wa_home_note_streaming(replayed, 0);
			noted = replayed;
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_AGAIN_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	if (noted != 0)
		wa_home_note_streaming(noted, GetLatestXTime());
}
