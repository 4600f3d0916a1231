/*
 * group.c
 *	  Statuses of messages: which message each is about, and what became of it.
 *
 * Between reading (webhook/status.c) and applying (webhook/apply.c).  Those
 * without our own data find their message by wamid, or are unmatched; those of
 * one wamid become one group, whose items are counted, or stored as unmatched,
 * together.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "webhook/group.h"
#include "webhook/park.h"

/*
 * Which installation's data we look for: loaded data is older than where it was loaded.
 * And whether there are other nodes, which costs next to nothing where it is asked here.
 */
static WaStatement installation_statement = {
	.sql = "SELECT installation_id, EXISTS (SELECT FROM @extschema@.whatsapp_nodes)"
		   " FROM @extschema@.whatsapp_installation ORDER BY created_at LIMIT 1",
	.expected = SPI_OK_SELECT};

/* Statuses without our data, or with that of a predecessor of this database. */
static WaStatement lookup_statement = {
	.sql = "SELECT b.i::pg_catalog.int4, w.message_id"
		   " FROM pg_catalog.unnest($1) WITH ORDINALITY AS b(wamid, i)"
		   " JOIN @extschema@.whatsapp_wamids AS w ON w.whatsapp_message_id OPERATOR(pg_catalog.=) "
		   "b.wamid",
	.nargs = 1,
	.argtypes = {TEXTARRAYOID},
	.expected = SPI_OK_SELECT};

static int
compare_statuses(const void *a, const void *b)
{
	const WaStatus *x = a;
	const WaStatus *y = b;

	if (x->message_id != y->message_id)
		return x->message_id < y->message_id ? -1 : 1;
	return strcmp(x->wamid, y->wamid);
}

/*
 * The webhook's own, as they came, before those that were unmatched before: they are
 * the ones that count.
 */
static int
compare_items(const void *a, const void *b)
{
	const WaStatus *x = a;
	const WaStatus *y = b;
	int result = compare_statuses(a, b);

	if (result == 0)
		result = (x->parked_id > y->parked_id) - (x->parked_id < y->parked_id);
	return result != 0 ? result : (x->place > y->place) - (x->place < y->place);
}

void
wa_status_read_installation(WaWebhook *webhook)
{
	WaRows rows = wa_statement_run(&installation_statement, webhook->schema, NULL, NULL);

	if (rows.count == 0)
		return;
	strlcpy(webhook->installation, wa_rows_text(&rows, 0, 1), sizeof(webhook->installation));
	webhook->has_nodes = wa_rows_int(&rows, 0, 2, 0) != 0;
}

/* One that is stored already stays as it is. */
static void
park_status(WaWebhook *webhook, const WaStatus *status, const char *reason)
{
	WaParked parked = {.what = "status",
					   .reason = reason,
					   .phone_number_id = status->phone_number_id,
					   .wamid = status->wamid,
					   .message_id = status->message_id,
					   .event = pnstrdup(status->event, status->event_len)};

	if (status->parked_id == 0)
		wa_webhook_park(webhook, status->body, WA_WEBHOOK_STATUS, &parked);
}

/* Those without a message: unmatched, or counted as another installation's. */
static void
leave_out_unknown(WaWebhook *webhook)
{
	WaWebhookList *list = &webhook->statuses;
	WaStatus *items = list->items;
	int kept = 0;

	for (int i = 0; i < list->count; i++)
	{
		const WaStatus *status = &items[i];

		if (status->message_id != 0)
			items[kept++] = *status;
		else if (status->foreign && status->parked_id == 0)
			status->body->counts[WA_WEBHOOK_STATUS].foreign++;
		else
			park_status(webhook, status, "unknown_message");
	}
	list->count = kept;
}

/* By wamid, where the status does not name one of ours. */
void
wa_status_look_up(WaWebhook *webhook)
{
	WaWebhookList *list = &webhook->statuses;
	WaStatus *items = list->items;
	const char **wamids = palloc(sizeof(char *) * list->count);
	int *indexes = palloc(sizeof(int) * list->count);
	int unknown = 0;
	WaRows rows;
	Datum values[1];

	for (int i = 0; i < list->count; i++)
	{
		if (items[i].message_id == 0)
		{
			wamids[unknown] = items[i].wamid;
			indexes[unknown++] = i;
		}
	}
	if (unknown == 0)
		return;
	values[0] = wa_array_of_text(wamids, unknown);
	rows = wa_statement_run(&lookup_statement, webhook->schema, values, NULL);
	for (uint64 i = 0; i < rows.count; i++)
	{
		int index = indexes[wa_rows_int(&rows, (int) i, 1, 0) - 1];

		items[index].message_id = wa_rows_int(&rows, (int) i, 2, 0);
	}
	leave_out_unknown(webhook);
}

/*
 * Sorts the list and merges what concerns one wamid.
 */
WaStatusGroup *
wa_status_group(WaWebhook *webhook, int *ngroups)
{
	WaStatus *items = webhook->statuses.items;
	int n = webhook->statuses.count;
	WaStatusGroup *groups = palloc_extended(sizeof(WaStatusGroup) * n, MCXT_ALLOC_HUGE);
	WaStatusGroup *group = NULL;

	qsort(items, n, sizeof(WaStatus), compare_items);
	*ngroups = 0;
	for (int i = 0; i < n; i++)
	{
		WaStatus *status = &items[i];

		if (group == NULL || compare_statuses(&group->merged, status) != 0)
		{
			group = &groups[(*ngroups)++];
			memset(group, 0, sizeof(WaStatusGroup));
			group->merged = *status;
			group->first = i;
		}
		else
			status->repeated = !wa_status_merge(&group->merged, status);
		group->items++;
	}
	return groups;
}

void
wa_status_count(WaWebhook *webhook, WaStatusGroup *group, bool applied)
{
	const WaStatus *items = webhook->statuses.items;

	for (int i = 0; i < group->items; i++)
	{
		const WaStatus *item = &items[group->first + i];

		if (item->parked_id != 0)
			webhook->matched[webhook->nmatched++] = item->parked_id;
		else if (applied && !item->repeated)
			item->body->counts[WA_WEBHOOK_STATUS].applied++;
		else
			item->body->counts[WA_WEBHOOK_STATUS].duplicate++;
	}
	group->done = true;
}

void
wa_status_park(WaWebhook *webhook, WaStatusGroup *group, const char *reason)
{
	const WaStatus *items = webhook->statuses.items;

	for (int i = 0; i < group->items; i++)
		park_status(webhook, &items[group->first + i], reason);
	group->done = true;
}
