/*
 * acceptance.c
 *	  What is written of the messages that Meta has taken.
 *
 * One UPDATE for all of them, which reads its values by calling functions and not
 * from a join: a join to arrays makes and reads a temporary set of rows, and begins
 * a scan for each of them, which costs more than the update of a row by itself.
 * The functions read what this file is writing at the moment; outside of that they
 * know nothing.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "sender/store/alert.h"
#include "sender/store/dispositions.h"
#include "sender/store/fence.h"
#include "sender/store/learned.h"
#include "sender/store/transaction.h"
#include "sender/store/wamids.h"

/*
 * A webhook may have been faster: what it wrote is never taken back, only
 * completed.  If it, or another sender, has written of another acceptance, this is
 * the second one.
 *
 * Nearly all messages are still where the claim has read them, which saves the way
 * through the index.
 */
#define ACCEPT(column)                                                                             \
	"UPDATE @extschema@.whatsapp_messages m SET"                                                   \
	" status = CASE WHEN m.status OPERATOR(pg_catalog.=) ANY ('{queued,sending,uncertain}') THEN " \
	"'accepted'"                                                                                   \
	" ELSE m.status END,"                                                                          \
	" status_reason = @extschema@.wa_internal_accepted_text(m.id, 'r'::pg_catalog.\"char\"),"      \
	" whatsapp_message_id = COALESCE(m.whatsapp_message_id,"                                       \
	" @extschema@.wa_internal_accepted_text(m.id, 'm'::pg_catalog.\"char\")),"                     \
	" accepted_at = COALESCE(m.accepted_at, @extschema@.wa_internal_accepted_at(m.id)),"           \
	" attempts = GREATEST(m.attempts, @extschema@.wa_internal_accepted_attempt(m.id)),"            \
	" phone_number_id = @extschema@.wa_internal_accepted_text(m.id, 'n'::pg_catalog.\"char\"),"    \
	" recipient_wa_id = COALESCE(m.recipient_wa_id,"                                               \
	" @extschema@.wa_internal_accepted_text(m.id, 'w'::pg_catalog.\"char\")),"                     \
	" error_code = CASE WHEN m.status OPERATOR(pg_catalog.=) 'failed' THEN m.error_code END,"      \
	" error_message = CASE WHEN m.status OPERATOR(pg_catalog.=) 'failed' THEN m.error_message "    \
	"END,"                                                                                         \
	" finished_at = COALESCE(m.finished_at, @extschema@.wa_internal_accepted_at(m.id))"            \
	" WHERE m." column " OPERATOR(pg_catalog.=) ANY ($1)"                                          \
	" AND @extschema@.wa_internal_accepted_attempt(m.id) IS NOT NULL RETURNING m.id,"              \
	" m.whatsapp_message_id OPERATOR(pg_catalog.<>)"                                               \
	" @extschema@.wa_internal_accepted_text(m.id, 'm'::pg_catalog.\"char\")"                       \
	" AND m.status OPERATOR(pg_catalog.=) ANY ('{accepted,sent,delivered,read}'),"                 \
	" CASE WHEN pg_catalog.substr(m.recipient_phone, 2) OPERATOR(pg_catalog.<>)"                   \
	" @extschema@.wa_internal_accepted_text(m.id, 'w'::pg_catalog.\"char\")"                       \
	" OR @extschema@.wa_internal_accepted_text(m.id, 'u'::pg_catalog.\"char\") IS NOT NULL"        \
	" OR m.recipient_phone IS NULL"                                                                \
	" THEN COALESCE(m.recipient_phone, m.recipient_user_id) END"

static WaStatement accept_there_statement = {.sql = ACCEPT("ctid"),
											 .nargs = 1,
											 .argtypes = {TIDARRAYOID},
											 .expected = SPI_OK_UPDATE_RETURNING};

static WaStatement accept_statement = {.sql = ACCEPT("id"),
									   .nargs = 1,
									   .argtypes = {INT8ARRAYOID},
									   .expected = SPI_OK_UPDATE_RETURNING};

