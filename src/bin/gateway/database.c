/*
 * database.c
 *	  Queries to PostgreSQL without waiting: a pool of connections in the loop.
 */
#include "bin/gateway/database.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/gateway/parameters.h"
#include "bin/gateway/pglink.h"
#include "bin/httpd/buf.h"
#include "bin/httpd/clock.h"
#include "bin/httpd/list.h"
#include "bin/httpd/timer.h"
#include "bin/httpd/util.h"

/* Between attempts to connect: doubles from the one to the other, half of it random. */
#define FIRST_PAUSE_US INT64_C(100000)
#define LONGEST_PAUSE_US INT64_C(3000000)

typedef struct Slot
{
	GwLink link; /* first */
	GwQuery *query;
	int64_t sent_us;
	HttpdTimer reopen;
} Slot;

struct GwPool
{
	const GwPoolSettings *settings;
	char application_name[64];
	Slot *slots;
	int connected;
	int failures;		/* to connect, since one succeeded */
	int64_t away_since; /* 0: it is not */
	HttpdLink waiting;	/* queries, the oldest last */
	char *schema;		/* quoted */
	char trouble[300];
	GwPoolStats stats;
};

struct GwQuery
{
	HttpdLink link; /* of those that wait */
	GwPool *pool;
	Slot *slot;				  /* that runs it; NULL: it waits */
	GwParameters *parameters; /* while it waits, a copy */
	GwDone done;			  /* NULL: forgotten */
	void *arg;
	HttpdTimer deadline; /* of the wait */
};

GwPool *gw_admin_pool;

static void open_slot(void *arg);

/*
 * Queries
 */

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

/* Where the extension is, is known only now: it may have been moved meanwhile. */
static void
add_schema(const GwPool *pool, const char *sql, HttpdBuf *out)
{
	const char *place;

	while ((place = strstr(sql, GW_SCHEMA)) != NULL)
	{
		httpd_buf_add(out, sql, (size_t) (place - sql));
		httpd_buf_puts(out, pool->schema);
		sql = place + strlen(GW_SCHEMA);
	}
	httpd_buf_puts(out, sql);
}

static void
start(Slot *slot, GwQuery *query, const GwParameters *p)
{
	GwPool *pool = query->pool;
	HttpdBuf sql = {0};

	httpd_timer_cancel(&query->deadline);
	query->slot = slot;
	slot->query = query;
	slot->sent_us = httpd_now_us();
	pool->stats.queries++;
	add_schema(pool, p->sql, &sql);
	gw_link_send(&slot->link, sql.data, p->n, p->types, p->values, p->lengths, p->formats);
	httpd_buf_free(&sql);
}

