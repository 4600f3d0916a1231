/*
 * queue_guard.c
 *	  Telling the queue rows of this installation from those loaded by others.
 *
 * A queue row is an order to send.  One that a dump, COPY or logical replication
 * has brought may have been carried out already where it came from, and nothing
 * in the row says so.  But only one function of ours inserts such rows; it
 * announces each of them, and a trigger looks at whatever is inserted.  For a row
 * that nobody has announced it writes into whatsapp_home, in the same
 * transaction, that there is doubt: sending stops until wa_adopt().
 *
 * The trigger is a row trigger, because apply workers fire no other, and fires
 * ALWAYS for their sake.  A restore with --disable-triggers leaves it in another
 * state, which wa_internal_home_doubt() takes for the same.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"

#include "base/owner.h"
#include "base/statement.h"
#include "enqueue/queue_guard.h"

PG_FUNCTION_INFO_V1(wa_internal_queue_guard);

static WaStatement doubt_statement = {.sql = "SELECT @extschema@.wa_internal_doubt_home()",
									  .expected = SPI_OK_SELECT};

static bool expected;

void
wa_queue_guard_expect(void)
{
	expected = true;
}

/* Row trigger before INSERT; changes nothing of the row. */
Datum
wa_internal_queue_guard(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as a trigger", "wa_internal_queue_guard")));
	if (expected)
		expected = false;
	else
	{
		WaOwner owner;

		wa_owner_begin(&owner, fcinfo);
		(void) wa_statement_run(&doubt_statement, owner.schema, NULL, NULL);
		wa_owner_end(&owner);
	}
	return PointerGetDatum(((TriggerData *) fcinfo->context)->tg_trigtuple);
}
