/*
 * problem.c
 *	  Refusals as problem details (RFC 9457).
 */
#include "bin/gateway/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/httpd/util.h"

/*
 * When to come back: about as long as it takes to connect again, or to work off a
 * queue; not everybody at the same time.
 */
#define LEAST_RETRY_AFTER_S 1
#define MOST_RETRY_AFTER_S 4

/* The phrases of RFC 9110 and RFC 6585. */
static const char *
title_of(int status)
{
	static const struct
	{
		int status;
		const char *title;
	} titles[] = {
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{406, "Not Acceptable"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{410, "Gone"},
		{411, "Length Required"},
		{412, "Precondition Failed"},
		{413, "Content Too Large"},
		{414, "URI Too Long"},
		{415, "Unsupported Media Type"},
		{416, "Range Not Satisfiable"},
		{417, "Expectation Failed"},
		{422, "Unprocessable Content"},
		{428, "Precondition Required"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{503, "Service Unavailable"},
		{505, "HTTP Version Not Supported"},
	};

	for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
	{
		if (titles[i].status == status)
			return titles[i].title;
	}
	return "Error";
}

static int
append(const char *text, size_t len, void *arg)
{
	httpd_buf_add(arg, text, len);
	return 0;
}

static void
add_retry_after(HttpdReply *reply)
{
	char seconds[16];

	snprintf(seconds, sizeof(seconds), "%ld",
			 LEAST_RETRY_AFTER_S + random() % (MOST_RETRY_AFTER_S - LEAST_RETRY_AFTER_S + 1));
	httpd_reply_header(reply, "Retry-After", seconds);
}

void
gw_problem_members(GwExchange *exchange, int status, json_t *members)
{
	HttpdReply *reply = &exchange->http.reply;
	json_t *document = json_object();

	json_object_set_new(document, "type", json_string("about:blank"));
	json_object_set_new(document, "title", json_string(title_of(status)));
	json_object_set_new(document, "status", json_integer(status));
	if (members != NULL)
		json_object_update_missing(document, members);
	json_object_set_new(document, "request_id", json_string(exchange->request_id));
	json_decref(members);

	httpd_reply_text(reply, status, "application/problem+json", "");
	if (json_dump_callback(document, append, &reply->body, JSON_COMPACT) != 0)
		httpd_die("could not write JSON");
	json_decref(document);
	if (status == 503)
		add_retry_after(reply);
}

/* What a client sent may be quoted in the text, so it is made UTF-8 first. */
static json_t *
text_member(const char *text)
{
	HttpdBuf quoted = {0};
	json_t *value;

	httpd_buf_json(&quoted, text);
	value = json_loadb(quoted.data, quoted.len, JSON_DECODE_ANY, NULL);
	httpd_buf_free(&quoted);
	return value;
}

static json_t *
describe(const char *field, const char *format, va_list args)
{
	json_t *members = json_object();
	char detail[1024];

	if (format != NULL)
	{
		vsnprintf(detail, sizeof(detail), format, args);
		json_object_set_new(members, "detail", text_member(detail));
	}
	if (field != NULL)
		json_object_set_new(members, "field", text_member(field));
	return members;
}

void
gw_problem(GwExchange *exchange, int status, const char *detail, ...)
{
	va_list args;
	json_t *members;

	va_start(args, detail);
	members = describe(NULL, detail, args);
	va_end(args);
	gw_problem_members(exchange, status, members);
}

void
gw_problem_field(GwExchange *exchange, int status, const char *field, const char *detail, ...)
{
	va_list args;
	json_t *members;

	va_start(args, detail);
	members = describe(field, detail, args);
	va_end(args);
	gw_problem_members(exchange, status, members);
}

/*
 * SQL's errors
 */

/*
 * What a SQLSTATE, or a class of them, says to the client.  The first that fits
 * counts.  Errors that the functions raise on purpose are told; others may quote
 * anything, so of these there is a status only.
 */
static const struct
{
	const char *prefix;
	int status;
	bool told;
} states[] = {
	{"25006", 503, false}, /* a standby: the next connection finds the primary */
	{"22", 422, true},
	{"23502", 422, true},
	{"23514", 422, true},
	{"23505", 409, true},
	{"P0002", 404, true},
	{"02000", 404, true},
	{"42704", 422, true},
	{"42710", 409, true},
	{"55000", 409, true},
	{"55006", 409, true},
	{"42501", 403, true},
	{"28000", 401, true},
	{"54000", 413, true},
	{"0A000", 501, true},
	{"40001", 503, false},
	{"40P01", 503, false},
	{"55P03", 503, false},
	{"57014", 503, false},
	{"53400", 409, true},
	{"53", 503, false},
	{"57P0", 503, false},
	{"08", 503, false},
	/* The extension is away, was moved, or is older than this program. */
	{"3F000", 503, false},
	{"42883", 503, false},
};

static const char *
why_unavailable(const char *state)
{
	if (strcmp(state, "57014") == 0)
		return "The database took too long.";
	if (strncmp(state, "42", 2) == 0 || strncmp(state, "3F", 2) == 0)
		return "The extension in the database is not the one that this gateway needs.";
	return "The database cannot do this now.";
}

static void
add_field(json_t *members, const char *name, const char *value)
{
	if (value != NULL && value[0] != '\0')
		json_object_set_new(members, name, text_member(value));
}

static int
status_of(const char *state, bool *told)
{
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
	{
		if (strncmp(state, states[i].prefix, strlen(states[i].prefix)) == 0)
		{
			*told = states[i].told;
			return states[i].status;
		}
	}
	*told = false;
	return 500;
}

/* An argument of the query is part of the address, so it makes the request a bad one. */
static bool
is_query_argument(const GwExchange *exchange, const char *name)
{
	return name != NULL && httpd_request_argument(&exchange->http, name) != NULL;
}

void
gw_problem_from_result(GwExchange *exchange, const PGresult *result)
{
	const char *state = result != NULL ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	const char *column;
	json_t *members;
	bool told;
	int status;

	if (state == NULL)
	{
		gw_problem(exchange, 503, "The database is not reachable.");
		return;
	}
	status = status_of(state, &told);
	if (!told)
	{
		gw_problem(exchange, status, "%s",
				   status == 503 ? why_unavailable(state)
								 : "Something went wrong here; the log has more about it.");
		return;
	}
	column = PQresultErrorField(result, PG_DIAG_COLUMN_NAME);
	if (status == 422 && is_query_argument(exchange, column))
		status = 400;
	members = json_object();
	add_field(members, "detail", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
	add_field(members, "hint", PQresultErrorField(result, PG_DIAG_MESSAGE_HINT));
	add_field(members, "field", column);
	gw_problem_members(exchange, status, members);
}
