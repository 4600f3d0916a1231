/*
 * apply.c
 *	  Statuses of messages: into the tables.
 *
 * Statuses of one webhook that concern the same message are merged first, so
 * that one UPDATE (webhook/update.c) can merge the whole batch into the rows.
 *
 * A status for a message that is still in the queue proves that Meta has it:
 * the queue row goes, and the message is what the status says.  The exception
 * is a message that failed and was put back by wa_retry_message(): there, a
 * repetition of what is known of the old attempt must not end the new one.
 *
 * A message has one acceptance.  Of a second one, of whatever attempt, an alert
 * tells; its wamid is kept with the first in whatsapp_wamids.
 *
 * Locks: queue rows, then message rows, each in order of message id, as
 * src/README.md asks.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"

#include "base/arrays.h"
#include "base/guc.h"
#include "base/rows.h"
#include "base/statement.h"
#include "common/queue_state.h"
#include "shared/wake.h"
#include "webhook/apply.h"
#include "webhook/consequence.h"
#include "webhook/group.h"
#include "webhook/learned.h"
#include "webhook/traffic.h"
#include "webhook/update.h"

/* In order of message id: an index scan with an array sorts it. */
static WaStatement lock_queue_statement = {
	.sql = "SELECT q.message_id, q.phone_number_id, q.rank, q.state "
		   "OPERATOR(pg_catalog.=) " WA_SQL_READY
		   " FROM @extschema@.whatsapp_queue AS q WHERE q.message_id OPERATOR(pg_catalog.=) ANY "
		   "($1) FOR UPDATE",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
	.expected = SPI_OK_SELECT};

static WaStatement over_statement = {
	.sql = "SELECT b.id"
		   " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS b(id, attempt)"
		   " WHERE b.attempt OPERATOR(pg_catalog.<) 0 OR EXISTS (SELECT FROM "
		   "@extschema@.whatsapp_attempts AS a"
		   " WHERE a.message_id OPERATOR(pg_catalog.=) b.id AND a.attempt OPERATOR(pg_catalog.=) "
		   "b.attempt AND a.outcome OPERATOR(pg_catalog.=) 'failed')",
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, INT2ARRAYOID},
	.expected = SPI_OK_SELECT};

/* In order of message id, for the same reason. */
static WaStatement lock_messages_statement = {
	.sql =
		"SELECT FROM @extschema@.whatsapp_messages AS m WHERE m.id OPERATOR(pg_catalog.=) ANY ($1)"
		" FOR NO KEY UPDATE",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
	.expected = SPI_OK_SELECT};

static WaStatement dequeue_statement = {
	.sql =
		"DELETE FROM @extschema@.whatsapp_queue WHERE message_id OPERATOR(pg_catalog.=) ANY ($1)",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
	.expected = SPI_OK_DELETE};

/* Of messages that the UPDATE has left alone: those that are there. */
static WaStatement exist_statement = {
	.sql = "SELECT m.id, m.status OPERATOR(pg_catalog.=) ANY ('{queued,sending,uncertain}'),"
		   " CASE WHEN m.status OPERATOR(pg_catalog.=) ANY ('{accepted,sent,delivered,read}')"
		   " THEN m.whatsapp_message_id END, " WA_STATUS_RECIPIENT ", m.phone_number_id,"
		   " m.created_at FROM @extschema@.whatsapp_messages AS m WHERE m.id "
		   "OPERATOR(pg_catalog.=) ANY ($1)",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
	.expected = SPI_OK_SELECT};

static WaStatement learn_statement = {
	.sql = "INSERT INTO @extschema@.whatsapp_wamids (whatsapp_message_id, message_id)"
		   " SELECT b.wamid, b.id"
		   " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS b(wamid, id)"
		   " WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_wamids AS w"
		   " WHERE w.whatsapp_message_id OPERATOR(pg_catalog.=) b.wamid) RETURNING message_id",
	.nargs = 2,
	.argtypes = {TEXTARRAYOID, INT8ARRAYOID},
	.expected = SPI_OK_INSERT_RETURNING};

/*
 * One turn of the work: groups of different messages, in order of message id.
 */
typedef struct Round
{
	WaWebhook *webhook;
	WaStatusGroup **groups;
	int n;
} Round;

static WaStatusGroup *
find_group(const Round *round, int64 message_id)
{
	int low = 0;
	int high = round->n - 1;

	while (low <= high)
	{
		int middle = low + (high - low) / 2;
		int64 id = round->groups[middle]->merged.message_id;

		if (id == message_id)
			return round->groups[middle];
		if (id < message_id)
			low = middle + 1;
		else
			high = middle - 1;
	}
	elog(ERROR, "message " INT64_FORMAT " is not in the batch", message_id);
}

/* Their ids as an array. */
static Datum
message_ids(WaStatusGroup *const *groups, int n)
{
	int64 *ids = palloc(sizeof(int64) * Max(n, 1));

	for (int i = 0; i < n; i++)
		ids[i] = groups[i]->merged.message_id;
	return wa_array_of_int8(ids, n);
}

