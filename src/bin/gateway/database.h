/*
 * database.h
 *	  Queries to PostgreSQL without waiting: a pool of connections in the loop.
 *
 * A query goes to a connection that is free, or waits for one for a bounded time
 * in a bounded queue.  Connections that are lost are made again, ever more
 * slowly, and one at a time while none succeeds.
 */
#ifndef GW_DATABASE_H
#define GW_DATABASE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct GwPool GwPool;
typedef struct GwQuery GwQuery;

typedef struct GwPoolSettings
{
	const char *conninfo; /* as libpq takes it; more than one host is possible */
	const char *name;	  /* for application_name, "wa_gateway NAME", and messages */
	int size;			  /* connections, all of which are kept open */
	int statement_timeout_ms;
	int queue_size; /* queries that may wait for a connection */
	int wait_ms;	/* for how long */
} GwPoolSettings;

/*
 * What became of a query: the result, which the callee must not keep or clear; or
 * NULL: there was no connection in time, or it was lost.  Then a query that was
 * sent may have been executed, or not.  A result without an error is reported only
 * after its transaction was committed.
 */
typedef void (*GwDone)(void *arg, PGresult *result);

/* Ends the program if libpq cannot read this connection string. */
extern void gw_pool_check_conninfo(const char *option, const char *conninfo);

/* Begins to connect.  settings and its texts must stay. */
extern GwPool *gw_pool_create(const GwPoolSettings *settings);
extern void gw_pool_destroy(GwPool *pool); /* calls no GwDone */

/* In a statement: the schema of the extension, quoted. */
#define GW_SCHEMA "@extschema@"

/*
 * Sends one statement, in which GW_SCHEMA is replaced, with parameters as
 * PQsendQueryParams() takes them, all of which are copied or sent before this returns.  done is
 * called later, once, never from within the call.  NULL: the database has been away for a while, or
 * too many wait already; done will not be called.
 */
extern GwQuery *gw_pool_query(GwPool *pool, const char *sql, int n, const Oid *types,
							  const char *const *values, const int *lengths, const int *formats,
							  GwDone done, void *arg);

/* In done, if there is no result: it may have been executed. */
extern bool gw_query_was_sent(const GwQuery *query);

/*
 * Nobody is interested any more: done will not be called.  A query that was sent
 * runs on, as long as statement_timeout lets it: PQcancel() would have the loop
 * wait for another connection to the server, which is exactly what must not happen
 * when the server is slow.
 */
extern void gw_query_forget(GwQuery *query);

/* At least one connection is there, or was until a moment ago. */
extern bool gw_pool_available(const GwPool *pool);

/* At least one connection is free, and nobody waits. */
extern bool gw_pool_is_idle(const GwPool *pool);

/* The schema of the extension, quoted; NULL until there was a connection. */
extern const char *gw_pool_schema(const GwPool *pool);

typedef struct GwPoolStats
{
	int connections; /* that are there */
	int busy;
	int waiting;		/* queries in the queue */
	uint64_t queries;	/* that were sent */
	uint64_t refused;	/* because of the queue, the wait, or the database being away */
	uint64_t lost;		/* connections */
	int64_t queries_us; /* the time they took, in sum */
} GwPoolStats;

extern void gw_pool_stats(const GwPool *pool, GwPoolStats *out);

/* The pool of the API; main.c makes it. */
extern GwPool *gw_admin_pool;

#endif
