/*
 * service_window.c
 *	  The 24 hours after a customer's message, in which one may write freely.
 *
 * Outside of them Meta refuses everything but templates (131047), and does so
 * after the message has been accepted.  The times come from webhooks.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/lookup.h"
#include "base/statement.h"
#include "enqueue/service_window.h"

#define WINDOW_US (24 * USECS_PER_HOUR)

static WaLookup window_lookup = {.table = "whatsapp_windows",
								 .index = "whatsapp_windows_pkey",
								 .nkeys = 2,
								 .ncolumns = 1,
								 .columns = {"last_inbound_at"}};

static WaStatement known_statement = {
	.sql = "SELECT EXISTS (SELECT FROM @extschema@.whatsapp_windows)", .expected = SPI_OK_SELECT};

bool
wa_window_is_open(Oid schema, const text *phone_number_id, const char *recipient, TimestampTz when,
				  Snapshot snapshot)
{
	Datum keys[2];
	WaLookupRow *row;

	keys[0] = PointerGetDatum(phone_number_id);
	keys[1] = CStringGetTextDatum(recipient);
	row = wa_lookup_one(&window_lookup, schema, keys, snapshot);
	return row != NULL && when < DatumGetTimestampTz(row->values[0]) + WINDOW_US;
}

bool
wa_window_is_known(Oid schema)
{
	return wa_statement_select_bool(&known_statement, schema, NULL);
}
