/*
 * forward.c
 *	  Passing on the webhooks of other nodes.
 *
 * Sender 0 does it, and not the gateway, although that is where webhooks come in: it may
 * read what waits, and the gateway's role may not and needs not; it has the app secret;
 * there is one of it, so the order in which things came is kept without leases; and it
 * is silent in a copy of the database, as it is about messages.  It goes through an HTTP
 * client of its own (sender/forward_client.c).
 *
 * Each node has two lines (sql/66-forwards.sql), and each of them one request on the wire,
 * with as many changes as have come during the last one.  What a node has taken is deleted
 * in a transaction that follows; a process that dies before sends it again, and a node takes
 * in the same twice as it does once.  So whatever is in doubt is sent again.
 *
 * A portion that is refused is cut in half and tried again, until what the node does not
 * take is by itself; that is put off, and the rest goes on.  A node that does not answer
 * is asked ever more seldom.  Nobody else waits for either.
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "lib/stringinfo.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/secret.h"
#include "common/message_state.h"
#include "common/signature.h"
#include "common/webhook_body.h"
#include "http/http.h"
#include "sender/forward.h"
#include "sender/forward_client.h"
#include "sender/home.h"
#include "sender/store/forward_rows.h"
#include "sender/store/transaction.h"

/*
 * What goes together at most: a transaction over there, which all of it waits for.  With
 * more than 1,500 parts a body would be kept as a whole (webhook/field.c).
 */
#define MOST_ROWS 200
#define MOST_PARTS 1000
#define MOST_BYTES (1024 * 1024)

/* Read in one transaction, for all lines. */
#define MOST_BYTES_AT_ONCE (8 * 1024 * 1024)

/* Wake-ups can be lost: look without being told. */
#define LOOK_INTERVAL_US INT64_C(30000000)

/* What is due by the clock. */
#define KEEP_INTERVAL_US INT64_C(10000000)

/* Between requests that fail. */
#define RETRY_DELAY_MS 1000
#define RETRY_MAX_DELAY_MS 30000

#define MAX_NODE_NAME 64

typedef enum LineState
{
	IDLE,
	READ,	 /* the body is there; next: ON_WIRE */
	ON_WIRE, /* next: TAKEN, FAILED */
	TAKEN,	 /* to be written down; next: IDLE */
	FAILED	 /* the same */
} LineState;

typedef struct Line
{
	LineState state;
	bool has_words;
	int most;	  /* rows together, for now */
	int failures; /* in a row */
	int64 next_us;
	int64 after; /* rows up to this one have been taken, but those that came late */

	/* what is on its way */
	int n;
	int64 ids[MOST_ROWS];
	char *body; /* until it is submitted */
	size_t body_len;
	char signature[WA_SIGNATURE_SIZE];
	bool seen;	   /* the node may have seen it */
	bool answered; /* and has said no */
	char problem[200];
} Line;

typedef struct Peer
{
	char name[MAX_NODE_NAME];
	char *url;
	Line lines[WA_FORWARD_LINES];
} Peer;

static Peer nodes[WA_MAX_NODES];
static int nnodes;
static bool look;
static int64 next_look_us;
static int64 next_keep_us;

void
wa_forward_requested(void)
{
	look = true;
}

#define FOREACH_LINE(node, line)                                                                   \
	for (Peer *node = nodes; node < nodes + nnodes; node++)                                        \
		for (Line *line = node->lines; line < node->lines + WA_FORWARD_LINES; line++)

/* ---- the network ------------------------------------------------------------------ */

static void
came(Line *line, const WaHttpResult *result)
{
	bool taken = result->phase == WA_HTTP_ANSWERED && result->status >= 200 && result->status < 300;

	line->state = taken ? TAKEN : FAILED;
	line->seen = result->phase != WA_HTTP_NOT_WRITTEN;
	line->answered = result->phase == WA_HTTP_ANSWERED;
	if (result->phase == WA_HTTP_ANSWERED)
		snprintf(line->problem, sizeof(line->problem), "HTTP status %ld", result->status);
	else
		strlcpy(line->problem, result->error, sizeof(line->problem));
}

void
wa_forward_network(void)
{
	WaHttp *client = wa_forward_client.http;
	WaHttpResult *result;

	if (client == NULL)
		return;
	wa_http_step(client);
	while ((result = wa_http_next_result(client)) != NULL)
	{
		came(result->tag, result);
		wa_http_release(client, result);
	}
}

/* ---- the nodes ------------------------------------------------------------------------ */

