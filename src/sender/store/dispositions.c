/*
 * dispositions.c
 *	  Statements of the settlement: what becomes of queue row and message.
 *
 * The claim's decisions about messages that cannot go, and those that upkeep
 * makes about messages in doubt, are written here, too.  None of it touches a
 * message that is in the queue for a later attempt than the one being settled:
 * see sender/store/fence.c.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "sender/store/dispositions.h"
#include "sender/store/fence.h"
#include "sender/store/transaction.h"

/*
 * A row that stays in the queue.  It keeps its rank, and with it its place among
 * the messages to its recipient.  $1 stands there twice for the planner's sake,
 * as in sender/store/fence.c.
 */
static WaStatement requeue_statement = {
	.sql = "UPDATE @extschema@.whatsapp_queue q SET"
		   " state = v.state::pg_catalog.\"char\", hold_reason = v.reason, attempts = v.attempts,"
		   " phone_number_id = v.number, due_at = COALESCE(v.due, q.due_at)"
		   " FROM unnest($1, $2, $3, $4, $5, $6, $7)"
		   " AS v(id, state, reason, attempts, number, due, below)"
		   " WHERE q.message_id OPERATOR(pg_catalog.=) ANY ($1) AND q.message_id "
		   "OPERATOR(pg_catalog.=) v.id AND q.attempts OPERATOR(pg_catalog.<) v.below"
		   " RETURNING q.message_id",
	.nargs = 7,
	.argtypes = {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT2ARRAYOID, TEXTARRAYOID,
				 TIMESTAMPTZARRAYOID, INT4ARRAYOID},
	.expected = SPI_OK_UPDATE_RETURNING};

/*
 * The message of any disposition but acceptance, unless a webhook, or a person, has
 * decided meanwhile.  An attempt that shows already (sending_statement) and is
 * not to count is taken back.  One that is put off again for the same reason is
 * written in the queue alone.
 */
static WaStatement disposition_statement = {
	.sql = "UPDATE @extschema@.whatsapp_messages m SET"
		   " status = v.status, attempts = v.attempts,"
		   " status_reason = CASE WHEN v.finished THEN v.reason ELSE m.status_reason END,"
		   " phone_number_id = v.number,"
		   " error_code ="
		   " COALESCE(CASE WHEN v.code OPERATOR(pg_catalog.<>) 0 THEN v.code END, m.error_code),"
		   " error_message = CASE WHEN v.code OPERATOR(pg_catalog.<>) 0 THEN v.message"
		   " WHEN v.status OPERATOR(pg_catalog.=) 'uncertain'"
		   " AND v.message OPERATOR(pg_catalog.<>) '' THEN v.message ELSE m.error_message END,"
		   " failed_at = CASE WHEN v.status OPERATOR(pg_catalog.=) 'failed'"
		   " THEN pg_catalog.clock_timestamp()"
		   " ELSE m.failed_at END,"
		   " finished_at = CASE WHEN v.finished THEN pg_catalog.clock_timestamp() END"
		   " FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)"
		   " AS v(id, status, attempts, reason, number, code, message, finished)"
		   " WHERE m.id OPERATOR(pg_catalog.=) v.id AND m.status OPERATOR(pg_catalog.=) ANY "
		   "('{queued,sending,uncertain}')"
		   " AND (v.finished OR v.status OPERATOR(pg_catalog.=) 'uncertain'"
		   " OR m.status OPERATOR(pg_catalog.<>) v.status"
		   " OR m.attempts OPERATOR(pg_catalog.<>) v.attempts"
		   " OR COALESCE(m.phone_number_id, '') OPERATOR(pg_catalog.<>) COALESCE(v.number, '')"
		   " OR v.code OPERATOR(pg_catalog.<>) 0"
		   " AND NOT COALESCE(m.error_code OPERATOR(pg_catalog.=) v.code"
		   " AND m.error_message OPERATOR(pg_catalog.=) v.message, false))",
	.nargs = 8,
	.argtypes = {INT8ARRAYOID, TEXTARRAYOID, INT2ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID,
				 TEXTARRAYOID, BOOLARRAYOID},
	.expected = SPI_OK_UPDATE};

static WaStatement attempts_statement = {
	.sql = "INSERT INTO @extschema@.whatsapp_attempts"
		   " (message_id, attempt, phone_number_id, outcome, http_status, error_code,"
		   " error_message, fbtrace_id, started_at)"
		   " SELECT v.id, v.attempt, v.number, v.outcome, CASE WHEN v.http OPERATOR(pg_catalog.<>) "
		   "0 THEN v.http END, CASE WHEN v.code OPERATOR(pg_catalog.<>) 0 THEN v.code END,"
		   " v.message, CASE WHEN v.trace OPERATOR(pg_catalog.<>) '' THEN v.trace END, v.started"
		   " FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)"
		   " AS v(id, attempt, number, outcome, http, code, message, trace, started)",
	.nargs = 9,
	.argtypes = {INT8ARRAYOID, INT2ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID, INT4ARRAYOID,
				 TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID},
	.expected = SPI_OK_INSERT};

