/*
 * reach_rows.c
 *	  Who was written to first in the last 24 hours: whatsapp_reach.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "sender/store/reach_rows.h"
#include "sender/store/transaction.h"

int
wa_store_reach(WaReachRow **reach)
{
	static WaStatement statement = {
		.sql =
			"SELECT t.tenant_id, COALESCE(t.daily_share, -1)::pg_catalog.text, COALESCE(r.used, 0),"
			" r.oldest"
			" FROM @extschema@.whatsapp_tenants t LEFT JOIN ("
			"SELECT tenant_id, pg_catalog.count(*) AS used, pg_catalog.min(reached_at) AS oldest"
			" FROM @extschema@.whatsapp_reach"
			" WHERE reached_at OPERATOR(pg_catalog.>=) (pg_catalog.clock_timestamp() "
			"OPERATOR(pg_catalog.-) interval '24 hours')"
			" GROUP BY tenant_id) r ON r.tenant_id OPERATOR(pg_catalog.=) t.tenant_id",
		.expected = SPI_OK_SELECT};
	WaRows rows = wa_store_run(&statement, NULL, NULL);
	int n = (int) rows.count;

	*reach = palloc(sizeof(WaReachRow) * Max(n, 1));
	for (int i = 0; i < n; i++)
		(*reach)[i] = (WaReachRow){.tenant_id = wa_rows_text(&rows, i, 1),
								   .daily_share = atof(wa_rows_text(&rows, i, 2)),
								   .used = wa_rows_int(&rows, i, 3, 0),
								   .oldest = wa_rows_time(&rows, i, 4, 0)};
	return n;
}

void
wa_store_prune_reach(void)
{
	static WaStatement statement = {
		.sql = "DELETE FROM @extschema@.whatsapp_reach"
			   " WHERE reached_at OPERATOR(pg_catalog.<) (pg_catalog.clock_timestamp() "
			   "OPERATOR(pg_catalog.-) interval '24 hours')",
		.expected = SPI_OK_DELETE};

	wa_store_run(&statement, NULL, NULL);
}

void
wa_store_is_reached(const char *const *recipients, const char *const *numbers, int n, bool *free)
{
	static WaStatement statement = {
		.sql = "SELECT v.ord, r.recipient IS NOT NULL OR w.recipient IS NOT NULL"
			   " FROM unnest($1, $2) WITH ORDINALITY AS v(recipient, number, ord)"
			   " LEFT JOIN @extschema@.whatsapp_reach r ON r.recipient OPERATOR(pg_catalog.=) "
			   "v.recipient"
			   " AND r.reached_at OPERATOR(pg_catalog.>=) (pg_catalog.clock_timestamp() "
			   "OPERATOR(pg_catalog.-) interval '24 hours')"
			   " LEFT JOIN @extschema@.whatsapp_windows w ON w.phone_number_id "
			   "OPERATOR(pg_catalog.=) v.number"
			   " AND w.recipient OPERATOR(pg_catalog.=) v.recipient"
			   " AND w.last_inbound_at OPERATOR(pg_catalog.>=) (pg_catalog.clock_timestamp() "
			   "OPERATOR(pg_catalog.-) interval '24 hours')",
		.nargs = 2,
		.argtypes = {TEXTARRAYOID, TEXTARRAYOID},
		.expected = SPI_OK_SELECT};
	Datum values[2] = {wa_array_of_text(recipients, n), wa_array_of_text(numbers, n)};
	WaRows rows = wa_store_run(&statement, values, NULL);

	for (uint64 i = 0; i < rows.count; i++)
		free[wa_rows_int(&rows, i, 1, 0) - 1] = wa_rows_int(&rows, i, 2, 0) != 0;
}

void
wa_store_add_reached(const char *const *recipients, const char *const *tenants, int n)
{
	static WaStatement statement = {
		.sql = "INSERT INTO @extschema@.whatsapp_reach (recipient, tenant_id, reached_at)"
			   " SELECT DISTINCT ON (v.recipient) v.recipient, v.tenant,"
			   " pg_catalog.clock_timestamp()"
			   " FROM unnest($1, $2) AS v(recipient, tenant)"
			   " ON CONFLICT (recipient) DO UPDATE SET tenant_id = EXCLUDED.tenant_id,"
			   " reached_at = EXCLUDED.reached_at",
		.nargs = 2,
		.argtypes = {TEXTARRAYOID, TEXTARRAYOID},
		.expected = SPI_OK_INSERT};
	Datum values[2] = {wa_array_of_text(recipients, n), wa_array_of_text(tenants, n)};

	wa_store_run(&statement, values, NULL);
}
