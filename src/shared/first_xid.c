/*
 * first_xid.c
 *	  The first transaction that changed something of ours since the server started.
 *
 * A server that was promoted has two kinds of rows: those that came by replication,
 * and what somebody has written here since.  Their times are those of two clocks; but
 * transaction ids only grow, and all that were replayed are smaller than any that this
 * server has given out.  So whoever writes messages, or what decides which of them may
 * leave, says so here before he commits.
 */
#include "postgres.h"

#include "access/xact.h"

#include "shared/first_xid.h"
#include "shared/shmem.h"

void
wa_first_xid_note(void)
{
	uint64 mine;
	uint64 first;

	if (wa_shared == NULL)
		return;
	mine = U64FromFullTransactionId(GetTopFullTransactionId());
	first = pg_atomic_read_u64(&wa_shared->first_xid);
	while (first == 0 || mine < first)
		if (pg_atomic_compare_exchange_u64(&wa_shared->first_xid, &first, mine))
			break;
}

TransactionId
wa_first_xid(void)
{
	uint64 first = pg_atomic_read_u64(&wa_shared->first_xid);

	return first == 0 ? InvalidTransactionId
					  : XidFromFullTransactionId(FullTransactionIdFromU64(first));
}