/* A hint for people is not worth waiting for a row that somebody has locked. */
static WaStatement sending_statement = {
	.sql = "UPDATE @extschema@.whatsapp_messages m SET status = 'sending', attempts = l.attempt"
		   " FROM (SELECT x.id, v.attempt FROM unnest($1, $2) AS v(id, attempt)"
		   " JOIN @extschema@.whatsapp_messages x ON x.id OPERATOR(pg_catalog.=) v.id"
		   " WHERE x.id OPERATOR(pg_catalog.=) ANY ($1) AND x.status OPERATOR(pg_catalog.=) "
		   "'queued' FOR NO KEY UPDATE OF x SKIP LOCKED) l"
		   " WHERE m.id OPERATOR(pg_catalog.=) ANY ($1) AND m.id OPERATOR(pg_catalog.=) l.id",
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, INT2ARRAYOID},
	.expected = SPI_OK_UPDATE};

/* ---- every other disposition ------------------------------------------------------ */

/* Keeps a record of the attempts among these dispositions that were refused or lost. */
static void
record_attempts(const WaDisposition *dispositions, int n)
{
	static const WaColumn columns[] = {
		WA_COLUMN(WaDisposition, message_id),	   WA_COLUMN(WaDisposition, attempt),
		WA_COLUMN(WaDisposition, phone_number_id), WA_COLUMN(WaDisposition, outcome),
		WA_COLUMN(WaDisposition, http_status),	   WA_COLUMN(WaDisposition, code),
		WA_COLUMN(WaDisposition, message),		   WA_COLUMN(WaDisposition, fbtrace_id),
		WA_COLUMN_TIME(WaDisposition, started_at),
	};
	WaDisposition *failed = palloc(sizeof(WaDisposition) * n);
	Datum values[lengthof(columns)];
	int m = 0;

	for (int i = 0; i < n; i++)
		if (dispositions[i].failed_attempt)
			failed[m++] = dispositions[i];
	if (m == 0)
		return;
	WA_ARRAYS_OF(values, columns, failed, m);
	wa_store_run(&attempts_statement, values, NULL);
}

/*
 * Locks the messages that change, and puts the dispositions of those that somebody
 * else has locked behind the others: waiting for them would hold up everybody.
 * Returns how many there are before those.
 */
int
wa_store_lock_messages(WaDisposition *dispositions, int n)
{
	static WaStatement statement = {
		.sql = "SELECT v.ord::int FROM pg_catalog.unnest($1)"
			   " WITH ORDINALITY AS v(id, ord)"
			   " JOIN @extschema@.whatsapp_messages m"
			   " ON m.id OPERATOR(pg_catalog.=) v.id FOR UPDATE OF m SKIP LOCKED",
		.nargs = 1,
		.argtypes = {INT8ARRAYOID},
		.expected = SPI_OK_SELECT};
	WaRows rows;
	int64 *ids = palloc(sizeof(int64) * Max(n, 1));
	int *which = palloc(sizeof(int) * Max(n, 1));
	bool *locked = palloc0(sizeof(bool) * Max(n, 1));
	Datum values[1];
	int left = 0;
	int m = 0;

	for (int i = 0; i < n; i++)
	{
		locked[i] = dispositions[i].queue_only;
		if (locked[i])
			continue;
		which[m] = i;
		ids[m++] = dispositions[i].message_id;
	}
	if (m == 0)
		return n;
	values[0] = wa_array_of_int8(ids, m);
	rows = wa_store_run(&statement, values, NULL);
	for (uint64 i = 0; i < rows.count; i++)
		locked[which[wa_rows_int(&rows, i, 1, 0) - 1]] = true;
	for (int i = 0; i < n; i++)
		if (locked[i])
		{
			WaDisposition disposition = dispositions[left];

			dispositions[left++] = dispositions[i];
			dispositions[i] = disposition;
		}
	return left;
}

/* Its queue row is ours if it counts fewer attempts than this. */
static int32
below_of(const WaDisposition *disposition)
{
	return disposition->failed_attempt ? disposition->attempt : disposition->attempts + 1;
}

