/*
 * consent_rows.c
 *	  Who has opted out, whose service window is open, and who has the conversation.
 *
 * The claim asks this of each of its rows, after it has locked them, and not of
 * what it might remember: an opt-out may come by a prepared transaction, a
 * subscription or a restore, of which nobody tells.  So they are index look-ups,
 * by one scan for all rows; where nobody has ever opted out there is none, and
 * templates need no window.  Nor do they need the conversation: Meta lets everybody
 * send templates in it, whoever has it.
 *
 * What is written is rare, and goes through SQL.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/lookup.h"
#include "base/rows.h"
#include "base/statement.h"
#include "common/consent.h"
#include "sender/store/consent_rows.h"
#include "sender/store/transaction.h"

static WaLookup opt_out_lookup = {.table = "whatsapp_opt_outs",
								  .index = "whatsapp_opt_outs_pkey",
								  .nkeys = 2,
								  .ncolumns = 1,
								  .columns = {"category"}};

static WaLookup template_lookup = {.table = "whatsapp_templates",
								   .index = "whatsapp_templates_pkey",
								   .nkeys = 2,
								   .ncolumns = 1,
								   .columns = {"category"}};

enum
{
	LAST_INBOUND_AT,
	TAKEN_AT,
	PASSED_AT,
	WINDOW_COLUMNS
};

static WaLookup window_lookup = {.table = "whatsapp_windows",
								 .index = "whatsapp_windows_pkey",
								 .nkeys = 2,
								 .ncolumns = WINDOW_COLUMNS,
								 .columns = {"last_inbound_at", "taken_at", "passed_at"}};

/* ---- opt-outs ---------------------------------------------------------------- */

static bool
is_template(const WaClaimRow *row)
{
	return strcmp(row->message_type, "template") == 0;
}

/* The category of the row's template; NULL: not known. */
static char *
category_of(const WaClaimRow *row)
{
	Datum keys[2];
	WaLookupRow *found;

	if (row->template_name == NULL || row->template_language == NULL)
		return NULL;
	keys[0] = CStringGetTextDatum(row->template_name);
	keys[1] = CStringGetTextDatum(row->template_language);
	found = wa_lookup_one(&template_lookup, wa_store_schema(), keys, GetActiveSnapshot());
	return found == NULL || found->nulls[0] ? NULL : TextDatumGetCString(found->values[0]);
}

static bool
is_marketing(const WaClaimRow *row)
{
	return is_template(row) && wa_template_category_is_marketing(category_of(row));
}

/* What is not known counts as marketing for an opt-out, and not here. */
bool
wa_store_is_marketing_template(const WaClaimRow *row)
{
	char *category = is_template(row) ? category_of(row) : NULL;

	return category != NULL && wa_template_category_is_marketing(category);
}

/* Sets may_leave; true if it is no message at all that the recipient wants. */
static bool
read_opt_outs(WaLookupScan *scan, WaClaimRow *row)
{
	Datum keys[2];
	WaOptOuts opt_outs = {0};

	keys[0] = CStringGetTextDatum(row->tenant_id);
	keys[1] = CStringGetTextDatum(wa_claim_row_recipient(row));
	wa_lookup_seek(scan, keys);
	while (wa_lookup_next(scan))
	{
		bool isnull;

		wa_opt_outs_add(&opt_outs, TextDatumGetCString(wa_lookup_column(scan, 0, &isnull)));
	}
	if (wa_opt_outs_concern(opt_outs, opt_outs.marketing && is_marketing(row)))
		row->may_leave = WA_OPTED_OUT;
	return opt_outs.all;
}

static bool
find_opt_outs(WaClaimRow *rows, int n)
{
	WaLookupScan *scan;
	bool any_all = false;

	if (!wa_lookup_may_find(&opt_out_lookup, wa_store_schema()))
		return false;
	scan = wa_lookup_begin(&opt_out_lookup, wa_store_schema(), GetActiveSnapshot());
	for (int i = 0; i < n; i++)
		any_all |= read_opt_outs(scan, &rows[i]);
	wa_lookup_end(scan);
	return any_all;
}

/* ---- service windows ------------------------------------------------------------ */

