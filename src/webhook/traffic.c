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
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/statement.h"
#include "webhook/traffic.h"

/* More numbers than an account can have; further ones are not noted. */
#define MAX_NUMBERS 256
#define MAX_NUMBER_LENGTH 32
#define MAX_RECENT 32

typedef struct NumberTraffic
{
	const char *phone_number_id;
	int statuses;
	int messages;
	bool late;
} NumberTraffic;

struct WaTraffic
{
	NumberTraffic numbers[MAX_NUMBERS];
	int count;
};

/*
 * What this session has written lately: mostly there is nothing to write.  If
 * the transaction that wrote it was rolled back, the next second will do.
 */
typedef struct RecentWrite
{
	char phone_number_id[MAX_NUMBER_LENGTH + 1];
	TimestampTz status_at;
	TimestampTz inbound_at;
	TimestampTz webhook_at;
	TimestampTz late_at;
} RecentWrite;

static RecentWrite recent[MAX_RECENT];
static int next_recent;

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

static NumberTraffic *
find_number(WaTraffic *traffic, const char *phone_number_id)
{
	for (int i = 0; i < traffic->count; i++)
	{
		if (strcmp(traffic->numbers[i].phone_number_id, phone_number_id) == 0)
			return &traffic->numbers[i];
	}
	if (traffic->count == MAX_NUMBERS)
		return NULL;
	traffic->numbers[traffic->count] = (NumberTraffic){.phone_number_id = phone_number_id};
	return &traffic->numbers[traffic->count++];
}

/*
 * The empty number stands for the account.
 */
void
wa_webhook_note_traffic(WaWebhook *webhook, const char *phone_number_id, int statuses, int messages)
{
	NumberTraffic *number;

	if (webhook->traffic == NULL)
		webhook->traffic = palloc0(sizeof(WaTraffic));
	number = find_number(webhook->traffic, phone_number_id);
	if (number == NULL)
		return;
	number->statuses += statuses;
	number->messages += messages;
}

void
wa_webhook_note_late_report(WaWebhook *webhook, const char *phone_number_id)
{
	NumberTraffic *number;

	wa_webhook_note_traffic(webhook, phone_number_id, 0, 0);
	/* With more numbers than are noted: whichever it is, it is written. */
	number = find_number(webhook->traffic, phone_number_id);
	if (number == NULL)
		number = &webhook->traffic->numbers[0];
	number->late = true;
}

static RecentWrite *
find_recent(const char *phone_number_id)
{
	RecentWrite *entry;

	for (int i = 0; i < MAX_RECENT; i++)
	{
		if (recent[i].webhook_at != 0 && strcmp(recent[i].phone_number_id, phone_number_id) == 0)
			return &recent[i];
	}
	entry = &recent[next_recent];
	next_recent = (next_recent + 1) % MAX_RECENT;
	memset(entry, 0, sizeof(*entry));
	strlcpy(entry->phone_number_id, phone_number_id, sizeof(entry->phone_number_id));
	return entry;
}

static bool
is_due(TimestampTz last, TimestampTz now)
{
	return now < last || now > last + USECS_PER_SEC;
}

/*
 * True if the row lacks something of it, which is then taken for written.
 */
static bool
must_write(const NumberTraffic *number, TimestampTz now)
{
	RecentWrite *entry = find_recent(number->phone_number_id);

	if (!is_due(entry->webhook_at, now) &&
		(number->statuses == 0 || !is_due(entry->status_at, now)) &&
		(number->messages == 0 || !is_due(entry->inbound_at, now)) &&
		(!number->late || !is_due(entry->late_at, now)))
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

void
wa_webhook_write_traffic(WaWebhook *webhook)
{
	static const WaColumn columns[] = {
		WA_COLUMN(NumberTraffic, phone_number_id),
		WA_COLUMN(NumberTraffic, statuses),
		WA_COLUMN(NumberTraffic, messages),
		WA_COLUMN(NumberTraffic, late),
	};
	WaTraffic *traffic = webhook->traffic;
	Datum values[lengthof(columns) + 1];
	int n = 0;

	if (traffic == NULL)
		return;
	for (int i = 0; i < traffic->count; i++)
		if (must_write(&traffic->numbers[i], webhook->now))
			traffic->numbers[n++] = traffic->numbers[i];
	if (n == 0)
		return;
	WA_ARRAYS_OF(values, columns, traffic->numbers, n);
	values[lengthof(columns)] = TimestampTzGetDatum(webhook->now);
	wa_statement_run(&traffic_statement, webhook->schema, values, NULL);
}
