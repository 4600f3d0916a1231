/*
 * upkeep_rows.c
 *	  What upkeep asks of the tables, most of it through functions of ours.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/rows.h"
#include "base/statement.h"
#include "sender/store/transaction.h"
#include "sender/store/upkeep_rows.h"

/* Skips through the index from one number to the next. */
int
wa_store_ready_numbers(const char ***ids)
{
	static WaStatement statement = {
		.sql = "WITH RECURSIVE n(number) AS ("
			   "(SELECT phone_number_id FROM @extschema@.whatsapp_queue WHERE state "
			   "OPERATOR(pg_catalog.=) 'r'"
			   " ORDER BY phone_number_id LIMIT 1)"
			   " UNION ALL"
			   " SELECT (SELECT q.phone_number_id FROM @extschema@.whatsapp_queue q"
			   " WHERE q.state OPERATOR(pg_catalog.=) 'r' AND q.phone_number_id "
			   "OPERATOR(pg_catalog.>) n.number"
			   " ORDER BY q.phone_number_id LIMIT 1)"
			   " FROM n WHERE n.number IS NOT NULL"
			   ") SELECT number FROM n WHERE number IS NOT NULL",
		.expected = SPI_OK_SELECT};
	WaRows rows = wa_store_run(&statement, NULL, NULL);
	int n = (int) rows.count;

	*ids = palloc(sizeof(char *) * Max(n, 1));
	for (int i = 0; i < n; i++)
		(*ids)[i] = wa_rows_text(&rows, i, 1);
	return n;
}

/*
 * Ids follow creation closely, so the walk from the oldest on ends at the first
 * message that is too young to matter.
 */
static WaStatement old_statement = {
	.sql = "WITH rule AS (SELECT pg_catalog.make_interval(mins => $2) AS std),"
		   " span AS MATERIALIZED (SELECT m.id, m.tenant_id, m.created_at, m.finished_at"
		   " FROM @extschema@.whatsapp_messages m WHERE m.id OPERATOR(pg_catalog.>) $1 ORDER BY "
		   "m.id LIMIT $3)"
		   " SELECT pg_catalog.count(*), pg_catalog.max(s.id),"
		   " pg_catalog.max(s.created_at) OPERATOR(pg_catalog.<) (pg_catalog.now() "
		   "OPERATOR(pg_catalog.-) LEAST((SELECT std FROM rule WHERE std OPERATOR(pg_catalog.>) "
		   "'0'),"
		   " (SELECT pg_catalog.min(retention) FROM @extschema@.whatsapp_tenants WHERE retention "
		   "OPERATOR(pg_catalog.>) '0'))),"
		   " COALESCE(pg_catalog.array_agg(s.id) FILTER (WHERE"
		   " s.finished_at OPERATOR(pg_catalog.<) (pg_catalog.now() OPERATOR(pg_catalog.-)"
		   " CASE WHEN t.retention OPERATOR(pg_catalog.<>) '0' THEN t.retention ELSE r.std END)"
		   " AND COALESCE(t.retention, r.std) OPERATOR(pg_catalog.>) '0'), '{}')"
		   " FROM span s CROSS JOIN rule r"
		   " LEFT JOIN @extschema@.whatsapp_tenants t ON t.tenant_id OPERATOR(pg_catalog.=) "
		   "s.tenant_id",
	.nargs = 3,
	.argtypes = {INT8OID, INT4OID, INT4OID},
	.expected = SPI_OK_SELECT};

static WaStatement forget_old_statement = {.sql =
											   "SELECT @extschema@.wa_internal_forget_messages($1)",
										   .nargs = 1,
										   .argtypes = {INT8ARRAYOID},
										   .expected = SPI_OK_SELECT};

/* What somebody has locked is passed by, until the walk begins anew. */
int64
wa_store_delete_old(int64 after_id, int keep_minutes, int max)
{
	Datum values[3] = {Int64GetDatum(after_id), Int32GetDatum(keep_minutes), Int32GetDatum(max)};
	WaRows rows = wa_store_run(&old_statement, values, NULL);
	bool more = wa_rows_int(&rows, 0, 1, 0) == max && wa_rows_int(&rows, 0, 3, 0) != 0;
	int64 last_id = wa_rows_int(&rows, 0, 2, 0);
	bool isnull;

	values[0] = wa_rows_datum(&rows, 0, 4, &isnull);
	wa_store_run(&forget_old_statement, values, NULL);
	return more ? last_id : 0;
}

bool
wa_store_erase(int max)
{
	static WaStatement statement = {
		.sql = "SELECT @extschema@.wa_internal_erase(NULL::pg_catalog.int8, $1)",
		.nargs = 1,
		.argtypes = {INT4OID},
		.expected = SPI_OK_SELECT};
	Datum values[1] = {Int32GetDatum(max)};
	WaRows rows = wa_store_run(&statement, values, NULL);

	return wa_rows_int(&rows, 0, 1, false);
}

int64
wa_store_release_stale_holds(const char *reason, int64 after_id, int max)
{
	static WaStatement statement = {
		.sql = "SELECT @extschema@.wa_internal_release_stale_holds($1, $2, $3)",
		.nargs = 3,
		.argtypes = {TEXTOID, INT8OID, INT4OID},
		.expected = SPI_OK_SELECT};
	Datum values[3] = {CStringGetTextDatum(reason), Int64GetDatum(after_id), Int32GetDatum(max)};
	WaRows rows = wa_store_run(&statement, values, NULL);

	return wa_rows_int(&rows, 0, 1, PG_INT64_MIN);
}

/* Of a statement that returns when it is to be run again, and how much it has done. */
static bool
did_something(WaStatement *statement, TimestampTz *next)
{
	WaRows rows = wa_store_run(statement, NULL, NULL);

	*next = wa_rows_time(&rows, 0, 1, DT_NOEND);
	return wa_rows_int(&rows, 0, 2, 0) > 0;
}

bool
wa_store_end_pauses(TimestampTz *next_end)
{
	static WaStatement statement = {
		.sql = "SELECT next_end, lifted FROM @extschema@.wa_internal_resume_due()",
		.expected = SPI_OK_SELECT};

	return did_something(&statement, next_end);
}

bool
wa_store_begin_quiet_hours(TimestampTz *next_begin)
{
	static WaStatement statement = {
		.sql = "SELECT next_begin, deferred FROM @extschema@.wa_internal_begin_quiet_hours()",
		.expected = SPI_OK_SELECT};

	return did_something(&statement, next_begin);
}

void
wa_store_lift_account_pause(void)
{
	static WaStatement statement = {
		.sql = "SELECT @extschema@.wa_internal_lift_pause('account'::pg_catalog.text, "
			   "''::pg_catalog.text, true)",
		.expected = SPI_OK_SELECT};

	wa_store_run(&statement, NULL, NULL);
}

void
wa_store_rematch(void)
{
	static WaStatement statement = {.sql = "SELECT @extschema@.wa_internal_rematch(),"
										   " @extschema@.wa_internal_match_early_replies()",
									.expected = SPI_OK_SELECT};

	wa_store_run(&statement, NULL, NULL);
}

void
wa_store_reconcile(void)
{
	static WaStatement statement = {.sql = "SELECT @extschema@.wa_internal_reconcile()",
									.expected = SPI_OK_SELECT};

	wa_store_run(&statement, NULL, NULL);
}