/*
 * Of groups whose message is in the queue and that do not prove delivery: if
 * they tell of an attempt that had failed when the message was put back, they
 * change nothing.  Without our data that is so whenever the wamid is known.
 */
static void
drop_stale(Round *round, WaStatusGroup **queued, int n)
{
	WaRows rows;
	int16 *attempts = palloc(sizeof(int16) * Max(n, 1));
	Datum values[2];

	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
		attempts[i] = (int16) Min(queued[i]->merged.attempt, PG_INT16_MAX);
	values[0] = message_ids(queued, n);
	values[1] = wa_array_of_int2(attempts, n);
	rows = wa_statement_run(&over_statement, round->webhook->schema, values, NULL);
	for (uint64 i = 0; i < rows.count; i++)
	{
		WaStatusGroup *group = find_group(round, wa_rows_int(&rows, (int) i, 1, 0));

		if (!group->done)
			wa_status_count(round->webhook, group, false);
		group->settles = false;
	}
}

/*
 * Locks what is still in the queue and takes out what Meta evidently has.
 *
 * A claim passes over rows that we have locked, and its cursor with it, so the
 * senders must look again at those that stay, or that stay because we fail.
 */
static void
settle_queue(Round *round)
{
	WaRows rows;
	WaStatusGroup **queued = palloc(sizeof(WaStatusGroup *) * round->n);
	int nqueued = 0;
	int nsettled = 0;
	Datum values[1];
	int n;

	values[0] = message_ids(round->groups, round->n);
	rows = wa_statement_run(&lock_queue_statement, round->webhook->schema, values, NULL);
	n = (int) rows.count;
	if (n == 0)
		return;

	for (int i = 0; i < n; i++)
	{
		WaStatusGroup *group = find_group(round, wa_rows_int(&rows, i, 1, 0));

		if (wa_rows_int(&rows, i, 4, false))
			wa_wake_ready_always(wa_rows_text(&rows, i, 2), wa_rows_int(&rows, i, 3, 0));
		group->settles = true;
		if (!wa_status_proves_delivery(&group->merged))
			queued[nqueued++] = group;
	}
	drop_stale(round, queued, nqueued);

	for (int i = 0; i < round->n; i++)
	{
		if (round->groups[i]->settles)
			queued[nsettled++] = round->groups[i];
	}
	values[0] = message_ids(queued, nsettled);
	wa_statement_run(&dequeue_statement, round->webhook->schema, values, NULL);
}

/*
 * Remembers wamids that the sender has not written, or that it never saw.  Returns
 * the messages of those that nobody has written before.
 */
static WaRows
learn_wamids(Round *round, WaStatusGroup *const *groups, int n)
{
	const char **wamids = palloc(sizeof(char *) * Max(n, 1));
	WaRows rows = {0};
	Datum values[2];

	if (n == 0)
		return rows;
	for (int i = 0; i < n; i++)
		wamids[i] = groups[i]->merged.wamid;
	values[0] = wa_array_of_text(wamids, n);
	values[1] = message_ids(groups, n);
	rows = wa_statement_run(&learn_statement, round->webhook->schema, values, NULL);
	return rows;
}

/* It says that the message reached, or may reach, a person. */
static bool
proves_sending(const WaStatusGroup *group)
{
	return group->merged.at[WA_STATUS_SENT] != 0 || wa_status_proves_delivery(&group->merged);
}

/*
 * The first report of a message comes within seconds.  One that takes half the time
 * for which reports of uncertain messages are awaited could not be delivered before;
 * that its message was accepted then is by our own clock.
 */
static void
note_if_late(Round *round, const WaStatusGroup *group, TimestampTz accepted_at)
{
	const char *number = group->merged.phone_number_id;

	if (group->merged.parked_id == 0 && accepted_at != 0 &&
		accepted_at < round->webhook->now - (int64) wa_guc_uncertain_grace * 1000 / 2)
		wa_webhook_note_late_report(round->webhook, number != NULL ? number : "");
}

static void
update_messages(Round *round)
{
	WaStatusGroup **learned = palloc(sizeof(WaStatusGroup *) * round->n);
	WaRecount *recounts = palloc(sizeof(WaRecount) * round->n);
	int nlearned = 0;
	int nrecounts = 0;
	WaRows rows;

	rows = wa_status_update(round->webhook->schema, round->groups, round->n);
	for (uint64 i = 0; i < rows.count; i++)
	{
		int row = (int) i;
		WaStatusGroup *group = find_group(round, wa_rows_int(&rows, row, 1, 0));
		bool current = wa_rows_int(&rows, row, 2, false);
		bool dates_acceptance = wa_rows_int(&rows, row, 3, false);

		wa_status_count(round->webhook, group, true);
		if (group->replaces || (!current && proves_sending(group)))
			wa_webhook_note_duplicate(round->webhook, &group->merged);
		if (!current || group->replaces || dates_acceptance || group->settles ||
			group->merged.attempt > 1)
			learned[nlearned++] = group;
		if (wa_rows_int(&rows, row, 4, false))
			wa_webhook_note_failure(round->webhook, &group->merged, wa_rows_text(&rows, row, 10));
		if (wa_rows_int(&rows, row, 5, false))
			wa_webhook_note_late(round->webhook, &group->merged);
		note_if_late(round, group, wa_rows_time(&rows, row, 6, 0));
		wa_webhook_learn_recipient(round->webhook, group, wa_rows_text(&rows, row, 10),
								   wa_rows_text(&rows, row, 11), wa_rows_time(&rows, row, 12, 0));
		group->after = (WaDelivered){.at = wa_rows_time(&rows, row, 7, 0),
									 .category = wa_rows_text(&rows, row, 8),
									 .is_free = wa_rows_int(&rows, row, 9, false)};
		if (wa_delivered_differs(&group->before, &group->after))
			recounts[nrecounts++] =
				(WaRecount){.message_id = group->merged.message_id, .before = group->before};
	}
	learn_wamids(round, learned, nlearned);
	wa_delivered_recount(round->webhook->schema, recounts, nrecounts);
}