/* The one that has waited longest goes to a connection that has become free. */
static void
serve_waiting(GwPool *pool, Slot *slot)
{
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
waited_too_long(void *arg)
{
	GwQuery *query = arg;

	query->pool->stats.waiting--;
	query->pool->stats.refused++;
	report(query, NULL);
}

/*
 * Connections
 */

static bool
is_coming_up(const Slot *slot)
{
	return slot->link.state == GW_LINK_CONNECTING || slot->link.state == GW_LINK_PREPARING;
}

static bool
is_about_to_open(const Slot *slot)
{
	return slot->reopen.slot != 0;
}

static bool
any_slot(const GwPool *pool, bool (*is)(const Slot *slot))
{
	for (int i = 0; i < pool->settings->size; i++)
	{
		if (is(&pool->slots[i]))
			return true;
	}
	return false;
}

/* Equal jitter: many gateways, and many connections of one, do not come at once. */
static int64_t
pause_us(const GwPool *pool)
{
	int64_t pause = FIRST_PAUSE_US;

	for (int i = 1; i < pool->failures && pause < LONGEST_PAUSE_US; i++)
		pause *= 2;
	if (pause > LONGEST_PAUSE_US)
		pause = LONGEST_PAUSE_US;
	return pause / 2 + (int64_t) ((double) pause / 2 * ((double) random() / RAND_MAX));
}

static void
open_soon(GwPool *pool, Slot *slot, int64_t after_us)
{
	httpd_timer_set(&slot->reopen, httpd_now_us() + after_us, open_slot, slot);
}

/* While there is none, one tries for all of them. */
static void
reopen(GwPool *pool, Slot *slot)
{
	if (pool->connected > 0 || (!any_slot(pool, is_coming_up) && !any_slot(pool, is_about_to_open)))
		open_soon(pool, slot, pause_us(pool));
}

static void
open_slot(void *arg)
{
	Slot *slot = arg;
	GwPool *pool = slot->link.owner;

	if (pool->connected == 0 && any_slot(pool, is_coming_up))
		return;
	gw_link_open(&slot->link, pool->settings->conninfo, pool->application_name,
				 pool->settings->statement_timeout_ms);
}

static void
open_others(GwPool *pool)
{
	for (int i = 0; i < pool->settings->size; i++)
	{
		Slot *slot = &pool->slots[i];

		if (slot->link.state == GW_LINK_DOWN && !is_about_to_open(slot))
			open_soon(pool, slot, pause_us(pool) / 2);
	}
}

static void
say(GwPool *pool, const char *trouble)
{
	if (strcmp(pool->trouble, trouble) == 0)
		return;
	snprintf(pool->trouble, sizeof(pool->trouble), "%s", trouble);
	if (trouble[0] != '\0')
		fprintf(stderr, "wa_gateway: database (%s): %s\n", pool->settings->name, trouble);
	else
		fprintf(stderr, "wa_gateway: database (%s): connected\n", pool->settings->name);
}

static void
opened(GwLink *link)
{
	Slot *slot = (Slot *) link;
	GwPool *pool = link->owner;

	pool->connected++;
	pool->failures = 0;
	pool->away_since = 0;
	free(pool->schema);
	pool->schema = httpd_strdup(link->schema);
	say(pool, "");
	open_others(pool);
	serve_waiting(pool, slot);
}

/* No connection is left, or none could be made. */
static void
note_away(GwPool *pool, const char *reason)
{
	if (pool->connected > 0)
		return;
	say(pool, reason);
	if (pool->away_since == 0)
		pool->away_since = httpd_now_us();
}

/* The server has become a standby, or the extension has gone elsewhere: look again. */
static bool
is_outdated(const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return state != NULL && (strcmp(state, "25006") == 0 || strcmp(state, "42883") == 0 ||
							 strcmp(state, "3F000") == 0);
}

static void
finished(GwLink *link, PGresult *result)
{
	Slot *slot = (Slot *) link;
	GwPool *pool = link->owner;
	GwQuery *query = slot->query;

	pool->stats.queries_us += httpd_now_us() - slot->sent_us;
	slot->query = NULL;
	if (is_outdated(result))
	{
		gw_link_close(link);
		pool->connected--;
		note_away(pool, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
		reopen(pool, slot);
	}
	else
		serve_waiting(pool, slot);
	report(query, result);
}

static void
lost(GwLink *link, bool open, const char *reason)
{
	Slot *slot = (Slot *) link;
	GwPool *pool = link->owner;
	GwQuery *query = slot->query;

	if (open)
	{
		pool->connected--;
		pool->stats.lost++;
	}
	else
		pool->failures++;
	slot->query = NULL;
	note_away(pool, reason);
	reopen(pool, slot);
	if (query != NULL)
		report(query, NULL);
}

/*
 * The interface
 */

static const GwLinkEvents events = {opened, finished, lost};

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
	snprintf(pool->application_name, sizeof(pool->application_name), "wa_gateway %s",
			 settings->name);
	pool->waiting = (HttpdLink) HTTPD_LIST_EMPTY(pool->waiting);
	pool->slots = httpd_alloc0((size_t) settings->size * sizeof(Slot));
	pool->away_since = httpd_now_us();
	for (int i = 0; i < settings->size; i++)
	{
		pool->slots[i].link.events = &events;
		pool->slots[i].link.owner = pool;
	}
	open_slot(&pool->slots[0]);
	return pool;
}

void
gw_pool_destroy(GwPool *pool)
{
	while (!httpd_list_is_empty(&pool->waiting))
		free_query(HTTPD_ELEMENT(GwQuery, link, pool->waiting.next));
	for (int i = 0; i < pool->settings->size; i++)
	{
		Slot *slot = &pool->slots[i];

		httpd_timer_cancel(&slot->reopen);
		if (slot->query != NULL)
			free_query(slot->query);
		gw_link_close(&slot->link);
	}
	free(pool->slots);
	free(pool->schema);
	free(pool);
}

static Slot *
free_slot(GwPool *pool)
{
	for (int i = 0; i < pool->settings->size; i++)
	{
		if (pool->slots[i].link.state == GW_LINK_FREE)
			return &pool->slots[i];
	}
	return NULL;
}

GwQuery *
gw_pool_query(GwPool *pool, const char *sql, int n, const Oid *types, const char *const *values,
			  const int *lengths, const int *formats, GwDone done, void *arg)
{
	const GwParameters parameters = {sql, n, types, values, lengths, formats};
	Slot *slot = free_slot(pool);
	GwQuery *query;

	if (slot == NULL &&
		(!gw_pool_available(pool) || pool->stats.waiting >= pool->settings->queue_size))
	{
		pool->stats.refused++;
		return NULL;
	}
	query = httpd_alloc0(sizeof(GwQuery));
	query->pool = pool;
	query->done = done;
	query->arg = arg;
	if (slot != NULL)
	{
		start(slot, query, &parameters);
		return query;
	}
	query->parameters = gw_parameters_copy(&parameters);
	httpd_list_push(&pool->waiting, &query->link);
	pool->stats.waiting++;
	httpd_timer_set(&query->deadline, httpd_now_us() + (int64_t) pool->settings->wait_ms * 1000,
					waited_too_long, query);
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

bool
gw_pool_available(const GwPool *pool)
{
	return pool->connected > 0 ||
		   httpd_now_us() - pool->away_since < (int64_t) pool->settings->wait_ms * 1000;
}

bool
gw_pool_is_idle(const GwPool *pool)
{
	return free_slot((GwPool *) pool) != NULL;
}

const char *
gw_pool_trouble(const GwPool *pool)
{
	return pool->trouble;
}

const char *
gw_pool_schema(const GwPool *pool)
{
	return pool->schema;
}

void
gw_pool_stats(const GwPool *pool, GwPoolStats *out)
{
	*out = pool->stats;
	out->connections = pool->connected;
	for (int i = 0; i < pool->settings->size; i++)
		out->busy += pool->slots[i].link.state == GW_LINK_BUSY;
}
