/*
 * pglink.c
 *	  One connection to PostgreSQL, in the loop.
 *
 * libpq never waits here, with one exception: it looks up host names with
 * getaddrinfo() when it begins to connect.  A Unix socket, hostaddr, or a name
 * in /etc/hosts avoids that.
 */
#include "bin/gateway/pglink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "bin/gateway/conninfo.h"
#include "bin/httpd/clock.h"
#include "bin/httpd/loop.h"
#include "bin/httpd/util.h"

/* A statement that the server did not end by itself: it hangs, or is not reachable. */
#define BEYOND_STATEMENT_TIMEOUT_US INT64_C(5000000)

/* For each host that conninfo names. */
#define CONNECT_TIMEOUT_US INT64_C(5000000)

/*
 * Whatever a role's, a database's or a client's configuration says: names mean
 * what they say, and no statement runs for ever.  The functions are called with
 * their schema, and set a path of their own.  Compiling what runs for milliseconds takes
 * a second, and happens where estimates are high.
 */
#define PREPARE_SESSION                                                                            \
	"SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false), "                  \
	"pg_catalog.set_config('statement_timeout', $1, false), "                                      \
	"pg_catalog.set_config('lock_timeout', '0', false), "                                          \
	"pg_catalog.set_config('idle_in_transaction_session_timeout', '0', false), "                   \
	"pg_catalog.set_config('default_transaction_isolation', 'read committed', false), "            \
	"pg_catalog.set_config('client_encoding', 'UTF8', false), "                                    \
	"pg_catalog.set_config('datestyle', 'ISO', false), "                                           \
	"pg_catalog.set_config('intervalstyle', 'postgres', false), "                                  \
	"pg_catalog.set_config('bytea_output', 'hex', false), "                                        \
	"pg_catalog.set_config('jit', 'off', false), "                                                 \
	"(SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e "                    \
	"JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace "               \
	"WHERE e.extname OPERATOR(pg_catalog.=) 'whatsapp_shared'::pg_catalog.name)"
#define SCHEMA_COLUMN 10

static void watch(GwLink *link, uint32_t events);

static void
disconnect(GwLink *link)
{
	httpd_timer_cancel(&link->timer);
	if (link->fd >= 0)
		httpd_loop_unwatch(link->fd);
	link->fd = -1;
	PQclear(link->result);
	link->result = NULL;
	PQfinish(link->conn);
	link->conn = NULL;
	link->state = GW_LINK_DOWN;
}

static void
lose(GwLink *link, const char *reason)
{
	bool open = link->state == GW_LINK_FREE || link->state == GW_LINK_BUSY;

	/* libpq's own text, of which the first line says it. */
	if (reason == NULL)
		reason = link->conn != NULL ? PQerrorMessage(link->conn) : "out of memory";
	if (reason[0] == '\0')
		reason = "the connection was lost";
	snprintf(link->reason, sizeof(link->reason), "%.*s", (int) strcspn(reason, "\n"), reason);
	disconnect(link);
	link->events->lost(link, open, link->reason);
}

static void
time_is_over(void *arg)
{
	GwLink *link = arg;

	lose(link,
		 link->state == GW_LINK_BUSY ? "the server does not respond" : "connecting took too long");
}

/*
 * Statements
 */

