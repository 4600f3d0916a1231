/*
 * traffic.c
 *	  That webhooks come at all, for each number.
 *
 * Silence is ambiguous: nothing happened, or nothing reaches us.  What has to
 * tell the two apart (reconciliation, wa_health, the decision on uncertain
 * messages) reads whatsapp_webhook_traffic.  Reports that come late say that some
 * could not be delivered in time, and that others may follow.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/lookup.h"
#include "base/statement.h"
#include "webhook/field.h"
#include "webhook/traffic.h"

#define MAX_NUMBER_LENGTH 32

/* Those of thousands of numbers, of which hundreds are heard of in a second. */
#define RECENT_NUMBERS 2048

typedef struct NumberTraffic
{
	const char *phone_number_id;
	int statuses;
	int messages;
	bool late;
} NumberTraffic;

/*
 * What this session has written lately, or found written: mostly there is nothing to
 * write.  If the transaction that wrote it was rolled back, the next second will do.
 * Two numbers that share a place only cost a look into the table.
 */
typedef struct RecentWrite
{
	char phone_number_id[MAX_NUMBER_LENGTH + 1];
	TimestampTz status_at;
	TimestampTz inbound_at;
	TimestampTz webhook_at;
	TimestampTz late_at;
} RecentWrite;

static RecentWrite recent[RECENT_NUMBERS];

/*
 * The row is written once a second at most, by whichever session, so that
 * webhooks of one number that arrive side by side do not queue up for it.  In
 * order of the key, so that two webhooks with several numbers cannot deadlock.
 */
static WaStatement traffic_statement = {
	.sql = "INSERT INTO @extschema@.whatsapp_webhook_traffic AS t"
		   " (phone_number_id, last_webhook_at, last_status_at, last_inbound_at, last_late_at)"
		   " SELECT v.number, $5, CASE WHEN v.statuses OPERATOR(pg_catalog.>) 0 THEN $5 END,"
		   " CASE WHEN v.messages OPERATOR(pg_catalog.>) 0 THEN $5 END, CASE WHEN v.late THEN $5 "
		   "END"
		   " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), "
		   "pg_catalog.unnest($4))"
		   " AS v(number, statuses, messages, late) ORDER BY v.number"
		   " ON CONFLICT (phone_number_id) DO UPDATE"
		   " SET last_webhook_at = GREATEST(t.last_webhook_at, EXCLUDED.last_webhook_at),"
		   " last_status_at = GREATEST(t.last_status_at, EXCLUDED.last_status_at),"
		   " last_inbound_at = GREATEST(t.last_inbound_at, EXCLUDED.last_inbound_at),"
		   " last_late_at = GREATEST(t.last_late_at, EXCLUDED.last_late_at)"
		   " WHERE EXCLUDED.last_webhook_at OPERATOR(pg_catalog.>) (t.last_webhook_at "
		   "OPERATOR(pg_catalog.+) interval '1 second')"
		   " OR EXCLUDED.last_status_at OPERATOR(pg_catalog.>)"
		   " (COALESCE(t.last_status_at, '-infinity') OPERATOR(pg_catalog.+) interval '1 second')"
		   " OR EXCLUDED.last_inbound_at OPERATOR(pg_catalog.>)"
		   " (COALESCE(t.last_inbound_at, '-infinity') OPERATOR(pg_catalog.+) interval '1 second')"
		   " OR EXCLUDED.last_late_at IS NOT NULL",
	.nargs = 5,
	.argtypes = {TEXTARRAYOID, INT4ARRAYOID, INT4ARRAYOID, BOOLARRAYOID, TIMESTAMPTZOID},
	.expected = SPI_OK_INSERT};

/* What other sessions have written, in the order of RecentWrite's times. */
enum
{
	LAST_WEBHOOK_AT,
	LAST_STATUS_AT,
	LAST_INBOUND_AT,
	COLUMNS
};

static WaLookup written = {.table = "whatsapp_webhook_traffic",
						   .index = "whatsapp_webhook_traffic_pkey",
						   .nkeys = 1,
						   .ncolumns = COLUMNS,
						   .columns = {"last_webhook_at", "last_status_at", "last_inbound_at"}};

/* ---- noting ---- */

static void
note(WaWebhookList *traffic, const NumberTraffic *more)
{
	NumberTraffic *last = traffic->items;

	/* One change after the other is about the same number, mostly. */
	if (traffic->count > 0)
	{
		last += traffic->count - 1;
		if (strcmp(last->phone_number_id, more->phone_number_id) == 0)
		{
			last->statuses += more->statuses;
			last->messages += more->messages;
			last->late |= more->late;
			return;
		}
	}
	*(NumberTraffic *) wa_webhook_add(traffic, sizeof(NumberTraffic)) = *more;
}

/*
 * The empty number stands for the account.
 */
void
wa_webhook_note_traffic(WaWebhook *webhook, const char *phone_number_id, int statuses, int messages)
{
	NumberTraffic more = {
		.phone_number_id = phone_number_id, .statuses = statuses, .messages = messages};

	note(&webhook->traffic, &more);
}

