/*
 * forward.c
 *	  What belongs to other nodes.
 *
 * All numbers of an account have one webhook address, and tenants may be spread over
 * several databases (sql/18-nodes.sql).  So a change goes to the node that has its
 * number; what is about no number, templates and limits say, concerns everybody; and what
 * nobody else has stays here.  It is stored in the transaction that takes in the rest
 * (sql/66-forwards.sql), so Meta's 200 covers it, and nobody here waits for a node.
 *
 * A body that a node has passed on is not passed on again: two directories that disagree
 * would send it to and fro for ever.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/guc.h"
#include "base/rows.h"
#include "base/statement.h"
#include "common/webhook_body.h"
#include "shared/wake.h"
#include "webhook/field.h"
#include "webhook/forward.h"
#include "webhook/traffic.h"

/* For so long Meta may still say what became of a message: what was sent before a move. */
#define STATUSES_COME_US (30 * USECS_PER_DAY)

/* One of the places that a change goes to. */
typedef struct Place
{
	const char *node; /* NULL: here */
	bool is_full;
	bool is_former; /* and gets statuses only */
} Place;

/* Where a number is, or was; "" stands for what is about no number. */
typedef struct Home
{
	const char *number;
	int nplaces; /* 0: nobody knows it, so it stays here */
	Place *places;
} Home;

typedef struct Forward
{
	const char *node;
	bool has_words;
	int32 parts;
	int32 size;
	const char *entry;
} Forward;

static WaStatement number_statement = {
	.sql = "SELECT p.node, d.is_full, p.is_former FROM ("
		   "SELECT n.node, false AS is_former FROM @extschema@.whatsapp_node_numbers AS n"
		   " WHERE n.phone_number_id OPERATOR(pg_catalog.=) $1"
		   " UNION ALL SELECT CASE WHEN f.node OPERATOR(pg_catalog.<>) ''::pg_catalog.text"
		   " THEN f.node END, true"
		   " FROM @extschema@.whatsapp_node_numbers AS n"
		   " CROSS JOIN LATERAL pg_catalog.unnest(n.former_nodes) AS f(node)"
		   " WHERE n.phone_number_id OPERATOR(pg_catalog.=) $1"
		   " AND n.moved_at OPERATOR(pg_catalog.>) $2) AS p"
		   " LEFT JOIN @extschema@.whatsapp_nodes AS d ON d.node OPERATOR(pg_catalog.=) p.node"
		   " WHERE p.node IS NULL OR d.node IS NOT NULL",
	.nargs = 2,
	.argtypes = {TEXTOID, TIMESTAMPTZOID},
	.expected = SPI_OK_SELECT};

static WaStatement everybody_statement = {
	.sql = "SELECT n.node, n.is_full, false FROM @extschema@.whatsapp_nodes AS n ORDER BY n.node",
	.expected = SPI_OK_SELECT};

/* Those whose node has been removed a moment ago are missing from what it returns. */
static WaStatement store_statement = {
	.sql = "INSERT INTO @extschema@.whatsapp_forwards (node, has_words, parts, size, entry)"
		   " SELECT v.node, v.has_words, v.parts, v.size, v.entry"
		   " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3),"
		   " pg_catalog.unnest($4), pg_catalog.unnest($5)) WITH ORDINALITY"
		   " AS v(node, has_words, parts, size, entry, place)"
		   " JOIN @extschema@.whatsapp_nodes AS d ON d.node OPERATOR(pg_catalog.=) v.node"
		   " ORDER BY v.place",
	.nargs = 5,
	.argtypes = {TEXTARRAYOID, BOOLARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID},
	.expected = SPI_OK_INSERT};

/* ---- who has it ---- */

static void
read_places(Home *home, const WaRows *rows)
{
	home->nplaces = (int) rows->count;
	home->places = palloc0(sizeof(Place) * (rows->count + 1));
	for (int i = 0; i < home->nplaces; i++)
	{
		home->places[i].node = wa_rows_text(rows, i, 1);
		home->places[i].is_full = wa_rows_int(rows, i, 2, 0) != 0;
		home->places[i].is_former = wa_rows_int(rows, i, 3, 0) != 0;
	}
}

