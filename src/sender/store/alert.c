/*
 * alert.c
 *	  What people should know: rows of whatsapp_alerts.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "sender/store/alert.h"
#include "sender/store/transaction.h"

void
wa_store_alert(const WaAlert *alert)
{
	static WaStatement statement = {
		.sql = "SELECT @extschema@.wa_internal_alert($1, $2, $3, $4, $5, CASE WHEN $6 "
			   "OPERATOR(pg_catalog.<>) 0"
			   " THEN pg_catalog.jsonb_build_object('message_id', $6) END)",
		.nargs = 6,
		.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID},
		.expected = SPI_OK_SELECT};
	Datum values[6];

	values[0] = CStringGetTextDatum(alert->severity);
	values[1] = CStringGetTextDatum(alert->kind);
	values[2] = CStringGetTextDatum(alert->scope);
	values[3] = CStringGetTextDatum(alert->key);
	values[4] = CStringGetTextDatum(alert->message);
	values[5] = Int64GetDatum(alert->message_id);
	wa_store_run(&statement, values, NULL);
}

void
wa_store_alert_accepted_twice(const int64 *ids, int n)
{
	static WaStatement statement = {.sql =
										"SELECT @extschema@.wa_internal_alert_accepted_twice($1)",
									.nargs = 1,
									.argtypes = {INT8ARRAYOID},
									.expected = SPI_OK_SELECT};
	Datum values[1] = {wa_array_of_int8(ids, n)};

	wa_store_run(&statement, values, NULL);
}

void
wa_store_resolve_alert(const char *kind, const char *scope, const char *key)
{
	static WaStatement statement = {.sql =
										"SELECT @extschema@.wa_internal_resolve_alert($1, $2, $3)",
									.nargs = 3,
									.argtypes = {TEXTOID, TEXTOID, TEXTOID},
									.expected = SPI_OK_SELECT};
	Datum values[3];

	values[0] = CStringGetTextDatum(kind);
	values[1] = CStringGetTextDatum(scope);
	values[2] = CStringGetTextDatum(key);
	wa_store_run(&statement, values, NULL);
}

int
wa_store_open_alerts(const char *kind, const char ***keys)
{
	static WaStatement statement = {
		.sql = "SELECT a.key FROM @extschema@.whatsapp_alerts a"
			   " WHERE a.kind OPERATOR(pg_catalog.=) $1 AND a.resolved_at IS NULL",
		.nargs = 1,
		.argtypes = {TEXTOID},
		.expected = SPI_OK_SELECT};
	Datum values[1] = {CStringGetTextDatum(kind)};
	WaRows rows = wa_store_run(&statement, values, NULL);

	*keys = palloc(sizeof(char *) * Max(rows.count, 1));
	for (uint64 i = 0; i < rows.count; i++)
		(*keys)[i] = wa_rows_text(&rows, i, 1);
	return (int) rows.count;
}
