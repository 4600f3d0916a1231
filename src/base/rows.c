/*
 * rows.c
 *	  What a statement has returned, as C values.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "base/rows.h"

/* SPI's variables are read here, and nowhere else. */
WaRows
wa_rows_taken(int result, int expected, const char *sql)
{
	if (unlikely(result != expected))
		elog(ERROR, "statement ended with %s instead of %s: %s", SPI_result_code_string(result),
			 SPI_result_code_string(expected), sql);
	return (WaRows){.table = SPI_tuptable, .count = SPI_processed};
}

Datum
wa_rows_datum(const WaRows *rows, int row, int column, bool *isnull)
{
	return SPI_getbinval(rows->table->vals[row], rows->table->tupdesc, column, isnull);
}

char *
wa_rows_text(const WaRows *rows, int row, int column)
{
	return SPI_getvalue(rows->table->vals[row], rows->table->tupdesc, column);
}

Jsonb *
wa_rows_jsonb(const WaRows *rows, int row, int column)
{
	bool isnull;
	Datum value = wa_rows_datum(rows, row, column, &isnull);

	return isnull ? NULL : DatumGetJsonbPCopy(value);
}

int64
wa_rows_int(const WaRows *rows, int row, int column, int64 if_null)
{
	bool isnull;
	Datum value = wa_rows_datum(rows, row, column, &isnull);

	if (isnull)
		return if_null;
	switch (SPI_gettypeid(rows->table->tupdesc, column))
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			return DatumGetInt64(value);
		case OIDOID:
			return DatumGetObjectId(value);
		case BOOLOID:
			return DatumGetBool(value);
		default:
			elog(ERROR, "column %d is not an integer", column);
	}
	return 0; /* not reached */
}

TimestampTz
wa_rows_time(const WaRows *rows, int row, int column, TimestampTz if_null)
{
	bool isnull;
	Datum value = wa_rows_datum(rows, row, column, &isnull);

	return isnull ? if_null : DatumGetTimestampTz(value);
}

void
wa_rows_free(WaRows *rows)
{
	SPI_freetuptable(rows->table);
	rows->table = NULL;
}
