/*
 * held_numbers.c
 *	  Which numbers the databases of this server send from.
 *
 * No session can look into another database.  So sender 0 of each writes here
 * which numbers its tenants have, and wa_health() finds those that two databases
 * would send from: neither keeps to the number's rate then, and replies come to
 * one of the two.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "shared/held_numbers.h"
#include "shared/shmem.h"
#include "shared/wake.h"

PG_FUNCTION_INFO_V1(wa_internal_held_elsewhere);

void
wa_held_numbers_publish(const uint64 *keys, int n)
{
	WaHeldNumbers *held = &wa_shared->held;
	int kept = 0;

	LWLockAcquire(wa_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < held->count; i++)
		if (held->numbers[i].dboid != MyDatabaseId)
			held->numbers[kept++] = held->numbers[i];
	for (int i = 0; i < n && kept < WA_MAX_HELD_NUMBERS; i++)
	{
		held->numbers[kept].key = keys[i];
		held->numbers[kept++].dboid = MyDatabaseId;
	}
	held->count = kept;
	LWLockRelease(wa_shared->lock);
}

/* The OID of another database that holds this number, too; NULL if there is none. */
Datum
wa_internal_held_elsewhere(PG_FUNCTION_ARGS)
{
	uint64 key = wa_number_key(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	Oid found = InvalidOid;

	if (wa_shared == NULL)
		PG_RETURN_NULL();
	LWLockAcquire(wa_shared->lock, LW_SHARED);
	for (int i = 0; i < wa_shared->held.count; i++)
		if (wa_shared->held.numbers[i].key == key &&
			wa_shared->held.numbers[i].dboid != MyDatabaseId)
			found = wa_shared->held.numbers[i].dboid;
	LWLockRelease(wa_shared->lock);
	if (!OidIsValid(found))
		PG_RETURN_NULL();
	PG_RETURN_OID(found);
}
