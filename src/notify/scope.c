/*
 * scope.c
 *	  Expressions over NEW and OLD.
 *
 * They are parsed as PL/pgSQL parses its own: a hook of the parser is asked
 * about every column that the query itself does not know, and returns a
 * parameter.  NEW.total, OLD.total, total alone (which is NEW's) and NEW as a
 * whole row work everywhere in an expression, in sub-selects, too, and each
 * has the type, collation and error position that it should have.
 *
 * Parameters are numbered by column: with n columns, 1 to n are those of NEW,
 * n + 1 to 2n those of OLD, and then come the two rows.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/params.h"
#include "parser/parse_node.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"

#include "base/quote.h"
#include "base/rows.h"
#include "notify/scope.h"

void
wa_notify_scope_init(WaNotifyScope *scope, Relation rel, bool has_old)
{
	scope->relation_name = pstrdup(RelationGetRelationName(rel));
	scope->desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	scope->rowtype = rel->rd_rel->reltype;
	scope->has_old = has_old;
}

/* ---- parsing ---- */

static int
find_column(const WaNotifyScope *scope, const char *name)
{
	for (int i = 0; i < scope->desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(scope->desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return i + 1;
	}
	return 0;
}

static Node *
make_param(const ColumnRef *ref, int id, Oid type, int32 typmod, Oid collation)
{
	Param *param = makeNode(Param);

	param->paramkind = PARAM_EXTERN;
	param->paramid = id;
	param->paramtype = type;
	param->paramtypmod = typmod;
	param->paramcollid = collation;
	param->location = ref->location;
	return (Node *) param;
}

static Node *
column_param(const WaNotifyScope *scope, const ColumnRef *ref, bool old, int attnum)
{
	Form_pg_attribute att = TupleDescAttr(scope->desc, attnum - 1);

	return make_param(ref, (old ? scope->desc->natts : 0) + attnum, att->atttypid, att->atttypmod,
					  att->attcollation);
}

static Node *
row_param(const WaNotifyScope *scope, const ColumnRef *ref, bool old)
{
	return make_param(ref, 2 * scope->desc->natts + (old ? 2 : 1), scope->rowtype, -1, InvalidOid);
}

static const char *
field_name(const ColumnRef *ref, int n)
{
	Node *field = list_nth(ref->fields, n);

	return IsA(field, String) ? strVal(field) : NULL;
}

static Node *
resolve_column(ParseState *pstate, ColumnRef *ref, Node *found)
{
	const WaNotifyScope *scope = pstate->p_ref_hook_state;
	const char *first = field_name(ref, 0);
	const char *second;
	bool old;
	int attnum;

	/* What the query itself means by a name goes first. */
	if (found != NULL || first == NULL || list_length(ref->fields) > 2)
		return NULL;
	old = strcmp(first, "old") == 0;
	if (!old && strcmp(first, "new") != 0)
	{
		attnum = list_length(ref->fields) == 1 ? find_column(scope, first) : 0;
		return attnum == 0 ? NULL : column_param(scope, ref, false, attnum);
	}

	if (old && !scope->has_old)
		ereport(ERROR, (errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
						errmsg("there is no OLD row when a row is inserted"),
						parser_errposition(pstate, ref->location)));
	if (list_length(ref->fields) == 1)
		return row_param(scope, ref, old);
	second = field_name(ref, 1);
	if (second == NULL)
		return NULL;
	attnum = find_column(scope, second);
	if (attnum == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of table \"%s\" does not exist", second,
							   scope->relation_name),
						parser_errposition(pstate, ref->location)));
	return column_param(scope, ref, old, attnum);
}

static void
set_up_parser(ParseState *pstate, void *arg)
{
	pstate->p_post_columnref_hook = resolve_column;
	pstate->p_ref_hook_state = arg;
}

/*
 * Expressions are put together to one statement, in parentheses.  So each must
 * be whole in itself: the parser must take it for a list of one column, and no
 * other part of a SELECT may follow.
 */
static void
check_is_expression(const char *text)
{
	List *statements = raw_parser(text, RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select = (SelectStmt *) linitial_node(RawStmt, statements)->stmt;
	SelectStmt *bare = makeNode(SelectStmt);
	ResTarget *target;

	bare->targetList = select->targetList;
	target = list_length(select->targetList) == 1 ? linitial(select->targetList) : NULL;
	if (target == NULL || target->name != NULL || target->indirection != NIL ||
		!equal(select, bare))
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
						errmsg("\"%s\" is not a single expression", wa_quote(text)),
						errhint("Put a subquery into parentheses.")));
}

/*
 * In a PG_CATCH block: the same error, saying what it is about.  A position in
 * the expression must not be taken for one in the statement that contains it.
 */
static void
rethrow_naming(const char *place, const char *given, MemoryContext context)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	error->message = psprintf("invalid %s: %s", place, error->message);
	if (error->internalquery == NULL && error->cursorpos > 0)
	{
		error->internalquery = pstrdup(given);
		error->internalpos = error->cursorpos;
	}
	error->cursorpos = 0;
	ReThrowError(error);
}

