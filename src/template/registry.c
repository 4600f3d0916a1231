/*
 * registry.c
 *	  Finding a template, and judging whether it can be used.
 *
 * Each backend keeps what it derived from a template's components for as long
 * as the row stays the same version.  That is checked against the row itself on
 * each use, so a template that Meta has just disabled is refused at once.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/lookup.h"
#include "base/owner.h"
#include "base/quote.h"
#include "base/rows.h"
#include "base/statement.h"
#include "common/language.h"
#include "template/template.h"

/* A backend uses few; beyond this it starts over. */
#define MAX_CACHED 128

enum
{
	COL_STATUS,
	COL_CATEGORY,
	COL_PARAMETER_FORMAT,
	COL_MISSING_SINCE,
	COL_COMPONENTS,
	COL_COUNT
};

/* Only which version of the row there is; and all of it. */
static WaLookup version_lookup = {
	.table = "whatsapp_templates", .index = "whatsapp_templates_pkey", .nkeys = 2};

static WaLookup whole_lookup = {
	.table = "whatsapp_templates",
	.index = "whatsapp_templates_pkey",
	.nkeys = 2,
	.ncolumns = COL_COUNT,
	.columns = {"status", "category", "parameter_format", "missing_since", "components"}};

static WaStatement languages_statement = {
	.sql = "SELECT pg_catalog.string_agg(t.language, ', ' ORDER BY t.language)"
		   " FROM @extschema@.whatsapp_templates t"
		   " WHERE t.name OPERATOR(pg_catalog.=) $1 AND t.missing_since IS NULL",
	.nargs = 1,
	.argtypes = {TEXTOID},
	.expected = SPI_OK_SELECT};

static WaStatement hint_statement = {
	.sql = "SELECT COALESCE((SELECT pg_catalog.format('Did you mean \"%s\" in language \"%s\"?',"
		   " t.name, t.language) FROM @extschema@.whatsapp_templates AS t"
		   " WHERE (t.name OPERATOR(pg_catalog.||) '_' OPERATOR(pg_catalog.||) t.language)"
		   " OPERATOR(pg_catalog.=) $1 AND t.missing_since IS NULL LIMIT 1),"
		   " @extschema@.wa_internal_did_you_mean($1, ARRAY(SELECT DISTINCT t.name"
		   " FROM @extschema@.whatsapp_templates AS t WHERE t.missing_since IS NULL)))",
	.nargs = 1,
	.argtypes = {TEXTOID},
	.expected = SPI_OK_SELECT};

/* A run that has failed leaves finished_at as it was. */
static WaStatement synchronised_statement = {
	.sql = "SELECT EXISTS (SELECT FROM @extschema@.whatsapp_sync s"
		   " WHERE s.kind OPERATOR(pg_catalog.=) 'templates' AND s.finished_at IS NOT NULL)",
	.expected = SPI_OK_SELECT};

/* One version of one row. */
typedef struct CacheKey
{
	Oid schema;
	TransactionId xmin;
	CommandId cmin;
	ItemPointerData tid;
} CacheKey;

typedef struct CachedTemplate
{
	CacheKey key;
	WaTemplateSpec spec;
} CachedTemplate;

static HTAB *cache = NULL;
static MemoryContext cache_context = NULL;

