/*
 * field.c
 *	  Values of a webhook's document, and room for what is made of them.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/recipient.h"
#include "webhook/field.h"

#define MAX_PHONE_NUMBER_ID 32
#define MAX_USER_ID 160

/* Digits of a wa_id, less than which is no phone number. */
#define MIN_WA_ID 5
#define MAX_WA_ID 20

/* Times outside of this are no times of WhatsApp: 2009, and a day ahead. */
#define FIRST_SECOND INT64_C(1230768000)
#define SECONDS_AHEAD INT64_C(86400)
#define SECONDS_OF_A_YEAR (366 * SECONDS_AHEAD)
#define LAST_SECOND INT64_C(253402300799) /* of the year 9999 */

/* What is ahead by more than clocks may differ has happened now: nothing outlives what follows. */
#define SECONDS_SKEWED INT64_C(300)

/* Meta repeats for up to seven days what it got no 200 for. */
#define TOO_OLD_US (7 * USECS_PER_DAY)

/*
 * Meta puts at most 1,000 updates into one webhook.  Half as many again take less
 * than a second, whatever they are.
 */
#define MAX_SEEN 1500

#define UNIX_EPOCH_OFFSET ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

char *
wa_webhook_string(const WaWebhook *webhook, uint32 object, const char *name, size_t max)
{
	const WaJson *json = webhook->json;
	uint32 node = wa_json_member(json, object, name);
	size_t size;
	char *result;
	long len;

	if (!wa_json_is(json, node, WA_JSON_STRING))
		return NULL;
	size = json->nodes[node].end - json->nodes[node].start;
	if (size == 0 || (size > max && !json->nodes[node].escaped))
		return NULL;
	result = palloc(size + 1);
	len = wa_json_string(json, node, result, size + 1);
	return len > 0 && (size_t) len <= max ? result : NULL;
}

char *
wa_webhook_clipped(const WaWebhook *webhook, uint32 object, const char *name, size_t max)
{
	char *result = wa_webhook_string(webhook, object, name, MaxAllocSize);

	if (result != NULL && strlen(result) > max)
		result[pg_mbcliplen(result, (int) strlen(result), (int) max)] = '\0';
	return result;
}

char *
wa_webhook_user_id(const WaWebhook *webhook, uint32 object, const char *name)
{
	char *user_id = wa_webhook_string(webhook, object, name, MAX_USER_ID);

	if (user_id == NULL || user_id[0] == '+' || strspn(user_id, "0123456789") == strlen(user_id))
		return NULL;
	return user_id;
}

/* A customer's number as Meta writes it: digits alone, or NULL. */
static char *
read_wa_id(const WaWebhook *webhook, uint32 object, const char *name)
{
	char *wa_id = wa_webhook_string(webhook, object, name, MAX_WA_ID);

	if (wa_id == NULL || strlen(wa_id) < MIN_WA_ID || strspn(wa_id, "0123456789") != strlen(wa_id))
		return NULL;
	return wa_id;
}

char *
wa_webhook_phone(const WaWebhook *webhook, uint32 object, const char *name)
{
	char *wa_id = read_wa_id(webhook, object, name);

	return wa_id == NULL ? NULL : psprintf("+%s", wa_id);
}

char *
wa_webhook_user_id_instead(const WaWebhook *webhook, uint32 object, const char *name)
{
	char *text = wa_webhook_user_id(webhook, object, name);
	char out[WA_RECIPIENT_SIZE];

	if (text == NULL ||
		wa_recipient_normalise(text, strlen(text), out, sizeof(out)) != WA_RECIPIENT_USER_ID)
		return NULL;
	return text;
}

/* In seconds of the Unix epoch, as a number or a string. */
static bool
read_time(const WaWebhook *webhook, uint32 object, const char *name, int64 ahead, TimestampTz *at)
{
	int64_t seconds;

	if (!wa_json_integer(webhook->json, wa_json_member(webhook->json, object, name), &seconds))
		return false;
	if (seconds < FIRST_SECOND || seconds > LAST_SECOND)
		return false;
	*at = (seconds - UNIX_EPOCH_OFFSET) * USECS_PER_SEC;
	return *at <= webhook->now + ahead * USECS_PER_SEC;
}

bool
wa_webhook_said_time(const WaWebhook *webhook, uint32 object, const char *name, TimestampTz *at)
{
	return read_time(webhook, object, name, SECONDS_AHEAD, at);
}

bool
wa_webhook_later_time(const WaWebhook *webhook, uint32 object, const char *name, TimestampTz *at)
{
	return read_time(webhook, object, name, SECONDS_OF_A_YEAR, at);
}

bool
wa_webhook_time(const WaWebhook *webhook, uint32 object, const char *name, TimestampTz *at)
{
	if (!wa_webhook_said_time(webhook, object, name, at))
		return false;
	if (*at > webhook->now + SECONDS_SKEWED * USECS_PER_SEC)
		*at = webhook->now;
	return true;
}

bool
wa_webhook_is_too_old(const WaWebhook *webhook, TimestampTz at)
{
	return at < webhook->now - TOO_OLD_US;
}

bool
wa_webhook_may_read(WaWebhook *webhook, WaWebhookPart part)
{
	CHECK_FOR_INTERRUPTS();
	if (webhook->body->seen[part] == MAX_SEEN)
	{
		webhook->body->keep_body = "too_many_items";
		return false;
	}
	webhook->body->seen[part]++;
	return true;
}

char *
wa_webhook_text(const WaWebhook *webhook, uint32 node)
{
	const WaJsonNode *n = &webhook->json->nodes[node];
	int quote = n->type == WA_JSON_STRING ? 1 : 0;

	return pnstrdup(webhook->json->text + n->start - quote, n->end - n->start + 2 * quote);
}

char *
wa_webhook_number(const WaWebhook *webhook, uint32 value)
{
	return wa_webhook_string(webhook, wa_json_member(webhook->json, value, "metadata"),
							 "phone_number_id", MAX_PHONE_NUMBER_ID);
}

void *
wa_webhook_add(WaWebhookList *list, size_t size)
{
	if (list->count == list->room)
	{
		list->room = list->room == 0 ? 64 : list->room * 2;
		list->items = list->items == NULL ? palloc(size * list->room)
										  : repalloc_huge(list->items, size * list->room);
	}
	return (char *) list->items + size * list->count++;
}

void
wa_webhook_note_person(WaWebhook *webhook, const char *identity)
{
	if (identity != NULL)
		*(const char **) wa_webhook_add(&webhook->persons, sizeof(char *)) = identity;
}
