/*
 * forward_rows.c
 *	  Webhooks that wait for other nodes: whatsapp_forwards, whatsapp_nodes.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "sender/store/forward_rows.h"
#include "sender/store/transaction.h"

int
wa_store_nodes(WaNodeRow **rows)
{
	static WaStatement statement = {
		.sql = "SELECT n.node, n.url FROM @extschema@.whatsapp_nodes AS n ORDER BY n.node",
		.expected = SPI_OK_SELECT};
	WaRows found = wa_store_run(&statement, NULL, NULL);
	int n = (int) found.count;

	*rows = palloc(sizeof(WaNodeRow) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		(*rows)[i].node = wa_rows_text(&found, i, 1);
		(*rows)[i].url = wa_rows_text(&found, i, 2);
	}
	return n;
}

int
wa_store_next_forwards(const WaForwardQuery *query, WaForwardRow **rows)
{
	static WaStatement statement = {
		.sql = "SELECT f.forward_id, f.entry"
			   " FROM @extschema@.wa_internal_next_forwards($1, $2, $3, $4, $5, $6) AS f",
		.nargs = 6,
		.argtypes = {TEXTOID, BOOLOID, INT8OID, INT4OID, INT8OID, INT8OID},
		.expected = SPI_OK_SELECT};
	Datum values[6] = {CStringGetTextDatum(query->node), BoolGetDatum(query->has_words),
					   Int64GetDatum(query->after),		 Int32GetDatum(query->most),
					   Int64GetDatum(query->most_bytes), Int64GetDatum(query->most_parts)};
	WaRows found = wa_store_run(&statement, values, NULL);
	int n = (int) found.count;

	*rows = palloc(sizeof(WaForwardRow) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		(*rows)[i].forward_id = wa_rows_int(&found, i, 1, 0);
		(*rows)[i].entry = wa_rows_text(&found, i, 2);
	}
	return n;
}

TimestampTz
wa_store_next_forward_time(void)
{
	static WaStatement statement = {.sql = "SELECT @extschema@.wa_internal_next_forward_time()",
									.expected = SPI_OK_SELECT};
	WaRows rows = wa_store_run(&statement, NULL, NULL);

	return wa_rows_time(&rows, 0, 1, DT_NOEND);
}

void
wa_store_forwarded(const char *node, const int64 *ids, int n)
{
	static WaStatement statement = {.sql = "SELECT @extschema@.wa_internal_forwarded($1, $2)",
									.nargs = 2,
									.argtypes = {TEXTOID, INT8ARRAYOID},
									.expected = SPI_OK_SELECT};
	Datum values[2] = {CStringGetTextDatum(node), wa_array_of_int8(ids, n)};

	wa_store_run(&statement, values, NULL);
}

void
wa_store_forward_failed(const char *node, const int64 *ids, int n, bool refused,
						const char *problem)
{
	static WaStatement statement = {
		.sql = "SELECT @extschema@.wa_internal_forward_failed($1, $2, $3, $4)",
		.nargs = 4,
		.argtypes = {TEXTOID, INT8ARRAYOID, BOOLOID, TEXTOID},
		.expected = SPI_OK_SELECT};
	Datum values[4] = {CStringGetTextDatum(node), wa_array_of_int8(ids, n), BoolGetDatum(refused),
					   CStringGetTextDatum(problem)};

	wa_store_run(&statement, values, NULL);
}

void
wa_store_keep_forwards(void)
{
	static WaStatement statement = {.sql = "SELECT @extschema@.wa_internal_keep_forwards()",
									.expected = SPI_OK_SELECT};

	wa_store_run(&statement, NULL, NULL);
}