/* Their queue rows, gone or changed; those that are not ours are missing. */
static void
settle_queue(const WaDisposition *dispositions, int n, int64 *missing, int *n_missing)
{
	WaRows rows;
	int64 *ids = palloc(sizeof(int64) * n);
	int16 *attempts = palloc(sizeof(int16) * n);
	int32 *below = palloc(sizeof(int32) * n);
	const char **texts = palloc(sizeof(char *) * n * 3);
	TimestampTz *dues = palloc(sizeof(TimestampTz) * n);
	char *states = palloc0(2 * n);
	Datum values[7];
	int m = 0;

	/* Rows that leave the queue. */
	for (int i = 0; i < n; i++)
		if (dispositions[i].state == 0)
		{
			ids[m] = dispositions[i].message_id;
			below[m++] = below_of(&dispositions[i]);
		}
	wa_fence_dequeue(ids, below, m, missing, n_missing);

	/* Rows that stay. */
	m = 0;
	for (int i = 0; i < n; i++)
	{
		if (dispositions[i].state == 0)
			continue;
		ids[m] = dispositions[i].message_id;
		states[2 * m] = dispositions[i].state;
		texts[m] = &states[2 * m];
		texts[n + m] = dispositions[i].reason;
		texts[2 * n + m] = dispositions[i].phone_number_id;
		attempts[m] = (int16) dispositions[i].attempts;
		dues[m] = dispositions[i].due_at;
		below[m++] = below_of(&dispositions[i]);
	}
	if (m == 0)
		return;
	values[0] = wa_array_of_int8(ids, m);
	values[1] = wa_array_of_text(texts, m);
	values[2] = wa_array_of_text(texts + n, m);
	values[3] = wa_array_of_int2(attempts, m);
	values[4] = wa_array_of_text(texts + 2 * n, m);
	values[5] = wa_array_of_time(dues, m);
	values[6] = wa_array_of_int4(below, m);
	rows = wa_store_run(&requeue_statement, values, NULL);
	wa_fence_add_missing(&rows, ids, m, missing, n_missing);
}

/*
 * The messages of those that are not superseded, where there is something new to
 * say: what waits a little longer is written in the queue alone.
 */
static void
update_messages(const WaDisposition *dispositions, int n)
{
	typedef struct Update
	{
		WaDisposition to;
		bool finished;
	} Update;
	static const WaColumn columns[] = {
		WA_COLUMN(Update, to.message_id),	   WA_COLUMN(Update, to.status),
		WA_COLUMN(Update, to.attempts),		   WA_COLUMN(Update, to.reason),
		WA_COLUMN(Update, to.phone_number_id), WA_COLUMN(Update, to.code),
		WA_COLUMN(Update, to.message),		   WA_COLUMN(Update, finished),
	};
	Update *updates = palloc(sizeof(Update) * n);
	Datum values[lengthof(columns)];
	int m = 0;

	for (int i = 0; i < n; i++)
		if (!dispositions[i].superseded && !dispositions[i].queue_only)
			updates[m++] = (Update){dispositions[i], dispositions[i].state == 0};
	if (m == 0)
		return;
	WA_ARRAYS_OF(values, columns, updates, m);
	wa_store_run(&disposition_statement, values, NULL);
}

/*
 * Of messages that have left the queue meanwhile, because a webhook told of an earlier
 * attempt: this one is counted, or the next would bear its number.
 */
static void
count_attempts(const WaDisposition *dispositions, int n, const int64 *gone, int n_gone)
{
	static WaStatement statement = {
		.sql = "UPDATE @extschema@.whatsapp_messages m SET attempts = v.attempt"
			   " FROM unnest($1, $2) AS v(id, attempt)"
			   " WHERE m.id OPERATOR(pg_catalog.=) ANY ($1) AND m.id OPERATOR(pg_catalog.=) v.id"
			   " AND m.attempts OPERATOR(pg_catalog.<) v.attempt",
		.nargs = 2,
		.argtypes = {INT8ARRAYOID, INT2ARRAYOID},
		.expected = SPI_OK_UPDATE};
	int64 *ids = palloc(sizeof(int64) * n);
	int16 *attempts = palloc(sizeof(int16) * n);
	Datum values[2];
	int m = 0;

	for (int i = 0; i < n; i++)
		if (dispositions[i].failed_attempt && !dispositions[i].superseded &&
			wa_ids_contain(dispositions[i].message_id, gone, n_gone))
		{
			ids[m] = dispositions[i].message_id;
			attempts[m++] = (int16) dispositions[i].attempt;
		}
	if (m == 0)
		return;
	values[0] = wa_array_of_int8(ids, m);
	values[1] = wa_array_of_int2(attempts, m);
	wa_store_run(&statement, values, NULL);
}

/*
 * Everything that can happen to a queued message except acceptance.  Of one that
 * a person has put back meanwhile only the attempt is recorded.
 */
void
wa_store_dispositions(WaDisposition *dispositions, int n)
{
	int64 *missing = palloc(sizeof(int64) * Max(n, 1));
	int64 *gone;
	int n_missing = 0;
	int n_gone;

	if (n == 0)
		return;
	settle_queue(dispositions, n, missing, &n_missing);
	n_gone = n_missing;
	gone = memcpy(palloc(sizeof(int64) * Max(n, 1)), missing, sizeof(int64) * n_gone);
	wa_ids_sort(gone, n_gone);
	n_missing = wa_fence_superseded(missing, n_missing);
	for (int i = 0; i < n; i++)
		dispositions[i].superseded = wa_ids_contain(dispositions[i].message_id, missing, n_missing);
	update_messages(dispositions, n);
	count_attempts(dispositions, n, gone, n_gone);
	record_attempts(dispositions, n);
}

/* These have been on the wire long enough for a person to notice. */
void
wa_store_mark_sending(const int64 *ids, const int16 *attempts, int n)
{
	Datum values[2] = {wa_array_of_int8(ids, n), wa_array_of_int2(attempts, n)};

	if (n > 0)
		wa_store_run(&sending_statement, values, NULL);
}