void
wa_webhook_note_late_report(WaWebhook *webhook, const char *phone_number_id)
{
	NumberTraffic more = {.phone_number_id = phone_number_id, .late = true};

	note(&webhook->traffic, &more);
}

void
wa_webhook_keep_traffic(WaWebhookList *kept, MemoryContext context, const WaWebhookList *traffic)
{
	MemoryContext caller = MemoryContextSwitchTo(context);
	const NumberTraffic *items = traffic->items;

	for (int i = 0; i < traffic->count; i++)
	{
		NumberTraffic more = items[i];

		more.phone_number_id = pstrdup(more.phone_number_id);
		note(kept, &more);
	}
	MemoryContextSwitchTo(caller);
}

static int
compare_numbers(const void *a, const void *b)
{
	return strcmp(((const NumberTraffic *) a)->phone_number_id,
				  ((const NumberTraffic *) b)->phone_number_id);
}

/* Each number once. */
static void
gather(WaWebhookList *traffic)
{
	NumberTraffic *items = traffic->items;
	int n = traffic->count;

	qsort(items, n, sizeof(NumberTraffic), compare_numbers);
	traffic->count = 0;
	for (int i = 0; i < n; i++)
	{
		NumberTraffic next = items[i]; /* may be where it is written */

		note(traffic, &next);
	}
}

/* ---- writing ---- */

static RecentWrite *
find_recent(const char *phone_number_id)
{
	uint32 hash = hash_bytes((const unsigned char *) phone_number_id, strlen(phone_number_id));
	RecentWrite *entry = &recent[hash % RECENT_NUMBERS];

	if (strcmp(entry->phone_number_id, phone_number_id) != 0)
	{
		memset(entry, 0, sizeof(*entry));
		strlcpy(entry->phone_number_id, phone_number_id, sizeof(entry->phone_number_id));
	}
	return entry;
}

static bool
is_due(TimestampTz last, TimestampTz now)
{
	return now < last || now > last + USECS_PER_SEC;
}

/* Whether there is something that is not known to be written. */
static bool
is_news(const RecentWrite *entry, const NumberTraffic *number, TimestampTz now)
{
	return is_due(entry->webhook_at, now) ||
		   (number->statuses > 0 && is_due(entry->status_at, now)) ||
		   (number->messages > 0 && is_due(entry->inbound_at, now)) ||
		   (number->late && is_due(entry->late_at, now));
}

static void
learn(TimestampTz *at, const WaLookupRow *row, int column)
{
	if (!row->nulls[column])
		*at = Max(*at, DatumGetTimestampTz(row->values[column]));
}

/* What other sessions have written of it. */
static void
look_up(RecentWrite *entry, Oid schema, Snapshot snapshot)
{
	Datum key = CStringGetTextDatum(entry->phone_number_id);
	const WaLookupRow *row = wa_lookup_one(&written, schema, &key, snapshot);

	if (row == NULL)
		return;
	learn(&entry->webhook_at, row, LAST_WEBHOOK_AT);
	learn(&entry->status_at, row, LAST_STATUS_AT);
	learn(&entry->inbound_at, row, LAST_INBOUND_AT);
}

/*
 * True if the row lacks something of it, which is then taken for written.  A
 * statement that finds nothing to do would lock the row all the same.
 */
static bool
must_write(Oid schema, const NumberTraffic *number, TimestampTz now, Snapshot snapshot)
{
	RecentWrite *entry = find_recent(number->phone_number_id);

	if (!is_news(entry, number, now))
		return false;
	look_up(entry, schema, snapshot);
	if (!is_news(entry, number, now))
		return false;
	entry->webhook_at = now;
	if (number->statuses > 0)
		entry->status_at = now;
	if (number->messages > 0)
		entry->inbound_at = now;
	if (number->late)
		entry->late_at = now;
	return true;
}

/* Leaves those that must be written, and returns how many. */
static int
leave_out_written(Oid schema, NumberTraffic *items, int count, TimestampTz now)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	int n = 0;

	for (int i = 0; i < count; i++)
		if (must_write(schema, &items[i], now, snapshot))
			items[n++] = items[i];
	UnregisterSnapshot(snapshot);
	return n;
}

void
wa_webhook_write_traffic(Oid schema, WaWebhookList *traffic, TimestampTz now)
{
	static const WaColumn columns[] = {
		WA_COLUMN(NumberTraffic, phone_number_id),
		WA_COLUMN(NumberTraffic, statuses),
		WA_COLUMN(NumberTraffic, messages),
		WA_COLUMN(NumberTraffic, late),
	};
	const NumberTraffic *items;
	Datum values[lengthof(columns) + 1];
	int n;

	if (traffic->count == 0)
		return;
	gather(traffic);
	items = traffic->items;
	n = leave_out_written(schema, traffic->items, traffic->count, now);
	if (n == 0)
		return;
	WA_ARRAYS_OF(values, columns, items, n);
	values[lengthof(columns)] = TimestampTzGetDatum(now);
	wa_statement_run(&traffic_statement, schema, values, NULL);
}
