/*
 * contact.c
 *	  Whom webhooks are about: numbers, user ids and names of customers.
 *
 * Customers who write are named beside their messages, customers who were
 * written to beside the statuses or within them.  Meta names each of them in
 * every webhook, so nearly always there is nothing to be stored, and finding
 * that out must cost little: statuses are the hot path.  A look into an index
 * for each does that.  One statement does for all the others of a webhook
 * (wa_internal_store_contacts), which looks again.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/lookup.h"
#include "base/statement.h"
#include "webhook/contact.h"
#include "webhook/field.h"

/*
 * That somebody was seen is noted once an hour if they wrote, once a month if
 * they were only written to: each message would write a row here otherwise.
 */
#define SEEN_WRITING_US USECS_PER_HOUR
#define SEEN_OTHERWISE_US (30 * USECS_PER_DAY)

#define MAX_ID 160
#define MAX_NAME 256

/* How far back in the list a repetition is looked for. */
#define RECENT_CONTACTS 16

typedef struct Contact
{
	const char *wa_id;	 /* this one or the next is not NULL */
	const char *user_id; /* the others may be */
	const char *parent_user_id;
	const char *name;
	const char *username;
	TimestampTz wrote_at; /* or chose something; 0: was written to */
} Contact;

static WaStatement store_statement = {
	.sql = "SELECT @extschema@.wa_internal_store_contacts($1, $2, $3, $4, $5, $6)",
	.nargs = 6,
	.argtypes = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
				 TIMESTAMPTZARRAYOID},
	.expected = SPI_OK_SELECT};

static bool
adds_text(const char *known, const char *text)
{
	return text != NULL && (known == NULL || strcmp(known, text) != 0);
}

static bool
adds_something(const Contact *known, const Contact *contact)
{
	return adds_text(known->wa_id, contact->wa_id) || adds_text(known->user_id, contact->user_id) ||
		   adds_text(known->parent_user_id, contact->parent_user_id) ||
		   adds_text(known->name, contact->name) || adds_text(known->username, contact->username);
}

static void
add_contact(WaWebhook *webhook, const Contact *contact)
{
	Contact *items = webhook->contacts.items;
	int n = webhook->contacts.count;

	if (contact->wa_id == NULL && contact->user_id == NULL)
		return;
	for (int i = n - 1; i >= 0 && i >= n - RECENT_CONTACTS; i--)
	{
		if (!adds_something(&items[i], contact))
		{
			items[i].wrote_at = Max(items[i].wrote_at, contact->wrote_at);
			return;
		}
	}
	*(Contact *) wa_webhook_add(&webhook->contacts, sizeof(Contact)) = *contact;
}

/*
 * The people that the items of this change are about.  Meta names each of them once in a
 * change, and in every change.
 */
void
wa_webhook_read_contacts(WaWebhook *webhook, uint32 value, bool wrote)
{
	const WaJson *json = webhook->json;
	uint32 contacts = wa_json_member(json, value, "contacts");

	for (uint32 item = wa_json_first(json, contacts); item != WA_JSON_NONE;
		 item = wa_json_after(json, contacts, item))
	{
		uint32 profile;
		Contact contact = {.wrote_at = wrote ? webhook->now : 0};

		if (!wa_webhook_may_read(webhook, WA_WEBHOOK_CONTACTS))
			break;
		profile = wa_json_member(json, item, "profile");
		contact.wa_id = wa_webhook_wa_id(webhook, item, "wa_id");
		contact.user_id = wa_webhook_string(webhook, item, "user_id", MAX_ID);
		contact.parent_user_id = wa_webhook_string(webhook, item, "parent_user_id", MAX_ID);
		contact.name = wa_webhook_clipped(webhook, profile, "name", MAX_NAME);
		contact.username = wa_webhook_clipped(webhook, profile, "username", MAX_NAME);
		add_contact(webhook, &contact);
	}
}

/*
 * Whom a status is about: that of a failure has no contact beside it.  A number
 * without a user id is no news; whatsapp_messages has it.
 */
void
wa_webhook_read_recipient(WaWebhook *webhook, uint32 status)
{
	Contact contact = {0};

	contact.user_id = wa_webhook_string(webhook, status, "recipient_user_id", MAX_ID);
	if (contact.user_id == NULL)
		return;
	contact.wa_id = wa_webhook_wa_id(webhook, status, "recipient_id");
	add_contact(webhook, &contact);
}

/* ---- what is known --------------------------------------------------------------- */

enum
{
	USER_ID,
	PARENT_USER_ID,
	NAME,
	USERNAME,
	LAST_SEEN_AT,
	COLUMNS
};

static WaLookup by_wa_id = {
	.table = "whatsapp_contacts",
	.index = "whatsapp_contacts_wa_id_key",
	.nkeys = 1,
	.ncolumns = COLUMNS,
	.columns = {"user_id", "parent_user_id", "name", "username", "last_seen_at"}};

static WaLookup by_user_id = {
	.table = "whatsapp_contacts",
	.index = "whatsapp_contacts_user_id_key",
	.nkeys = 1,
	.ncolumns = COLUMNS,
	.columns = {"user_id", "parent_user_id", "name", "username", "last_seen_at"}};

static bool
column_adds(const WaLookupRow *row, int column, const char *said)
{
	return said != NULL &&
		   (row->nulls[column] || strcmp(TextDatumGetCString(row->values[column]), said) != 0);
}

/* Whether there is nothing to be stored; in doubt there is. */
static bool
is_known(const WaWebhook *webhook, const Contact *contact, Snapshot snapshot)
{
	const char *identity = contact->wa_id != NULL ? contact->wa_id : contact->user_id;
	Datum key = CStringGetTextDatum(identity);
	const WaLookupRow *row = wa_lookup_one(contact->wa_id != NULL ? &by_wa_id : &by_user_id,
										   webhook->schema, &key, snapshot);

	return row != NULL && !column_adds(row, USER_ID, contact->user_id) &&
		   !column_adds(row, PARENT_USER_ID, contact->parent_user_id) &&
		   !column_adds(row, NAME, contact->name) &&
		   !column_adds(row, USERNAME, contact->username) &&
		   DatumGetTimestampTz(row->values[LAST_SEEN_AT]) >=
			   webhook->now - (contact->wrote_at != 0 ? SEEN_WRITING_US : SEEN_OTHERWISE_US);
}

/* Returns how many are left, at the beginning. */
static int
leave_out_known(const WaWebhook *webhook, Contact *items, int count)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	int n = 0;

	for (int i = 0; i < count; i++)
		if (!is_known(webhook, &items[i], snapshot))
			items[n++] = items[i];
	UnregisterSnapshot(snapshot);
	return n;
}

void
wa_webhook_store_contacts(WaWebhook *webhook)
{
	static const WaColumn columns[] = {
		WA_COLUMN(Contact, wa_id), WA_COLUMN(Contact, user_id),	 WA_COLUMN(Contact, parent_user_id),
		WA_COLUMN(Contact, name),  WA_COLUMN(Contact, username), WA_COLUMN_TIME(Contact, wrote_at),
	};
	Contact *items = webhook->contacts.items;
	int n = webhook->contacts.count;
	Datum values[lengthof(columns)];

	if (n == 0)
		return;
	n = leave_out_known(webhook, items, n);
	if (n == 0)
		return;
	WA_ARRAYS_OF(values, columns, items, n);
	wa_statement_run(&store_statement, webhook->schema, values, NULL);
}
