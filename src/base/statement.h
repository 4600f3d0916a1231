/*
 * statement.h
 *	  SQL statements of ours that a backend plans once and keeps.
 */
#ifndef WA_BASE_STATEMENT_H
#define WA_BASE_STATEMENT_H

#include "executor/spi.h"

#include "base/rows.h"

#define WA_STATEMENT_MAX_ARGS 24

/*
 * A statement, declared static.  "@extschema@" in its text stands for the
 * quoted schema of the extension, as in the install script.
 */
typedef struct WaStatement
{
	const char *sql;
	int nargs;
	Oid argtypes[WA_STATEMENT_MAX_ARGS];
	int expected; /* SPI_OK_...; another result is an internal error */

	/* private to base/statement.c */
	SPIPlanPtr plan;
	Oid schema;
	char quoted_schema[2 * NAMEDATALEN + 1]; /* as its text has it */
	uint64 generation;
} WaStatement;

/* Plan it again at its next use: the tables have grown.  Not while it runs. */
extern void wa_statement_forget(WaStatement *statement);

/*
 * Runs it and returns its rows (base/rows.h), which live until SPI_finish() or
 * wa_rows_free().  Needs an SPI connection.  "nulls" may be NULL.  wa_statement_run_latest also
 * sees what was committed after this transaction's snapshot was taken (REPEATABLE READ and up).
 * Raises what the statement raises.
 */
extern WaRows wa_statement_run(WaStatement *statement, Oid schema, Datum *values,
							   const char *nulls);
extern WaRows wa_statement_run_latest(WaStatement *statement, Oid schema, Datum *values,
									  const char *nulls);

/* The latter for a SELECT of one boolean, which it returns. */
extern bool wa_statement_select_bool(WaStatement *statement, Oid schema, Datum *values);

#endif
