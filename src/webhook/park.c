/*
 * park.c
 *	  Items of webhooks that cannot be used: stored, with the reason.
 *
 * Nothing that Meta has signed is thrown away, and nothing that it sends makes
 * the rest of a webhook fail: it would come again for seven days and fail each
 * time.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/sha2.h"
#include "common/cryptohash.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "compat.h"
#include "webhook/field.h"
#include "webhook/park.h"

/*
 * The largest message has some ten kilobytes.  As jsonb, an item takes up to a
 * hundred times the memory of its text while it is parsed.
 */
#define MAX_ITEM (256 * 1024)

/* More of them say nothing that the first do not say. */
#define MAX_REJECTED 100
#define FINGERPRINT_LENGTH 16

/* In order of the unique key: webhooks with the same items must not wait for each other in a
 * circle. */
static WaStatement park_statement = {
	.sql = "INSERT INTO @extschema@.whatsapp_parked_events"
		   " (fingerprint, kind, reason, phone_number_id, whatsapp_message_id, message_id, event)"
		   " SELECT v.fingerprint, v.kind, v.reason, v.number, v.wamid, CASE WHEN v.id "
		   "OPERATOR(pg_catalog.<>) 0 THEN v.id END,"
		   " v.event::pg_catalog.jsonb"
		   " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3),"
		   " pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6),"
		   " pg_catalog.unnest($7))"
		   " AS v(kind, reason, number, wamid, id, event, fingerprint) ORDER BY v.fingerprint"
		   " ON CONFLICT (fingerprint) DO NOTHING RETURNING fingerprint,"
		   " kind OPERATOR(pg_catalog.<>) 'status' AND"
		   " @extschema@.wa_internal_may_be_words(kind, reason, event)",
	.nargs = 7,
	.argtypes = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID, TEXTARRAYOID,
				 BYTEAARRAYOID},
	.expected = SPI_OK_INSERT_RETURNING};

static WaStatement park_body_statement = {
	.sql = "INSERT INTO @extschema@.whatsapp_parked_events (fingerprint, kind, reason, body)"
		   " VALUES ($1, 'body', $2, $3) ON CONFLICT (fingerprint) DO NOTHING",
	.nargs = 3,
	.argtypes = {BYTEAOID, TEXTOID, BYTEAOID},
	.expected = SPI_OK_INSERT};

static WaStatement alert_statement = {.sql = "SELECT @extschema@.wa_internal_alert_parked($1)",
									  .nargs = 1,
									  .argtypes = {INT4OID},
									  .expected = SPI_OK_SELECT};

/*
 * Half of the SHA-256 of what it is and its text: enough that two different
 * items never share one.
 */
