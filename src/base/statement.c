/*
 * statement.c
 *	  SQL statements of ours that a backend plans once and keeps.
 *
 * Entry points that are called from triggers cannot afford to parse and plan
 * their statements each time.  Plans are generic (every statement of ours
 * reaches few rows through an index, whatever its arguments), and their text
 * names the schema, so that no search_path matters.
 *
 * PostgreSQL re-plans from the text when an object changes.  What it cannot
 * know is that the text itself is stale, because the schema was renamed or the
 * extension was dropped and created elsewhere: this module does.
 */
#include "postgres.h"

#include "catalog/pg_namespace.h"
#include "lib/stringinfo.h"
#include "nodes/parsenodes.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/schema.h"
#include "base/statement.h"

#define SCHEMA_MARK "@extschema@"

/*
 * Counts changes of pg_namespace, and losses of its cache: there may be many that
 * do not concern us, so a kept plan older than that is made anew only if its text
 * would be another one.
 */
static uint64 namespace_generation = 0;

static void
namespace_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	namespace_generation++;
}

static void
watch_namespaces(void)
{
	static bool watching = false;

	if (watching)
		return;
	CacheRegisterSyscacheCallback(NAMESPACEOID, namespace_changed, (Datum) 0);
	watching = true;
}

static char *
expand_schema(const char *sql, const char *quoted)
{
	StringInfoData buf;
	const char *mark;

	initStringInfo(&buf);
	while ((mark = strstr(sql, SCHEMA_MARK)) != NULL)
	{
		appendBinaryStringInfo(&buf, sql, mark - sql);
		appendStringInfoString(&buf, quoted);
		sql = mark + strlen(SCHEMA_MARK);
	}
	appendStringInfoString(&buf, sql);
	return buf.data;
}

/*
 * The kept plan for this schema, made at first use.
 *
 * One that has gone stale is left behind and not freed: an outer call of
 * this same backend may be executing it, and schemas are renamed rarely enough.
 */
static SPIPlanPtr
prepare(WaStatement *statement, Oid schema)
{
	SPIPlanPtr fresh;
	uint64 generation;
	char *quoted;

	if (likely(statement->plan != NULL && statement->schema == schema &&
			   statement->generation == namespace_generation))
		return statement->plan;

	watch_namespaces();
	generation = namespace_generation;
	quoted = wa_schema_quoted(schema);
	if (statement->plan != NULL && statement->schema == schema &&
		strcmp(statement->quoted_schema, quoted) == 0)
	{
		statement->generation = generation;
		pfree(quoted);
		return statement->plan;
	}

	fresh = SPI_prepare_cursor(expand_schema(statement->sql, quoted), statement->nargs,
							   statement->argtypes, CURSOR_OPT_GENERIC_PLAN);
	if (fresh == NULL)
		elog(ERROR, "could not prepare statement: %s", SPI_result_code_string(SPI_result));
	if (SPI_keepplan(fresh) != 0)
		elog(ERROR, "could not keep prepared statement");
	statement->plan = fresh;
	statement->schema = schema;
	strlcpy(statement->quoted_schema, quoted, sizeof(statement->quoted_schema));
	statement->generation = generation;
	return fresh;
}

/*
 * Not while it is being executed.
 */
void
wa_statement_forget(WaStatement *statement)
{
	if (statement->plan != NULL)
		SPI_freeplan(statement->plan);
	statement->plan = NULL;
}

WaRows
wa_statement_run(WaStatement *statement, Oid schema, Datum *values, const char *nulls)
{
	SPIPlanPtr prepared = prepare(statement, schema);

	return wa_rows_taken(SPI_execute_plan(prepared, values, nulls, false, 0), statement->expected,
						 statement->sql);
}

WaRows
wa_statement_run_latest(WaStatement *statement, Oid schema, Datum *values, const char *nulls)
{
	SPIPlanPtr prepared = prepare(statement, schema);

	return wa_rows_taken(SPI_execute_snapshot(prepared, values, nulls, GetLatestSnapshot(),
											  InvalidSnapshot, false, true, 0),
						 statement->expected, statement->sql);
}

bool
wa_statement_select_bool(WaStatement *statement, Oid schema, Datum *values)
{
	WaRows rows = wa_statement_run_latest(statement, schema, values, NULL);
	bool result = wa_rows_int(&rows, 0, 1, false) != 0;

	wa_rows_free(&rows);
	return result;
}
