/*
 * takeover_rows.c
 *	  What a promoted server holds back because the former primary may have sent it.
 *
 * The window stands in whatsapp_home until all of it has been looked through, so a
 * server that dies on the way goes on where it was.
 *
 * What may have been sent is asked of the rows as they came by replication.  Others
 * may have been here before: somebody has paused a number, taken it from its tenant,
 * switched the tenant off, or night has fallen.  What such a row was is not known any
 * more, and it is held.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "common/queue_state.h"
#include "sender/store/takeover_rows.h"
#include "sender/store/transaction.h"
#include "shared/first_xid.h"

#define OUR_HOME                                                                                   \
	" WHERE h.system_identifier OPERATOR(pg_catalog.=) $1"                                         \
	" AND h.database_oid OPERATOR(pg_catalog.=) $2"

/*
 * A row as it came by replication: it is older than the first transaction of our own; one
 * so old that it seems to lie in the future is, too.
 */
#define CAME(row, first)                                                                           \
	"(pg_catalog.age(" row ".xmin) OPERATOR(pg_catalog.>) pg_catalog.age(" first ")"               \
	" OR pg_catalog.age(" row ".xmin) OPERATOR(pg_catalog.<) 0)"

#define ATTEMPT_CAME CAME("a", "$2")
#define PAUSE_CAME CAME("p", "$2")
#define ROW_CAME CAME("q", "$2")
#define TENANT_CAME CAME("t", "$2")

#define TEMPLATE_KEYS                                                                              \
	"ARRAY[m.template_name, m.template_name OPERATOR(pg_catalog.||) '/'"                           \
	" OPERATOR(pg_catalog.||) m.template_language]"

#define PAUSES_IT                                                                                  \
	"(p.scope OPERATOR(pg_catalog.=) 'number' AND p.key OPERATOR(pg_catalog.=) q.phone_number_id"  \
	" OR p.scope OPERATOR(pg_catalog.=) 'tenant' AND p.key OPERATOR(pg_catalog.=) m.tenant_id"     \
	" OR p.scope OPERATOR(pg_catalog.=) 'template'"                                                \
	" AND p.key OPERATOR(pg_catalog.=) ANY (" TEMPLATE_KEYS "))"

/* A pause has been set here, or a tenant switched off, which says nothing of over there. */
#define STOPPED_HERE                                                                               \
	"(EXISTS (SELECT FROM @extschema@.whatsapp_pauses AS p WHERE " PAUSES_IT                       \
	" AND NOT " PAUSE_CAME ") OR EXISTS (SELECT FROM @extschema@.whatsapp_tenants AS t"            \
	" WHERE t.tenant_id OPERATOR(pg_catalog.=) m.tenant_id AND NOT " TENANT_CAME "))"

#define IS_STOPPED                                                                                 \
	"EXISTS (SELECT FROM @extschema@.wa_internal_stopped_numbers AS s"                             \
	" WHERE s.phone_number_id OPERATOR(pg_catalog.=) q.phone_number_id)"

#define IS_PAUSED "(@extschema@.wa_internal_pause_of(m, q.phone_number_id)).scope IS NOT NULL"

#define WAS_HELD_BY_PAUSE                                                                          \
	"q.hold_reason OPERATOR(pg_catalog.=) ANY "                                                    \
	"('{tenant_paused,template_paused}'::pg_catalog.text[])"

#define HAS_ATTEMPT_OF_OURS                                                                        \
	"EXISTS (SELECT FROM @extschema@.whatsapp_attempts AS a"                                       \
	" WHERE a.message_id OPERATOR(pg_catalog.=) q.message_id AND NOT " ATTEMPT_CAME ")"

/*
 * Whether a row of the queue, q, with its message m, may have been sent over there.  $1 is
 * the time of the take-over, $2 our first transaction.
 *
 * That may be what was ready, what had come due by then, and what a pause had held that
 * was over; where a pause was not over, nothing.  What waits for an event has not been
 * sent, unless that happened over there and is not known here.  What has an attempt on
 * record that was written here has been held before, or was on the wire.
 */
#define MAY_HAVE_BEEN_SENT                                                                         \
	"CASE WHEN q.state OPERATOR(pg_catalog.=) " WA_SQL_UNCERTAIN " THEN false"                     \
	" WHEN " HAS_ATTEMPT_OF_OURS " THEN false"                                                     \
	" WHEN NOT " ROW_CAME " THEN m.scheduled_at OPERATOR(pg_catalog.<=) $1"                        \
	" WHEN q.state OPERATOR(pg_catalog.=) " WA_SQL_READY " THEN NOT " IS_STOPPED                   \
	" OR " STOPPED_HERE " WHEN q.state OPERATOR(pg_catalog.=) " WA_SQL_DEFERRED                    \
	" THEN q.due_at OPERATOR(pg_catalog.<=) $1"                                                    \
	" WHEN q.state OPERATOR(pg_catalog.=) " WA_SQL_HELD " AND " WAS_HELD_BY_PAUSE                  \
	" THEN NOT " IS_PAUSED " OR " STOPPED_HERE " ELSE false END"

