/*
 * settled_rows.c
 *	  The rows that a settlement writes, locked beforehand.
 *
 * Only where somebody keeps rows locked: see sender/aside.c.  SKIP LOCKED says
 * nothing of what it skips, so what it has not returned is looked for again.  One
 * that was deleted between the two looks may be taken for locked: it is looked at
 * once more a moment later, like all of those.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "sender/store/fence.h"
#include "sender/store/settled_rows.h"
#include "sender/store/transaction.h"

#define SELECT_BY(key, table)                                                                      \
	"SELECT " key " FROM @extschema@." table " WHERE " key " OPERATOR(pg_catalog.=) ANY ($1)"

/* How the rows of one table are locked, and how they are found. */
typedef struct Lockable
{
	WaStatement lock;
	WaStatement look;
} Lockable;

#define LOCKABLE(key, table, mode)                                                                 \
	{                                                                                              \
		{.sql = SELECT_BY(key, table) " ORDER BY " key " FOR " mode " SKIP LOCKED",                \
		 .nargs = 1,                                                                               \
		 .argtypes = {INT8ARRAYOID},                                                               \
		 .expected = SPI_OK_SELECT},                                                               \
		{                                                                                          \
			.sql = SELECT_BY(key, table), .nargs = 1, .argtypes = {INT8ARRAYOID},                  \
			.expected = SPI_OK_SELECT                                                              \
		}                                                                                          \
	}

static Lockable lease_rows = LOCKABLE("lease_id", "whatsapp_leases", "UPDATE");
static Lockable queue_rows = LOCKABLE("message_id", "whatsapp_queue", "UPDATE");

/* A reference of the application's to a message is no obstacle. */
static Lockable message_rows = LOCKABLE("id", "whatsapp_messages", "NO KEY UPDATE");

/* Sets locked[i] where the row with this key is somebody else's; looks at the others only. */
static void
lock_rows(Lockable *lockable, const int64 *keys, int n, bool *locked)
{
	int64 *wanted = palloc(sizeof(int64) * Max(n, 1));
	int64 *missing = palloc(sizeof(int64) * Max(n, 1));
	int n_wanted = 0;
	int n_missing = 0;
	int n_there;
	WaRows rows;
	Datum values[1];

	for (int i = 0; i < n; i++)
		if (!locked[i])
			wanted[n_wanted++] = keys[i];
	values[0] = wa_array_of_int8(wanted, n_wanted);
	rows = wa_store_run(&lockable->lock, values, NULL);
	wa_fence_add_missing(&rows, wanted, n_wanted, missing, &n_missing);
	if (n_missing == 0)
		return;

	values[0] = wa_array_of_int8(missing, n_missing);
	rows = wa_store_run(&lockable->look, values, NULL);
	n_there = (int) rows.count;
	for (int i = 0; i < n_there; i++)
		missing[i] = wa_rows_int(&rows, i, 1, 0);
	wa_ids_sort(missing, n_there);
	for (int i = 0; i < n; i++)
		locked[i] |= wa_ids_contain(keys[i], missing, n_there);
}

void
wa_store_lock_settled(const int64 *leases, const int64 *messages, int n, bool *locked)
{
	memset(locked, false, sizeof(bool) * n);
	lock_rows(&lease_rows, leases, n, locked);
	lock_rows(&queue_rows, messages, n, locked);
	lock_rows(&message_rows, messages, n, locked);
}
