/*
 * fit.c
 *	  Whether a notification's template exists, and takes what it is given.
 *
 * A notification that cannot work would fail at every row that fires it, long
 * after its author has left.  Its parameters are therefore filled in with samples
 * when it is made, and held against the template as those of a message are.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "base/guc.h"
#include "base/rows.h"
#include "base/statement.h"
#include "notify/fit.h"
#include "notify/parameters.h"
#include "template/template.h"

/*
 * The languages of the tenants, as messages take them that name none, or the
 * installation's if there is no tenant; and whether the template has each.
 */
static WaStatement languages_statement = {
	.sql =
		"SELECT l.language, l.tenant, EXISTS (SELECT FROM @extschema@.whatsapp_templates AS t"
		" WHERE t.name OPERATOR(pg_catalog.=) $1 AND t.language OPERATOR(pg_catalog.=) l.language"
		" AND t.missing_since IS NULL)"
		" FROM (SELECT COALESCE(o.language, $2) AS language, pg_catalog.min(o.tenant_id) AS tenant"
		" FROM @extschema@.whatsapp_tenants AS o GROUP BY 1"
		" UNION ALL SELECT $2, NULL"
		" WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_tenants AS o)) AS l"
		" ORDER BY l.language",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID},
	.expected = SPI_OK_SELECT};

static bool
ends_with(const char *text, const char *end)
{
	size_t len = strlen(text);

	return len >= strlen(end) && strcmp(text + len - strlen(end), end) == 0;
}

/* A text that is allowed in this place: the digit will do for texts, IDs and numbers. */
static char *
sample_for(const char *place)
{
	if (ends_with(place, ".link") || ends_with(place, ".tap_target.url"))
		return pstrdup("https://example.com/");
	if (ends_with(place, ".currency.code"))
		return pstrdup("EUR");
	if (ends_with(place, ".limited_time_offer"))
		return pstrdup("9999-12-31 00:00:00+00");
	return pstrdup("1");
}

static Jsonb *
sample_parameters(const WaNotification *n, const List *values)
{
	char **texts = palloc(sizeof(char *) * (list_length(values) + 1));
	ListCell *lc;

	foreach (lc, values)
		texts[foreach_current_index(lc)] = sample_for(((WaNotifyValue *) lfirst(lc))->place);
	return wa_notify_parameters_fill(n->parameters, texts);
}

static void
check_in(Oid schema, const WaNotification *n, const char *language, Jsonb *parameters)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	const WaTemplateSpec *spec =
		wa_template_find(schema, n->template_name, language, snapshot, true);
	WaTemplateValues values;

	UnregisterSnapshot(snapshot);
	wa_template_values_read(&values, parameters);
	if (spec != NULL)
		wa_template_check(spec, &values);
}

void
wa_notify_check_template(Oid schema, const WaNotification *n, const List *values)
{
	Jsonb *parameters = sample_parameters(n, values);
	Datum args[2] = {CStringGetTextDatum(n->template_name),
					 CStringGetTextDatum(wa_guc_default_language)};
	WaRows rows;
	uint64 found = 0;

	if (n->language != NULL)
	{
		check_in(schema, n, n->language, parameters);
		return;
	}
	rows = wa_statement_run_latest(&languages_statement, schema, args, NULL);
	for (uint64 i = 0; i < rows.count; i++)
		if (wa_rows_int(&rows, i, 3, 0) != 0)
		{
			check_in(schema, n, wa_rows_text(&rows, i, 1), parameters);
			found++;
		}
	if (found == 0)
		check_in(schema, n, wa_guc_default_language, parameters);
	for (uint64 i = 0; i < rows.count && found > 0; i++)
		if (wa_rows_int(&rows, i, 3, 0) == 0)
			ereport(
				WARNING,
				(errmsg("template \"%s\" does not exist in language \"%s\"", n->template_name,
						wa_rows_text(&rows, i, 1)),
				 errdetail("This is the language of tenant \"%s\", whose notifications will fail.",
						   wa_rows_text(&rows, i, 2))));
}
