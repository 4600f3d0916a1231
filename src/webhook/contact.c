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
 *
 * Each is told with the time of the item that it stands beside, because webhooks do
 * not come in order.
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
#include "webhook/identity_change.h"

/*
 * That somebody was seen is noted once an hour if they wrote, once a month if
 * they were only written to: each message would write a row here otherwise.
 */
#define SEEN_WRITING_US USECS_PER_HOUR
#define SEEN_OTHERWISE_US (30 * USECS_PER_DAY)

#define MAX_NAME 256

/* Of what was learned, at once. */
#define LEARN_BATCH 1000

/* How far back in the list a repetition is looked for. */
#define RECENT_CONTACTS 16

typedef struct Contact
{
	const char *wa_id;	 /* this one or the next is not NULL */
	const char *user_id; /* the others may be */
	const char *parent_user_id;
	const char *name;
	const char *username;
	bool wrote;		/* or chose something; else was written to */
	TimestampTz at; /* when that was */
} Contact;

#define STORE(function)                                                                            \
	{                                                                                              \
		.sql = "SELECT @extschema@." function "($1, $2, $3, $4, $5, $6)", .nargs = 6,              \
		.argtypes = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,                                     \
					 TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID},                             \
		.expected = SPI_OK_SELECT                                                                  \
	}

static WaStatement add_statement = STORE("wa_internal_add_contacts");
static WaStatement store_statement = STORE("wa_internal_store_contacts");

static WaStatement lock_statement = {.sql = "SELECT @extschema@.wa_internal_lock_persons($1)",
									 .nargs = 1,
									 .argtypes = {TEXTARRAYOID},
									 .expected = SPI_OK_SELECT};

/* The same, and enters what was learned, of them or of others. */
static WaStatement learn_statement = {
	.sql = "SELECT @extschema@.wa_internal_learn_identities($1, $2, $3)",
	.nargs = 3,
	.argtypes = {INT4OID, TEXTARRAYOID, BOOLOID},
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
		bool wrote = items[i].wrote || contact->wrote;
		TimestampTz at = Max(items[i].at, contact->at);

		/* What only the earlier one tells was told then, and not at the later time. */
		if (items[i].at < contact->at && adds_something(contact, &items[i]))
			continue;
		if (items[i].at > contact->at && adds_something(&items[i], contact))
			continue;
		/* A status tells less of its recipient than what stands beside it. */
		if (!adds_something(contact, &items[i]))
			items[i] = *contact;
		else if (adds_something(&items[i], contact))
			continue;
		items[i].wrote = wrote;
		items[i].at = at;
		return;
	}
	*(Contact *) wa_webhook_add(&webhook->contacts, sizeof(Contact)) = *contact;
}

/* ---- reading ---------------------------------------------------------------------- */

/* An item of a change: whose, and when. */
typedef struct Said
{
	const char *id; /* number with "+", or user id */
	TimestampTz at;
} Said;

static void
add_said(WaWebhook *webhook, const char *id, TimestampTz at)
{
	Said said = {id, at};

	if (id != NULL)
		*(Said *) wa_webhook_add(&webhook->said, sizeof(Said)) = said;
}

void
wa_webhook_note_said(WaWebhook *webhook, const char *phone, const char *user_id, TimestampTz at)
{
	webhook->said_at = Max(webhook->said_at, at);
	add_said(webhook, phone, at);
	add_said(webhook, user_id, at);
}

static int
compare_said(const void *a, const void *b)
{
	const Said *x = a;
	const Said *y = b;
	int order = strcmp(x->id, y->id);

	return order != 0 ? order : (x->at > y->at) - (x->at < y->at);
}

