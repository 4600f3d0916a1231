/*
 * delivery.c
 *	  Webhooks on their way into the database.
 *
 * Meta sends a status in a request and waits for the response, and may have hundreds of
 * requests open.  A transaction for each would be the limit, so what arrives while all
 * connections are busy goes together into the next one (wa_webhook_ingest_many()): the
 * more there is to do, the less each costs, and while there is little, nobody waits.
 *
 * There are two lanes, each with connections of its own.  Messages from customers may
 * call functions of the application, which take as long as they take; so each is a
 * transaction of its own, and what waits behind them is only their own kind.  In
 * the lane of statuses, a body that is not plain goes alone, in its turn.
 *
 * The promise to Meta is made by 200, so that is said only after COMMIT.  If the
 * connection is lost before its outcome is known, the answer is 503, Meta sends it
 * again, and to take in the same twice is as good as once.
 */
#include "bin/gateway/delivery.h"

#include <stdlib.h>
#include <string.h>

#include "bin/gateway/complain.h"
#include "bin/gateway/counters.h"
#include "bin/gateway/database.h"
#include "bin/gateway/problem.h"
#include "bin/gateway/respond.h"
#include "bin/gateway/settings.h"
#include "bin/gateway/webhook_array.h"
#include "bin/gateway/webhook_kind.h"
#include "bin/httpd/clock.h"
#include "bin/httpd/list.h"
#include "bin/httpd/loop.h"
#include "bin/httpd/util.h"

/*
 * What goes together at most.  A few hundred cost hardly more than a hundred, and
 * all of them wait for the COMMIT of the last.
 */
#define MAX_TOGETHER 500
#define MAX_TOGETHER_BYTES (512 * 1024)

/* Those that wait, before the next one is sent away. */
#define MAX_WAITING 10000

/* Handlers of one webhook may take fifteen seconds together (src/webhook/reply.c). */
#define HANDLERS_TIMEOUT_MS 20000

/* An error that repeats is said once in this time. */
#define SAY_US INT64_C(60000000)

typedef struct Lane
{
	GwPoolSettings settings;
	GwPool *pool;
	int together;	   /* plain bodies in a transaction at most */
	HttpdLink waiting; /* deliveries, the oldest last */
	int nwaiting;
	HttpdTimer timer; /* when the oldest has waited too long */
	int64_t said_us;  /* when an error was last said */
} Lane;

/* In a list while it waits, then in a batch.  The exchange may end before that does. */
struct GwDelivery
{
	HttpdLink link;
	Lane *lane;
	GwExchange *exchange; /* NULL: it is over */
	const char *signature;
	bool plain;
	int64_t since_us;
};

typedef struct Batch
{
	Lane *lane;
	int n;
	GwDelivery *deliveries[];
} Batch;

static Lane statuses = {.together = MAX_TOGETHER};
static Lane messages = {.together = 1};

/*
 * Answers
 */

static void
release(GwDelivery *delivery, GwWebhookResult result)
{
	gw_count_webhook(result, httpd_now_us() - delivery->since_us);
	if (delivery->exchange != NULL)
		delivery->exchange->delivery = NULL;
	free(delivery);
}

static void
refuse(GwDelivery *delivery, GwWebhookResult result, const char *why)
{
	GwExchange *exchange = delivery->exchange;

	release(delivery, result);
	if (exchange == NULL)
		return;
	gw_problem(exchange, 503, "%s", why);
	gw_respond_deferred(exchange);
}

static void
accept_delivery(GwDelivery *delivery)
{
	GwExchange *exchange = delivery->exchange;

	release(delivery, GW_WEBHOOK_OK);
	if (exchange == NULL)
		return;
	exchange->quiet = true;
	httpd_reply_text(&exchange->http.reply, 200, "text/plain", "");
	gw_respond_deferred(exchange);
}

static void
say(Lane *lane, const char *trouble)
{
	int64_t now = httpd_now_us();

	if (lane->said_us != 0 && now - lane->said_us < SAY_US)
		return;
	lane->said_us = now;
	gw_complain("webhooks are answered with 503: %s", trouble);
}

