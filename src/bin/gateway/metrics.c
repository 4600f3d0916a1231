/*
 * metrics.c
 *	  GET /metrics: what wa_metrics() says of the database, and what this process
 *	  knows of itself.
 *
 * Where the database is away the latter is all there is, with
 * whatsapp_gateway_database_up 0: an answer that cannot be read would hide exactly
 * what somebody is looking for.
 *
 * Costs take the database longer and change slowly.  They are asked for after a
 * scrape that finds them old, and are part of the next one.
 */
#include "bin/gateway/metrics.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "bin/gateway/counters.h"
#include "bin/gateway/database.h"
#include "bin/gateway/delivery.h"
#include "bin/gateway/exposition.h"
#include "bin/gateway/process.h"
#include "bin/gateway/respond.h"
#include "bin/gateway/settings.h"
#include "bin/httpd/clock.h"

#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

#define N_POOLS 3

/* What takes longer than the rest is asked for less often; what was said last stays, as text. */
typedef struct Kept
{
	const char *call;
	int64_t every_us;
	GwExposition exposition;
	int64_t asked_us; /* 0: never */
	GwQuery *query;	  /* under way */
} Kept;

static Kept kept[] = {{.call = "wa_metrics_costs()", .every_us = INT64_C(600000000)},
					  {.call = "wa_metrics_health()", .every_us = INT64_C(60000000)}};

#define N_KEPT ((int) (sizeof(kept) / sizeof(kept[0])))

enum
{
	COLUMN_NAME,
	COLUMN_TYPE,
	COLUMN_HELP,
	COLUMN_LABELS,
	COLUMN_VALUE
};
#define COLUMNS "name, type, help, labels, value"

/*
 * Rows of wa_metrics()
 */

static GwMetricType
type_of(const char *name)
{
	if (strcmp(name, "counter") == 0)
		return GW_COUNTER;
	return strcmp(name, "histogram") == 0 ? GW_HISTOGRAM : GW_GAUGE;
}

static void
add_labels(HttpdBuf *out, const char *text)
{
	json_t *labels = json_loads(text, 0, NULL);
	const char *name;
	json_t *value;

	json_object_foreach(labels, name, value)
		gw_exposition_label(out, name, json_is_string(value) ? json_string_value(value) : "");
	json_decref(labels);
}

static void
add_rows(GwExposition *exposition, PGresult *result)
{
	for (int i = 0; i < PQntuples(result); i++)
	{
		HttpdBuf labels = {0};

		add_labels(&labels, PQgetvalue(result, i, COLUMN_LABELS));
		gw_exposition_add(exposition, PQgetvalue(result, i, COLUMN_NAME),
						  type_of(PQgetvalue(result, i, COLUMN_TYPE)),
						  PQgetvalue(result, i, COLUMN_HELP),
						  labels.data != NULL ? labels.data : "",
						  strtod(PQgetvalue(result, i, COLUMN_VALUE), NULL));
		httpd_buf_free(&labels);
	}
}

static GwQuery *
ask(const char *call, GwDone done, void *arg)
{
	const char *schema = gw_pool_schema(gw_admin_pool);
	HttpdBuf sql = {0};
	GwQuery *query;

	if (schema == NULL)
		return NULL;
	httpd_buf_printf(&sql, "SELECT " COLUMNS " FROM %s.%s", schema, call);
	query = gw_pool_query(gw_admin_pool, sql.data, 0, NULL, NULL, NULL, NULL, done, arg);
	httpd_buf_free(&sql);
	return query;
}

/*
 * What is kept
 */

static void
kept_done(void *arg, PGresult *result)
{
	Kept *k = arg;

	k->query = NULL;
	if (result == NULL || PQresultStatus(result) != PGRES_TUPLES_OK)
		return; /* what was known stays */
	httpd_buf_free(&k->exposition.text);
	memset(&k->exposition, 0, sizeof(k->exposition));
	add_rows(&k->exposition, result);
}

static void
refresh(Kept *k)
{
	int64_t now = httpd_now_us();

	if (k->query != NULL || (k->asked_us != 0 && now - k->asked_us < k->every_us))
		return;
	k->query = ask(k->call, kept_done, k);
	if (k->query != NULL)
		k->asked_us = now;
}

/*
 * The response
 */

static void
add_pool(GwExposition *exposition, const char *metric, const char *help, const char *pool,
		 double value)
{
	HttpdBuf labels = {0};

	gw_exposition_label(&labels, "pool", pool);
	gw_exposition_add(exposition, metric, GW_GAUGE, help, labels.data, value);
	httpd_buf_free(&labels);
}

static void
add_pools(GwExposition *exposition)
{
	const GwDeliveryPools delivery = gw_delivery_pools();
	const struct
	{
		const char *name;
		const GwPool *pool;
	} pools[N_POOLS] = {
		{"admin", gw_admin_pool}, {"statuses", delivery.statuses}, {"replies", delivery.replies}};
	GwPoolStats stats[N_POOLS];
	int n = 0;

	while (n < N_POOLS && pools[n].pool != NULL)
	{
		gw_pool_stats(pools[n].pool, &stats[n]);
		n++;
	}
	for (int i = 0; i < n; i++)
		add_pool(exposition, "whatsapp_gateway_database_up",
				 "1 if the gateway has a connection to the database.", pools[i].name,
				 stats[i].connections > 0);
	for (int i = 0; i < n; i++)
		add_pool(exposition, "whatsapp_gateway_database_connections",
				 "Connections of the gateway to the database.", pools[i].name,
				 stats[i].connections);
	for (int i = 0; i < n; i++)
		add_pool(exposition, "whatsapp_gateway_database_waiting",
				 "Requests that wait for a connection to the database.", pools[i].name,
				 stats[i].waiting);
}

static void
reply(GwExchange *exchange, PGresult *result)
{
	GwExposition exposition = {0};

	if (result != NULL && PQresultStatus(result) == PGRES_TUPLES_OK)
	{
		add_rows(&exposition, result);
		for (int i = 0; i < N_KEPT; i++)
		{
			const HttpdBuf *text = &kept[i].exposition.text;

			if (text->len > 0)
				httpd_buf_add(&exposition.text, text->data, text->len);
			refresh(&kept[i]);
		}
	}
	add_pools(&exposition);
	gw_counters_write(&exposition);
	gw_process_write(&exposition);
	httpd_reply_text(&exchange->http.reply, 200, CONTENT_TYPE, exposition.text.data);
	httpd_buf_free(&exposition.text);
}

static void
done(void *arg, PGresult *result)
{
	GwExchange *exchange = arg;

	exchange->query = NULL;
	reply(exchange, result);
	gw_respond_deferred(exchange);
}

void
gw_metrics_handle(GwExchange *exchange)
{
	exchange->query =
		ask(gw_settings->metrics_per_number ? "wa_metrics(true)" : "wa_metrics()", done, exchange);
	if (exchange->query == NULL)
	{
		reply(exchange, NULL);
		return;
	}
	httpd_request_defer(&exchange->http);
	httpd_request_watch_client(&exchange->http);
}