/* 0 for NULL. */
static TimestampTz
window_time(const WaLookupScan *scan, int column)
{
	bool isnull;
	Datum value = wa_lookup_column(scan, column, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

/*
 * The hour may have come while the message waited;
 * without any customer's message ever, no webhooks come, and nothing is known.
 */
static WaMayLeave
read_window(WaLookupScan *scan, const WaClaimRow *row, TimestampTz now)
{
	Datum keys[2];
	TimestampTz last_inbound_at;

	keys[0] = CStringGetTextDatum(row->phone_number_id);
	keys[1] = CStringGetTextDatum(wa_claim_row_recipient(row));
	wa_lookup_seek(scan, keys);
	if (!wa_lookup_next(scan))
		return WA_WINDOW_CLOSED;
	last_inbound_at = window_time(scan, LAST_INBOUND_AT);
	if (!wa_service_window_is_open(last_inbound_at, now))
		return WA_WINDOW_CLOSED;
	return wa_thread_is_taken(last_inbound_at, window_time(scan, TAKEN_AT),
							  window_time(scan, PASSED_AT))
			   ? WA_THREAD_TAKEN
			   : WA_MAY_LEAVE;
}

/*
 * Sets may_leave of those that are no templates; returns of how many the window has
 * closed.
 */
static int
find_closed(WaClaimRow *rows, int n)
{
	WaLookupScan *scan = NULL;
	TimestampTz now = GetCurrentTimestamp();
	int n_closed = 0;

	for (int i = 0; i < n; i++)
	{
		if (is_template(&rows[i]))
			continue;
		if (scan == NULL && !wa_lookup_may_find(&window_lookup, wa_store_schema()))
			return 0;
		if (scan == NULL)
			scan = wa_lookup_begin(&window_lookup, wa_store_schema(), GetActiveSnapshot());
		rows[i].may_leave = read_window(scan, &rows[i], now);
		n_closed += rows[i].may_leave == WA_WINDOW_CLOSED;
	}
	if (scan != NULL)
		wa_lookup_end(scan);
	return n_closed;
}

/*
 * One whose fallback is there, and could not be used because somebody has the
 * message locked, is looked at again.
 */
static void
fall_back(WaClaimRow *row, const WaRows *found, uint64 i)
{
	const char *payload = wa_rows_text(found, i, 4);

	row->may_leave = payload == NULL ? WA_NOT_YET : WA_MAY_LEAVE;
	if (payload == NULL)
		return;
	row->message_type = "template";
	row->template_name = wa_rows_text(found, i, 2);
	row->template_language = wa_rows_text(found, i, 3);
	row->payload = payload;
}

/* Makes templates of those that have one to fall back to. */
static void
use_fallbacks(WaClaimRow *rows, int n, int n_closed)
{
	static WaStatement statement = {
		.sql = "SELECT message_id, template_name, template_language, payload::pg_catalog.text"
			   " FROM @extschema@.wa_internal_use_fallbacks($1)",
		.nargs = 1,
		.argtypes = {INT8ARRAYOID},
		.expected = SPI_OK_SELECT};
	int64 *ids = palloc(sizeof(int64) * Max(n_closed, 1));
	Datum values[1];
	WaRows found;
	int m = 0;

	for (int i = 0; i < n; i++)
		if (rows[i].may_leave == WA_WINDOW_CLOSED)
			ids[m++] = rows[i].message_id;
	values[0] = wa_array_of_int8(ids, m);
	found = wa_store_run(&statement, values, NULL);
	for (uint64 i = 0; i < found.count; i++)
		for (int j = 0; j < n; j++)
			if (rows[j].message_id == wa_rows_int(&found, i, 1, 0))
				fall_back(&rows[j], &found, i);
}

bool
wa_store_read_consent(WaClaimRow *rows, int n)
{
	int n_closed;
	bool any_all;

	if (n == 0)
		return false;
	PushActiveSnapshot(GetTransactionSnapshot());
	n_closed = find_closed(rows, n);
	if (n_closed > 0)
		use_fallbacks(rows, n, n_closed);
	any_all = find_opt_outs(rows, n);
	PopActiveSnapshot();
	return any_all;
}

/* ---- by SQL ------------------------------------------------------------------ */

int
wa_store_opted_out(const int64 *ids, int n, int64 **opted_out)
{
	static WaStatement statement = {
		.sql = "SELECT message_id FROM @extschema@.wa_internal_opted_out($1)",
		.nargs = 1,
		.argtypes = {INT8ARRAYOID},
		.expected = SPI_OK_SELECT};
	Datum values[1] = {wa_array_of_int8(ids, n)};
	WaRows rows = wa_store_run(&statement, values, NULL);

	*opted_out = palloc(sizeof(int64) * Max(rows.count, 1));
	for (uint64 i = 0; i < rows.count; i++)
		(*opted_out)[i] = wa_rows_int(&rows, i, 1, 0);
	return (int) rows.count;
}

int64
wa_store_skip_opted_out(int64 after_id, int page)
{
	static WaStatement statement = {.sql = "SELECT @extschema@.wa_internal_skip_opted_out($1, $2)",
									.nargs = 2,
									.argtypes = {INT8OID, INT4OID},
									.expected = SPI_OK_SELECT};
	Datum values[2] = {Int64GetDatum(after_id), Int32GetDatum(page)};
	WaRows rows = wa_store_run(&statement, values, NULL);

	return wa_rows_int(&rows, 0, 1, PG_INT64_MIN);
}

void
wa_store_alert_skipped(const int64 *ids, int n)
{
	static WaStatement statement = {.sql = "SELECT @extschema@.wa_internal_alert_skipped($1)",
									.nargs = 1,
									.argtypes = {INT8ARRAYOID},
									.expected = SPI_OK_SELECT};
	Datum values[1] = {wa_array_of_int8(ids, n)};

	if (n > 0)
		wa_store_run(&statement, values, NULL);
}
