/*
 * database.c
 *	  Queries to PostgreSQL without waiting: a pool of connections in the loop.
 */
#include "bin/gateway/database.h"

#include <stdlib.h>
#include <string.h>

#include "bin/gateway/parameters.h"
#include "bin/gateway/slots.h"
#include "bin/httpd/buf.h"
#include "bin/httpd/clock.h"
#include "bin/httpd/list.h"
#include "bin/httpd/timer.h"
#include "bin/httpd/util.h"

struct GwPool
{
	GwSlots slots;
	const GwPoolSettings *settings;
	HttpdLink waiting; /* queries, the oldest last */
	GwPoolStats stats;
};

struct GwQuery
{
	HttpdLink link; /* of those that wait */
	GwPool *pool;
	GwSlot *slot;			  /* that runs it; NULL: it waits */
	GwParameters *parameters; /* a copy, while it waits */
	GwDone done;			  /* NULL: forgotten */
	void *arg;
	HttpdTimer deadline; /* of the wait */
	int64_t sent_us;
};

GwPool *gw_admin_pool;

static void
free_query(GwQuery *query)
{
	httpd_list_remove(&query->link);
	httpd_timer_cancel(&query->deadline);
	gw_parameters_free(query->parameters);
	free(query);
}

static void
report(GwQuery *query, PGresult *result)
{
	if (query->done != NULL)
		query->done(query->arg, result);
	free_query(query);
}

/*
 * Running
 */

/* Where the extension is, is known only now: it may have been moved meanwhile. */
static void
add_schema(const char *sql, const char *schema, HttpdBuf *out)
{
	const char *place;

	while ((place = strstr(sql, GW_SCHEMA)) != NULL)
	{
		httpd_buf_add(out, sql, (size_t) (place - sql));
		httpd_buf_puts(out, schema);
		sql = place + strlen(GW_SCHEMA);
	}
	httpd_buf_puts(out, sql);
}

static void
start(GwSlot *slot, GwQuery *query, const GwParameters *p)
{
	GwPool *pool = query->pool;
	HttpdBuf sql = {0};

	httpd_timer_cancel(&query->deadline);
	query->slot = slot;
	query->sent_us = httpd_now_us();
	slot->user = query;
	pool->stats.queries++;
	add_schema(p->sql, pool->slots.schema, &sql);
	gw_link_send(&slot->link, sql.data, p->n, p->types, p->values, p->lengths, p->formats);
	httpd_buf_free(&sql);
}

/* The one that has waited longest goes to a connection that has become free. */
static void
serve_waiting(GwSlot *slot)
{
	GwPool *pool = gw_slots_of(slot)->owner;
	GwQuery *query;

	if (slot->link.state != GW_LINK_FREE || httpd_list_is_empty(&pool->waiting))
		return;
	query = HTTPD_ELEMENT(GwQuery, link, pool->waiting.prev);
	httpd_list_remove(&query->link);
	pool->stats.waiting--;
	start(slot, query, query->parameters);
	gw_parameters_free(query->parameters);
	query->parameters = NULL;
}

static void
done(GwSlot *slot, PGresult *result)
{
	GwQuery *query = slot->user;

	if (query == NULL)
		return;
	query->pool->stats.queries_us += httpd_now_us() - query->sent_us;
	slot->user = NULL;
	serve_waiting(slot);
	report(query, result);
}

static void
waited_too_long(void *arg)
{
	GwQuery *query = arg;

	query->pool->stats.waiting--;
	query->pool->stats.refused++;
	report(query, NULL);
}

/*
 * Queries
 */

static void
enqueue(GwQuery *query, const GwParameters *parameters)
{
	GwPool *pool = query->pool;

	query->parameters = gw_parameters_copy(parameters);
	httpd_list_push(&pool->waiting, &query->link);
	pool->stats.waiting++;
	httpd_timer_set(&query->deadline, httpd_now_us() + (int64_t) pool->settings->wait_ms * 1000,
					waited_too_long, query);
}

GwQuery *
gw_pool_query(GwPool *pool, const char *sql, int n, const Oid *types, const char *const *values,
			  const int *lengths, const int *formats, GwDone when_done, void *arg)
{
	const GwParameters parameters = {sql, n, types, values, lengths, formats};
	GwSlot *slot = gw_slots_free(&pool->slots);
	GwQuery *query;

	if (slot == NULL &&
		(!gw_pool_available(pool) || pool->stats.waiting >= pool->settings->queue_size))
	{
		pool->stats.refused++;
		return NULL;
	}
	query = httpd_alloc0(sizeof(GwQuery));
	query->pool = pool;
	query->done = when_done;
	query->arg = arg;
	if (slot != NULL)
		start(slot, query, &parameters);
	else
		enqueue(query, &parameters);
	return query;
}

void
gw_query_forget(GwQuery *query)
{
	query->done = NULL;
	if (query->slot != NULL)
		return;
	query->pool->stats.waiting--;
	free_query(query);
}

bool
gw_query_was_sent(const GwQuery *query)
{
	return query->slot != NULL;
}

/*
 * The pool
 */

void
gw_pool_check_conninfo(const char *option, const char *conninfo)
{
	char *problem = NULL;
	PQconninfoOption *options = PQconninfoParse(conninfo, &problem);

	if (options == NULL)
		httpd_die("%s: %.*s", option, problem != NULL ? (int) strcspn(problem, "\n") : 13,
				  problem != NULL ? problem : "out of memory");
	PQconninfoFree(options);
}

GwPool *
gw_pool_create(const GwPoolSettings *settings)
{
	GwPool *pool = httpd_alloc0(sizeof(GwPool));

	pool->settings = settings;
	pool->waiting = (HttpdLink) HTTPD_LIST_EMPTY(pool->waiting);
	pool->slots = (GwSlots){
		.conninfo = settings->conninfo,
		.name = settings->name,
		.size = settings->size,
		.statement_timeout_ms = settings->statement_timeout_ms,
		.owner = pool,
		.opened = serve_waiting,
		.done = done,
	};
	gw_slots_open(&pool->slots);
	return pool;
}

void
gw_pool_destroy(GwPool *pool)
{
	while (!httpd_list_is_empty(&pool->waiting))
		free_query(HTTPD_ELEMENT(GwQuery, link, pool->waiting.next));
	for (int i = 0; i < pool->slots.size; i++)
	{
		if (pool->slots.items[i].user != NULL)
			free_query(pool->slots.items[i].user);
	}
	gw_slots_close(&pool->slots);
	free(pool);
}

bool
gw_pool_available(const GwPool *pool)
{
	return pool->slots.connected > 0 ||
		   httpd_now_us() - pool->slots.away_since < (int64_t) pool->settings->wait_ms * 1000;
}

bool
gw_pool_is_idle(const GwPool *pool)
{
	return gw_slots_free(&pool->slots) != NULL;
}

const char *
gw_pool_schema(const GwPool *pool)
{
	return pool->slots.schema;
}

void
gw_pool_stats(const GwPool *pool, GwPoolStats *out)
{
	*out = pool->stats;
	out->connections = pool->slots.connected;
	out->lost = pool->slots.lost;
	for (int i = 0; i < pool->slots.size; i++)
		out->busy += pool->slots.items[i].link.state == GW_LINK_BUSY;
}