/* ---- what is being written --------------------------------------------------------- */

static const WaAccepted *accepting; /* sorted by message */
static int n_accepting;				/* 0 outside of the statements */
static int latest;					/* of them, the one that was asked for last */

static int
compare_accepted(const void *a, const void *b)
{
	int64 x = ((const WaAccepted *) a)->message_id;
	int64 y = ((const WaAccepted *) b)->message_id;

	return (x > y) - (x < y);
}

/* Mostly the same as the last time, or the one after it.  NULL if there is none. */
static const WaAccepted *
accepted_message(int64 id)
{
	int low = 0;
	int high = n_accepting;

	for (int i = latest; i < Min(latest + 2, n_accepting); i++)
		if (accepting[i].message_id == id)
		{
			latest = i;
			return &accepting[i];
		}
	while (low < high)
	{
		int middle = (low + high) / 2;

		if (accepting[middle].message_id < id)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == n_accepting || accepting[low].message_id != id)
		return NULL;
	latest = low;
	return &accepting[low];
}

PG_FUNCTION_INFO_V1(wa_internal_accepted_attempt);
PG_FUNCTION_INFO_V1(wa_internal_accepted_at);
PG_FUNCTION_INFO_V1(wa_internal_accepted_text);

/* The attempt that was accepted. */
Datum
wa_internal_accepted_attempt(PG_FUNCTION_ARGS)
{
	const WaAccepted *accepted = accepted_message(PG_GETARG_INT64(0));

	if (accepted == NULL)
		PG_RETURN_NULL();
	PG_RETURN_INT16((int16) accepted->attempt);
}

