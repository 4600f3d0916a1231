/*
 * alert.c
 *	  Alerts that the sender raises for people.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "base/statement.h"
#include "sender/store/alert.h"
#include "sender/store/transaction.h"

void
wa_store_alert_parked(const char *phone_number_id, int64 message_id)
{
	static WaStatement statement = {
		.sql = "SELECT @extschema@.wa_internal_alert('warning', 'uncertain', 'number', $1, $2,"
			   " pg_catalog.jsonb_build_object('message_id', $3))",
		.nargs = 3,
		.argtypes = {TEXTOID, TEXTOID, INT8OID},
		.expected = SPI_OK_SELECT};
	Datum values[3];

	values[0] = CStringGetTextDatum(phone_number_id != NULL ? phone_number_id : "");
	values[1] = CStringGetTextDatum("A message may or may not have been sent and no webhook says "
									"so: decide with wa_resolve_message()");
	values[2] = Int64GetDatum(message_id);
	wa_store_run(&statement, values, NULL);
}