static bool
flush(GwLink *link)
{
	int rest = PQflush(link->conn);

	if (rest >= 0)
		watch(link, rest > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
	return rest >= 0;
}

static void
lose_later(void *arg)
{
	lose(arg, NULL);
}

static void
start_statement(GwLink *link, GwLinkState state, bool sent)
{
	link->state = state;
	if (sent && flush(link))
		httpd_timer_set(&link->timer,
						httpd_now_us() + (int64_t) link->statement_timeout_ms * 1000 +
							BEYOND_STATEMENT_TIMEOUT_US,
						time_is_over, link);
	else
		httpd_timer_set(&link->timer, httpd_now_us(), lose_later, link);
}

static void
prepare_session(GwLink *link)
{
	char timeout[16];
	const char *values[] = {timeout};

	snprintf(timeout, sizeof(timeout), "%d", link->statement_timeout_ms);
	start_statement(link, GW_LINK_PREPARING,
					PQsendQueryParams(link->conn, PREPARE_SESSION, 1, NULL, values, NULL, NULL, 0));
}

static void
session_prepared(GwLink *link, const PGresult *result)
{
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		lose(link, PQresultErrorMessage(result));
	else if (PQgetisnull(result, 0, SCHEMA_COLUMN))
		lose(link, "the extension whatsapp_shared is not installed in the database");
	else
	{
		free(link->schema);
		link->schema = httpd_strdup(PQgetvalue(result, 0, SCHEMA_COLUMN));
		link->state = GW_LINK_FREE;
		link->events->opened(link);
	}
}

static void
statement_over(GwLink *link)
{
	PGresult *result = link->result;

	link->result = NULL;
	httpd_timer_cancel(&link->timer);
	if (link->state == GW_LINK_PREPARING)
		session_prepared(link, result);
	else if (link->state == GW_LINK_BUSY)
	{
		link->state = GW_LINK_FREE;
		link->events->finished(link, result);
	}
	PQclear(result);
}

/*
 * The rows of a statement come before its COMMIT, and an error of that comes as
 * a second result: so the statement is over when the server is ready for the
 * next, and an error outweighs rows.
 */
static void
keep_result(GwLink *link, PGresult *result)
{
	if (link->result == NULL || PQresultStatus(result) == PGRES_FATAL_ERROR)
	{
		PQclear(link->result);
		link->result = result;
	}
	else
		PQclear(result);
}

static void
read_results(GwLink *link)
{
	while (link->state != GW_LINK_FREE && !PQisBusy(link->conn))
	{
		PGresult *result = PQgetResult(link->conn);

		if (result == NULL)
		{
			statement_over(link);
			return;
		}
		keep_result(link, result);
		if (PQstatus(link->conn) == CONNECTION_BAD)
			return;
	}
}

static void
serve(GwLink *link, uint32_t events)
{
	if (!PQconsumeInput(link->conn))
	{
		/* Its last words may be an error, which says more than the end does. */
		lose(link, NULL);
		return;
	}
	if ((events & EPOLLOUT) && !flush(link))
	{
		lose(link, NULL);
		return;
	}
	read_results(link);
	if (link->conn != NULL && PQstatus(link->conn) == CONNECTION_BAD)
		lose(link, NULL);
}

/*
 * Connecting
 */

static void
connected(GwLink *link)
{
	httpd_timer_cancel(&link->timer);
	if (PQsetnonblocking(link->conn, 1) != 0)
		lose(link, NULL);
	else
		prepare_session(link);
}

static void
advance(GwLink *link)
{
	PostgresPollingStatusType status = PQconnectPoll(link->conn);

	/* It may have closed the socket and opened another, for the next address say. */
	if (link->fd >= 0 && link->fd != PQsocket(link->conn))
	{
		httpd_loop_unwatch(link->fd);
		link->fd = -1;
	}
	switch (status)
	{
		case PGRES_POLLING_READING:
			watch(link, EPOLLIN);
			break;
		case PGRES_POLLING_WRITING:
			watch(link, EPOLLOUT);
			break;
		case PGRES_POLLING_OK:
			connected(link);
			break;
		default:
			lose(link, NULL);
	}
}

static void
ready(int fd, uint32_t events, void *arg)
{
	GwLink *link = arg;

	if (link->state == GW_LINK_CONNECTING)
		advance(link);
	else
		serve(link, events);
}

static void
watch(GwLink *link, uint32_t events)
{
	link->fd = PQsocket(link->conn);
	httpd_loop_watch(link->fd, events, ready, link);
}

static void
ignore_notice(void *arg, const PGresult *result)
{
}

void
gw_link_open(GwLink *link, const char *conninfo, const char *application_name,
			 int statement_timeout_ms)
{
	link->statement_timeout_ms = statement_timeout_ms;
	link->state = GW_LINK_CONNECTING;
	link->fd = -1;
	link->conn = gw_conninfo_start(conninfo, application_name);
	if (link->conn == NULL || PQstatus(link->conn) == CONNECTION_BAD)
	{
		httpd_timer_set(&link->timer, httpd_now_us(), lose_later, link);
		return;
	}
	PQsetNoticeReceiver(link->conn, ignore_notice, NULL);
	httpd_timer_set(&link->timer,
					httpd_now_us() + CONNECT_TIMEOUT_US * gw_conninfo_hosts(link->conn),
					time_is_over, link);
	watch(link, EPOLLOUT);
}

void
gw_link_send(GwLink *link, const char *sql, int n, const Oid *types, const char *const *values,
			 const int *lengths, const int *formats)
{
	start_statement(link, GW_LINK_BUSY,
					PQsendQueryParams(link->conn, sql, n, types, values, lengths, formats, 0));
}

void
gw_link_close(GwLink *link)
{
	if (link->state != GW_LINK_DOWN)
		disconnect(link);
	free(link->schema);
	link->schema = NULL;
}
