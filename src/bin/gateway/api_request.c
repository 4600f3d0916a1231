/*
 * api_request.c
 *	  A request as the jsonb that an SQL function takes.
 */
#include "bin/gateway/api_request.h"

#include <gnutls/crypto.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bin/gateway/auth.h"
#include "bin/gateway/problem.h"
#include "bin/gateway/route.h"
#include "bin/gateway/utf8.h"
#include "bin/gateway/webform.h"
#include "bin/httpd/util.h"

#define MAX_QUERY_ARGUMENTS 32
#define MAX_KEY 255

/*
 * A server that logs statements logs their parameters, too.  So the key of a link
 * goes there as what the tables have of it, which opens nothing.
 */
static void
add_hash(HttpdBuf *out, const char *key)
{
	unsigned char digest[32];

	if (key == NULL)
	{
		httpd_buf_puts(out, "null");
		return;
	}
	if (gnutls_hash_fast(GNUTLS_DIG_SHA256, key, strlen(key), digest) != 0)
		httpd_die("could not compute a hash");
	httpd_buf_puts(out, "\"");
	for (size_t i = 0; i < sizeof(digest); i++)
		httpd_buf_printf(out, "%02x", digest[i]);
	httpd_buf_puts(out, "\"");
}

static void
add_actor(const GwExchange *exchange, HttpdBuf *out)
{
	httpd_buf_printf(out,
					 "{\"actor\":{\"role\":\"%s\",\"name\":", gw_auth_role_name(exchange->role));
	httpd_buf_json(out, exchange->actor);
	httpd_buf_puts(out, ",\"key_sha256\":");
	add_hash(out, exchange->key);
	httpd_buf_puts(out, "}");
}

static void
add_path(const GwExchange *exchange, HttpdBuf *out)
{
	httpd_buf_puts(out, ",\"path\":{");
	for (int i = 0; i < GW_MAX_ARGUMENTS && exchange->arguments[i] != NULL; i++)
	{
		char name[40];

		gw_route_argument_name(exchange->route, i, name, sizeof(name));
		httpd_buf_printf(out, "%s\"%s\":", i > 0 ? "," : "", name);
		httpd_buf_json(out, exchange->arguments[i]);
	}
	httpd_buf_puts(out, "}");
}

/*
 * The query
 */

typedef struct Query
{
	GwExchange *exchange;
	HttpdBuf *out;
	const char *names[MAX_QUERY_ARGUMENTS];
	int n;
	bool is_refused;
} Query;

static enum MHD_Result
refuse(Query *query, const char *name, const char *detail)
{
	gw_problem_field(query->exchange, 400, name, "%s", detail);
	query->is_refused = true;
	return MHD_NO;
}

static bool
is_text(const char *text, size_t len)
{
	return memchr(text, '\0', len) == NULL && gw_utf8_valid(text, len);
}

static enum MHD_Result
add_argument(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_len,
			 const char *value, size_t value_len)
{
	Query *query = cls;

	if (value == NULL)
		value = "";
	if (!is_text(name, name_len) || !is_text(value, value_len))
		return refuse(query, NULL, "A query argument is not valid UTF-8.");
	if (query->n == MAX_QUERY_ARGUMENTS)
		return refuse(query, name, "There are too many query arguments.");
	for (int i = 0; i < query->n; i++)
	{
		if (strcmp(query->names[i], name) == 0)
			return refuse(query, name, "A query argument is given twice.");
	}
	if (query->n > 0)
		httpd_buf_puts(query->out, ",");
	query->names[query->n++] = name;
	httpd_buf_json(query->out, name);
	httpd_buf_puts(query->out, ":");
	httpd_buf_json(query->out, value);
	return MHD_YES;
}

static bool
add_query(GwExchange *exchange, HttpdBuf *out)
{
	Query query = {.exchange = exchange, .out = out};

	httpd_buf_puts(out, ",\"query\":{");
	MHD_get_connection_values_n(exchange->http.connection->mhd, MHD_GET_ARGUMENT_KIND, add_argument,
								&query);
	httpd_buf_puts(out, "}");
	return !query.is_refused;
}

