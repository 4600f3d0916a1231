/*
 * reach_rows.c
 *	  Who was written to first in the last 24 hours: whatsapp_reach.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "sender/store/reach_rows.h"
#include "sender/store/transaction.h"

#define PIECE_TEXT CppAsString2(WA_REACH_PIECE)

int
wa_store_reach(const WaReachPlace *place, TimestampTz until, WaReachRow **reach)
{
	static WaStatement statement = {
		.sql = "SELECT tenant_id, recipient, reached_at, sender FROM @extschema@.whatsapp_reach"
			   " WHERE (reached_at, recipient) OPERATOR(pg_catalog.>) ($1, $2)"
			   " AND reached_at OPERATOR(pg_catalog.<=) $3"
			   " ORDER BY reached_at, recipient LIMIT " PIECE_TEXT,
		.nargs = 3,
		.argtypes = {TIMESTAMPTZOID, TEXTOID, TIMESTAMPTZOID},
		.expected = SPI_OK_SELECT};
	Datum values[3] = {TimestampTzGetDatum(place->at), CStringGetTextDatum(place->recipient),
					   TimestampTzGetDatum(until)};
	WaRows rows = wa_store_run(&statement, values, NULL);
	int n = (int) rows.count;

	*reach = palloc(sizeof(WaReachRow) * Max(n, 1));
	for (int i = 0; i < n; i++)
		(*reach)[i] = (WaReachRow){.tenant_id = wa_rows_text(&rows, i, 1),
								   .recipient = wa_rows_text(&rows, i, 2),
								   .reached_at = wa_rows_time(&rows, i, 3, 0),
								   .sender = (int) wa_rows_int(&rows, i, 4, 0)};
	return n;
}

TimestampTz
wa_store_reach_next(const WaReachPlace *place)
{
	static WaStatement statement = {
		.sql = "SELECT reached_at FROM @extschema@.whatsapp_reach"
			   " WHERE (reached_at, recipient) OPERATOR(pg_catalog.>) ($1, $2)"
			   " ORDER BY reached_at, recipient LIMIT 1",
		.nargs = 2,
		.argtypes = {TIMESTAMPTZOID, TEXTOID},
		.expected = SPI_OK_SELECT};
	Datum values[2] = {TimestampTzGetDatum(place->at), CStringGetTextDatum(place->recipient)};
	WaRows rows = wa_store_run(&statement, values, NULL);

	return rows.count == 0 ? 0 : wa_rows_time(&rows, 0, 1, 0);
}

/* Beginning where the last one has ended: what it has deleted is still in the index. */
bool
wa_store_prune_reach(TimestampTz *from, TimestampTz before)
{
	static WaStatement statement = {
		.sql = "WITH gone AS (DELETE FROM @extschema@.whatsapp_reach"
			   " WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
			   "SELECT ctid FROM @extschema@.whatsapp_reach"
			   " WHERE reached_at OPERATOR(pg_catalog.>=) $1"
			   " AND reached_at OPERATOR(pg_catalog.<) $2"
			   " ORDER BY reached_at LIMIT " PIECE_TEXT ")) RETURNING reached_at)"
			   " SELECT pg_catalog.count(*), pg_catalog.max(reached_at) FROM gone",
		.nargs = 2,
		.argtypes = {TIMESTAMPTZOID, TIMESTAMPTZOID},
		.expected = SPI_OK_SELECT};
	Datum values[2] = {TimestampTzGetDatum(*from), TimestampTzGetDatum(before)};
	WaRows rows = wa_store_run(&statement, values, NULL);

	*from = wa_rows_time(&rows, 0, 2, *from);
	return wa_rows_int(&rows, 0, 1, 0) == WA_REACH_PIECE;
}

/* EXISTS could be made a hash of all recipients; a subquery with a limit is a look-up. */
#define REACHED(form)                                                                              \
	"(SELECT r.reached_at FROM @extschema@.whatsapp_reach r"                                       \
	" WHERE r.recipient OPERATOR(pg_catalog.=) " form                                              \
	" AND r.reached_at OPERATOR(pg_catalog.>=) $4 ORDER BY r.reached_at DESC LIMIT 1) IS NOT NULL"
#define WROTE(form)                                                                                \
	"COALESCE((SELECT w.last_inbound_at FROM @extschema@.whatsapp_windows w"                       \
	" WHERE w.phone_number_id OPERATOR(pg_catalog.=) v.number"                                     \
	" AND w.recipient OPERATOR(pg_catalog.=) " form ") OPERATOR(pg_catalog.>=) $4, false)"
#define PERSON_REACHED REACHED("v.person")
#define PERSON_WROTE WROTE("v.person")
#define RECIPIENT_REACHED REACHED("v.recipient")
#define RECIPIENT_WROTE WROTE("v.recipient")

/*
 * A person counts once, by whatever name he is written to.  He may have been reached under
 * this one before anybody knew whose it is.
 */
void
wa_store_is_reached(const char *const *recipients, const char *const *persons,
					const char *const *numbers, int n, TimestampTz since, bool *free)
{
	static WaStatement statement = {
		.sql = "SELECT v.ord, " PERSON_REACHED " OR " RECIPIENT_WROTE
			   " OR (v.person OPERATOR(pg_catalog.<>) v.recipient"
			   " AND (" RECIPIENT_REACHED " OR " PERSON_WROTE "))"
			   " FROM unnest($1, $2, $3) WITH ORDINALITY AS v(recipient, person, number, ord)",
		.nargs = 4,
		.argtypes = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID},
		.expected = SPI_OK_SELECT};
	Datum values[4] = {wa_array_of_text(recipients, n), wa_array_of_text(persons, n),
					   wa_array_of_text(numbers, n), TimestampTzGetDatum(since)};
	WaRows rows = wa_store_run(&statement, values, NULL);

	for (uint64 i = 0; i < rows.count; i++)
		free[wa_rows_int(&rows, i, 1, 0) - 1] = wa_rows_int(&rows, i, 2, 0) != 0;
}

void
wa_store_add_reached(const char *const *persons, const char *const *tenants, int n, TimestampTz now,
					 int sender)
{
	static WaStatement statement = {
		.sql = "INSERT INTO @extschema@.whatsapp_reach (recipient, tenant_id, reached_at, sender)"
			   " SELECT v.recipient, v.tenant, $3, $4 FROM unnest($1, $2) AS v(recipient, tenant)"
			   " ON CONFLICT (reached_at, recipient) DO NOTHING",
		.nargs = 4,
		.argtypes = {TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID, INT2OID},
		.expected = SPI_OK_INSERT};
	Datum values[4] = {wa_array_of_text(persons, n), wa_array_of_text(tenants, n),
					   TimestampTzGetDatum(now), Int16GetDatum(sender)};

	wa_store_run(&statement, values, NULL);
}
