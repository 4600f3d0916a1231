/*
 * statement.h
 *	  SQL statements of ours that a backend plans once and keeps.
 */
#ifndef WA_BASE_STATEMENT_H
#define WA_BASE_STATEMENT_H

#include "executor/spi.h"

#define WA_PLAN_MAX_ARGS 24

/*
 * A statement, declared static.  "@extschema@" in its text stands for the
 * quoted schema of the extension, as in the install script.
 */
typedef struct WaPlan
{
	const char *sql;
	int nargs;
	Oid argtypes[WA_PLAN_MAX_ARGS];

	/* private to base/statement.c */
	SPIPlanPtr plan;
	Oid schema;
	char quoted_schema[2 * NAMEDATALEN + 1]; /* as its text has it */
	uint64 generation;
} WaPlan;

/* The kept plan for this schema, made at first use.  Needs SPI_connect(). */
extern SPIPlanPtr wa_plan_get(WaPlan *plan, Oid schema);

/* Makes it be planned again at its next use: the tables have grown. */
extern void wa_plan_forget(WaPlan *plan);

/*
 * Runs it; an answer other than "expected" (SPI_OK_...) is an internal error.
 * "nulls" may be NULL.  wa_plan_execute_latest also sees what was committed
 * after this transaction's snapshot was taken (REPEATABLE READ and up).
 */
extern void wa_plan_execute(WaPlan *plan, Oid schema, Datum *values, const char *nulls,
							int expected);
extern void wa_plan_execute_latest(WaPlan *plan, Oid schema, Datum *values, const char *nulls,
								   int expected);

/* The same for a SELECT of one boolean, which it returns. */
extern bool wa_plan_select_bool(WaPlan *plan, Oid schema, Datum *values);

#endif
