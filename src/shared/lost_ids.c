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

#include "executor/spi.h"
#include "miscadmin.h"

#include "base/statement.h"
#include "shared/lost_ids.h"
#include "shared/shmem.h"

static WaStatement statement = {
	.sql = "SELECT pg_catalog.setval(s.id, pg_catalog.nextval(s.id) OPERATOR(pg_catalog.+) 1000000)"
		   " FROM (SELECT pg_catalog.pg_get_serial_sequence("
		   "'@extschema@.whatsapp_messages', 'id')::pg_catalog.regclass) AS s (id)",
	.expected = SPI_OK_SELECT};

/* Of this database; notes that it is so from now on.  One too many is left as it is. */
static bool
are_left_out(bool note)
{
	bool found = false;
	int i = 0;

	LWLockAcquire(wa_shared->lock, note ? LW_EXCLUSIVE : LW_SHARED);
	while (i < WA_MAX_SENDERS && OidIsValid(wa_shared->without_lost_ids[i]) && !found)
		found = wa_shared->without_lost_ids[i++] == MyDatabaseId;
	if (note && !found && i < WA_MAX_SENDERS)
		wa_shared->without_lost_ids[i] = MyDatabaseId;
	found |= i == WA_MAX_SENDERS;
	LWLockRelease(wa_shared->lock);
	return found;
}

void
wa_lost_ids_leave_out(Oid schema)
{
	static bool done; /* as far as this process knows */

	if (done || wa_shared == NULL || !wa_shared->began_as_standby)
		return;
	if (!are_left_out(false))
	{
		(void) wa_statement_run(&statement, schema, NULL, NULL);
		(void) are_left_out(true);
	}
	done = true;
}
