/*
 * unserved.c
 *	  What no sender serves although the settings say that one should.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "shared/shmem.h"
#include "shared/wake.h"

PG_FUNCTION_INFO_V1(wa_internal_unserved_databases);
PG_FUNCTION_INFO_V1(wa_internal_sender_of);
PG_FUNCTION_INFO_V1(wa_internal_sender_room);

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

/*
 * wa_internal_sender_room(): how many senders are wanted in this server, how many there
 * is room for, and the max_worker_processes that would be enough; NULL for what is not
 * known to be too little.
 */
Datum
wa_internal_sender_room(PG_FUNCTION_ARGS)
{
	Datum values[3] = {0};
	bool nulls[3] = {true, true, true};
	WaRoom room = {0};
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (wa_shared != NULL)
	{
		LWLockAcquire(wa_shared->lock, LW_SHARED);
		room = wa_shared->room;
		LWLockRelease(wa_shared->lock);
	}
	if (!room.full)
		room.senders = WA_MAX_SENDERS;
	if (room.wanted > room.senders)
	{
		values[0] = Int32GetDatum(room.wanted);
		values[1] = Int32GetDatum(room.senders);
		values[2] = Int32GetDatum(room.wanted + room.others + 1);
		nulls[0] = nulls[1] = false;
		nulls[2] = !room.full;
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
