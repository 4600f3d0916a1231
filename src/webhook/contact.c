/*
 * contact.c
 *	  Whom webhooks are about: numbers, user ids and names of customers.
 *
 * Customers who write are named beside their messages, customers who were
 * written to beside the statuses or within them.  Meta names each of them in
 * every webhook, so nearly always there is nothing to be stored, and finding
 * that out must cost little: statuses are the hot path.  A look into an index
 * for each does that.  Those of whom nobody has heard are inserted by one statement; for
 * those who are known otherwise, wa_internal_store_contacts() looks again.
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

/*
 * Those of whom nobody has heard.  In order of user id, which today every contact has,
 * so that webhooks meet in one direction.
 */
static WaStatement add_statement = {
	.sql = "INSERT INTO @extschema@.whatsapp_contacts"
		   " (wa_id, user_id, parent_user_id, name, username, first_seen_at, last_seen_at)"
		   " SELECT v.wa, v.usr, v.parent, v.name, v.username, $6, $6"
		   " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3),"
		   " pg_catalog.unnest($4), pg_catalog.unnest($5)) AS v(wa, usr, parent, name, username)"
		   " ORDER BY v.usr, v.wa ON CONFLICT DO NOTHING",
	.nargs = 6,
	.argtypes = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
				 TIMESTAMPTZOID},
	.expected = SPI_OK_INSERT};

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
		TimestampTz wrote_at = Max(items[i].wrote_at, contact->wrote_at);

		/* A status tells less of its recipient than what stands beside it. */
		if (!adds_something(contact, &items[i]))
			items[i] = *contact;
		else if (adds_something(&items[i], contact))
			continue;
		items[i].wrote_at = wrote_at;
		return;
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

/* Both indexes, open for all contacts of a call. */
typedef struct Known
{
	WaLookupScan *by_wa_id;
	WaLookupScan *by_user_id;
} Known;

static bool
find(WaLookupScan *scan, const char *identity)
{
	Datum key;

	if (identity == NULL)
		return false;
	key = CStringGetTextDatum(identity);
	wa_lookup_seek(scan, &key);
	return wa_lookup_next(scan);
}

static bool
column_adds(const WaLookupScan *row, int column, const char *said)
{
	bool isnull;
	Datum value;

	if (said == NULL)
		return false;
	value = wa_lookup_column(row, column, &isnull);
	return isnull || strcmp(TextDatumGetCString(value), said) != 0;
}

/* Whether the row lacks nothing of it. */
static bool
has_all(const WaWebhook *webhook, const WaLookupScan *row, const Contact *contact)
{
	bool isnull;

	return !column_adds(row, USER_ID, contact->user_id) &&
		   !column_adds(row, PARENT_USER_ID, contact->parent_user_id) &&
		   !column_adds(row, NAME, contact->name) &&
		   !column_adds(row, USERNAME, contact->username) &&
		   DatumGetTimestampTz(wa_lookup_column(row, LAST_SEEN_AT, &isnull)) >=
			   webhook->now - (contact->wrote_at != 0 ? SEEN_WRITING_US : SEEN_OTHERWISE_US);
}

typedef enum Standing
{
	KNOWN,	 /* nothing is to be stored */
	CHANGED, /* there is a row, which lacks something */
	NEW		 /* there is none, of either form */
} Standing;

static Standing
look_up(const WaWebhook *webhook, const Known *known, const Contact *contact)
{
	if (find(known->by_wa_id, contact->wa_id))
		return has_all(webhook, known->by_wa_id, contact) ? KNOWN : CHANGED;
	if (!find(known->by_user_id, contact->user_id))
		return NEW;
	return contact->wa_id == NULL && has_all(webhook, known->by_user_id, contact) ? KNOWN : CHANGED;
}

/*
 * Leaves the contacts that are new, then those that have changed, and returns how many
 * are of each kind.
 */
static void
leave_out_known(const WaWebhook *webhook, Contact *items, int count, int *nnew, int *nchanged)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	Contact *changed = palloc(sizeof(Contact) * count);
	Known known;

	known.by_wa_id = wa_lookup_begin(&by_wa_id, webhook->schema, snapshot);
	known.by_user_id = wa_lookup_begin(&by_user_id, webhook->schema, snapshot);
	*nnew = *nchanged = 0;
	for (int i = 0; i < count; i++)
	{
		Standing standing = look_up(webhook, &known, &items[i]);

		if (standing == NEW)
			items[(*nnew)++] = items[i];
		else if (standing == CHANGED)
			changed[(*nchanged)++] = items[i];
	}
	memcpy(items + *nnew, changed, sizeof(Contact) * *nchanged);
	wa_lookup_end(known.by_wa_id);
	wa_lookup_end(known.by_user_id);
	UnregisterSnapshot(snapshot);
}

/* ---- storing ---------------------------------------------------------------------- */

static const WaColumn contact_columns[] = {
	WA_COLUMN(Contact, wa_id), WA_COLUMN(Contact, user_id),	 WA_COLUMN(Contact, parent_user_id),
	WA_COLUMN(Contact, name),  WA_COLUMN(Contact, username), WA_COLUMN_TIME(Contact, wrote_at),
};

#define CONTACT_COLUMNS lengthof(contact_columns)

/*
 * True if all are stored.  If another session was faster with one of them, or somebody is
 * named twice, it must be looked at which row it is.
 */
static bool
add_new(const WaWebhook *webhook, const Contact *items, int n)
{
	Datum values[CONTACT_COLUMNS];

	WA_ARRAYS_OF(values, contact_columns, items, n);
	values[CONTACT_COLUMNS - 1] = TimestampTzGetDatum(webhook->now);
	return wa_statement_run(&add_statement, webhook->schema, values, NULL).count == (uint64) n;
}

void
wa_webhook_store_contacts(WaWebhook *webhook)
{
	const Contact *items = webhook->contacts.items;
	int nnew;
	int nchanged;
	Datum values[CONTACT_COLUMNS];

	if (webhook->contacts.count == 0)
		return;
	leave_out_known(webhook, webhook->contacts.items, webhook->contacts.count, &nnew, &nchanged);
	if (nnew > 0 && add_new(webhook, items, nnew))
	{
		items += nnew;
		nnew = 0;
	}
	if (nnew + nchanged == 0)
		return;
	WA_ARRAYS_OF(values, contact_columns, items, nnew + nchanged);
	wa_statement_run(&store_statement, webhook->schema, values, NULL);
}
