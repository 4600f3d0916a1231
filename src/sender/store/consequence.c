/*
 * consequence.c
 *	  What follows from an error response beyond its own message.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "base/arrays.h"
#include "base/statement.h"
#include "sender/store/consequence.h"
#include "sender/store/transaction.h"

static WaStatement pause_statement = {
	.sql = "SELECT @extschema@.wa_internal_pause_for_error($1, $2, $3, $4, $5,"
		   " pg_catalog.clock_timestamp())",
	.nargs = 5,
	.argtypes = {TEXTOID, TEXTOID, INT4OID, TEXTOID, INT4OID},
	.expected = SPI_OK_SELECT};

static WaStatement opt_out_statement = {
	.sql =
		"SELECT @extschema@.wa_internal_opt_out_for_error($1,"
		" pg_catalog.array_fill(pg_catalog.clock_timestamp(), ARRAY[pg_catalog.cardinality($1)]))",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
	.expected = SPI_OK_SELECT};

static WaStatement unknown_code_statement = {
	.sql = "SELECT @extschema@.wa_internal_alert_unknown_code($1, $2, 1)",
	.nargs = 2,
	.argtypes = {INT4OID, TEXTOID},
	.expected = SPI_OK_SELECT};

void
wa_store_pause(const char *scope, const char *key, int code, const char *detail, int seconds)
{
	Datum values[5];

	values[0] = CStringGetTextDatum(scope);
	values[1] = CStringGetTextDatum(key);
	values[2] = Int32GetDatum(code);
	values[3] = CStringGetTextDatum(detail);
	values[4] = Int32GetDatum(seconds);
	wa_store_run(&pause_statement, values, NULL);
}

void
wa_store_opt_outs(const int64 *message_ids, int n)
{
	Datum values[1];

	if (n == 0)
		return;
	values[0] = wa_array_of_int8(message_ids, n);
	wa_store_run(&opt_out_statement, values, NULL);
}

void
wa_store_alert_unknown_code(int code, const char *detail)
{
	Datum values[2] = {Int32GetDatum(code), CStringGetTextDatum(detail)};

	wa_store_run(&unknown_code_statement, values, NULL);
}
