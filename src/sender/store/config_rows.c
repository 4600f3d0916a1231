/*
 * config_rows.c
 *	  What a sender keeps in memory of the tables that people write.
 *
 * There may be ten thousand tenants, and to hand all of them over takes some ten
 * times as long as to look at each.  So after the first reading only rows are returned
 * that have been written since: those whose transaction the snapshot of the last
 * reading could not be sure to have seen the end of.  A subtransaction is younger
 * than the transaction it belongs to, so its rows are among them.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/rows.h"
#include "base/statement.h"
#include "sender/store/config_rows.h"
#include "sender/store/transaction.h"

/* A number that is text in the row; 0 for NULL. */
static double
double_column(const WaRows *rows, int row, int column)
{
	const char *text = wa_rows_text(rows, row, column);

	return text != NULL ? atof(text) : 0;
}

#define WRITTEN_SINCE(row) "pg_catalog.age(" row ".xmin) OPERATOR(pg_catalog.<=) pg_catalog.age($1)"

TransactionId
wa_store_config_horizon(void)
{
	return GetActiveSnapshot()->xmin;
}

/* The statement for all, or the one for what has changed. */
static WaRows
run_since(WaStatement *all, WaStatement *changed, TransactionId since)
{
	Datum values[1] = {TransactionIdGetDatum(since)};

	if (!TransactionIdIsValid(since))
		return wa_store_run(all, NULL, NULL);
	return wa_store_run(changed, values, NULL);
}

#define NUMBERS                                                                                    \
	"SELECT n.phone_number_id, n.messages_per_second::pg_catalog.text, n.throughput_level,"        \
	" n.messaging_limit, n.rate_factor::pg_catalog.text, n.is_on_biz_app"                          \
	" FROM @extschema@.whatsapp_phone_numbers n"

int
wa_store_numbers(TransactionId since, WaNumberRow **numbers)
{
	static WaStatement all = {.sql = NUMBERS, .expected = SPI_OK_SELECT};
	static WaStatement changed = {.sql = NUMBERS " WHERE " WRITTEN_SINCE("n"),
								  .nargs = 1,
								  .argtypes = {XIDOID},
								  .expected = SPI_OK_SELECT};
	WaRows rows = run_since(&all, &changed, since);
	int n = (int) rows.count;

	*numbers = palloc(sizeof(WaNumberRow) * Max(n, 1));
	for (int i = 0; i < n; i++)
		(*numbers)[i] = (WaNumberRow){.phone_number_id = wa_rows_text(&rows, i, 1),
									  .messages_per_second = double_column(&rows, i, 2),
									  .throughput_level = wa_rows_text(&rows, i, 3),
									  .messaging_limit = wa_rows_text(&rows, i, 4),
									  .rate_factor = double_column(&rows, i, 5),
									  .is_on_biz_app = wa_rows_int(&rows, i, 6, 0) != 0};
	return n;
}

int
wa_store_messaging_limits(const char ***limits)
{
	static WaStatement statement = {
		.sql = "SELECT DISTINCT messaging_limit FROM @extschema@.whatsapp_phone_numbers"
			   " WHERE messaging_limit IS NOT NULL",
		.expected = SPI_OK_SELECT};
	WaRows rows = wa_store_run(&statement, NULL, NULL);
	int n = (int) rows.count;

	*limits = palloc(sizeof(char *) * Max(n, 1));
	for (int i = 0; i < n; i++)
		(*limits)[i] = wa_rows_text(&rows, i, 1);
	return n;
}

/* Of tenants with what they are assigned. */
#define TENANTS(which)                                                                             \
	"SELECT t.tenant_id, t.enabled, t.messages_per_second::pg_catalog.text,"                       \
	" COALESCE(t.daily_share, -1)::pg_catalog.text, a.phone_number_id,"                            \
	" t.marketing_api, t.on_thread OPERATOR(pg_catalog.=) 'take_over'"                             \
	" FROM @extschema@.whatsapp_tenants t" which                                                   \
	" LEFT JOIN @extschema@.whatsapp_phone_assignments a"                                          \
	" ON a.tenant_id OPERATOR(pg_catalog.=) t.tenant_id AND a.unassigned_at IS NULL"

int
wa_store_tenants(TransactionId since, WaTenantRow **tenants)
{
	static WaStatement all = {.sql = TENANTS(""), .expected = SPI_OK_SELECT};
	static WaStatement changed = {
		.sql = TENANTS(" JOIN (SELECT c.tenant_id FROM @extschema@.whatsapp_tenants c"
					   " WHERE " WRITTEN_SINCE(
						   "c") " UNION"
								" SELECT c.tenant_id FROM @extschema@.whatsapp_phone_assignments c"
								" WHERE " WRITTEN_SINCE(
									"c") ") x"
										 " ON x.tenant_id OPERATOR(pg_catalog.=) t.tenant_id"),
		.nargs = 1,
		.argtypes = {XIDOID},
		.expected = SPI_OK_SELECT};
	WaRows rows = run_since(&all, &changed, since);
	int n = (int) rows.count;

	*tenants = palloc(sizeof(WaTenantRow) * Max(n, 1));
	for (int i = 0; i < n; i++)
		(*tenants)[i] = (WaTenantRow){.tenant_id = wa_rows_text(&rows, i, 1),
									  .enabled = wa_rows_int(&rows, i, 2, 1) != 0,
									  .messages_per_second = double_column(&rows, i, 3),
									  .daily_share = double_column(&rows, i, 4),
									  .phone_number_id = wa_rows_text(&rows, i, 5),
									  .marketing_api = wa_rows_int(&rows, i, 6, 0) != 0,
									  .takes_over = wa_rows_int(&rows, i, 7, 0) != 0};
	return n;
}

int
wa_store_pauses(WaPauseRow **pauses)
{
	static WaStatement statement = {
		.sql = "SELECT scope, key, until FROM @extschema@.whatsapp_pauses"
			   " WHERE until IS NULL OR until OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()",
		.expected = SPI_OK_SELECT};
	WaRows rows = wa_store_run(&statement, NULL, NULL);
	int n = (int) rows.count;

	*pauses = palloc(sizeof(WaPauseRow) * Max(n, 1));
	for (int i = 0; i < n; i++)
		(*pauses)[i] = (WaPauseRow){.scope = wa_rows_text(&rows, i, 1),
									.key = wa_rows_text(&rows, i, 2),
									.until = wa_rows_time(&rows, i, 3, DT_NOEND)};
	return n;
}
