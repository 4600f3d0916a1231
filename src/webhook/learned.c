/*
 * learned.c
 *	  What statuses tell of recipients: other forms of the same person.
 *
 * A status says whom it is about, mostly as the message has it.  Where it does not, what
 * the message has and what the status says are one person's, as with a response
 * (sender/store/learned.c), and go the same way: into a table, from which they are entered
 * by whoever has locked the person.
 *
 * Whose message it is is known by our own data, or by the wamid; so a status that comes by
 * another number than the message was sent from is not believed.  The recipient's address
 * was the person's when the message was written; it may be somebody else's since.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "base/arrays.h"
#include "base/statement.h"
#include "webhook/field.h"
#include "webhook/learned.h"

typedef struct Learned
{
	const char *recipient; /* of the message: number with "+", or user id */
	const char *identity;  /* the same person, as Meta says */
	TimestampTz at;		   /* when it was written to */
} Learned;

/* What is known already is no news. */
static WaStatement store_statement = {
	.sql = "INSERT INTO @extschema@.whatsapp_learned_identities (recipient, identity, learned_at)"
		   " SELECT b.recipient, b.identity, b.at FROM ROWS FROM (pg_catalog.unnest($1),"
		   " pg_catalog.unnest($2), pg_catalog.unnest($3)) AS b(recipient, identity, at)"
		   " WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_contact_identities AS i"
		   " JOIN @extschema@.whatsapp_contact_identities AS o"
		   " ON o.contact_id OPERATOR(pg_catalog.=) i.contact_id"
		   " WHERE i.identity OPERATOR(pg_catalog.=) b.recipient"
		   " AND o.identity OPERATOR(pg_catalog.=) b.identity)",
	.nargs = 3,
	.argtypes = {TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID},
	.expected = SPI_OK_INSERT};

static bool
is_same(const char *a, const char *b)
{
	return a != NULL && strcmp(a, b) == 0;
}

static void
learn_from(WaWebhook *webhook, const WaStatus *status, const char *recipient, TimestampTz at)
{
	Learned learned = {recipient, status->told_phone, at};

	/* Number and user id that stand beside each other are among the contacts. */
	if (is_same(status->told_phone, recipient) || is_same(status->told_user_id, recipient))
		return;
	if (learned.identity == NULL)
		learned.identity = status->told_user_id;
	if (learned.identity != NULL)
		*(Learned *) wa_webhook_add(&webhook->learned, sizeof(Learned)) = learned;
}

void
wa_webhook_learn_recipient(WaWebhook *webhook, const WaStatusGroup *group, const char *recipient,
						   const char *phone_number_id, TimestampTz at)
{
	const WaStatus *items = webhook->statuses.items;

	if (recipient == NULL || phone_number_id == NULL)
		return;
	for (int i = 0; i < group->items; i++)
	{
		const WaStatus *status = &items[group->first + i];

		if (is_same(status->phone_number_id, phone_number_id))
			learn_from(webhook, status, recipient, at);
	}
}

void
wa_webhook_store_learned(WaWebhook *webhook)
{
	static const WaColumn columns[] = {
		WA_COLUMN(Learned, recipient),
		WA_COLUMN(Learned, identity),
		WA_COLUMN_TIME(Learned, at),
	};
	const Learned *items = webhook->learned.items;
	Datum values[lengthof(columns)];

	if (webhook->learned.count == 0)
		return;
	WA_ARRAYS_OF(values, columns, items, webhook->learned.count);
	wa_statement_run(&store_statement, webhook->schema, values, NULL);
}
