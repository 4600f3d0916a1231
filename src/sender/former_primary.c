/*
 * former_primary.c
 *	  Asking the server that this one followed whether it still runs.
 *
 * Whoever promotes a standby because its primary is gone wants it to send; whoever
 * promotes one to try something out beside a living primary does not.  What they
 * do is the same, so the one way to know is to ask.  The server's own library for
 * walreceivers is there for that, with the rights that primary_conninfo has:
 * those of replication.
 *
 * The address may be that of whoever is the primary now, and the answer then our
 * own, or that of a successor: the timeline tells.  A server that is a standby
 * itself sends nothing.  Silence is no proof that it has gone, only the best there
 * is; two primaries that cannot see each other are for fencing to prevent.
 */
#include "postgres.h"

#include <limits.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "replication/walreceiver.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "sender/former_primary.h"

/* A primary that lives answers in milliseconds; a failover should not wait for one that does not.
 */
#define ASK_TIMEOUT_MS 3000

/* In a transaction: the value of in_hot_standby over there; true if it does not say. */
static bool
is_standby(WalReceiverConn *connection)
{
	Oid types[1] = {TEXTOID};
	WalRcvExecResult *result = walrcv_exec(connection, "SHOW in_hot_standby", 1, types);
	bool standby = true;

	if (result->status == WALRCV_OK_TUPLES)
	{
		TupleTableSlot *slot = MakeSingleTupleTableSlot(result->tupledesc, &TTSOpsMinimalTuple);
		bool isnull;

		if (tuplestore_gettupleslot(result->tuplestore, true, false, slot))
			standby = strcmp(TextDatumGetCString(slot_getattr(slot, 1, &isnull)), "off") != 0;
		ExecDropSingleTupleTableSlot(slot);
	}
	walrcv_clear_result(result);
	return standby;
}

/* In a transaction; raises when it takes too long. */
static bool
ask(TimeLineID before)
{
	char ours[32];
	char *theirs;
	char *problem = NULL;
	TimeLineID timeline;
	WalReceiverConn *connection;
	bool runs = false;

	if (WalReceiverFunctions == NULL)
		load_file("libpqwalreceiver", false);
	connection = wa_walrcv_connect(PrimaryConnInfo, "whatsapp_shared", &problem);
	if (connection == NULL)
		return false;
	snprintf(ours, sizeof(ours), UINT64_FORMAT, GetSystemIdentifier());
	theirs = walrcv_identify_system(connection, &timeline);
	if (strcmp(theirs, ours) == 0 && timeline <= before)
		runs = !is_standby(connection);
	walrcv_disconnect(connection);
	return runs;
}

/*
 * What is cut off by the timeout leaves its connection to the end of the process:
 * the library offers no way to it then.
 */
bool
wa_former_primary_runs(TimeLineID before)
{
	MemoryContext old = CurrentMemoryContext;
	volatile bool runs = false;

	if (PrimaryConnInfo == NULL || PrimaryConnInfo[0] == '\0')
		return false;
	StartTransactionCommand();
	PG_TRY();
	{
		enable_timeout_after(STATEMENT_TIMEOUT, ASK_TIMEOUT_MS);
		runs = ask(before);
		disable_timeout(STATEMENT_TIMEOUT, false);
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		disable_timeout(STATEMENT_TIMEOUT, false);
		QueryCancelPending = false;
		MemoryContextSwitchTo(old);
		FlushErrorState();
		AbortCurrentTransaction();
		runs = false;
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return runs;
}
