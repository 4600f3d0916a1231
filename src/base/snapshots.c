/*
 * snapshots.c
 *	  Whose transactions keep dead rows from being removed.
 *
 * pg_stat_activity shows the transactions of others to few roles only, and the owner
 * of our tables need not be one of them.  What is given here says which process holds
 * what, and nothing of what it does: no statement, no role, no address.
 */
#include "postgres.h"

#include "access/transam.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(wa_internal_snapshots);

/*
 * Only sessions of a database hold back what is removed from its tables; a standby
 * that reports its own oldest snapshot holds back those of all.
 */
static bool
matters(const PgBackendStatus *status)
{
	if (status->st_procpid == MyProcPid)
		return false;
	return status->st_databaseid == MyDatabaseId || status->st_backendType == B_WAL_SENDER;
}

/* The older of what it sees and what it is; invalid: it has neither. */
static TransactionId
oldest_xid(const LocalPgBackendStatus *local)
{
	if (!TransactionIdIsNormal(local->backend_xmin))
		return local->backend_xid;
	if (!TransactionIdIsNormal(local->backend_xid) ||
		TransactionIdPrecedes(local->backend_xmin, local->backend_xid))
		return local->backend_xmin;
	return local->backend_xid;
}

/*
 * Of each process that keeps rows: its id, whether it is a standby's, since when its
 * transaction lasts, and how many transactions there have been since.
 */
Datum
wa_internal_snapshots(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TransactionId next = ReadNextTransactionId();
	int n = pgstat_fetch_stat_numbackends();

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 1; i <= n; i++)
	{
		LocalPgBackendStatus *local = wa_local_backend_status(i);
		TransactionId xid;
		Datum values[4];
		bool nulls[4] = {false};

		if (local == NULL || !matters(&local->backendStatus))
			continue;
		xid = oldest_xid(local);
		if (!TransactionIdIsNormal(xid))
			continue;
		values[0] = Int32GetDatum(local->backendStatus.st_procpid);
		values[1] = BoolGetDatum(local->backendStatus.st_backendType == B_WAL_SENDER);
		nulls[2] = local->backendStatus.st_xact_start_timestamp == 0;
		values[2] = TimestampTzGetDatum(local->backendStatus.st_xact_start_timestamp);
		values[3] = Int64GetDatum((int64) (int32) (next - xid));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