/* One row: ordinal, outcome, sqlstate, message. */
static void
answer(Batch *batch, PGresult *result, int row)
{
	int place = atoi(PQgetvalue(result, row, 0)) - 1;
	const char *outcome = PQgetvalue(result, row, 1);
	GwDelivery *delivery;

	if (place < 0 || place >= batch->n || batch->deliveries[place] == NULL)
		return;
	delivery = batch->deliveries[place];
	batch->deliveries[place] = NULL;
	if (strcmp(outcome, "ingested") == 0)
	{
		accept_delivery(delivery);
		return;
	}
	say(batch->lane, strcmp(outcome, "invalid_signature") == 0
						 ? "the server has another app secret than --app-secret-file"
						 : PQgetvalue(result, row, 3));
	refuse(delivery, GW_WEBHOOK_FAILED, "It could not be taken in.");
}

/* Without its details, which may quote anything. */
static const char *
error_of(const PGresult *result)
{
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	return message != NULL ? message : "the server has sent what is no result";
}

/* Whatever has no row, or there are none at all: its outcome is not known. */
static void
finished(void *arg, PGresult *result)
{
	Batch *batch = arg;
	bool good = result != NULL && PQresultStatus(result) == PGRES_TUPLES_OK;

	if (result != NULL && !good)
		say(batch->lane, error_of(result));
	for (int row = 0; good && row < PQntuples(result); row++)
		answer(batch, result, row);
	for (int i = 0; i < batch->n; i++)
	{
		if (batch->deliveries[i] != NULL)
			refuse(batch->deliveries[i], GW_WEBHOOK_UNAVAILABLE, "It may not have been taken in.");
	}
	free(batch);
}

/*
 * Sending
 */

static void
remove_from_lane(GwDelivery *delivery)
{
	httpd_list_remove(&delivery->link);
	delivery->lane->nwaiting--;
}

static GwDelivery *
oldest(Lane *lane)
{
	return HTTPD_ELEMENT(GwDelivery, link, lane->waiting.prev);
}

static const HttpdBuf *
body_of(const GwDelivery *delivery)
{
	return &delivery->exchange->http.body;
}

/* The oldest, and if it is plain those after it that may go along. */
static Batch *
take_batch(Lane *lane)
{
	int room = lane->nwaiting < lane->together ? lane->nwaiting : lane->together;
	Batch *batch = httpd_alloc(sizeof(Batch) + (size_t) room * sizeof(GwDelivery *));
	size_t bytes = 0;
	bool plain = true;

	batch->lane = lane;
	batch->n = 0;
	while (plain && batch->n < room && bytes < MAX_TOGETHER_BYTES)
	{
		GwDelivery *delivery = oldest(lane);

		plain = delivery->plain;
		if (!plain && batch->n > 0)
			break;
		remove_from_lane(delivery);
		bytes += body_of(delivery)->len;
		batch->deliveries[batch->n++] = delivery;
	}
	return batch;
}

static bool
send_batch(Batch *batch)
{
	static const char sql[] = "SELECT ordinal, outcome, sqlstate, message"
							  " FROM " GW_SCHEMA ".wa_webhook_ingest_many($1, $2)";
	static HttpdBuf bodies;
	static HttpdBuf signatures;
	const Oid types[] = {GW_BYTEA_ARRAY, GW_TEXT_ARRAY};
	const int formats[] = {1, 1};
	const char *values[2];
	int lengths[2];
	GwQuery *query;

	gw_array_begin(&bodies, GW_BYTEA, batch->n);
	gw_array_begin(&signatures, GW_TEXT, batch->n);
	for (int i = 0; i < batch->n; i++)
	{
		const GwDelivery *delivery = batch->deliveries[i];

		gw_array_add(&bodies, body_of(delivery)->data, body_of(delivery)->len);
		gw_array_add(&signatures, delivery->signature, strlen(delivery->signature));
	}
	values[0] = bodies.data;
	values[1] = signatures.data;
	lengths[0] = (int) bodies.len;
	lengths[1] = (int) signatures.len;
	query =
		gw_pool_query(batch->lane->pool, sql, 2, types, values, lengths, formats, finished, batch);
	gw_array_end(&bodies);
	gw_array_end(&signatures);
	return query != NULL;
}

static void
refuse_all(Lane *lane, const char *why)
{
	while (!httpd_list_is_empty(&lane->waiting))
	{
		GwDelivery *delivery = oldest(lane);

		remove_from_lane(delivery);
		refuse(delivery, GW_WEBHOOK_UNAVAILABLE, why);
	}
}