/*
 * What the UPDATE has left alone: nothing new in it, or no such message, or a
 * message that has come back into the queue this very moment.
 */
static void
account_for_rest(Round *round)
{
	WaRows rows;
	WaStatusGroup **rest = palloc(sizeof(WaStatusGroup *) * round->n);
	WaStatusGroup **known = palloc(sizeof(WaStatusGroup *) * round->n);
	int n = 0;
	int nknown = 0;
	Datum values[1];

	for (int i = 0; i < round->n; i++)
	{
		if (!round->groups[i]->done)
			rest[n++] = round->groups[i];
	}
	if (n == 0)
		return;
	values[0] = message_ids(rest, n);
	rows = wa_statement_run(&exist_statement, round->webhook->schema, values, NULL);
	for (uint64 i = 0; i < rows.count; i++)
	{
		WaStatusGroup *group = find_group(round, wa_rows_int(&rows, (int) i, 1, 0));

		if (wa_rows_int(&rows, (int) i, 2, false))
			wa_status_park(round->webhook, group, "message_queued_again");
		else
		{
			const char *wamid = wa_rows_text(&rows, (int) i, 3);

			wa_status_count(round->webhook, group, false);
			wa_webhook_learn_recipient(round->webhook, group, wa_rows_text(&rows, (int) i, 4),
									   wa_rows_text(&rows, (int) i, 5),
									   wa_rows_time(&rows, (int) i, 6, 0));
			group->replaces = wamid != NULL && strcmp(wamid, group->merged.wamid) != 0;
			known[nknown++] = group;
		}
	}
	for (int i = 0; i < n; i++)
	{
		if (!rest[i]->done)
			wa_status_park(round->webhook, rest[i], "unknown_message");
	}
	rows = learn_wamids(round, known, nknown);
	for (uint64 i = 0; i < rows.count; i++)
	{
		WaStatusGroup *group = find_group(round, wa_rows_int(&rows, (int) i, 1, 0));

		if (group->replaces && proves_sending(group))
			wa_webhook_note_duplicate(round->webhook, &group->merged);
	}
}

/*
 * Several rounds would come back to rows that an earlier one has passed: so
 * they lock all they need beforehand, queue rows first.
 */
static void
lock_ahead(WaWebhook *webhook, WaStatusGroup *groups, int ngroups)
{
	int64 *ids = palloc(sizeof(int64) * ngroups);
	int n = 0;
	Datum values[1];

	for (int i = 0; i < ngroups; i++)
	{
		if (n == 0 || ids[n - 1] != groups[i].merged.message_id)
			ids[n++] = groups[i].merged.message_id;
	}
	if (n == ngroups)
		return;
	values[0] = wa_array_of_int8(ids, n);
	wa_statement_run(&lock_queue_statement, webhook->schema, values, NULL);
	wa_statement_run(&lock_messages_statement, webhook->schema, values, NULL);
}

/*
 * Everything in the list.  One round does for messages that were sent once;
 * the statuses of several attempts of one message go one after the other.
 */
void
wa_webhook_apply_statuses(WaWebhook *webhook)
{
	WaStatusGroup *groups;
	int ngroups;
	bool more;

	if (webhook->statuses.count > 0)
		wa_status_look_up(webhook);
	if (webhook->statuses.count == 0)
		return;
	groups = wa_status_group(webhook, &ngroups);
	lock_ahead(webhook, groups, ngroups);
	do
	{
		Round round = {.webhook = webhook};
		int64 last = 0;

		more = false;
		round.groups = palloc(sizeof(WaStatusGroup *) * ngroups);
		for (int i = 0; i < ngroups; i++)
		{
			if (groups[i].done)
				continue;
			if (groups[i].merged.message_id == last)
			{
				more = true;
				continue;
			}
			last = groups[i].merged.message_id;
			round.groups[round.n++] = &groups[i];
		}

		settle_queue(&round);
		update_messages(&round);
		account_for_rest(&round);
	} while (more);
	wa_webhook_store_learned(webhook);
}