static void
start_cache(void)
{
	HASHCTL info = {0};

	if (cache != NULL)
	{
		hash_destroy(cache);
		cache = NULL;
	}
	if (cache_context != NULL)
		MemoryContextReset(cache_context);
	else
		cache_context = AllocSetContextCreate(TopMemoryContext, "whatsapp_shared templates",
											  ALLOCSET_SMALL_SIZES);
	info.keysize = sizeof(CacheKey);
	info.entrysize = sizeof(CachedTemplate);
	info.hcxt = cache_context;
	cache = hash_create("whatsapp_shared templates", MAX_CACHED, &info,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*
 * The key is hashed as bytes: its padding must be clean, too.
 */
static void
set_key(CacheKey *key, Oid schema, const WaLookupRow *row)
{
	memset(key, 0, sizeof(*key));
	key->schema = schema;
	key->xmin = row->xmin;
	key->cmin = row->cmin;
	key->tid = row->tid;
}

static char *
row_text(const WaLookupRow *row, int column)
{
	return row->nulls[column] ? pstrdup("") : TextDatumGetCString(row->values[column]);
}

static void
read_spec(WaTemplateSpec *spec, const char *name, const char *language, const WaLookupRow *row)
{
	memset(spec, 0, sizeof(*spec));
	spec->name = pstrdup(name);
	spec->language = pstrdup(language);
	spec->category = row_text(row, COL_CATEGORY);
	spec->status = row_text(row, COL_STATUS);
	spec->named = strcmp(row_text(row, COL_PARAMETER_FORMAT), "NAMED") == 0;
	spec->missing = !row->nulls[COL_MISSING_SINCE];
	wa_template_spec_read(spec, DatumGetJsonbP(row->values[COL_COMPONENTS]));
}

/*
 * A rewrite of the table (VACUUM FULL) gives rows new places, and rows that one
 * statement wrote differ in nothing else: hence the second look at the names.
 */
static CachedTemplate *
find_cached(const CacheKey *key, const char *name, const char *language)
{
	CachedTemplate *entry = cache == NULL ? NULL : hash_search(cache, key, HASH_FIND, NULL);

	if (entry != NULL && strcmp(entry->spec.name, name) == 0 &&
		strcmp(entry->spec.language, language) == 0)
		return entry;
	return NULL;
}

/*
 * The derived template is built aside and copied in last, so that an error on
 * the way leaves no half an entry behind.
 */
static const WaTemplateSpec *
load(Oid schema, const Datum *keys, const char *name, const char *language, Snapshot snapshot)
{
	WaLookupRow *row = wa_lookup_one(&whole_lookup, schema, keys, snapshot);
	MemoryContext save;
	WaTemplateSpec spec;
	CachedTemplate *entry;
	CacheKey key;

	if (row == NULL)
		elog(ERROR, "template vanished within one snapshot");
	if (cache == NULL || hash_get_num_entries(cache) >= MAX_CACHED)
		start_cache();
	save = MemoryContextSwitchTo(cache_context);
	read_spec(&spec, name, language, row);
	MemoryContextSwitchTo(save);

	set_key(&key, schema, row);
	entry = hash_search(cache, &key, HASH_ENTER, NULL);
	entry->spec = spec;
	return &entry->spec;
}

/* "language" may be NULL: no one is asked for. */
static void
raise_unknown(Oid schema, const char *name, const char *language)
{
	WaRows rows;
	Datum key = CStringGetTextDatum(name);
	char *languages;
	char *hint;

	rows = wa_statement_run_latest(&languages_statement, schema, &key, NULL);
	languages = wa_rows_text(&rows, 0, 1);
	if (languages == NULL || language == NULL)
	{
		rows = wa_statement_run_latest(&hint_statement, schema, &key, NULL);
		hint = wa_rows_text(&rows, 0, 1);
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("template \"%s\" does not exist", wa_quote(name)),
				 errhint("%s%sIf it was created only now, read the templates from Meta again: "
						 "wa_sync_templates().",
						 hint != NULL ? hint : "", hint != NULL ? " " : "")));
	}
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("template \"%s\" does not exist in language \"%s\"", wa_quote(name),
						   wa_quote(language)),
					errdetail("It exists in: %s.", languages),
					errhint("Give one of these as language, or set it for the tenant with "
							"wa_configure_tenant(). There is no fallback from one language to "
							"another.")));
}

PG_FUNCTION_INFO_V1(wa_internal_unknown_template);

/*
 * wa_internal_unknown_template(name, language): the error, for functions in SQL.
 */
Datum
wa_internal_unknown_template(PG_FUNCTION_ARGS)
{
	WaOwner owner;

	wa_owner_begin(&owner, fcinfo);
	raise_unknown(owner.schema, text_to_cstring(PG_GETARG_TEXT_PP(0)),
				  PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1)));
	wa_owner_end(&owner);
	PG_RETURN_VOID();
}

/*
 * A pause ends by itself or by an event, and messages can wait for that; with
 * any other status nothing would ever be sent.
 */
