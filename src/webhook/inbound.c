/*
 * inbound.c
 *	  Messages from customers.
 *
 * Here only the envelope of a message is looked at: who, when, which number,
 * which type.  The types themselves are open-ended and stored as they come;
 * wa_internal_store_inbound() takes out of them what it knows.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "shared/wake.h"
#include "webhook/contact.h"
#include "webhook/field.h"
#include "webhook/identity_change.h"
#include "webhook/inbound.h"
#include "webhook/park.h"

#define MAX_WAMID 255
#define MAX_TYPE 64

typedef struct Inbound
{
	const char *phone_number_id;
	const char *wamid;
	const char *type;
	TimestampTz at;
	bool too_old;
	bool standby;
	const char *phone;	 /* with +, or NULL */
	const char *user_id; /* or NULL */
	const char *message; /* JSON text */
} Inbound;

static WaStatement store_statement = {
	.sql = "SELECT inbound_id, reply"
		   " FROM @extschema@.wa_internal_store_inbound($1, $2, $3, $4, $5, $6, $7, $8, $9)",
	.nargs = 9,
	.argtypes = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, BOOLARRAYOID,
				 TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, BOOLARRAYOID},
	.expected = SPI_OK_SELECT};

/*
 * Who has written a message that does not say so: the person whose identity has
 * changed by it, or the only one that stands beside it.
 */
static void
find_sender(const WaWebhook *webhook, const WaIdentityChange *change, Inbound *inbound)
{
	if (change != NULL)
	{
		inbound->phone = change->new_phone != NULL ? change->new_phone : change->old_phone;
		inbound->user_id = change->new_user != NULL ? change->new_user : change->old_user;
		return;
	}
	inbound->phone = wa_webhook_phone(webhook, webhook->sole_contact, "wa_id");
	inbound->user_id = wa_webhook_user_id(webhook, webhook->sole_contact, "user_id");
}

/* Of a button, a list or a form: what handlers are called for (wa_internal_inbound_parts()). */
static bool
is_choice(const char *type)
{
	return strcmp(type, "button") == 0 || strcmp(type, "interactive") == 0;
}

void
wa_webhook_read_message(WaWebhook *webhook, uint32 item, const char *phone_number_id)
{
	const WaJson *json = webhook->json;
	Inbound inbound = {.phone_number_id = phone_number_id};
	WaIdentityChange change;
	bool is_change;
	const char *problem = NULL;

	inbound.wamid = wa_webhook_string(webhook, item, "id", MAX_WAMID);
	inbound.type = wa_webhook_string(webhook, item, "type", MAX_TYPE);
	inbound.user_id = wa_webhook_user_id(webhook, item, "from_user_id");
	inbound.phone = wa_webhook_phone(webhook, item, "from");
	is_change = inbound.type != NULL && strcmp(inbound.type, "system") == 0 &&
				wa_identity_change_read(webhook, item, webhook->sole_contact, &change);
	if (inbound.phone == NULL && inbound.user_id == NULL)
		find_sender(webhook, is_change ? &change : NULL, &inbound);

	if (!wa_json_is(json, item, WA_JSON_OBJECT))
		problem = "not_an_object";
	else if (phone_number_id == NULL)
		problem = "phone_number_id_missing";
	else if (inbound.wamid == NULL)
		problem = "id_missing";
	else if (inbound.type == NULL)
		problem = "type_missing";
	else if (inbound.phone == NULL && inbound.user_id == NULL)
		problem = "sender_missing";
	else if (!wa_webhook_time(webhook, item, "timestamp", &inbound.at))
		problem = "timestamp_invalid";
	if (problem != NULL)
	{
		wa_webhook_park_node(webhook, WA_WEBHOOK_MESSAGE, "message", item, phone_number_id,
							 problem);
		return;
	}
	inbound.too_old = wa_webhook_is_too_old(webhook, inbound.at);
	webhook->body->too_old += inbound.too_old;
	change.at = Min(inbound.at, webhook->now);
	if (is_change && !inbound.too_old)
		wa_identity_change_add(webhook, &change);
	wa_webhook_note_said(webhook, inbound.phone, inbound.user_id, inbound.at);
	wa_webhook_note_person(webhook, inbound.phone);
	wa_webhook_note_person(webhook, inbound.user_id);
	webhook->may_be_slow |= is_choice(inbound.type);
	inbound.standby = webhook->standby;
	inbound.message = wa_webhook_text(webhook, item);
	*(Inbound *) wa_webhook_add(&webhook->inbound, sizeof(Inbound)) = inbound;
}

const char **
wa_webhook_inbound_wamid(WaWebhook *webhook, int i)
{
	return &((Inbound *) webhook->inbound.items)[i].wamid;
}

void
wa_webhook_inbound_sender(const WaWebhook *webhook, int i, const char **phone, const char **user_id)
{
	const Inbound *inbound = &((const Inbound *) webhook->inbound.items)[i];

	*phone = inbound->phone;
	*user_id = inbound->user_id;
}

void
wa_webhook_store_inbound(WaWebhook *webhook)
{
	static const WaColumn columns[] = {
		WA_COLUMN(Inbound, phone_number_id),
		WA_COLUMN(Inbound, wamid),
		WA_COLUMN(Inbound, type),
		WA_COLUMN_TIME(Inbound, at),
		WA_COLUMN(Inbound, too_old),
		WA_COLUMN(Inbound, phone),
		WA_COLUMN(Inbound, user_id),
		WA_COLUMN(Inbound, message),
		WA_COLUMN(Inbound, standby),
	};
	const Inbound *items = webhook->inbound.items;
	int n = webhook->inbound.count;
	WaWebhookCounts *counts = &webhook->body->counts[WA_WEBHOOK_MESSAGE];
	Datum values[lengthof(columns)];
	WaRows rows;
	int stored;

	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
		wa_wake_inbound(items[i].phone_number_id);
	WA_ARRAYS_OF(values, columns, items, n);
	rows = wa_statement_run(&store_statement, webhook->schema, values, NULL);
	stored = (int) rows.count;
	counts->applied += stored;
	counts->duplicate += n - stored;
	webhook->replies = palloc(sizeof(int64) * Max(stored, 1));
	for (int i = 0; i < stored; i++)
	{
		if (wa_rows_int(&rows, i, 2, false))
			webhook->replies[webhook->nreplies++] = wa_rows_int(&rows, i, 1, 0);
	}
}