static bytea *
fingerprint(const char *what, const char *number, const char *text, size_t len)
{
	uint8 digest[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);
	bytea *result = palloc(VARHDRSZ + FINGERPRINT_LENGTH);

	if (hash == NULL || pg_cryptohash_init(hash) < 0 ||
		pg_cryptohash_update(hash, (const uint8 *) what, strlen(what) + 1) < 0 ||
		pg_cryptohash_update(hash, (const uint8 *) number, strlen(number) + 1) < 0 ||
		pg_cryptohash_update(hash, (const uint8 *) text, len) < 0 ||
		pg_cryptohash_final(hash, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute SHA-256");
	pg_cryptohash_free(hash);
	SET_VARSIZE(result, VARHDRSZ + FINGERPRINT_LENGTH);
	memcpy(VARDATA(result), digest, FINGERPRINT_LENGTH);
	return result;
}

void
wa_webhook_park(WaWebhook *webhook, WaWebhookBody *body, WaWebhookKind kind, const WaParked *parked)
{
	WaParked *item = wa_webhook_add(&webhook->parked, sizeof(WaParked));

	*item = *parked;
	item->body = body;
	body->counts[kind].parked++;
}

bool
wa_webhook_is_too_large(const WaWebhook *webhook, uint32 node)
{
	return webhook->json->nodes[node].end - webhook->json->nodes[node].start > MAX_ITEM;
}

void
wa_webhook_park_node(WaWebhook *webhook, WaWebhookKind kind, const char *what, uint32 node,
					 const char *phone_number_id, const char *reason)
{
	const WaJson *json = webhook->json;
	WaWebhookBody *body = webhook->body;
	WaParked parked = {.what = what, .reason = reason, .phone_number_id = phone_number_id};

	if (body->seen[WA_WEBHOOK_REJECTED] == MAX_REJECTED)
	{
		body->counts[kind].parked++;
		body->keep_body = "too_many_rejected_items";
		return;
	}
	body->seen[WA_WEBHOOK_REJECTED]++;
	if (wa_webhook_is_too_large(webhook, node))
	{
		parked.text = json->text + json->nodes[node].start;
		parked.text_len = json->nodes[node].end - json->nodes[node].start;
		body->keep_body = "too_large_item";
	}
	else
		parked.event = wa_webhook_text(webhook, node);
	wa_webhook_park(webhook, body, kind, &parked);
}

void
wa_webhook_park_body(WaWebhook *webhook, const char *body, size_t len, size_t max,
					 const char *reason)
{
	WaRows rows;
	Datum values[3];
	bytea *kept;
	size_t size = Min(len, max);

	kept = palloc(VARHDRSZ + size);
	SET_VARSIZE(kept, VARHDRSZ + size);
	memcpy(VARDATA(kept), body, size);
	values[0] = PointerGetDatum(fingerprint("body", "", body, len));
	values[1] = CStringGetTextDatum(reason);
	values[2] = PointerGetDatum(kept);
	rows = wa_statement_run(&park_body_statement, webhook->schema, values, NULL);
	if (rows.count > 0)
	{
		webhook->body->counts[WA_WEBHOOK_EVENT].parked++;
		webhook->parked_words++;
	}
	else
		webhook->body->counts[WA_WEBHOOK_EVENT].duplicate++;
}

/* What it is and its text, and where it stands in the list. */
typedef struct Fingerprint
{
	bytea *hash;
	int item;
} Fingerprint;

static int
compare_fingerprints(const void *a, const void *b)
{
	const Fingerprint *x = a;
	const Fingerprint *y = b;
	int result = memcmp(VARDATA(x->hash), VARDATA(y->hash), FINGERPRINT_LENGTH);

	return result != 0 ? result : (x->item > y->item) - (x->item < y->item);
}

static Fingerprint *
take_fingerprints(const WaParked *items, int n)
{
	Fingerprint *prints = palloc(sizeof(Fingerprint) * n);

	for (int i = 0; i < n; i++)
	{
		const WaParked *item = &items[i];

		prints[i].item = i;
		prints[i].hash =
			fingerprint(item->what, item->phone_number_id != NULL ? item->phone_number_id : "",
						item->event != NULL ? item->event : item->text,
						item->event != NULL ? strlen(item->event) : item->text_len);
	}
	return prints;
}

static Datum
array_of_fingerprints(const Fingerprint *prints, int n)
{
	Datum *datums = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
		datums[i] = PointerGetDatum(prints[i].hash);
	return PointerGetDatum(construct_array(datums, n, BYTEAOID, -1, false, TYPALIGN_INT));
}

/* The first item that has it. */
static int
item_of_fingerprint(const Fingerprint *sorted, int n, bytea *hash)
{
	Fingerprint wanted = {.hash = hash, .item = -1};
	int low = 0;
	int high = n - 1;

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (compare_fingerprints(&sorted[middle], &wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return sorted[low].item;
}

static WaWebhookCounts *
counts_of(const WaParked *item)
{
	if (strcmp(item->what, "status") == 0)
		return &item->body->counts[WA_WEBHOOK_STATUS];
	if (strcmp(item->what, "message") == 0)
		return &item->body->counts[WA_WEBHOOK_MESSAGE];
	return &item->body->counts[WA_WEBHOOK_EVENT];
}

/* Of those that were not known, by their fingerprints. */
static void
count_stored(WaWebhook *webhook, const WaParked *items, Fingerprint *prints, int n,
			 const WaRows *rows)
{
	qsort(prints, n, sizeof(Fingerprint), compare_fingerprints);
	for (uint64 i = 0; i < rows->count; i++)
	{
		bool isnull;
		bytea *hash = DatumGetByteaP(wa_rows_datum(rows, (int) i, 1, &isnull));
		WaWebhookCounts *counts = counts_of(&items[item_of_fingerprint(prints, n, hash)]);

		counts->parked++;
		counts->duplicate--;
		webhook->parked_words += (int) wa_rows_int(rows, (int) i, 2, 0);
	}
}

bool
wa_webhook_all_parked(const WaWebhookBody *body)
{
	int parked = 0;
	int used = 0;

	for (int i = 0; i < WA_WEBHOOK_KINDS; i++)
	{
		const WaWebhookCounts *counts = &body->counts[i];

		parked += counts->parked;
		used += counts->applied + counts->duplicate + counts->ignored + counts->foreign;
	}
	return parked > 0 && used == 0;
}

void
wa_webhook_write_parked(WaWebhook *webhook)
{
	static const WaColumn columns[] = {
		WA_COLUMN(WaParked, what),
		WA_COLUMN(WaParked, reason),
		WA_COLUMN(WaParked, phone_number_id),
		WA_COLUMN(WaParked, wamid),
		WA_COLUMN(WaParked, message_id),
		WA_COLUMN(WaParked, event),
	};
	const WaParked *items = webhook->parked.items;
	int n = webhook->parked.count;
	Fingerprint *prints;
	Datum values[lengthof(columns) + 1];
	WaRows rows;

	if (n == 0 || (webhook->parked_at != 0 && wa_webhook_all_parked(webhook->body)))
		return;
	for (int i = 0; i < n; i++)
	{
		/* Supposed to be known already, until the statement says otherwise. */
		counts_of(&items[i])->parked--;
		counts_of(&items[i])->duplicate++;
	}
	prints = take_fingerprints(items, n);
	WA_ARRAYS_OF(values, columns, items, n);
	values[lengthof(columns)] = array_of_fingerprints(prints, n);
	rows = wa_statement_run(&park_statement, webhook->schema, values, NULL);
	count_stored(webhook, items, prints, n, &rows);
}

void
wa_webhook_alert_parked(WaWebhook *webhook)
{
	Datum values[1] = {Int32GetDatum(webhook->parked_words)};

	if (webhook->parked_words > 0)
		wa_statement_run(&alert_statement, webhook->schema, values, NULL);
}
