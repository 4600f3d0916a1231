/*
 * identity_change.c
 *	  Customers whose number or user id has changed.
 *
 * Meta tells of it by a message of the type "system", or by the field
 * "user_id_update", in shapes that differ in what they leave out: the sender, the former
 * id, or both; then the contact beside it, or the sentence meant for people, has it.  A
 * wa_id may be empty, or be a user id: a number has digits alone.
 *
 * All that is found in one item is one person's.  Which of it is former matters for
 * what is shown, and for numbers that are given to somebody else later.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/statement.h"
#include "common/recipient.h"
#include "webhook/field.h"
#include "webhook/identity_change.h"

#define MAX_NAME 256
#define MAX_BODY 4096

static WaStatement change_statement = {
	.sql = "SELECT @extschema@.wa_internal_change_identities($1, $2, $3, $4, $5, $6, $7, $8, $9)",
	.nargs = 9,
	.argtypes = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
				 TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID},
	.expected = SPI_OK_SELECT};

/* ---- the sentence for people ------------------------------------------------------- */

typedef struct Token
{
	const char *start;
	size_t len;
} Token;

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The last word before "end", which it moves to the word's beginning. */
static Token
last_word(const char *text, const char **end)
{
	const char *stop = *end;
	const char *start;

	while (stop > text && is_space(stop[-1]))
		stop--;
	start = stop;
	while (start > text && !is_space(start[-1]))
		start--;
	*end = start;
	return (Token){start, stop - start};
}

/* The identity that a word is; NULL: none. */
static const char *
identity_of(Token word)
{
	char out[WA_RECIPIENT_SIZE];
	char with_plus[WA_RECIPIENT_SIZE];
	WaRecipientKind kind;

	if (word.len == 0 || word.len >= sizeof(with_plus) - 1)
		return NULL;
	with_plus[0] = '+';
	memcpy(with_plus + 1, word.start, word.len);
	kind = wa_recipient_normalise(word.start, word.len, out, sizeof(out));
	if (kind == WA_RECIPIENT_NO_PLUS)
		kind = wa_recipient_normalise(with_plus, word.len + 1, out, sizeof(out));
	return kind == WA_RECIPIENT_PHONE || kind == WA_RECIPIENT_USER_ID ? pstrdup(out) : NULL;
}

/*
 * "User Ana changed from ES.1 to ES.2": two identities of one kind around one word, at the
 * end.  Whatever stands before them is a name that the customer has chosen, and
 * proves nothing.
 */
static bool
read_sentence(const WaWebhook *webhook, uint32 object, const char *member, const char **former,
			  const char **current)
{
	char *text = wa_webhook_string(webhook, object, member, MAX_BODY);
	const char *end;
	Token between;

	if (text == NULL)
		return false;
	end = text + strlen(text);
	while (end > text && (is_space(end[-1]) || end[-1] == '.'))
		end--;
	*current = identity_of(last_word(text, &end));
	between = last_word(text, &end);
	*former = identity_of(last_word(text, &end));
	return *current != NULL && *former != NULL && between.len > 0 && (*current)[0] != '\0' &&
		   ((*current)[0] == '+') == ((*former)[0] == '+') && strcmp(*current, *former) != 0;
}

/* ---- what an item tells ------------------------------------------------------------- */