static bool
are_known(const WaNodeRow *rows, int n)
{
	if (n != nnodes)
		return false;
	for (int i = 0; i < n; i++)
		if (strcmp(nodes[i].name, rows[i].node) != 0 || strcmp(nodes[i].url, rows[i].url) != 0)
			return false;
	return true;
}

static void
forget_nodes(void)
{
	FOREACH_LINE(node, line)
	{
		if (line->body != NULL)
			pfree(line->body);
	}
	for (int i = 0; i < nnodes; i++)
		pfree(nodes[i].url);
	nnodes = 0;
}

/* What is on its way to them, or has just been taken, is still there, and goes again. */
static void
know(const WaNodeRow *rows, int n)
{
	wa_task_client_close(&wa_forward_client);
	forget_nodes();
	n = Min(n, WA_MAX_NODES);
	memset(nodes, 0, sizeof(nodes));
	for (int i = 0; i < n; i++)
	{
		nodes[i].url = MemoryContextStrdup(TopMemoryContext, rows[i].url);
		strlcpy(nodes[i].name, rows[i].node, sizeof(nodes[i].name));
		nodes[i].lines[1].has_words = true;
		nodes[i].lines[0].most = nodes[i].lines[1].most = MOST_ROWS;
		nnodes++;
	}
}

/* ---- the rows ------------------------------------------------------------------------- */

/* As Meta sends it, and marked. */
static void
write_body(const WaSender *sender, const Peer *node, Line *line, const WaForwardRow *rows)
{
	MemoryContext old = MemoryContextSwitchTo(sender->state_context);
	StringInfoData body;

	initStringInfo(&body);
	appendStringInfo(&body,
					 "{\"object\":\"whatsapp_business_account\",\"" WA_WEBHOOK_BODY_FORWARDED
					 "\":{\"installation\":\"%s\",\"node\":\"%s\"},\"entry\":[",
					 sender->installation_id, node->name);
	for (int i = 0; i < line->n; i++)
	{
		line->ids[i] = rows[i].forward_id;
		appendStringInfo(&body, "%s%s", i > 0 ? "," : "", rows[i].entry);
	}
	appendStringInfoString(&body, "]}");
	line->body = body.data;
	line->body_len = body.len;
	MemoryContextSwitchTo(old);
}

/* Needs a transaction: what the server computes a hash with belongs to its resource owner. */
static void
sign(Line *line)
{
	const char *secret = wa_secret_app_secret(0);

	if (secret == NULL ||
		!wa_signature_make(line->signature, (const uint8 *) line->body, line->body_len, secret))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("could not sign a webhook for another node")));
}

/*
 * Reads what goes next.  A row that is committed late may stand before what has been taken,
 * and so do those that were put off: where there is nothing else, they are looked for.
 */
static void
read_next(const WaSender *sender, const Peer *node, Line *line)
{
	WaForwardQuery query = {.node = node->name,
							.has_words = line->has_words,
							.after = line->after,
							.most = line->most,
							.most_bytes = MOST_BYTES,
							.most_parts = MOST_PARTS};
	WaForwardRow *rows;

	line->n = wa_store_next_forwards(&query, &rows);
	if (line->n == 0 && line->after > 0)
	{
		query.after = line->after = 0;
		line->n = wa_store_next_forwards(&query, &rows);
	}
	if (line->n == 0)
		return;
	write_body(sender, node, line, rows);
	sign(line);
	line->state = READ;
}

static void
submit(const Peer *node, Line *line)
{
	char header[sizeof("X-Hub-Signature-256: ") + WA_SIGNATURE_SIZE];
	bool submitted;

	snprintf(header, sizeof(header), "X-Hub-Signature-256: %s", line->signature);
	wa_forward_client_open(nnodes);
	submitted = wa_http_submit_json(wa_forward_client.http, node->url, line->body, line->body_len,
									header, line);
	pfree(line->body);
	line->body = NULL;
	line->state = submitted ? ON_WIRE : FAILED;
	line->seen = line->answered = false;
	strlcpy(line->problem, "the request could not be started", sizeof(line->problem));
}

/* Nothing more is due: when to look again. */
static void
plan_next_look(void)
{
	TimestampTz next = nnodes > 0 ? wa_store_next_forward_time() : DT_NOEND;
	int64 wait = next == DT_NOEND ? LOOK_INTERVAL_US : next - wa_now();

	next_look_us = wa_now_us() + Max(0, Min(wait, LOOK_INTERVAL_US));
}