/* While the database is away for a moment, all wait for it. */
static void
serve(Lane *lane)
{
	while (!httpd_list_is_empty(&lane->waiting) && gw_pool_is_idle(lane->pool))
	{
		Batch *batch = take_batch(lane);

		if (!send_batch(batch))
			finished(batch, NULL);
	}
	if (!gw_pool_available(lane->pool))
		refuse_all(lane, "The database is not reachable.");
}

/* Once everything that has come in together has been read. */
static void
serve_lanes(void *arg)
{
	serve(&statuses);
	serve(&messages);
}

/*
 * Waiting
 */

static int64_t
due_us(const GwDelivery *delivery)
{
	return delivery->since_us + gw_settings->wait_ms * 1000;
}

static void
waited_too_long(void *arg)
{
	Lane *lane = arg;

	while (!httpd_list_is_empty(&lane->waiting) && due_us(oldest(lane)) <= httpd_now_us())
	{
		GwDelivery *delivery = oldest(lane);

		remove_from_lane(delivery);
		refuse(delivery, GW_WEBHOOK_UNAVAILABLE, "The database could not take it in time.");
	}
	if (!httpd_list_is_empty(&lane->waiting))
		httpd_timer_set(&lane->timer, due_us(oldest(lane)), waited_too_long, lane);
}

void
gw_delivery_begin(GwExchange *exchange, const char *signature)
{
	GwWebhookKind kind = gw_webhook_kind(exchange->http.body.data, exchange->http.body.len);
	Lane *lane = kind == GW_WEBHOOK_MESSAGES ? &messages : &statuses;
	GwDelivery *delivery;

	if (lane->nwaiting >= MAX_WAITING)
	{
		gw_problem(exchange, 503, "Too many webhooks wait already.");
		return;
	}
	delivery = httpd_alloc0(sizeof(GwDelivery));
	delivery->lane = lane;
	delivery->exchange = exchange;
	delivery->signature = signature;
	delivery->plain = kind == GW_WEBHOOK_PLAIN;
	delivery->since_us = httpd_now_us();
	exchange->delivery = delivery;
	httpd_list_push(&lane->waiting, &delivery->link);
	if (lane->nwaiting++ == 0)
		httpd_timer_set(&lane->timer, due_us(delivery), waited_too_long, lane);
	httpd_request_defer(&exchange->http);
}

void
gw_delivery_forget(GwDelivery *delivery)
{
	delivery->exchange = NULL;
	if (delivery->link.next == NULL)
		return; /* a batch has it */
	remove_from_lane(delivery);
	free(delivery);
}

/*
 * Start and end
 */

static void
open_lane(Lane *lane, const char *name, int64_t size, int timeout_ms)
{
	lane->waiting = (HttpdLink) HTTPD_LIST_EMPTY(lane->waiting);
	lane->settings = (GwPoolSettings){
		.conninfo = gw_settings->webhook_database[0] != '\0' ? gw_settings->webhook_database
															 : gw_settings->database,
		.name = name,
		.size = (int) size,
		.statement_timeout_ms = timeout_ms,
		.queue_size = 0, /* what waits, waits here */
		.wait_ms = (int) gw_settings->wait_ms,
	};
	lane->pool = gw_pool_create(&lane->settings);
}

void
gw_delivery_open(void)
{
	static HttpdTurn turn = {.run = serve_lanes};
	int timeout_ms = (int) gw_settings->statement_timeout_ms;

	open_lane(&statuses, "statuses", gw_settings->status_connections, timeout_ms);
	open_lane(&messages, "replies", gw_settings->reply_connections,
			  timeout_ms > HANDLERS_TIMEOUT_MS ? timeout_ms : HANDLERS_TIMEOUT_MS);
	httpd_loop_add_turn(&turn);
}

/* The requests have ended before. */
void
gw_delivery_close(void)
{
	gw_pool_destroy(statuses.pool);
	gw_pool_destroy(messages.pool);
}

GwDeliveryPools
gw_delivery_pools(void)
{
	return (GwDeliveryPools){.statuses = statuses.pool, .replies = messages.pool};
}

bool
gw_delivery_is_ready(void)
{
	GwPoolStats stats;

	gw_pool_stats(statuses.pool, &stats);
	return stats.connections > 0;
}
