/*
 * newcomer.c
 *	  Locks for persons of whom nobody has heard.
 *
 * Persons are locked by their rows.  Those who have none yet are locked by one of
 * 64 advisory locks, chosen by a hash of their form, so that two webhooks that hear of
 * the same ones go one after the other, in one order, and do not meet in the unique index
 * from two sides.  64, and not one each, because a body may tell of a thousand.
 *
 * So others share a lock with them.  That is well for the milliseconds until COMMIT, and
 * not for the seconds that a handler of the application may take.  A webhook that is about to
 * call one has written everybody by then, and lets go of these locks: who hears of
 * the same ones meets their rows, and waits for the webhook as for anybody known.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/array.h"

#include "webhook/newcomer.h"

#define LOCK_CLASS 0x5741504E /* "WAPN" */
#define PLACES 64

/* How often this webhook has locked each place. */
static uint32 held[PLACES];

PG_FUNCTION_INFO_V1(wa_internal_lock_newcomers);

static LOCKTAG
tag_of_place(int place)
{
	LOCKTAG tag;

	/* As pg_advisory_xact_lock(integer, integer) has it. */
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, LOCK_CLASS, place, 2);
	return tag;
}

void
wa_newcomers_begin(void)
{
	memset(held, 0, sizeof(held));
}

void
wa_newcomers_let_go(void)
{
	for (int place = 0; place < PLACES; place++)
	{
		LOCKTAG tag = tag_of_place(place);

		for (; held[place] > 0; held[place]--)
			(void) LockRelease(&tag, ExclusiveLock, false);
	}
}

/*
 * wa_internal_lock_newcomers(hashes): one integer for each of them, whichever their order.
 */
Datum
wa_internal_lock_newcomers(PG_FUNCTION_ARGS)
{
	Datum *hashes;
	int n;
	uint64 wanted = 0;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), INT4OID, sizeof(int32), true, TYPALIGN_INT, &hashes,
					  NULL, &n);
	for (int i = 0; i < n; i++)
		wanted |= UINT64CONST(1) << ((uint32) DatumGetInt32(hashes[i]) % PLACES);
	for (int place = 0; place < PLACES; place++)
	{
		LOCKTAG tag = tag_of_place(place);

		if ((wanted & (UINT64CONST(1) << place)) == 0)
			continue;
		(void) LockAcquire(&tag, ExclusiveLock, false, false);
		held[place]++;
	}
	PG_RETURN_VOID();
}