/* When it was. */
Datum
wa_internal_accepted_at(PG_FUNCTION_ARGS)
{
	const WaAccepted *accepted = accepted_message(PG_GETARG_INT64(0));

	if (accepted == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(accepted->at);
}

/* What the response says, by a letter; NULL if that is nothing. */
Datum
wa_internal_accepted_text(PG_FUNCTION_ARGS)
{
	const WaAccepted *accepted = accepted_message(PG_GETARG_INT64(0));
	const char *text = "";

	if (accepted == NULL)
		PG_RETURN_NULL();
	switch (PG_GETARG_CHAR(1))
	{
		case 'r': /* the reason: why it has not been sent on yet */
			text = accepted->message_status;
			if (strcmp(text, "accepted") == 0)
				PG_RETURN_NULL();
			break;
		case 'm':
			text = accepted->wamid;
			break;
		case 'n':
			text = accepted->phone_number_id;
			break;
		case 'w':
			text = accepted->wa_id;
			break;
		case 'u':
			text = accepted->user_id;
			break;
	}
	if (text[0] == '\0')
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

/* ---- acceptance ------------------------------------------------------------------ */

/* Adds those of the rows that an UPDATE has returned that had been accepted before. */
static void
add_second(const WaRows *rows, int64 *second, int *n_second)
{
	for (uint64 i = 0; i < rows->count; i++)
		if (wa_rows_int(rows, (int) i, 2, false))
			second[(*n_second)++] = wa_rows_int(rows, (int) i, 1, 0);
}

/* Notes that a recipient is called otherwise in the response. */
static void
add_learned(const char *recipient, const char *identity, WaLearned *learned, int *n)
{
	WaLearned item = {recipient, identity};

	if (strcmp(recipient, identity) != 0)
		learned[(*n)++] = item;
}

/*
 * False if the response is about somebody else than the recipient: a stand-in for Meta
 * that answers everybody alike would make one person of all recipients.
 */
static bool
is_about(const char *input, const char *recipient)
{
	if (input[0] == '\0')
		return true;
	return strcmp(input + (input[0] == '+'), recipient + (recipient[0] == '+')) == 0;
}

/*
 * Of the rows that an UPDATE has returned, those whose recipients the response may call
 * otherwise than the message does.
 */
static void
learn(const WaRows *rows)
{
	WaLearned *learned = palloc(sizeof(WaLearned) * 2 * Max(rows->count, 1));
	int n = 0;

	for (uint64 i = 0; i < rows->count; i++)
	{
		const char *recipient = wa_rows_text(rows, (int) i, 3);
		const WaAccepted *accepted;

		if (recipient == NULL)
			continue;
		accepted = accepted_message(wa_rows_int(rows, (int) i, 1, 0));
		if (!is_about(accepted->input, recipient))
			continue;
		if (accepted->wa_id[0] != '\0' &&
			strspn(accepted->wa_id, "0123456789") == strlen(accepted->wa_id))
			add_learned(recipient, psprintf("+%s", accepted->wa_id), learned, &n);
		if (accepted->user_id[0] != '\0')
			add_learned(recipient, accepted->user_id, learned, &n);
	}
	wa_store_learn(learned, n);
}

/* Returns how many of them had been accepted before, and which in second (room for n). */
static int
update_accepted(const WaAccepted *accepted, int n, int64 *second)
{
	ItemPointerData *tids = palloc(sizeof(ItemPointerData) * n);
	int64 *ids = palloc(sizeof(int64) * n);
	int64 *missing = palloc(sizeof(int64) * n);
	int n_missing = 0;
	int n_second = 0;
	Datum places;
	WaRows rows;

	for (int i = 0; i < n; i++)
	{
		ids[i] = accepted[i].message_id;
		tids[i] = accepted[i].message_tid;
	}

	accepting = accepted;
	n_accepting = n;
	latest = 0;
	PG_TRY();
	{
		places = wa_array_of_tid(tids, n);
		rows = wa_store_run(&accept_there_statement, &places, NULL);
		add_second(&rows, second, &n_second);
		learn(&rows);
		wa_fence_add_missing(&rows, ids, n, missing, &n_missing);
		if (n_missing > 0)
		{
			/* Marked as sending, or told of by a webhook: a new version is elsewhere. */
			places = wa_array_of_int8(missing, n_missing);
			rows = wa_store_run(&accept_statement, &places, NULL);
			add_second(&rows, second, &n_second);
			learn(&rows);
		}
	}
	PG_FINALLY();
	{
		n_accepting = 0;
	}
	PG_END_TRY();
	return n_second;
}

/*
 * Meta has taken these.  Of one that a person has put back meanwhile nothing but
 * the wamid is written: that attempt is over, and another is to follow.  Sorts them.
 */
void
wa_store_accept(WaAccepted *accepted, int n)
{
	int64 *ids = palloc(sizeof(int64) * Max(n, 1));
	int32 *attempts = palloc(sizeof(int32) * Max(n, 1));
	ItemPointerData *tids = palloc(sizeof(ItemPointerData) * Max(n, 1));
	int64 *missing = palloc(sizeof(int64) * Max(n, 1));
	WaAccepted *current = palloc(sizeof(WaAccepted) * Max(n, 1));
	int64 *second = palloc(sizeof(int64) * Max(n, 1));
	int n_missing = 0;
	int n_current = 0;
	int n_second = 0;

	if (n == 0)
		return;
	qsort(accepted, n, sizeof(WaAccepted), compare_accepted);
	for (int i = 0; i < n; i++)
	{
		ids[i] = accepted[i].message_id;
		attempts[i] = accepted[i].attempt;
		tids[i] = accepted[i].queue_tid;
	}
	wa_fence_dequeue_there(ids, tids, attempts, n, missing, &n_missing);
	n_missing = wa_fence_superseded(missing, n_missing);
	for (int i = 0; i < n; i++)
		if (!wa_ids_contain(ids[i], missing, n_missing))
			current[n_current++] = accepted[i];
	if (n_current > 0)
		n_second = update_accepted(current, n_current, second);
	wa_store_wamids(accepted, n);
	if (n_second > 0)
		wa_store_alert_accepted_twice(second, n_second);
}