/* The latest time of an item of theirs, or 0.  The list is sorted. */
static TimestampTz
said_by(const WaWebhook *webhook, const char *id)
{
	const Said *items = webhook->said.items;
	int low = 0;
	int high = webhook->said.count;

	if (id == NULL)
		return 0;
	while (low < high)
	{
		int middle = (low + high) / 2;

		if (strcmp(items[middle].id, id) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 && strcmp(items[low - 1].id, id) == 0 ? items[low - 1].at : 0;
}

static void
read_contact(WaWebhook *webhook, uint32 item, bool wrote)
{
	uint32 profile = wa_json_member(webhook->json, item, "profile");
	const char *phone = wa_webhook_phone(webhook, item, "wa_id");
	Contact contact = {.wrote = wrote};

	contact.wa_id = phone == NULL ? NULL : phone + 1;
	contact.user_id = wa_webhook_user_id(webhook, item, "user_id");
	if (wa_identity_change_is_about(webhook, phone, contact.user_id))
		return; /* they are among the changes, with all that is told here */
	contact.parent_user_id = wa_webhook_user_id(webhook, item, "parent_user_id");
	contact.name = wa_webhook_clipped(webhook, profile, "name", MAX_NAME);
	contact.username = wa_webhook_clipped(webhook, profile, "username", MAX_NAME);
	contact.at = Max(said_by(webhook, phone), said_by(webhook, contact.user_id));
	if (contact.at == 0)
		contact.at = webhook->said_at != 0 ? webhook->said_at : webhook->now;
	contact.at = Min(contact.at, webhook->now);
	add_contact(webhook, &contact);
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

	if (webhook->said.count > 1)
		qsort(webhook->said.items, webhook->said.count, sizeof(Said), compare_said);
	for (uint32 item = wa_json_first(json, contacts); item != WA_JSON_NONE;
		 item = wa_json_after(json, contacts, item))
	{
		if (!wa_webhook_may_read(webhook, WA_WEBHOOK_CONTACTS))
			break;
		read_contact(webhook, item, wrote);
	}
}

/*
 * Whom a status is about: that of a failure has no contact beside it.  A number
 * without a user id is no news; whatsapp_messages has it.
 */
void
wa_webhook_read_recipient(WaWebhook *webhook, uint32 status, TimestampTz at)
{
	const char *phone = wa_webhook_phone(webhook, status, "recipient_id");
	Contact contact = {.at = Min(at, webhook->now)};

	contact.user_id = wa_webhook_user_id(webhook, status, "recipient_user_id");
	wa_webhook_note_said(webhook, phone, contact.user_id, at);
	if (contact.user_id == NULL)
		return;
	contact.wa_id = phone == NULL ? NULL : phone + 1;
	add_contact(webhook, &contact);
}

static bool
is_one_of(const char *const *forms, int n, const char *prefix, const char *form)
{
	size_t len = strlen(prefix);

	for (int i = 0; form != NULL && i < n; i++)
		if (strncmp(forms[i], prefix, len) == 0 && strcmp(forms[i] + len, form) == 0)
			return true;
	return false;
}

void
wa_webhook_drop_contacts(WaWebhook *webhook, const char *const *forms, int n)
{
	Contact *items = webhook->contacts.items;
	int kept = 0;

	for (int i = 0; i < webhook->contacts.count; i++)
		if (!is_one_of(forms, n, "+", items[i].wa_id) && !is_one_of(forms, n, "", items[i].user_id))
			items[kept++] = items[i];
	webhook->contacts.count = kept;
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
	.index = "whatsapp_contacts_wa_id_idx",
	.nkeys = 1,
	.ncolumns = COLUMNS,
	.columns = {"user_id", "parent_user_id", "name", "username", "last_seen_at"}};

static WaLookup by_user_id = {
	.table = "whatsapp_contacts",
	.index = "whatsapp_contacts_user_id_idx",
	.nkeys = 1,
	.ncolumns = COLUMNS,
	.columns = {"user_id", "parent_user_id", "name", "username", "last_seen_at"}};

static WaLookup by_identity = {.table = "whatsapp_contact_identities",
							   .index = "whatsapp_contact_identities_pkey",
							   .nkeys = 1,
							   .ncolumns = 1,
							   .columns = {"contact_id"}};

static WaLookup learned = {.table = "whatsapp_learned_identities",
						   .index = "whatsapp_learned_identities_pkey",
						   .ncolumns = 1,
						   .columns = {"learned_id"}};

/* The indexes, open for all contacts of a call. */
typedef struct Known
{
	WaLookupScan *by_wa_id;
	WaLookupScan *by_user_id;
	WaLookupScan *by_identity;
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
			   webhook->now - (contact->wrote ? SEEN_WRITING_US : SEEN_OTHERWISE_US);
}

typedef enum Standing
{
	KNOWN,	 /* nothing is to be stored */
	CHANGED, /* there is a row, which lacks something */
	NEW		 /* no form of theirs was ever heard of */
} Standing;

/* Former ones, and other spellings, are not in the contact's row. */
static bool
has_identity(const Known *known, const Contact *contact)
{
	return (contact->wa_id != NULL && find(known->by_identity, psprintf("+%s", contact->wa_id))) ||
		   find(known->by_identity, contact->user_id) ||
		   find(known->by_identity, contact->parent_user_id);
}

static Standing
look_up(const WaWebhook *webhook, const Known *known, const Contact *contact)
{
	if (find(known->by_wa_id, contact->wa_id))
		return has_all(webhook, known->by_wa_id, contact) ? KNOWN : CHANGED;
	if (find(known->by_user_id, contact->user_id))
		return contact->wa_id == NULL && has_all(webhook, known->by_user_id, contact) ? KNOWN
																					  : CHANGED;
	return has_identity(known, contact) ? CHANGED : NEW;
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
	known.by_identity = wa_lookup_begin(&by_identity, webhook->schema, snapshot);
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
	wa_lookup_end(known.by_identity);
	UnregisterSnapshot(snapshot);
}

/* ---- storing ---------------------------------------------------------------------- */

static const WaColumn contact_columns[] = {
	WA_COLUMN(Contact, wa_id), WA_COLUMN(Contact, user_id),	 WA_COLUMN(Contact, parent_user_id),
	WA_COLUMN(Contact, name),  WA_COLUMN(Contact, username), WA_COLUMN_TIME(Contact, at),
};

#define CONTACT_COLUMNS lengthof(contact_columns)

static void
store(const WaWebhook *webhook, WaStatement *statement, const Contact *items, int n)
{
	Datum values[CONTACT_COLUMNS];

	if (n == 0)
		return;
	WA_ARRAYS_OF(values, contact_columns, items, n);
	wa_statement_run(statement, webhook->schema, values, NULL);
}

/*
 * Everybody whom this is about, before anything is written of anybody; and enters what
 * senders and statuses have taught, which may concern whoever says something now.
 */
static void
lock_persons(WaWebhook *webhook, const Contact *news, int n)
{
	static const WaColumn columns[] = {{WA_COLUMN_TEXT, 0}};
	Datum everybody[1];
	Datum values[3] = {Int32GetDatum(LEARN_BATCH), (Datum) 0, BoolGetDatum(webhook->may_be_slow)};

	for (int i = 0; i < n; i++)
	{
		if (news[i].wa_id != NULL)
			wa_webhook_note_person(webhook, psprintf("+%s", news[i].wa_id));
		wa_webhook_note_person(webhook, news[i].user_id);
		wa_webhook_note_person(webhook, news[i].parent_user_id);
	}
	if (webhook->persons.count == 0)
		return;
	WA_ARRAYS_OF(everybody, columns, (const char *const *) webhook->persons.items,
				 webhook->persons.count);
	values[1] = everybody[0];
	if (wa_lookup_may_find(&learned, webhook->schema))
		wa_statement_run(&learn_statement, webhook->schema, values, NULL);
	else
		wa_statement_run(&lock_statement, webhook->schema, everybody, NULL);
}

void
wa_webhook_store_contacts(WaWebhook *webhook)
{
	const Contact *items = webhook->contacts.items;
	int nnew = 0;
	int nchanged = 0;

	if (webhook->contacts.count > 0)
		leave_out_known(webhook, webhook->contacts.items, webhook->contacts.count, &nnew,
						&nchanged);
	lock_persons(webhook, items, nnew + nchanged);
	wa_identity_change_write(webhook);
	store(webhook, &add_statement, items, nnew);
	store(webhook, &store_statement, items + nnew, nchanged);
}