/* Reads for the lines that are free, in one transaction, and sends after its commit. */
static void
start_lines(WaSender *sender)
{
	WaNodeRow *rows;
	size_t bytes = 0;
	int n;

	wa_store_begin("passing on webhooks");
	n = wa_store_nodes(&rows);
	if (!are_known(rows, n))
		know(rows, n);
	if (n > 0 && wa_home_keep(sender))
		FOREACH_LINE(node, line)
		{
			if (line->state != IDLE || line->next_us > wa_now_us())
				continue;
			if (bytes > MOST_BYTES_AT_ONCE)
			{
				look = true;
				break;
			}
			read_next(sender, node, line);
			bytes += line->state == READ ? line->body_len : 0;
		}
	plan_next_look();
	wa_store_commit();
	FOREACH_LINE(node, line)
	{
		if (line->state == READ)
			submit(node, line);
	}
	wa_forward_network();
}

static void
write_down(const Peer *node, const Line *line)
{
	if (line->state == TAKEN)
		wa_store_forwarded(node->name, line->ids, line->n);
	else
		wa_store_forward_failed(node->name, line->ids, line->n, line->seen && line->n == 1,
								line->problem);
}

/* Later with each failure in a row. */
static void
put_off(Line *line)
{
	line->failures++;
	line->next_us = wa_now_us() +
					1000 * wa_message_backoff_ms(line->failures, RETRY_DELAY_MS, RETRY_MAX_DELAY_MS,
												 pg_prng_uint32(&pg_global_prng_state));
}

/* What has been written down is committed. */
static void
go_on(Line *line)
{
	if (line->state == TAKEN)
	{
		line->after = line->ids[line->n - 1];
		line->failures = 0;
		line->next_us = 0;
		line->most = Min(2 * line->most, MOST_ROWS);
	}
	else
	{
		line->after = 0;
		if (line->seen && line->n > 1)
			line->most = (line->n + 1) / 2;
		if (!line->answered || line->n == 1)
			put_off(line);
	}
	line->state = IDLE;
	look = true;
}

static bool
has_ended(const Line *line)
{
	return line->state == TAKEN || line->state == FAILED;
}

static bool
any_ended(void)
{
	FOREACH_LINE(node, line)
	{
		if (has_ended(line))
			return true;
	}
	return false;
}

static void
settle(void)
{
	if (!any_ended())
		return;
	wa_store_begin("passing on webhooks");
	FOREACH_LINE(node, line)
	{
		if (has_ended(line))
			write_down(node, line);
	}
	wa_store_commit();
	FOREACH_LINE(node, line)
	{
		if (has_ended(line))
			go_on(line);
	}
}

static void
keep(void)
{
	if (nnodes == 0 || wa_now_us() < next_keep_us)
		return;
	next_keep_us = wa_now_us() + KEEP_INTERVAL_US;
	wa_store_begin("passing on webhooks");
	wa_store_keep_forwards();
	wa_store_commit();
}

static bool
may_forward(const WaSender *sender)
{
	return !sender->stopping && sender->at_home && wa_secret_app_secret(0) != NULL;
}

/* When a line that has failed may try again, or somebody looks; INT64_MAX: never. */
static int64
next_start_us(void)
{
	int64 next = next_look_us;

	FOREACH_LINE(node, line)
	{
		if (line->state == IDLE && line->next_us > 0)
			next = Min(next, line->next_us);
	}
	return next;
}

void
wa_forward_run(WaSender *sender)
{
	if (sender->index != 0)
		return;
	settle();
	if (!may_forward(sender))
		return;
	if (look || wa_now_us() >= next_start_us())
	{
		look = false;
		start_lines(sender);
	}
	keep();
}

/* What was taken could not be written down: it is sent once more. */
void
wa_forward_aborted(WaSender *sender)
{
	FOREACH_LINE(node, line)
	{
		if (line->body != NULL)
			pfree(line->body);
		line->body = NULL;
		if (line->state != ON_WIRE)
			line->state = IDLE;
	}
	next_look_us = wa_now_us() + LOOK_INTERVAL_US;
}

void
wa_forward_abandon(void)
{
	wa_task_client_close(&wa_forward_client);
	forget_nodes();
	look = true;
}

long
wa_forward_wait_ms(WaSender *sender)
{
	if (sender->index != 0)
		return -1;
	if (any_ended())
		return 0;
	if (!may_forward(sender))
		return -1;
	if (look)
		return 0;
	return (long) Max(
		0, (Min(next_start_us(), nnodes > 0 ? next_keep_us : PG_INT64_MAX) - wa_now_us() + 999) /
			   1000);
}
