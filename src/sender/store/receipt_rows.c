/*
 * receipt_rows.c
 *	  Messages of customers that are to be marked as read: whatsapp_read_receipts.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "sender/store/receipt_rows.h"
#include "sender/store/transaction.h"

bool
wa_store_next_receipt(const char *const *busy_numbers, int n, WaReceiptRow *row)
{
	static WaStatement statement = {
		.sql =
			"SELECT n.receipt_id, n.phone_number_id, n.whatsapp_message_id, n.typing, n.attempts,"
			" n.last_id FROM @extschema@.wa_internal_next_receipt($1) AS n",
		.nargs = 1,
		.argtypes = {TEXTARRAYOID},
		.expected = SPI_OK_SELECT};
	Datum values[1] = {wa_array_of_text(busy_numbers, n)};
	WaRows rows = wa_store_run(&statement, values, NULL);
	bool isnull;

	if (rows.count == 0)
		return false;
	row->receipt_id = wa_rows_int(&rows, 0, 1, 0);
	row->phone_number_id = wa_rows_text(&rows, 0, 2);
	row->whatsapp_message_id = wa_rows_text(&rows, 0, 3);
	row->typing = DatumGetBool(wa_rows_datum(&rows, 0, 4, &isnull));
	row->attempts = (int) wa_rows_int(&rows, 0, 5, 0);
	row->last_id = wa_rows_int(&rows, 0, 6, 0);
	return true;
}

TimestampTz
wa_store_next_receipt_time(void)
{
	static WaStatement statement = {.sql = "SELECT @extschema@.wa_internal_next_receipt_time()",
									.expected = SPI_OK_SELECT};
	WaRows rows = wa_store_run(&statement, NULL, NULL);

	return wa_rows_time(&rows, 0, 1, DT_NOEND);
}

void
wa_store_receipt_done(const WaReceiptRow *row)
{
	static WaStatement statement = {.sql = "SELECT @extschema@.wa_internal_receipt_done($1, $2)",
									.nargs = 2,
									.argtypes = {INT8OID, INT8OID},
									.expected = SPI_OK_SELECT};
	Datum values[2] = {Int64GetDatum(row->receipt_id), Int64GetDatum(row->last_id)};

	wa_store_run(&statement, values, NULL);
}

void
wa_store_clean_receipts(void)
{
	static WaStatement statement = {.sql = "SELECT @extschema@.wa_internal_clean_receipts()",
									.expected = SPI_OK_SELECT};

	wa_store_run(&statement, NULL, NULL);
}
