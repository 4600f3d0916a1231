/*
 * sync_rows.c
 *	  What is to be read from Meta, and what has been.
 *
 * A page goes as it came to an SQL function that knows what it means.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "base/rows.h"
#include "base/statement.h"
#include "sender/store/sync_rows.h"
#include "sender/store/transaction.h"

const char *const wa_sync_kind_names[WA_SYNC_KINDS] = {"phone_numbers", "templates", "token"};

#define TAKES(type, text)                                                                          \
	{                                                                                              \
		.sql = (text), .nargs = 1, .argtypes = {type}, .expected = SPI_OK_SELECT                   \
	}

static WaStatement apply_statements[WA_SYNC_KINDS] = {
	TAKES(JSONBOID, "SELECT @extschema@.wa_internal_apply_phone_number_page($1)"),
	TAKES(JSONBOID, "SELECT @extschema@.wa_internal_apply_template_page($1)"),
	TAKES(JSONBOID, "SELECT @extschema@.wa_internal_apply_token_state($1)")};

static WaStatement finish_statements[WA_SYNC_KINDS] = {
	TAKES(TIMESTAMPTZOID, "SELECT @extschema@.wa_internal_finish_phone_number_sync($1)"),
	TAKES(TIMESTAMPTZOID, "SELECT @extschema@.wa_internal_finish_template_sync($1)"),
	{.sql = NULL}};

WaSyncKind
wa_store_next_sync(int interval, TimestampTz retry_before)
{
	static WaStatement statement = {
		.sql = "SELECT kind FROM @extschema@.whatsapp_sync"
			   " WHERE requested_at OPERATOR(pg_catalog.>) COALESCE(started_at, '-infinity')"
			   " OR ((error IS NOT NULL OR kind OPERATOR(pg_catalog.=) 'token')"
			   " AND started_at OPERATOR(pg_catalog.<) $2)"
			   " OR ($1 OPERATOR(pg_catalog.>) 0 AND COALESCE(finished_at, '-infinity')"
			   " OPERATOR(pg_catalog.<) (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) "
			   "pg_catalog.make_interval(secs => $1))"
			   " AND COALESCE(started_at, '-infinity')"
			   " OPERATOR(pg_catalog.<) (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) "
			   "pg_catalog.make_interval(secs => LEAST($1, 300))))"
			   " ORDER BY requested_at OPERATOR(pg_catalog.>) COALESCE(started_at, '-infinity') "
			   "DESC NULLS LAST, kind"
			   " LIMIT 1",
		.nargs = 2,
		.argtypes = {INT4OID, TIMESTAMPTZOID},
		.expected = SPI_OK_SELECT};
	Datum values[2] = {Int32GetDatum(interval), TimestampTzGetDatum(retry_before)};
	WaRows rows = wa_store_run(&statement, values, NULL);

	for (int kind = 0; rows.count > 0 && kind < WA_SYNC_KINDS; kind++)
		if (strcmp(wa_sync_kind_names[kind], wa_rows_text(&rows, 0, 1)) == 0)
			return kind;
	return WA_SYNC_NONE;
}

void
wa_store_sync_started(WaSyncKind kind, TimestampTz started)
{
	static WaStatement statement = {
		.sql = "UPDATE @extschema@.whatsapp_sync SET started_at = $2, error = NULL"
			   " WHERE kind OPERATOR(pg_catalog.=) $1",
		.nargs = 2,
		.argtypes = {TEXTOID, TIMESTAMPTZOID},
		.expected = SPI_OK_UPDATE};
	Datum values[2] = {CStringGetTextDatum(wa_sync_kind_names[kind]), TimestampTzGetDatum(started)};

	wa_store_run(&statement, values, NULL);
}

void
wa_store_sync_ended(WaSyncKind kind, int items, const char *error)
{
	static WaStatement statement = {
		.sql = "UPDATE @extschema@.whatsapp_sync SET error = $2,"
			   " finished_at = CASE WHEN $2 IS NULL THEN pg_catalog.clock_timestamp()"
			   " ELSE finished_at END,"
			   " items = CASE WHEN $2 IS NULL THEN $3 ELSE items END WHERE kind "
			   "OPERATOR(pg_catalog.=) $1",
		.nargs = 3,
		.argtypes = {TEXTOID, TEXTOID, INT4OID},
		.expected = SPI_OK_UPDATE};
	Datum values[3] = {CStringGetTextDatum(wa_sync_kind_names[kind]),
					   error == NULL ? (Datum) 0 : CStringGetTextDatum(error),
					   Int32GetDatum(items)};

	wa_store_run(&statement, values, error == NULL ? " n " : NULL);
}

char *
wa_store_apply_sync_page(WaSyncKind kind, const char *page, int *items)
{
	static WaStatement cursor =
		TAKES(JSONBOID,
			  "SELECT CASE WHEN $1 OPERATOR(pg_catalog.#>>) '{paging,next}' IS NOT NULL"
			  " THEN $1 OPERATOR(pg_catalog.#>>) '{paging,cursors,after}' END,"
			  " CASE WHEN pg_catalog.jsonb_typeof($1 OPERATOR(pg_catalog.->) 'data') "
			  "OPERATOR(pg_catalog.=) 'array'"
			  " THEN pg_catalog.jsonb_array_length($1 OPERATOR(pg_catalog.->) 'data') ELSE 1 END");
	Datum value = DirectFunctionCall1(jsonb_in, CStringGetDatum(page));
	WaRows rows;

	wa_store_run(&apply_statements[kind], &value, NULL);
	rows = wa_store_run(&cursor, &value, NULL);
	*items += (int) wa_rows_int(&rows, 0, 2, 0);
	return wa_rows_text(&rows, 0, 1);
}

void
wa_store_finish_sync(WaSyncKind kind, TimestampTz started)
{
	Datum value = TimestampTzGetDatum(started);

	if (finish_statements[kind].sql != NULL)
		wa_store_run(&finish_statements[kind], &value, NULL);
}
