/*
 * enqueue.c
 *	  Who sends a message that is being enqueued, when, and whether at all.
 *
 * This runs inside the application's own statements, mostly from triggers, so
 * it does as little as correctness allows: a few rows looked up here, two rows
 * written (enqueue/enqueue_rows.c), and a wake-up in memory that reaches the sender
 * at COMMIT.  It never waits for the network or the worker, and it takes no lock
 * that two callers with different idempotency keys could both want.
 *
 * A row that is the caller's mistake raises an error.  What an operator will
 * fix (no number yet, tenant switched off) is accepted and says so in the row.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/guc.h"
#include "base/lookup.h"
#include "base/owner.h"
#include "base/quote.h"
#include "base/rows.h"
#include "base/statement.h"
#include "compat.h"
#include "enqueue/enqueue.h"

enum
{
	TENANT_ENABLED,
	TENANT_LANGUAGE,
	TENANT_QUIET_FROM,
	TENANT_QUIET_TO,
	TENANT_TIME_ZONE,
	TENANT_COLUMNS
};

static WaLookup tenant_lookup = {
	.table = "whatsapp_tenants",
	.index = "whatsapp_tenants_pkey",
	.nkeys = 1,
	.ncolumns = TENANT_COLUMNS,
	.columns = {"enabled", "language", "quiet_from", "quiet_to", "time_zone"}};

/* Current assignments only: the predicate of the index says so. */
static WaLookup number_lookup = {.table = "whatsapp_phone_assignments",
								 .index = "whatsapp_phone_assignments_tenant_key",
								 .nkeys = 1,
								 .ncolumns = 1,
								 .columns = {"phone_number_id"}};

static WaLookup holder_lookup = {.table = "whatsapp_phone_assignments",
								 .index = "whatsapp_phone_assignments_number_key",
								 .nkeys = 1,
								 .ncolumns = 1,
								 .columns = {"tenant_id"}};

static WaLookup opt_out_lookup = {.table = "whatsapp_opt_outs",
								  .index = "whatsapp_opt_outs_pkey",
								  .nkeys = 2,
								  .ncolumns = 1,
								  .columns = {"category"}};

static bool
is_phone(const text *candidate)
{
	char canonical[WA_RECIPIENT_SIZE];

	return candidate != NULL &&
		   wa_recipient_normalise(VARDATA_ANY(candidate), VARSIZE_ANY_EXHDR(candidate), canonical,
								  sizeof(canonical)) == WA_RECIPIENT_PHONE;
}

/*
 * What may be wrong with the call rather than with the number.
 */
static const char *
recipient_hint(const WaEnqueue *e)
{
	if (e->place == NULL && (is_phone(e->beside) || is_phone(e->tenant_id)))
		return "The arguments seem to be swapped: the tenant comes first, then the recipient.";
	return "Give the number in international form, such as +34600000001, or the person's "
		   "business-scoped user ID, such as CO.7001234567890123.";
}

/*
 * The number itself stays out of the message: errors end up in logs.
 */
void
wa_enqueue_recipient(WaEnqueue *e, text *recipient)
{
	WaRecipientKind kind = wa_recipient_normalise(
		VARDATA_ANY(recipient), VARSIZE_ANY_EXHDR(recipient), e->recipient, sizeof(e->recipient));
	const char *detail = NULL;

	switch (kind)
	{
		case WA_RECIPIENT_PHONE:
			e->recipient_is_user_id = false;
			return;
		case WA_RECIPIENT_USER_ID:
			e->recipient_is_user_id = true;
			return;
		case WA_RECIPIENT_EMPTY:
			detail = "It is empty.";
			break;
		case WA_RECIPIENT_NO_PLUS:
			detail = "It does not begin with \"+\" and a country code; Meta would put the country "
					 "code of the sending number before it and reach a stranger.";
			break;
		case WA_RECIPIENT_BAD_CHARACTER:
			detail = "It contains a character other than digits, spaces, hyphens and parentheses.";
			break;
		case WA_RECIPIENT_BAD_LENGTH:
			detail = "A number has 7 to 15 digits, country code included.";
			break;
		case WA_RECIPIENT_LEADING_ZERO:
			detail = "A country code does not begin with 0.";
			break;
		case WA_RECIPIENT_TRUNK_ZERO:
			detail =
				"A zero in parentheses, as in +34 (0) 600, is dialled within the country only; "
				"write the number without it.";
			break;
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid recipient phone number%s", e->place == NULL ? "" : e->place),
					errdetail_internal("%s", detail), errhint("%s", recipient_hint(e))));
}

static text *
column_text(const WaLookupRow *row, int column)
{
	return row->nulls[column] ? NULL : DatumGetTextPP(row->values[column]);
}

/*
 * What decides when it may leave.
 *
 * A time in the past counts as now: else a caller that gives an old time would
 * pass everything else that waits for this number.
 */
static void
read_facts(WaEnqueue *e, const WaLookupRow *tenant)
{
	WaPlacementFacts *facts = &e->facts;

	facts->priority = e->options.priority;
	facts->due_at = Max(e->options.scheduled_at, GetCurrentTransactionStartTimestamp());
	facts->has_quiet_hours = !tenant->nulls[TENANT_QUIET_FROM] && !tenant->nulls[TENANT_QUIET_TO];
	if (facts->has_quiet_hours)
	{
		facts->quiet_from = DatumGetTimeADT(tenant->values[TENANT_QUIET_FROM]);
		facts->quiet_to = DatumGetTimeADT(tenant->values[TENANT_QUIET_TO]);
		facts->time_zone = column_text(tenant, TENANT_TIME_ZONE);
	}
	e->due_at = wa_placement_decide(facts).due_at;
}

/*
 * The tenant's own number, else the default number unless another tenant has
 * that; NULL: the message waits.
 */
