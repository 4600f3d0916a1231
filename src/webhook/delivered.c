/*
 * delivered.c
 *	  How delivered messages count for wa_costs.
 *
 * Meta charges what is delivered, and tells of it in statuses only.  So this is where
 * a message begins to count, or counts otherwise because a later status dates it
 * earlier or prices it differently.  What is appended for a batch is the difference,
 * in the transaction that writes the statuses: a webhook that comes twice changes no
 * row, and therefore no sum.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "base/arrays.h"
#include "base/statement.h"
#include "compat.h"
#include "webhook/delivered.h"

PG_FUNCTION_INFO_V1(wa_internal_is_free);

static WaStatement recount_statement = {
	.sql = "SELECT @extschema@.wa_internal_count_deliveries($1, $2, $3, $4)",
	.nargs = 4,
	.argtypes = {INT8ARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, BOOLARRAYOID},
	.expected = SPI_OK_SELECT};

static bool
begins_with(const text *value, const char *prefix, size_t len)
{
	return value != NULL && VARSIZE_ANY_EXHDR(value) >= len &&
		   memcmp(VARDATA_ANY(value), prefix, len) == 0;
}

/*
 * wa_internal_is_free(billable, pricing_type, category): what Meta does not charge.
 */
Datum
wa_internal_is_free(PG_FUNCTION_ARGS)
{
	static const char free_type[] = "free"; /* free_customer_service, free_entry_point */
	static const char referral[] = "referral_conversion";
	const text *type = PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1);
	const text *category = PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2);

	PG_RETURN_BOOL((!PG_ARGISNULL(0) && !PG_GETARG_BOOL(0)) ||
				   begins_with(type, free_type, strlen(free_type)) ||
				   (begins_with(category, referral, strlen(referral)) &&
					VARSIZE_ANY_EXHDR(category) == strlen(referral)));
}

static bool
is_same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool
wa_delivered_differs(const WaDelivered *before, const WaDelivered *after)
{
	if (before->at == 0 && after->at == 0)
		return false;
	return before->at != after->at || before->is_free != after->is_free ||
		   !is_same_text(before->category, after->category);
}

void
wa_delivered_recount(Oid schema, const WaRecount *recounts, int n)
{
	static const WaColumn columns[] = {
		WA_COLUMN(WaRecount, message_id),
		WA_COLUMN_TIME(WaRecount, before.at),
		WA_COLUMN(WaRecount, before.category),
		WA_COLUMN(WaRecount, before.is_free),
	};
	Datum values[lengthof(columns)];

	if (n == 0)
		return;
	WA_ARRAYS_OF(values, columns, recounts, n);
	wa_statement_run(&recount_statement, schema, values, NULL);
}
