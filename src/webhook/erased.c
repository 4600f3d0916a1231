/*
 * erased.c
 *	  What webhooks say of messages and people that have been erased.
 *
 * Meta repeats webhooks for days, and reports on a message weeks after it was sent.  That
 * is still counted, but must not bring back what wa_erase_person() has taken out: so the
 * item of an erased message goes on under the mark that stands in its place
 * (sql/78-erasure.sql), without contents and names, and the people whom only such items
 * are about are forgotten again.  A message that is new is the beginning of something new.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "base/arrays.h"
#include "base/lookup.h"
#include "base/rows.h"
#include "base/statement.h"
#include "webhook/contact.h"
#include "webhook/erased.h"
#include "webhook/field.h"
#include "webhook/identity_change.h"
#include "webhook/inbound.h"
#include "webhook/status.h"

/* As long as nothing was ever erased, none of this costs anything. */
static WaLookup erasures = {.table = "whatsapp_erasures",
							.index = "whatsapp_erasures_pkey",
							.ncolumns = 1,
							.columns = {"erasure_id"}};

static WaStatement marks_statement = {
	.sql = "SELECT wamid, mark FROM @extschema@.wa_internal_erased_wamids($1, $2) ORDER BY wamid "
		   "COLLATE \"C\"",
	.nargs = 2,
	.argtypes = {TEXTARRAYOID, INT8ARRAYOID},
	.expected = SPI_OK_SELECT};

typedef struct Named
{
	const char *wamid;
	int64 message_id; /* of ours, if the item says so; or 0 */
} Named;

/* The wamids of erased messages among those of the webhook, in order. */
static WaRows
marks_of(WaWebhook *webhook)
{
	static const WaColumn columns[] = {WA_COLUMN(Named, wamid), WA_COLUMN(Named, message_id)};
	const WaStatus *statuses = webhook->statuses.items;
	Named *items = palloc(sizeof(Named) * (webhook->statuses.count + webhook->inbound.count));
	int n = 0;
	Datum values[lengthof(columns)];

	for (int i = 0; i < webhook->statuses.count; i++)
		items[n++] = (Named){statuses[i].wamid, statuses[i].foreign ? 0 : statuses[i].message_id};
	for (int i = 0; i < webhook->inbound.count; i++)
		items[n++] = (Named){*wa_webhook_inbound_wamid(webhook, i), 0};
	WA_ARRAYS_OF(values, columns, items, n);
	return wa_statement_run(&marks_statement, webhook->schema, values, NULL);
}

/* What stands for this wamid, or NULL: it is not erased. */
static const char *
mark_of(const WaRows *marks, const char *wamid)
{
	int low = 0;
	int high = (int) marks->count - 1;

	while (low <= high)
	{
		int middle = low + (high - low) / 2;
		int order = strcmp(wa_rows_text(marks, middle, 1), wamid);

		if (order == 0)
			return wa_rows_text(marks, middle, 2);
		if (order < 0)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return NULL;
}

static void
add_form(WaWebhookList *list, const char *form)
{
	if (form != NULL)
		*(const char **) wa_webhook_add(list, sizeof(char *)) = form;
}

static void
erase_status(WaStatus *status, const char *mark)
{
	status->wamid = mark;
	status->recipient_wa_id = NULL;
	status->error_message = NULL;
	status->errors = NULL;
	status->conversation_id = NULL;
	/* If it must be parked after all, this is all that is known of it. */
	status->event = "{}";
	status->event_len = strlen(status->event);
}

/* Everybody whom an item is about that is erased, and whom one that is not. */
typedef struct About
{
	WaWebhookList erased;
	WaWebhookList others;
} About;

static void
erase_statuses(WaWebhook *webhook, const WaRows *marks, About *about)
{
	WaStatus *statuses = webhook->statuses.items;

	for (int i = 0; i < webhook->statuses.count; i++)
	{
		WaStatus *status = &statuses[i];
		const char *mark = mark_of(marks, status->wamid);
		WaWebhookList *list = mark != NULL ? &about->erased : &about->others;

		if (status->recipient_wa_id != NULL)
			add_form(list, psprintf("+%s", status->recipient_wa_id));
		add_form(list, status->recipient_user_id);
		if (mark != NULL)
			erase_status(status, mark);
	}
}

/* A message that comes again is a duplicate, as any other. */
static void
erase_inbound(WaWebhook *webhook, const WaRows *marks, About *about)
{
	for (int i = 0; i < webhook->inbound.count; i++)
	{
		const char **wamid = wa_webhook_inbound_wamid(webhook, i);
		const char *mark = mark_of(marks, *wamid);
		WaWebhookList *list = mark != NULL ? &about->erased : &about->others;
		const char *phone;
		const char *user_id;

		wa_webhook_inbound_sender(webhook, i, &phone, &user_id);
		add_form(list, phone);
		add_form(list, user_id);
		if (mark != NULL)
			*wamid = mark;
	}
}

static bool
is_in(const WaWebhookList *list, const char *form)
{
	const char *const *forms = list->items;

	for (int i = 0; i < list->count; i++)
		if (strcmp(forms[i], form) == 0)
			return true;
	return false;
}

/* Those who have done nothing that is new. */
static WaWebhookList
erased_people(const About *about)
{
	const char *const *forms = about->erased.items;
	WaWebhookList result = {0};

	for (int i = 0; i < about->erased.count; i++)
		if (!is_in(&about->others, forms[i]) && !is_in(&result, forms[i]))
			add_form(&result, forms[i]);
	return result;
}

void
wa_webhook_drop_erased(WaWebhook *webhook)
{
	About about = {0};
	WaWebhookList people;
	WaRows marks;

	if (webhook->statuses.count + webhook->inbound.count == 0 ||
		!wa_lookup_may_find(&erasures, webhook->schema))
		return;
	marks = marks_of(webhook);
	if (marks.count == 0)
		return;
	erase_statuses(webhook, &marks, &about);
	erase_inbound(webhook, &marks, &about);
	people = erased_people(&about);
	wa_webhook_drop_contacts(webhook, people.items, people.count);
	wa_identity_change_drop(webhook, people.items, people.count);
}