static text *
find_number(const WaEnqueue *e, Snapshot snapshot)
{
	Datum key = PointerGetDatum(e->tenant_id);
	WaLookupRow *row = wa_lookup_one(&number_lookup, e->schema, &key, snapshot);

	if (row != NULL)
		return column_text(row, 0);
	if (wa_guc_phone_number_id[0] == '\0')
		return NULL;
	key = CStringGetTextDatum(wa_guc_phone_number_id);
	if (wa_lookup_one(&holder_lookup, e->schema, &key, snapshot) != NULL)
		return NULL;
	return DatumGetTextPP(key);
}

static void
find_opt_outs(WaEnqueue *e, Snapshot snapshot)
{
	Datum keys[2];
	ListCell *lc;

	keys[0] = PointerGetDatum(e->tenant_id);
	keys[1] = CStringGetTextDatum(e->recipient);
	foreach (lc, wa_lookup_all(&opt_out_lookup, e->schema, keys, snapshot))
		wa_opt_outs_add(&e->opt_outs, text_to_cstring(column_text(lfirst(lc), 0)));
}

/*
 * What may be meant by a tenant that does not exist.  It stands here and not in a
 * function in SQL, which would name the schema that the extension had at first.
 */
static char *
tenant_hint(Oid schema, const text *tenant, const text *beside)
{
	static WaStatement statement = {
		.sql = "SELECT COALESCE("
			   "(SELECT pg_catalog.format('The arguments seem to be swapped: \"%s\" is a tenant.',"
			   " @extschema@.wa_internal_quote(t.tenant_id)) FROM @extschema@.whatsapp_tenants AS t"
			   " WHERE t.tenant_id OPERATOR(pg_catalog.=) $2),"
			   " (SELECT pg_catalog.format('This is the number of tenant \"%s\".',"
			   " @extschema@.wa_internal_quote(a.tenant_id))"
			   " FROM @extschema@.whatsapp_phone_assignments AS a"
			   " WHERE a.phone_number_id OPERATOR(pg_catalog.=) $1 AND a.unassigned_at IS NULL),"
			   " @extschema@.wa_internal_did_you_mean($1,"
			   " ARRAY(SELECT t.tenant_id FROM @extschema@.whatsapp_tenants AS t)),"
			   " 'wa_assign_phone() creates a tenant; wa_configure_tenant(…, is_new => true), one "
			   "without a number.')",
		.nargs = 2,
		.argtypes = {TEXTOID, TEXTOID},
		.expected = SPI_OK_SELECT};
	Datum values[2] = {PointerGetDatum(tenant), PointerGetDatum(beside)};
	char nulls[2] = {' ', beside == NULL ? 'n' : ' '};
	WaRows rows = wa_statement_run_latest(&statement, schema, values, nulls);

	return wa_rows_text(&rows, 0, 1);
}

PG_FUNCTION_INFO_V1(wa_internal_tenant_hint);

/*
 * wa_internal_tenant_hint(tenant, beside): for errors of functions in SQL.
 */
Datum
wa_internal_tenant_hint(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	WaOwner owner;
	char *hint;

	wa_owner_begin(&owner, fcinfo);
	hint = MemoryContextStrdup(context, tenant_hint(owner.schema, wa_arg_text(fcinfo, 0, "tenant"),
													wa_arg_text_or_null(fcinfo, 1)));
	wa_owner_end(&owner);
	PG_RETURN_TEXT_P(cstring_to_text(hint));
}

static void
raise_unknown_tenant(const WaEnqueue *e)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("tenant \"%s\" does not exist", wa_quote_text(e->tenant_id)),
					errhint("%s", tenant_hint(e->schema, e->tenant_id, e->beside))));
}

/*
 * Who sends, when, and whether this call is a repetition.  Reads what is
 * committed now, whatever the isolation level: the number is the one that the
 * tenant has, not the one it had when a long transaction began.
 */
void
wa_enqueue_look_up(WaEnqueue *e)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	Datum key = PointerGetDatum(e->tenant_id);
	WaLookupRow *tenant = wa_lookup_one(&tenant_lookup, e->schema, &key, snapshot);

	if (tenant == NULL)
		raise_unknown_tenant(e);
	e->tenant_enabled = DatumGetBool(tenant->values[TENANT_ENABLED]);
	e->tenant_language = column_text(tenant, TENANT_LANGUAGE);
	read_facts(e, tenant);
	e->phone_number_id = find_number(e, snapshot);
	find_opt_outs(e, snapshot);
	e->existing_id = wa_enqueue_find_key(e, snapshot);
	UnregisterSnapshot(snapshot);
}

PG_FUNCTION_INFO_V1(wa_internal_recipient);

/*
 * wa_internal_recipient(recipient): its canonical form, or an error.
 */
Datum
wa_internal_recipient(PG_FUNCTION_ARGS)
{
	WaEnqueue e = {0};

	wa_enqueue_recipient(&e, wa_arg_text(fcinfo, 0, "recipient"));
	PG_RETURN_TEXT_P(cstring_to_text(e.recipient));
}

PG_FUNCTION_INFO_V1(wa_internal_spellings);

/*
 * wa_internal_spellings(recipient): its other spellings.
 */
Datum
wa_internal_spellings(PG_FUNCTION_ARGS)
{
	char spellings[WA_RECIPIENT_SPELLINGS][WA_RECIPIENT_SIZE];
	int n = wa_recipient_spellings(text_to_cstring(PG_GETARG_TEXT_PP(0)), spellings);
	Datum values[WA_RECIPIENT_SPELLINGS];

	for (int i = 0; i < n; i++)
		values[i] = CStringGetTextDatum(spellings[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(values, n, TEXTOID, -1, false, TYPALIGN_INT));
}