/* Of a number, or NULL for what concerns everybody; looked up once for each call. */
static const Home *
home_of(WaWebhook *webhook, const char *number)
{
	Home *home = webhook->homes.items;
	Datum values[2];
	WaRows rows;

	for (int i = 0; i < webhook->homes.count; i++)
		if (strcmp(home[i].number, number != NULL ? number : "") == 0)
			return &home[i];
	if (number != NULL)
	{
		values[0] = CStringGetTextDatum(number);
		values[1] = TimestampTzGetDatum(webhook->now - STATUSES_COME_US);
		rows = wa_statement_run(&number_statement, webhook->schema, values, NULL);
	}
	else
		rows = wa_statement_run(&everybody_statement, webhook->schema, NULL, NULL);
	home = wa_webhook_add(&webhook->homes, sizeof(Home));
	home->number = number != NULL ? number : "";
	read_places(home, &rows);
	return home;
}

/* Of messages, statuses and preferences; of a handover; of calls. */
static const char *
number_of(const WaWebhook *webhook, uint32 value)
{
	static const char *const members[] = {"metadata", "recipient"};
	const char *number = NULL;

	for (int i = 0; i < lengthof(members) && number == NULL; i++)
		number = wa_webhook_string(webhook, wa_json_member(webhook->json, value, members[i]),
								   "phone_number_id", WA_MAX_NUMBER_ID_DIGITS);
	return number;
}

/* ---- what goes there ---- */

static void
append_member(StringInfo out, const WaWebhook *webhook, uint32 object, const char *name)
{
	uint32 node = wa_json_member(webhook->json, object, name);

	if (node != WA_JSON_NONE)
		appendStringInfo(out, "\"%s\":%s,", name, wa_webhook_text(webhook, node));
}

/* The change in an entry of its own, with what an entry says beside it. */
static char *
entry_of(const WaWebhook *webhook, uint32 entry, uint32 change)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	append_member(&out, webhook, entry, "id");
	append_member(&out, webhook, entry, "time");
	appendStringInfo(&out, "\"changes\":[%s]}", wa_webhook_text(webhook, change));
	return out.data;
}

/*
 * Meta keeps what is refused now.  Somebody's statuses beside it in the same body
 * wait with it, which Meta's bodies hardly ever have.
 */
static void
refuse_full(const char *node)
{
	ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					errmsg("too many webhooks wait for node \"%s\"", node),
					errhint("See wa_node_status; max_waiting of whatsapp_nodes is the limit.")));
}

static void
note(WaWebhook *webhook, const Place *place, const Forward *forward)
{
	Forward *noted = wa_webhook_add(&webhook->forwards, sizeof(Forward));

	*noted = *forward;
	noted->node = place->node;
	webhook->body->forwarded++;
}

/* To all of the places that are not here.  True: here it is of no use. */
static bool
distribute(WaWebhook *webhook, const Home *home, const Forward *forward)
{
	bool ours = home->nplaces == 0 || home->number[0] == '\0';

	for (int i = 0; i < home->nplaces; i++)
	{
		const Place *place = &home->places[i];

		if (place->is_former && forward->has_words)
			continue;
		if (place->node == NULL)
			ours = true;
		else if (!place->is_full)
			note(webhook, place, forward);
		else if (home->number[0] != '\0' && !place->is_former)
			refuse_full(place->node);
	}
	return !ours;
}

bool
wa_webhook_forward(WaWebhook *webhook, uint32 entry, uint32 change, uint32 value)
{
	const Home *home;
	Forward forward = {0};
	int parts = 0;

	if (!webhook->has_nodes || webhook->was_forwarded || entry == WA_JSON_NONE)
		return false;
	home = home_of(webhook, number_of(webhook, value));
	if (home->nplaces == 0)
		return false;
	forward.has_words = !wa_webhook_change_is_plain(webhook->json, change, &parts);
	forward.entry = entry_of(webhook, entry, change);
	forward.size = (int32) strlen(forward.entry);
	forward.parts = parts;
	if (!distribute(webhook, home, &forward))
		return false;
	wa_webhook_note_traffic(webhook, "", 0, 0);
	return true;
}

void
wa_webhook_store_forwards(WaWebhook *webhook)
{
	static const WaColumn columns[] = {
		WA_COLUMN(Forward, node), WA_COLUMN(Forward, has_words), WA_COLUMN(Forward, parts),
		WA_COLUMN(Forward, size), WA_COLUMN(Forward, entry),
	};
	const Forward *items = webhook->forwards.items;
	int n = webhook->forwards.count;
	Datum values[lengthof(columns)];
	WaRows rows;

	if (n == 0)
		return;
	WA_ARRAYS_OF(values, columns, items, n);
	rows = wa_statement_run(&store_statement, webhook->schema, values, NULL);
	if (rows.count != (uint64) n)
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("a node was removed while a webhook was taken in for it"),
						errhint("Take it in again.")));
	wa_wake_due(GetCurrentTimestamp());
}