static void
check_usable(const WaTemplateSpec *spec, bool tell)
{
	if (spec->missing)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("template \"%s\" (%s) no longer exists at Meta",
							   wa_quote(spec->name), wa_quote(spec->language)),
						errhint("Use another one; or, if it is back, read the templates from Meta "
								"again: wa_sync_templates().")));
	if (pg_strcasecmp(spec->status, "APPROVED") == 0)
		return;
	if (pg_strcasecmp(spec->status, "PAUSED") == 0)
	{
		ereport(NOTICE, (errmsg("template \"%s\" (%s) is paused by Meta", wa_quote(spec->name),
								wa_quote(spec->language)),
						 errdetail("The message waits until the pause has ended.")));
		return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("template \"%s\" (%s) is not approved", wa_quote(spec->name),
					wa_quote(spec->language)),
			 errdetail("Its status is %s.", wa_quote(spec->status)),
			 errhint("Only approved templates can be sent. If that has changed just now, read "
					 "the templates from Meta again: wa_sync_templates().")));
}

/*
 * A name or a language that Meta would not allow is a mistake also while no
 * template is known.
 */
static void
check_name(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > WA_MAX_TEMPLATE_NAME ||
		strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != len)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid template name \"%s\"", wa_quote(name)),
						errdetail("A name has up to %d lower-case letters, digits and "
								  "underscores.",
								  WA_MAX_TEMPLATE_NAME),
						strchr(name, '/') == NULL
							? 0
							: errhint("The language is an argument of its own, \"language\".")));
}

static void
check_language(const char *language)
{
	if (!wa_language_is_code(language))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid language code \"%s\"", wa_quote(language)),
						errhint("Use the codes of WhatsApp templates, such as \"es\", \"es_ES\" or "
								"\"en_US\".")));
}

PG_FUNCTION_INFO_V1(wa_internal_check_language);

/*
 * wa_internal_check_language(candidate): for the functions that store one.
 */
Datum
wa_internal_check_language(PG_FUNCTION_ARGS)
{
	check_language(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}

/* Once for each statement of the client: it may be enqueueing thousands. */
static void
tell_unchecked(const char *name, const char *language)
{
	static TimestampTz told_at;

	if (told_at == GetCurrentStatementStartTimestamp())
		return;
	told_at = GetCurrentStatementStartTimestamp();
	ereport(NOTICE,
			(errmsg("template \"%s\" (%s) was not checked", wa_quote(name), wa_quote(language)),
			 errdetail("The templates have not been read from Meta yet."),
			 errhint("wa_sync_templates() asks the worker to; wa_register_template() enters "
					 "one by hand.")));
}

/*
 * Until Meta's list has been read once, what is not in the registry may well
 * exist: what is there was entered by hand, or came with a webhook.
 */
const WaTemplateSpec *
wa_template_find(Oid schema, const char *name, const char *language, Snapshot snapshot, bool tell)
{
	Datum keys[2];
	WaLookupRow *row;
	CacheKey key;
	CachedTemplate *cached;
	const WaTemplateSpec *spec;
	Snapshot latest = NULL;

	check_name(name);
	check_language(language);
	keys[0] = CStringGetTextDatum(name);
	keys[1] = CStringGetTextDatum(language);
	row = wa_lookup_one(&version_lookup, schema, keys, snapshot);
	if (row == NULL && wa_statement_select_bool(&synchronised_statement, schema, NULL))
	{
		/* Perhaps only since the snapshot was taken: then what has been read counts. */
		snapshot = latest = RegisterSnapshot(GetLatestSnapshot());
		row = wa_lookup_one(&version_lookup, schema, keys, snapshot);
		if (row == NULL)
			raise_unknown(schema, name, language);
	}
	if (row == NULL)
	{
		if (tell)
			tell_unchecked(name, language);
		return NULL;
	}
	set_key(&key, schema, row);
	cached = find_cached(&key, name, language);
	spec = cached != NULL ? &cached->spec : load(schema, keys, name, language, snapshot);
	if (latest != NULL)
		UnregisterSnapshot(latest);
	check_usable(spec, tell);
	return spec;
}
