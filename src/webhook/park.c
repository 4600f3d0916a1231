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
#include "webhook/webhook.h"

/*
 * A text in a row is bounded: a webhook has at most four megabytes, but nobody
 * looks at the end of a large item that is of no use.  Longer bodies are cut.
 */
#define MAX_BODY (256 * 1024)
#define FINGERPRINT_LENGTH 16

/* In order of the unique key: webhooks with the same items must not wait for each other in a
 * circle. */
static WaStatement park_statement = {
	.sql = "INSERT INTO @extschema@.whatsapp_parked_events"
		   " (fingerprint, kind, reason, phone_number_id, whatsapp_message_id, message_id, event)"
		   " SELECT v.fingerprint, v.kind, v.reason, v.number, v.wamid, NULLIF(v.id, 0),"
		   " v.event::pg_catalog.jsonb"
		   " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3),"
		   " pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6),"
		   " pg_catalog.unnest($7))"
		   " AS v(fingerprint, kind, reason, number, wamid, id, event) ORDER BY v.fingerprint"
		   " ON CONFLICT (fingerprint) DO NOTHING RETURNING kind",
	.nargs = 7,
	.argtypes = {BYTEAARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
				 INT8ARRAYOID, TEXTARRAYOID},
	.expected = SPI_OK_INSERT_RETURNING};

static WaStatement park_body_statement = {
	.sql = "INSERT INTO @extschema@.whatsapp_parked_events (fingerprint, kind, reason, body)"
		   " VALUES ($1, 'body', $2, $3) ON CONFLICT (fingerprint) DO NOTHING",
	.nargs = 3,
	.argtypes = {BYTEAOID, TEXTOID, BYTEAOID},
	.expected = SPI_OK_INSERT};

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

/*
 * Notes an item; wa_webhook_write_parked() writes them all.  "kind" is where
 * it is counted.
 */
void
wa_webhook_park(WaWebhook *webhook, WaWebhookKind kind, const WaParked *parked)
{
	if (webhook->nparked == webhook->parked_room)
	{
		webhook->parked_room = webhook->parked_room == 0 ? 64 : webhook->parked_room * 2;
		webhook->parked =
			webhook->parked == NULL
				? palloc(sizeof(WaParked) * webhook->parked_room)
				: repalloc_huge(webhook->parked, sizeof(WaParked) * webhook->parked_room);
	}
	webhook->parked[webhook->nparked++] = *parked;
	webhook->counts[kind].parked++;
}

void
wa_webhook_park_node(WaWebhook *webhook, WaWebhookKind kind, const char *what, uint32 node,
					 const char *phone_number_id, const char *reason)
{
	const WaJsonNode *n = &webhook->json->nodes[node];
	WaParked parked = {.what = what, .reason = reason, .phone_number_id = phone_number_id};
	bool quoted = n->type == WA_JSON_STRING;

	/* A string's bytes stand between its quotes. */
	parked.event = webhook->json->text + n->start - quoted;
	parked.len = n->end - n->start + 2 * quoted;
	wa_webhook_park(webhook, kind, &parked);
}

/*
 * A body whose signature was right and of which nothing can be read.
 */
void
wa_webhook_park_body(WaWebhook *webhook, const char *body, size_t len, const char *reason)
{
	WaRows rows;
	Datum values[3];
	bytea *kept;
	size_t size = Min(len, MAX_BODY);

	kept = palloc(VARHDRSZ + size);
	SET_VARSIZE(kept, VARHDRSZ + size);
	memcpy(VARDATA(kept), body, size);
	values[0] = PointerGetDatum(fingerprint("body", "", body, len));
	values[1] = CStringGetTextDatum(reason);
	values[2] = PointerGetDatum(kept);
	rows = wa_statement_run(&park_body_statement, webhook->schema, values, NULL);
	if (rows.count > 0)
		webhook->counts[WA_WEBHOOK_EVENT].parked++;
	else
		webhook->counts[WA_WEBHOOK_EVENT].duplicate++;
}

static WaWebhookKind
kind_of(const char *what)
{
	if (strcmp(what, "status") == 0)
		return WA_WEBHOOK_STATUS;
	if (strcmp(what, "message") == 0)
		return WA_WEBHOOK_MESSAGE;
	return WA_WEBHOOK_EVENT;
}

/*
 * Writes what was noted, and counts again what was there already.
 */
void
wa_webhook_write_parked(WaWebhook *webhook)
{
	WaRows rows;
	int n = webhook->nparked;
	Datum *fingerprints = palloc(sizeof(Datum) * Max(n, 1));
	const char **texts[5];
	int64 *ids = palloc(sizeof(int64) * Max(n, 1));
	Datum values[7];

	if (n == 0)
		return;
	for (int i = 0; i < lengthof(texts); i++)
		texts[i] = palloc(sizeof(char *) * n);
	for (int i = 0; i < n; i++)
	{
		const WaParked *parked = &webhook->parked[i];

		fingerprints[i] = PointerGetDatum(
			fingerprint(parked->what, parked->phone_number_id ? parked->phone_number_id : "",
						parked->event, parked->len));
		texts[0][i] = parked->what;
		texts[1][i] = parked->reason;
		texts[2][i] = parked->phone_number_id;
		texts[3][i] = parked->wamid;
		texts[4][i] = pnstrdup(parked->event, parked->len);
		ids[i] = parked->message_id;

		/* Supposed to be known already, until the statement says otherwise. */
		webhook->counts[kind_of(parked->what)].parked--;
		webhook->counts[kind_of(parked->what)].duplicate++;
	}
	values[0] =
		PointerGetDatum(construct_array(fingerprints, n, BYTEAOID, -1, false, TYPALIGN_INT));
	for (int i = 0; i < 4; i++)
		values[i + 1] = wa_array_of_text(texts[i], n);
	values[5] = wa_array_of_int8(ids, n);
	values[6] = wa_array_of_text(texts[4], n);
	rows = wa_statement_run(&park_statement, webhook->schema, values, NULL);
	for (uint64 i = 0; i < rows.count; i++)
	{
		WaWebhookKind kind = kind_of(wa_rows_text(&rows, (int) i, 1));

		webhook->counts[kind].parked++;
		webhook->counts[kind].duplicate--;
	}
	webhook->nparked = 0;
}