static bool
same(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static const char *
first_of(const char *a, const char *b)
{
	return a != NULL ? a : b;
}

/* What the sentence has and the item has not; what contradicts the item is not taken. */
static void
complete_from_sentence(const WaWebhook *webhook, uint32 object, const char *member,
					   WaIdentityChange *change)
{
	const char *former;
	const char *current;
	bool is_phone;
	const char **old;
	const char **new;

	if (!read_sentence(webhook, object, member, &former, &current))
		return;
	is_phone = current[0] == '+';
	old = is_phone ? &change->old_phone : &change->old_user;
	new = is_phone ? &change->new_phone : &change->new_user;
	if (*old != NULL || (*new != NULL &&strcmp(*new, current) != 0))
		return;
	*old = former;
	*new = current;
}

/* The contact beside it is the person as of now, unless it is the person as before. */
static void
complete_from_contact(const WaWebhook *webhook, uint32 contact, WaIdentityChange *change)
{
	const WaJson *json = webhook->json;
	uint32 profile = wa_json_member(json, contact, "profile");
	const char *phone = wa_webhook_phone(webhook, contact, "wa_id");
	const char *user = first_of(wa_webhook_user_id(webhook, contact, "user_id"),
								wa_webhook_user_id_instead(webhook, contact, "wa_id"));
	const char *parent = wa_webhook_user_id(webhook, contact, "parent_user_id");

	if (change->new_user == NULL && !same(user, change->old_user))
		change->new_user = user;
	else if (change->old_user == NULL && !same(user, change->new_user))
		change->old_user = user;
	if (change->new_parent == NULL && !same(parent, change->old_parent))
		change->new_parent = parent;
	if (change->new_phone == NULL && !same(phone, change->old_phone))
		change->new_phone = phone;
	else if (change->old_phone == NULL && !same(phone, change->new_phone))
		change->old_phone = phone;
	change->name = wa_webhook_clipped(webhook, profile, "name", MAX_NAME);
	change->username = wa_webhook_clipped(webhook, profile, "username", MAX_NAME);
}

static int
count_identities(const WaIdentityChange *change)
{
	return (change->old_phone != NULL) + (change->old_user != NULL) + (change->old_parent != NULL) +
		   (change->new_phone != NULL) + (change->new_user != NULL) + (change->new_parent != NULL);
}

bool
wa_identity_change_read(const WaWebhook *webhook, uint32 message, uint32 contact,
						WaIdentityChange *change)
{
	static const char *const types[] = {"user_changed_number", "user_changed_user_id",
										"customer_changed_number", "user_id_update"};
	const WaJson *json = webhook->json;
	uint32 system = wa_json_member(json, message, "system");
	uint32 type = wa_json_member(json, system, "type");
	const char *from = wa_webhook_phone(webhook, message, "from");
	const char *from_user = wa_webhook_user_id(webhook, message, "from_user_id");
	const char *from_parent = wa_webhook_user_id(webhook, message, "from_parent_user_id");
	bool is_change = false;

	for (int i = 0; i < lengthof(types); i++)
		is_change |= wa_json_equals(json, type, types[i]);
	memset(change, 0, sizeof(*change));
	change->old_user = wa_webhook_user_id(webhook, system, "previous_user_id");
	change->old_parent = wa_webhook_user_id(webhook, system, "previous_parent_user_id");
	if (!is_change && change->old_user == NULL && change->old_parent == NULL)
		return false;
	change->new_user = first_of(wa_webhook_user_id(webhook, system, "user_id"),
								wa_webhook_user_id_instead(webhook, system, "wa_id"));
	change->new_parent = first_of(wa_webhook_user_id(webhook, system, "parent_user_id"),
								  same(from_parent, change->old_parent) ? NULL : from_parent);
	change->new_phone = first_of(wa_webhook_phone(webhook, system, "wa_id"),
								 wa_webhook_phone(webhook, system, "new_wa_id"));

	/* The sender may be the person as before, or as of now. */
	if (change->new_user == NULL && !same(from_user, change->old_user))
		change->new_user = from_user;
	else if (change->old_user == NULL && !same(from_user, change->new_user))
		change->old_user = from_user;
	if (change->new_phone != NULL && !same(from, change->new_phone))
		change->old_phone = from;

	complete_from_sentence(webhook, system, "body", change);
	complete_from_contact(webhook, contact, change);
	if (change->old_phone == NULL && !same(from, change->new_phone))
		*(change->new_phone == NULL ? &change->new_phone : &change->old_phone) = from;
	return count_identities(change) > 0;
}

/* ---- the field ------------------------------------------------------------------------ */

static bool
read_update(WaWebhook *webhook, uint32 item, uint32 contact)
{
	const WaJson *json = webhook->json;
	uint32 user = wa_json_member(json, item, "user_id");
	uint32 parent = wa_json_member(json, item, "parent_user_id");
	WaIdentityChange change = {.old_user = wa_webhook_user_id(webhook, user, "previous"),
							   .new_user = wa_webhook_user_id(webhook, user, "current"),
							   .old_parent = wa_webhook_user_id(webhook, parent, "previous"),
							   .new_parent = wa_webhook_user_id(webhook, parent, "current"),
							   .new_phone = wa_webhook_phone(webhook, item, "wa_id")};

	if (change.old_user == NULL)
		change.old_user = wa_webhook_user_id(webhook, item, "previous_user_id");
	if (change.new_user == NULL)
		change.new_user = first_of(wa_webhook_user_id(webhook, item, "user_id"),
								   wa_webhook_user_id_instead(webhook, item, "wa_id"));
	if (change.old_parent == NULL)
		change.old_parent = wa_webhook_user_id(webhook, item, "previous_parent_user_id");
	if (change.new_parent == NULL)
		change.new_parent = wa_webhook_user_id(webhook, item, "parent_user_id");
	complete_from_sentence(webhook, item, "detail", &change);
	complete_from_contact(webhook, contact, &change);
	if (count_identities(&change) < 2 || !wa_webhook_time(webhook, item, "timestamp", &change.at))
		return false;
	if (wa_webhook_is_too_old(webhook, change.at))
		webhook->body->too_old++;
	else
		wa_identity_change_add(webhook, &change);
	return true;
}

bool
wa_identity_change_read_updates(WaWebhook *webhook, uint32 value)
{
	static const char *const names[] = {"user_id_update", "user_id_updates"};
	const WaJson *json = webhook->json;
	bool any = false;

	for (int i = 0; i < lengthof(names); i++)
	{
		uint32 items = wa_json_member(json, value, names[i]);

		if (wa_json_is(json, items, WA_JSON_OBJECT))
			any |= read_update(webhook, items, webhook->sole_contact);
		else if (wa_json_is(json, items, WA_JSON_ARRAY))
			for (uint32 item = wa_json_first(json, items);
				 item != WA_JSON_NONE && wa_webhook_may_read(webhook, WA_WEBHOOK_ITEMS);
				 item = wa_json_after(json, items, item))
				any |= read_update(webhook, item, webhook->sole_contact);
	}
	return any;
}

/* ---- writing -------------------------------------------------------------------------- */

void
wa_identity_change_add(WaWebhook *webhook, const WaIdentityChange *change)
{
	const char *const forms[] = {change->old_phone, change->old_user, change->old_parent,
								 change->new_phone, change->new_user, change->new_parent};

	*(WaIdentityChange *) wa_webhook_add(&webhook->changes, sizeof(WaIdentityChange)) = *change;
	for (int i = 0; i < lengthof(forms); i++)
		wa_webhook_note_person(webhook, forms[i]);
}

bool
wa_identity_change_is_about(const WaWebhook *webhook, const char *phone, const char *user_id)
{
	const WaIdentityChange *items = webhook->changes.items;

	for (int i = webhook->first_change; i < webhook->changes.count; i++)
		if (same(phone, items[i].old_phone) || same(phone, items[i].new_phone) ||
			same(user_id, items[i].old_user) || same(user_id, items[i].new_user))
			return true;
	return false;
}

static bool
is_about_one_of(const WaIdentityChange *change, const char *const *forms, int n)
{
	for (int i = 0; i < n; i++)
		if (same(forms[i], change->old_phone) || same(forms[i], change->old_user) ||
			same(forms[i], change->new_phone) || same(forms[i], change->new_user))
			return true;
	return false;
}

void
wa_identity_change_drop(WaWebhook *webhook, const char *const *forms, int n)
{
	WaIdentityChange *items = webhook->changes.items;
	int kept = 0;

	for (int i = 0; i < webhook->changes.count; i++)
		if (!is_about_one_of(&items[i], forms, n))
			items[kept++] = items[i];
	webhook->changes.count = kept;
}

void
wa_identity_change_write(WaWebhook *webhook)
{
	static const WaColumn columns[] = {
		WA_COLUMN(WaIdentityChange, old_phone),	 WA_COLUMN(WaIdentityChange, old_user),
		WA_COLUMN(WaIdentityChange, old_parent), WA_COLUMN(WaIdentityChange, new_phone),
		WA_COLUMN(WaIdentityChange, new_user),	 WA_COLUMN(WaIdentityChange, new_parent),
		WA_COLUMN(WaIdentityChange, name),		 WA_COLUMN(WaIdentityChange, username),
		WA_COLUMN_TIME(WaIdentityChange, at),
	};
	const WaIdentityChange *items = webhook->changes.items;
	Datum values[lengthof(columns)];

	if (webhook->changes.count == 0)
		return;
	WA_ARRAYS_OF(values, columns, items, webhook->changes.count);
	wa_statement_run(&change_statement, webhook->schema, values, NULL);
}