#define QUEUE_AND_MESSAGES                                                                         \
	" FROM @extschema@.whatsapp_queue AS q"                                                        \
	" JOIN @extschema@.whatsapp_messages AS m ON m.id OPERATOR(pg_catalog.=) q.message_id"

/* The first two arguments of every statement about our home. */
static void
set_home(Datum *values)
{
	values[0] = Int64GetDatum((int64) GetSystemIdentifier());
	values[1] = ObjectIdGetDatum(MyDatabaseId);
}

/* Those of every statement about what came from there. */
static void
set_rule(Datum *values, const WaTakeover *takeover)
{
	TransactionId first = wa_first_xid();

	/* Somebody may have noted an earlier one since that was written down. */
	if (!TransactionIdIsValid(first) || TransactionIdPrecedes(takeover->first, first))
		first = takeover->first;
	values[0] = TimestampTzGetDatum(takeover->at);
	values[1] = TransactionIdGetDatum(first);
}

static int
read_ids(const WaRows *rows, int row, int column, int64 **ids)
{
	bool isnull;
	Datum value = wa_rows_datum(rows, row, column, &isnull);
	ArrayType *array;

	*ids = NULL;
	if (isnull)
		return 0;
	array = DatumGetArrayTypePCopy(value);
	*ids = (int64 *) ARR_DATA_PTR(array);
	return ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
}

bool
wa_store_read_takeover(WaTakeover *takeover)
{
	static WaStatement statement = {
		.sql = "SELECT h.synchronous, h.takeover_through, h.takeover_at, h.takeover_since,"
			   " h.takeover_first, h.takeover_prepared"
			   " FROM @extschema@.whatsapp_home AS h" OUR_HOME,
		.nargs = 2,
		.argtypes = {INT8OID, OIDOID},
		.expected = SPI_OK_SELECT};
	Datum values[2];
	WaRows rows;

	memset(takeover, 0, sizeof(WaTakeover));
	set_home(values);
	rows = wa_store_run(&statement, values, NULL);
	if (rows.count == 0)
		return false;
	takeover->through = wa_rows_int(&rows, 0, 2, 0);
	takeover->at = wa_rows_time(&rows, 0, 3, 0);
	takeover->since = wa_rows_time(&rows, 0, 4, 0);
	takeover->first = (TransactionId) wa_rows_int(&rows, 0, 5, 0);
	takeover->n_prepared = read_ids(&rows, 0, 6, &takeover->prepared);
	return wa_rows_int(&rows, 0, 1, 0) != 0;
}

void
wa_store_note_synchronous(bool synchronous)
{
	static WaStatement statement = {
		.sql = "UPDATE @extschema@.whatsapp_home AS h SET synchronous = $3" OUR_HOME,
		.nargs = 3,
		.argtypes = {INT8OID, OIDOID, BOOLOID},
		.expected = SPI_OK_UPDATE};
	Datum values[3];

	set_home(values);
	values[2] = BoolGetDatum(synchronous);
	(void) wa_store_run(&statement, values, NULL);
}

/*
 * Ids only grow, so the newest message that came by replication bounds them all.  After
 * a crash nobody knows the first id of our own; then it is the newest that nobody has
 * touched here.
 */
void
wa_store_begin_takeover(const WaTakeover *takeover, int64 first_own_id)
{
	static WaStatement statement = {
		.sql = "UPDATE @extschema@.whatsapp_home AS h SET"
			   " takeover_at = pg_catalog.clock_timestamp(), takeover_since = $3,"
			   " takeover_first = $7, takeover_prepared = $6,"
			   " takeover_through = (SELECT m.id FROM @extschema@.whatsapp_messages AS m"
			   " WHERE CASE WHEN $5 OPERATOR(pg_catalog.>) 0"
			   " THEN m.id OPERATOR(pg_catalog.<) $5 ELSE " CAME(
				   "m", "$4") " END"
							  " ORDER BY m.id DESC LIMIT 1)" OUR_HOME,
		.nargs = 7,
		.argtypes = {INT8OID, OIDOID, TIMESTAMPTZOID, XIDOID, INT8OID, INT8ARRAYOID, INT8OID},
		.expected = SPI_OK_UPDATE};
	Datum values[7];
	char nulls[8] = "       ";

	set_home(values);
	values[2] = TimestampTzGetDatum(takeover->since);
	values[3] = TransactionIdGetDatum(takeover->first);
	values[4] = Int64GetDatum(first_own_id);
	values[5] = wa_array_of_int8(takeover->prepared, takeover->n_prepared);
	values[6] = Int64GetDatum(takeover->first);
	if (takeover->since == 0)
		nulls[2] = 'n';
	if (takeover->n_prepared == 0)
		nulls[5] = 'n';
	(void) wa_store_run(&statement, values, nulls);
}

void
wa_store_end_takeover(void)
{
	static WaStatement statement = {
		.sql = "UPDATE @extschema@.whatsapp_home AS h SET takeover_through = NULL" OUR_HOME,
		.nargs = 2,
		.argtypes = {INT8OID, OIDOID},
		.expected = SPI_OK_UPDATE};
	Datum values[2];

	set_home(values);
	(void) wa_store_run(&statement, values, NULL);
}

