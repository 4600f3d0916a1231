/*
 * fetch_rows.c
 *	  Files of customers to be fetched: whatsapp_inbound_media.
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
#include "sender/store/fetch_rows.h"
#include "sender/store/transaction.h"

bool
wa_store_next_fetch(const char *const *busy, int n, const char *last, int delay_ms,
					int max_delay_ms, WaFetchRow *row)
{
	static WaStatement statement = {
		.sql = "SELECT n.inbound_id, n.phone_number_id, n.media_id, n.attempts"
			   " FROM @extschema@.wa_internal_next_inbound_media($1, $2, $3, $4) AS n",
		.nargs = 4,
		.argtypes = {TEXTARRAYOID, TEXTOID, INT8OID, INT8OID},
		.expected = SPI_OK_SELECT};
	Datum values[4] = {wa_array_of_text(busy, n), CStringGetTextDatum(last),
					   Int64GetDatum(delay_ms), Int64GetDatum(max_delay_ms)};
	WaRows rows = wa_store_run(&statement, values, NULL);

	if (rows.count == 0)
		return false;
	row->inbound_id = wa_rows_int(&rows, 0, 1, 0);
	row->phone_number_id = wa_rows_text(&rows, 0, 2);
	row->media_id = wa_rows_text(&rows, 0, 3);
	row->attempts = (int) wa_rows_int(&rows, 0, 4, 0);
	return true;
}

TimestampTz
wa_store_next_fetch_time(void)
{
	static WaStatement statement = {.sql =
										"SELECT @extschema@.wa_internal_next_inbound_media_time()",
									.expected = SPI_OK_SELECT};
	WaRows rows = wa_store_run(&statement, NULL, NULL);

	return wa_rows_time(&rows, 0, 1, DT_NOEND);
}

void
wa_store_file_piece(int64 inbound_id, size_t from_byte, const char *bytes, size_t n)
{
	static WaStatement statement = {
		.sql = "SELECT @extschema@.wa_internal_store_inbound_media($1, $2, $3)",
		.nargs = 3,
		.argtypes = {INT8OID, INT8OID, BYTEAOID},
		.expected = SPI_OK_SELECT};
	bytea *copy = palloc(VARHDRSZ + n);
	Datum values[3] = {Int64GetDatum(inbound_id), Int64GetDatum((int64) from_byte),
					   PointerGetDatum(copy)};

	SET_VARSIZE(copy, VARHDRSZ + n);
	memcpy(VARDATA(copy), bytes, n);
	wa_store_run(&statement, values, NULL);
	pfree(copy);
}

void
wa_store_fetched(int64 inbound_id, size_t size, const char *sha256, const char *mime_type)
{
	static WaStatement statement = {
		.sql = "SELECT @extschema@.wa_internal_inbound_media_fetched($1, $2, $3, $4)",
		.nargs = 4,
		.argtypes = {INT8OID, INT8OID, TEXTOID, TEXTOID},
		.expected = SPI_OK_SELECT};
	Datum values[4] = {Int64GetDatum(inbound_id), Int64GetDatum((int64) size),
					   CStringGetTextDatum(sha256), CStringGetTextDatum(mime_type)};

	wa_store_run(&statement, values, NULL);
}

void
wa_store_fetch_failed(const WaFetchFailure *failure)
{
	static WaStatement statement = {
		.sql = "SELECT @extschema@.wa_internal_inbound_media_failed($1, $2, $3, $4, $5, $6)",
		.nargs = 6,
		.argtypes = {INT8OID, TEXTOID, TEXTOID, INT8OID, BOOLOID, INT8OID},
		.expected = SPI_OK_SELECT};
	Datum values[6];
	char nulls[7] = "      ";

	values[0] = Int64GetDatum(failure->inbound_id);
	values[1] = CStringGetTextDatum(failure->verdict);
	values[2] = CStringGetTextDatum(failure->reason);
	values[3] = Int64GetDatum(failure->size);
	values[4] = BoolGetDatum(failure->counts);
	values[5] = Int64GetDatum(failure->delay_ms);
	if (failure->size < 0)
		nulls[3] = 'n';
	wa_store_run(&statement, values, nulls);
}
