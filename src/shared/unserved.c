/*
 * unserved.c
 *	  What no sender serves although the settings say that one should.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "shared/shmem.h"
#include "shared/wake.h"

PG_FUNCTION_INFO_V1(wa_internal_unserved_databases);
PG_FUNCTION_INFO_V1(wa_internal_sender_of);

/*
 * wa_internal_unserved_databases(): those in which a sender found no extension.
 * Senders look again when it is created.
 */
Datum
wa_internal_unserved_databases(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	NameData names[WA_MAX_SENDERS];
	int count = 0;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (wa_shared == NULL)
		PG_RETURN_NULL();

	LWLockAcquire(wa_shared->lock, LW_SHARED);
	for (int i = 0; i < WA_MAX_SENDERS; i++)
	{
		const WaSenderSlot *slot = &wa_shared->slots[i];

		/* One row for a database, however many senders it is to have. */
		if (slot->in_use && slot->no_extension && slot->index == 0)
			namestrcpy(&names[count++], slot->dbname);
	}
	LWLockRelease(wa_shared->lock);

	for (int i = 0; i < count; i++)
	{
		Datum value = NameGetDatum(&names[i]);
		bool isnull = false;

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	}
	PG_RETURN_NULL();
}

/*
 * wa_internal_sender_of(phone_number_id, senders): which of so many sends from it.
 */
Datum
wa_internal_sender_of(PG_FUNCTION_ARGS)
{
	char *number = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int senders = PG_GETARG_INT32(1);

	PG_RETURN_INT32((int32) (wa_number_key(number) % (uint64) Max(senders, 1)));
}