void
wa_store_note_prepared(const int64 *ids, int n)
{
	static WaStatement statement = {.sql = "UPDATE @extschema@.whatsapp_home AS h"
										   " SET takeover_prepared = $3" OUR_HOME,
									.nargs = 3,
									.argtypes = {INT8OID, OIDOID, INT8ARRAYOID},
									.expected = SPI_OK_UPDATE};
	Datum values[3];

	set_home(values);
	values[2] = wa_array_of_int8(ids, n);
	(void) wa_store_run(&statement, values, n == 0 ? "  n" : NULL);
}

int
wa_store_taken_over(const WaTakeover *takeover, const int64 *ids, int n, int64 **held)
{
	static WaStatement statement = {
		.sql = "SELECT q.message_id" QUEUE_AND_MESSAGES
			   " WHERE q.message_id OPERATOR(pg_catalog.=) ANY ($3) AND " MAY_HAVE_BEEN_SENT
			   " ORDER BY q.message_id",
		.nargs = 3,
		.argtypes = {TIMESTAMPTZOID, XIDOID, INT8ARRAYOID},
		.expected = SPI_OK_SELECT};
	Datum values[3];
	WaRows rows;

	set_rule(values, takeover);
	values[2] = wa_array_of_int8(ids, n);
	rows = wa_store_run(&statement, values, NULL);
	*held = palloc(sizeof(int64) * Max(rows.count, 1));
	for (uint64 i = 0; i < rows.count; i++)
		(*held)[i] = wa_rows_int(&rows, (int) i, 1, 0);
	return (int) rows.count;
}

/* Locks these rows, sorted by id; *passed_by: the first that somebody else has locked. */
static int
lock_rows(const int64 *ids, int n, int64 *passed_by, WaTakeoverRow **locked)
{
	static WaStatement statement = {.sql = "SELECT q.message_id, q.phone_number_id, q.attempts"
										   " FROM @extschema@.whatsapp_queue AS q"
										   " WHERE q.message_id OPERATOR(pg_catalog.=) ANY ($1)"
										   " AND q.state OPERATOR(pg_catalog.<>) " WA_SQL_UNCERTAIN
										   " ORDER BY q.message_id FOR UPDATE SKIP LOCKED",
									.nargs = 1,
									.argtypes = {INT8ARRAYOID},
									.expected = SPI_OK_SELECT};
	Datum values[1] = {wa_array_of_int8(ids, n)};
	WaRows rows = wa_store_run(&statement, values, NULL);

	*locked = palloc(sizeof(WaTakeoverRow) * Max(rows.count, 1));
	*passed_by = 0;
	for (int i = 0, next = 0; i < n; i++)
	{
		if (next < (int) rows.count && wa_rows_int(&rows, next, 1, 0) == ids[i])
		{
			(*locked)[next] = (WaTakeoverRow){.message_id = ids[i],
											  .phone_number_id = wa_rows_text(&rows, next, 2),
											  .attempts = (int) wa_rows_int(&rows, next, 3, 0)};
			next++;
		}
		else if (*passed_by == 0)
			*passed_by = ids[i];
	}
	return (int) rows.count;
}

int
wa_store_lock_taken_over(const WaTakeover *takeover, int limit, int64 *after, int64 *passed_by,
						 bool *more, WaTakeoverRow **locked)
{
	static WaStatement statement = {
		.sql = "SELECT q.message_id, " MAY_HAVE_BEEN_SENT QUEUE_AND_MESSAGES
			   " WHERE q.message_id OPERATOR(pg_catalog.>) $3"
			   " AND q.message_id OPERATOR(pg_catalog.<=) $4"
			   " ORDER BY q.message_id LIMIT $5",
		.nargs = 5,
		.argtypes = {TIMESTAMPTZOID, XIDOID, INT8OID, INT8OID, INT4OID},
		.expected = SPI_OK_SELECT};
	Datum values[5];
	WaRows rows;
	int64 *ids;
	int n = 0;

	set_rule(values, takeover);
	values[2] = Int64GetDatum(*after);
	values[3] = Int64GetDatum(takeover->through);
	values[4] = Int32GetDatum(limit);
	rows = wa_store_run(&statement, values, NULL);
	*more = rows.count == limit;
	ids = palloc(sizeof(int64) * Max(rows.count, 1));
	for (uint64 i = 0; i < rows.count; i++)
	{
		*after = wa_rows_int(&rows, i, 1, 0);
		if (wa_rows_int(&rows, i, 2, 0) != 0)
			ids[n++] = *after;
	}
	return lock_rows(ids, n, passed_by, locked);
}

int
wa_store_lock_these_taken_over(const WaTakeover *takeover, const int64 *ids, int n,
							   int64 *passed_by, WaTakeoverRow **locked)
{
	int64 *held;

	n = wa_store_taken_over(takeover, ids, n, &held);
	return lock_rows(held, n, passed_by, locked);
}