/*
 * The body
 */

/*
 * It is read to be sure that it is JSON, and then passed on as it came: a number
 * of twenty digits stays what it is.
 */
static bool
add_json(GwExchange *exchange, HttpdBuf *out)
{
	const HttpdBuf *body = &exchange->http.body;
	json_error_t error;
	json_t *document =
		json_loadb(body->data, body->len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	bool is_object = json_is_object(document);

	if (document == NULL)
		gw_problem(exchange, 400, "The body is not JSON: %s (line %d, column %d).", error.text,
				   error.line, error.column);
	else if (!is_object)
		gw_problem(exchange, 400, "The body must be a JSON object.");
	else
		httpd_buf_add(out, body->data, body->len);
	json_decref(document);
	return is_object;
}

static bool
has_type(const GwExchange *exchange, const char *wanted)
{
	const char *type = httpd_request_header(&exchange->http, "Content-Type");
	size_t length = strlen(wanted);

	return type != NULL && strncasecmp(type, wanted, length) == 0 &&
		   strchr("; \t", type[length]) != NULL;
}

static bool
add_body(GwExchange *exchange, HttpdBuf *out)
{
	const HttpdBuf *body = &exchange->http.body;
	unsigned flags = exchange->route->flags;

	httpd_buf_puts(out, ",\"body\":");
	if (body->len == 0)
	{
		httpd_buf_puts(out, "null");
		return true;
	}
	if (httpd_request_header(&exchange->http, "Content-Encoding") != NULL)
	{
		gw_problem_field(exchange, 415, "Content-Encoding", "The body must not be encoded.");
		return false;
	}
	if ((flags & GW_TAKES_FORM) && has_type(exchange, "application/x-www-form-urlencoded"))
	{
		const char *problem = gw_form_to_json(body->data, body->len, out);

		if (problem != NULL)
			gw_problem(exchange, 400, "%s", problem);
		return problem == NULL;
	}
	if (!(flags & GW_TAKES_BODY))
	{
		gw_problem(exchange, 400, "This takes no body.");
		return false;
	}
	if (has_type(exchange, "application/json"))
		return add_json(exchange, out);
	gw_problem_field(exchange, 415, "Content-Type", "The body must be application/json.");
	httpd_reply_header(&exchange->http.reply, "Accept", "application/json");
	return false;
}

static bool
add_key(GwExchange *exchange, HttpdBuf *out)
{
	const char *key = httpd_request_header(&exchange->http, "Idempotency-Key");

	if (key == NULL && (exchange->route->flags & GW_NEEDS_KEY))
	{
		gw_problem_field(exchange, 400, "Idempotency-Key",
						 "This needs a key, so that it can be repeated without doing it twice.");
		return false;
	}
	if (key != NULL &&
		(key[0] == '\0' || strlen(key) > MAX_KEY || !gw_utf8_valid(key, strlen(key))))
	{
		gw_problem_field(exchange, 400, "Idempotency-Key", "The key must be text of 1 to %d bytes.",
						 MAX_KEY);
		return false;
	}
	httpd_buf_puts(out, ",\"idempotency_key\":");
	httpd_buf_json(out, key);
	return true;
}

static void
add_piece(const GwExchange *exchange, HttpdBuf *out)
{
	if (exchange->route->flags & GW_HAS_PIECES)
		httpd_buf_printf(out, ",\"from_byte\":%lld,\"bytes\":%d", (long long) exchange->piece_from,
						 exchange->piece_bytes);
}

bool
gw_api_request(GwExchange *exchange, HttpdBuf *out)
{
	add_actor(exchange, out);
	add_path(exchange, out);
	if (!add_query(exchange, out) || !add_body(exchange, out) || !add_key(exchange, out))
		return false;
	add_piece(exchange, out);
	httpd_buf_puts(out, "}");
	return true;
}
