/*
 * lost_ids.c
 *	  Ids of messages that were lost with a former primary.
 *
 * A primary that vanishes may have given the next ids to messages whose commits no
 * standby has received, and may have sent them.  Meta's reports of those name the id
 * and the attempt.  If a promoted server gave the same ids to messages of its own,
 * such a report would find one of them, and take for sent what is not.  So the first
 * message after a promotion leaves many ids out: more than are committed while a
 * standby is behind.
 *
 * Those who come at the same time may do it as well, each for itself, which does no
 * harm.  After a crash of the promoted server nobody knows any more; it is done by then,
 * for the sender does it, too, when it takes over.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"

#include "base/rows.h"
#include "base/statement.h"
#include "shared/lost_ids.h"
#include "shared/shmem.h"

#define LEFT_OUT INT64_C(1000000)

static WaStatement statement = {
	.sql = "SELECT pg_catalog.setval(s.id, pg_catalog.nextval(s.id) OPERATOR(pg_catalog.+) $1)"
		   " FROM (SELECT pg_catalog.pg_get_serial_sequence("
		   "'@extschema@.whatsapp_messages', 'id')::pg_catalog.regclass) AS s (id)",
	.nargs = 1,
	.argtypes = {INT8OID},
	.expected = SPI_OK_SELECT};

/* The lock is held.  Where this database is, or would be; WA_MAX_SENDERS: there is no room. */
static int
place(void)
{
	int i = 0;

	while (i < WA_MAX_SENDERS && OidIsValid(wa_shared->without_lost_ids[i]) &&
		   wa_shared->without_lost_ids[i] != MyDatabaseId)
		i++;
	return i;
}

/* Of this database.  One too many is left as it is. */
static bool
are_left_out(void)
{
	bool done;
	int i;

	LWLockAcquire(wa_shared->lock, LW_SHARED);
	i = place();
	done = i == WA_MAX_SENDERS || OidIsValid(wa_shared->without_lost_ids[i]);
	LWLockRelease(wa_shared->lock);
	return done;
}

/* They are from now on.  Of those who have done it the first has met the lowest id. */
static void
note(int64 first)
{
	int i;

	LWLockAcquire(wa_shared->lock, LW_EXCLUSIVE);
	i = place();
	if (i < WA_MAX_SENDERS)
	{
		bool done = OidIsValid(wa_shared->without_lost_ids[i]);

		wa_shared->without_lost_ids[i] = MyDatabaseId;
		wa_shared->first_lost_ids[i] = done ? Min(wa_shared->first_lost_ids[i], first) : first;
	}
	LWLockRelease(wa_shared->lock);
}

void
wa_lost_ids_leave_out(Oid schema)
{
	static bool done; /* as far as this process knows */

	if (done || wa_shared == NULL || !wa_shared->began_as_standby)
		return;
	if (!are_left_out())
	{
		Datum count = Int64GetDatum(LEFT_OUT);
		WaRows rows = wa_statement_run(&statement, schema, &count, NULL);

		note(wa_rows_int(&rows, 0, 1, 0) - LEFT_OUT);
	}
	done = true;
}

int64
wa_lost_ids_first(void)
{
	int64 first = 0;
	int i;

	if (wa_shared == NULL)
		return 0;
	LWLockAcquire(wa_shared->lock, LW_SHARED);
	i = place();
	if (i < WA_MAX_SENDERS && OidIsValid(wa_shared->without_lost_ids[i]))
		first = wa_shared->first_lost_ids[i];
	LWLockRelease(wa_shared->lock);
	return first;
}
