/*
 * home_rows.c
 *	  Whether the data of this database is at home, as its tables say.
 *
 * The rule is in sql/10-installation.sql.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "utils/lsyscache.h"

#include "base/rows.h"
#include "base/statement.h"
#include "sender/store/home_rows.h"
#include "sender/store/transaction.h"
#include "shared/wake.h"

static void
copy_clipped(char *to, size_t size, const char *from)
{
	size_t length = from == NULL ? 0 : pg_mbcliplen(from, strlen(from), size - 1);

	if (length > 0)
		memcpy(to, from, length);
	to[length] = '\0';
}

void
wa_store_read_home(WaHomeRow *home)
{
	static WaStatement statement = {
		.sql = "SELECT installation_id, doubt, copied FROM @extschema@.wa_internal_home()",
		.expected = SPI_OK_SELECT};
	WaRows rows = wa_store_run(&statement, NULL, NULL);

	copy_clipped(home->installation_id, sizeof(home->installation_id), wa_rows_text(&rows, 0, 1));
	copy_clipped(home->doubt, sizeof(home->doubt), wa_rows_text(&rows, 0, 2));
	home->copied = wa_rows_int(&rows, 0, 3, 0) != 0;
	home->table = get_relname_relid("whatsapp_home", wa_store_schema());
	home->queue = get_relname_relid("whatsapp_queue", wa_store_schema());
}

void
wa_store_take_over(void)
{
	static WaStatement statement = {.sql = "SELECT @extschema@.wa_internal_take_over()",
									.expected = SPI_OK_SELECT};

	(void) wa_store_run(&statement, NULL, NULL);
}

int
wa_store_tenants_numbers(uint64 **keys)
{
	static WaStatement statement = {
		.sql = "SELECT a.phone_number_id FROM @extschema@.whatsapp_phone_assignments AS a"
			   " WHERE a.unassigned_at IS NULL",
		.expected = SPI_OK_SELECT};
	WaRows rows = wa_store_run(&statement, NULL, NULL);

	*keys = palloc(sizeof(uint64) * Max(rows.count, 1));
	for (uint64 i = 0; i < rows.count; i++)
		(*keys)[i] = wa_number_key(wa_rows_text(&rows, i, 1));
	return (int) rows.count;
}
