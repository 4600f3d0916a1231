/*
 * upload_rows.c
 *	  Files to be uploaded: whatsapp_media.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "compat.h"
#include "sender/store/transaction.h"
#include "sender/store/upload_rows.h"

void
wa_store_settle_uploads(void)
{
	static WaStatement statement = {.sql = "SELECT @extschema@.wa_internal_settle_media()",
									.expected = SPI_OK_SELECT};

	wa_store_run(&statement, NULL, NULL);
}

bool
wa_store_next_upload(const char *const *busy_numbers, int n, int delay_ms, int max_delay_ms,
					 WaUploadRow *row)
{
	static WaStatement statement = {
		.sql = "SELECT * FROM @extschema@.wa_internal_next_media($1, $2, $3)",
		.nargs = 3,
		.argtypes = {TEXTARRAYOID, INT8OID, INT8OID},
		.expected = SPI_OK_SELECT};
	Datum values[3] = {wa_array_of_text(busy_numbers, n), Int64GetDatum(delay_ms),
					   Int64GetDatum(max_delay_ms)};
	WaRows rows = wa_store_run(&statement, values, NULL);
	bytea *content;
	bool isnull;

	if (rows.count == 0)
		return false;
	row->id = wa_rows_int(&rows, 0, 1, 0);
	row->phone_number_id = wa_rows_text(&rows, 0, 2);
	row->mime_type = wa_rows_text(&rows, 0, 3);
	row->filename = wa_rows_text(&rows, 0, 4);
	content = DatumGetByteaPP(wa_rows_datum(&rows, 0, 5, &isnull));
	row->content = VARDATA_ANY(content);
	row->size = VARSIZE_ANY_EXHDR(content);
	row->attempts = (int) wa_rows_int(&rows, 0, 6, 0);
	return true;
}

TimestampTz
wa_store_next_upload_time(void)
{
	static WaStatement statement = {.sql = "SELECT @extschema@.wa_internal_next_media_time()",
									.expected = SPI_OK_SELECT};
	WaRows rows = wa_store_run(&statement, NULL, NULL);

	return wa_rows_time(&rows, 0, 1, DT_NOEND);
}

void
wa_store_uploaded(int64 id, const char *phone_number_id, const char *media_id)
{
	static WaStatement statement = {.sql =
										"SELECT @extschema@.wa_internal_media_uploaded($1, $2, $3)",
									.nargs = 3,
									.argtypes = {INT8OID, TEXTOID, TEXTOID},
									.expected = SPI_OK_SELECT};
	Datum values[3] = {Int64GetDatum(id), CStringGetTextDatum(phone_number_id),
					   CStringGetTextDatum(media_id)};

	wa_store_run(&statement, values, NULL);
}

void
wa_store_upload_failed(const WaUploadFailure *failure)
{
	static WaStatement statement = {
		.sql = "SELECT @extschema@.wa_internal_media_failed($1, $2, $3, $4, $5, $6)",
		.nargs = 6,
		.argtypes = {INT8OID, INT4OID, TEXTOID, BOOLOID, BOOLOID, INT8OID},
		.expected = SPI_OK_SELECT};
	Datum values[6];

	values[0] = Int64GetDatum(failure->id);
	values[1] = Int32GetDatum(failure->code);
	values[2] = CStringGetTextDatum(failure->message);
	values[3] = BoolGetDatum(failure->for_good);
	values[4] = BoolGetDatum(failure->counts);
	values[5] = Int64GetDatum(failure->delay_ms);
	wa_store_run(&statement, values, NULL);
}

void
wa_store_clean_media(int keep_minutes)
{
	static WaStatement statement = {
		.sql = "SELECT @extschema@.wa_internal_clean_media(pg_catalog.make_interval(mins => $1))",
		.nargs = 1,
		.argtypes = {INT4OID},
		.expected = SPI_OK_SELECT};
	Datum values[1] = {Int32GetDatum(keep_minutes)};

	wa_store_run(&statement, values, NULL);
}
