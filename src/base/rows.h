/*
 * rows.h
 *	  What a statement has returned, as C values.
 *
 * Rows count from 0, columns from 1, as SPI has them.
 */
#ifndef WA_BASE_ROWS_H
#define WA_BASE_ROWS_H

#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "utils/jsonb.h"

typedef struct WaRows
{
	SPITupleTable *table; /* NULL: the statement returns none */
	uint64 count;		  /* rows returned, or else changed */
} WaRows;

/*
 * What the execution that had this result has left with SPI; an internal error
 * unless the result is the expected SPI_OK_...  "sql" is for the message.
 *
 *		rows = wa_rows_taken(SPI_execute(sql, false, 0), SPI_OK_SELECT, sql);
 */
extern WaRows wa_rows_taken(int result, int expected, const char *sql);

/* A copy in the current memory context; NULL for SQL NULL. */
extern char *wa_rows_text(const WaRows *rows, int row, int column);
extern Jsonb *wa_rows_jsonb(const WaRows *rows, int row, int column);

/* Of any integer type, oid or boolean. */
extern int64 wa_rows_int(const WaRows *rows, int row, int column, int64 if_null);
extern TimestampTz wa_rows_time(const WaRows *rows, int row, int column, TimestampTz if_null);

/* As it stands in the row; it does not outlive that. */
extern Datum wa_rows_datum(const WaRows *rows, int row, int column, bool *isnull);

/* Earlier than SPI_finish() would. */
extern void wa_rows_free(WaRows *rows);

#endif
