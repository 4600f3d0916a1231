/*
 * event_rows.c
 *	  What a sender writes down of itself and of the settings: rows of whatsapp_events.
 *
 * What an event is, and when one is old, says sql/82-timeline.sql.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "sender/store/event_rows.h"
#include "sender/store/transaction.h"

void
wa_store_note_start(int index, TimestampTz launcher_began)
{
	static WaStatement statement = {
		.sql = "SELECT @extschema@.wa_internal_note_sender_start($1, $2, $3, $4)",
		.nargs = 4,
		.argtypes = {INT4OID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID},
		.expected = SPI_OK_SELECT};
	Datum values[4] = {Int32GetDatum(index), Int32GetDatum(MyProcPid),
					   TimestampTzGetDatum(PgStartTime), TimestampTzGetDatum(launcher_began)};

	(void) wa_store_run(&statement, values, NULL);
}

void
wa_store_note_stop(int index)
{
	static WaStatement statement = {.sql =
										"SELECT @extschema@.wa_internal_note_sender_stop($1, $2)",
									.nargs = 2,
									.argtypes = {INT4OID, INT4OID},
									.expected = SPI_OK_SELECT};
	Datum values[2] = {Int32GetDatum(index), Int32GetDatum(MyProcPid)};

	(void) wa_store_run(&statement, values, NULL);
}

void
wa_store_note_settings(const char **secrets, int n)
{
	static WaStatement statement = {.sql = "SELECT @extschema@.wa_internal_note_settings($1)",
									.nargs = 1,
									.argtypes = {TEXTARRAYOID},
									.expected = SPI_OK_SELECT};
	Datum values[1] = {wa_array_of_text(secrets, n)};

	(void) wa_store_run(&statement, values, NULL);
}

bool
wa_store_forget_events(int max)
{
	static WaStatement statement = {.sql = "SELECT @extschema@.wa_internal_forget_events($1)",
									.nargs = 1,
									.argtypes = {INT4OID},
									.expected = SPI_OK_SELECT};
	Datum values[1] = {Int32GetDatum(max)};
	WaRows rows = wa_store_run(&statement, values, NULL);

	return wa_rows_int(&rows, 0, 1, 0) == max;
}