static char *
resolve(const WaNotifyScope *scope, const char *given, bool must_be_column)
{
	if (find_column(scope, given) != 0)
		return psprintf("new.%s", quote_identifier(given));
	if (must_be_column)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of table \"%s\" does not exist", given,
							   scope->relation_name)));
	check_is_expression(given);
	return pstrdup(given);
}

char *
wa_notify_expression(const WaNotifyScope *scope, const char *place, const char *given,
					 bool must_be_column)
{
	MemoryContext context = CurrentMemoryContext;
	char *volatile sql = NULL;

	PG_TRY();
	{
		sql = resolve(scope, given, must_be_column);
	}
	PG_CATCH();
	{
		rethrow_naming(place, given, context);
	}
	PG_END_TRY();
	return sql;
}

SPIPlanPtr
wa_notify_prepare(WaNotifyScope *scope, const char *sql)
{
	SPIPrepareOptions options = {0};
	SPIPlanPtr plan;

	options.parserSetup = set_up_parser;
	options.parserSetupArg = scope;
	options.parseMode = RAW_PARSE_DEFAULT;
	options.cursorOptions = CURSOR_OPT_GENERIC_PLAN;
	plan = SPI_prepare_extended(sql, &options);
	if (plan == NULL)
		elog(ERROR, "could not prepare expressions: %s", SPI_result_code_string(SPI_result));
	return plan;
}

/* ---- values ---- */

/*
 * Called by the executor for each parameter that it comes to; columns that no
 * expression names are never taken out of the row.
 */
static ParamExternData *
fetch_value(ParamListInfo params, int id, bool speculative, ParamExternData *workspace)
{
	const WaNotifyRows *rows = params->paramFetchArg;
	int natts = rows->desc->natts;
	bool whole = id > 2 * natts;
	bool old = whole ? id == 2 * natts + 2 : id > natts;
	HeapTuple row = old ? rows->old_row : rows->new_row;
	int attnum = old ? id - natts : id;

	workspace->pflags = 0;
	workspace->value = (Datum) 0;
	workspace->isnull = row == NULL;
	workspace->ptype =
		whole ? rows->desc->tdtypeid : TupleDescAttr(rows->desc, attnum - 1)->atttypid;
	if (row == NULL)
		return workspace;
	if (whole)
		workspace->value = heap_copy_tuple_as_datum(row, rows->desc);
	else
		workspace->value = heap_getattr(row, attnum, rows->desc, &workspace->isnull);
	return workspace;
}

/*
 * Not read-only: expressions see the row that fires the trigger, as functions of
 * triggers do.
 */
static WaRows
execute(const WaNotifyScope *scope, SPIPlanPtr plan, const WaNotifyRows *rows, int expected)
{
	ParamListInfo params = makeParamList(2 * scope->desc->natts + 2);

	params->paramFetch = fetch_value;
	params->paramFetchArg = unconstify(WaNotifyRows *, rows);
	return wa_rows_taken(SPI_execute_plan_with_paramlist(plan, params, false, 0), expected,
						 "expressions of a notification");
}

WaRows
wa_notify_execute(const WaNotifyScope *scope, SPIPlanPtr plan, const WaNotifyRows *rows)
{
	return execute(scope, plan, rows, SPI_OK_SELECT);
}

/* ---- checking ---- */

/*
 * One value for each row that fires the trigger, and of the right type.
 */
static void
check_result(SPIPlanPtr plan, const WaNotifyExpected *expected)
{
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(plan));
	Query *query = linitial_node(Query, source->query_list);
	Oid type;

	if (query->hasAggs || query->hasWindowFuncs || query->hasTargetSRFs ||
		source->resultDesc->natts != 1)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("it does not give exactly one value"),
						errhint("Put an aggregate over other rows into a subquery.")));
	type = getBaseType(TupleDescAttr(source->resultDesc, 0)->atttypid);
	if (!expected->takes(expected, type))
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("%s is needed, not %s", expected->what, format_type_be(type))));
}

/*
 * EXPLAIN goes as far as one can without a row: it also checks the rights to
 * whatever the expression reads and calls.
 */
static void
check_expression(WaNotifyScope *scope, const char *sql, const WaNotifyExpected *expected)
{
	WaNotifyRows none = {.desc = scope->desc};

	check_result(wa_notify_prepare(scope, psprintf("SELECT (%s\n)", sql)), expected);
	(void) execute(scope, wa_notify_prepare(scope, psprintf("EXPLAIN SELECT (%s\n)", sql)), &none,
				   SPI_OK_UTILITY);
}

void
wa_notify_check_expression(WaNotifyScope *scope, const char *place, const char *sql,
						   const WaNotifyExpected *expected)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		check_expression(scope, sql, expected);
	}
	PG_CATCH();
	{
		rethrow_naming(place, sql, context);
	}
	PG_END_TRY();
}
