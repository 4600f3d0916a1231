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
 * A plan that has gone stale is left behind and not freed: an outer call of
 * this same backend may be executing it, and schemas are renamed rarely enough.
 */
SPIPlanPtr
wa_plan_get(WaPlan *plan, Oid schema)
{
	SPIPlanPtr fresh;
	uint64 generation;
	char *quoted;

	if (likely(plan->plan != NULL && plan->schema == schema &&
			   plan->generation == namespace_generation))
		return plan->plan;

	watch_namespaces();
	generation = namespace_generation;
	quoted = wa_schema_quoted(schema);
	if (plan->plan != NULL && plan->schema == schema && strcmp(plan->quoted_schema, quoted) == 0)
	{
		plan->generation = generation;
		pfree(quoted);
		return plan->plan;
	}

	fresh = SPI_prepare_cursor(expand_schema(plan->sql, quoted), plan->nargs, plan->argtypes,
							   CURSOR_OPT_GENERIC_PLAN);
	if (fresh == NULL)
		elog(ERROR, "could not prepare statement: %s", SPI_result_code_string(SPI_result));
	if (SPI_keepplan(fresh) != 0)
		elog(ERROR, "could not keep prepared statement");
	plan->plan = fresh;
	plan->schema = schema;
	strlcpy(plan->quoted_schema, quoted, sizeof(plan->quoted_schema));
	plan->generation = generation;
	return fresh;
}

/*
 * Not while it is being executed.
 */
void
wa_plan_forget(WaPlan *plan)
{
	if (plan->plan != NULL)
		SPI_freeplan(plan->plan);
	plan->plan = NULL;
}

static void
check_result(const WaPlan *plan, int result, int expected)
{
	if (unlikely(result != expected))
		elog(ERROR, "statement ended with %s instead of %s: %s", SPI_result_code_string(result),
			 SPI_result_code_string(expected), plan->sql);
}

void
wa_plan_execute(WaPlan *plan, Oid schema, Datum *values, const char *nulls, int expected)
{
	check_result(plan, SPI_execute_plan(wa_plan_get(plan, schema), values, nulls, false, 0),
				 expected);
}

void
wa_plan_execute_latest(WaPlan *plan, Oid schema, Datum *values, const char *nulls, int expected)
{
	SPIPlanPtr prepared = wa_plan_get(plan, schema);

	check_result(plan,
				 SPI_execute_snapshot(prepared, values, nulls, GetLatestSnapshot(), InvalidSnapshot,
									  false, true, 0),
				 expected);
}

bool
wa_plan_select_bool(WaPlan *plan, Oid schema, Datum *values)
{
	bool isnull;
	bool result;

	wa_plan_execute_latest(plan, schema, values, NULL, SPI_OK_SELECT);
	result = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return result;
}
