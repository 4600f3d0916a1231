/*
 * config_rows.c
 *	  What a sender keeps in memory of the tables that people write.
 */
#include "postgres.h"

#include "executor/spi.h"
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

int
wa_store_numbers(WaNumberRow **numbers)
{
	static WaStatement statement = {
		.sql = "SELECT phone_number_id, messages_per_second::pg_catalog.text, throughput_level,"
			   " messaging_limit, rate_factor::pg_catalog.text"
			   " FROM @extschema@.whatsapp_phone_numbers",
		.expected = SPI_OK_SELECT};
	WaRows rows = wa_store_run(&statement, NULL, NULL);
	int n = (int) rows.count;

	*numbers = palloc(sizeof(WaNumberRow) * Max(n, 1));
	for (int i = 0; i < n; i++)
		(*numbers)[i] = (WaNumberRow){.phone_number_id = wa_rows_text(&rows, i, 1),
									  .messages_per_second = double_column(&rows, i, 2),
									  .throughput_level = wa_rows_text(&rows, i, 3),
									  .messaging_limit = wa_rows_text(&rows, i, 4),
									  .rate_factor = double_column(&rows, i, 5)};
	return n;
}

int
wa_store_tenants(WaTenantRow **tenants)
{
	static WaStatement statement = {
		.sql = "SELECT t.tenant_id, t.enabled, t.messages_per_second::pg_catalog.text,"
			   " COALESCE(t.daily_share, -1)::pg_catalog.text, a.phone_number_id"
			   " FROM @extschema@.whatsapp_tenants t"
			   " LEFT JOIN @extschema@.whatsapp_phone_assignments a"
			   " ON a.tenant_id OPERATOR(pg_catalog.=) t.tenant_id AND a.unassigned_at IS NULL",
		.expected = SPI_OK_SELECT};
	WaRows rows = wa_store_run(&statement, NULL, NULL);
	int n = (int) rows.count;

	*tenants = palloc(sizeof(WaTenantRow) * Max(n, 1));
	for (int i = 0; i < n; i++)
		(*tenants)[i] = (WaTenantRow){.tenant_id = wa_rows_text(&rows, i, 1),
									  .enabled = wa_rows_int(&rows, i, 2, 1) != 0,
									  .messages_per_second = double_column(&rows, i, 3),
									  .daily_share = double_column(&rows, i, 4),
									  .phone_number_id = wa_rows_text(&rows, i, 5)};
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
