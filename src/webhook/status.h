/*
 * status.h
 *	  What Meta says of one message: read, and merged with what else it says.
 */
#ifndef WA_WEBHOOK_STATUS_H
#define WA_WEBHOOK_STATUS_H

#include "base/rows.h"
#include "webhook/webhook.h"

typedef enum WaStatusKind
{
	WA_STATUS_SENT,
	WA_STATUS_DELIVERED,
	WA_STATUS_READ,
	WA_STATUS_PLAYED,
	WA_STATUS_FAILED
} WaStatusKind;

#define WA_STATUS_KINDS 5

#define WA_STATUS_NO_ATTEMPT (-1)
#define WA_STATUS_NO_ERROR PG_INT32_MAX

/*
 * One status, or several of one wamid merged: of each kind the earliest time,
 * 0 for none.  Merging is commutative, associative and idempotent, which is
 * what makes the order in which webhooks arrive irrelevant.
 */
struct WaStatus
{
	int64 message_id; /* from our own data, or looked up; 0: unknown */
	int64 parked_id;  /* of whatsapp_parked_events, if it comes from there, or 0 */
	int attempt;	  /* WA_STATUS_NO_ATTEMPT: unknown */
	bool foreign;	  /* another installation's message, by its data */
	const char *wamid;
	const char *phone_number_id;
	const char *recipient_wa_id; /* or NULL */
	TimestampTz at[WA_STATUS_KINDS];
	int error_code;			   /* of the earliest failure, or WA_STATUS_NO_ERROR */
	const char *error_message; /* or NULL */
	const char *category;	   /* pricing, or NULL */
	const char *pricing_type;
	int billable;	   /* -1: not told */
	const char *event; /* the item's JSON text */
	size_t event_len;
};

struct WaStatusList
{
	WaStatus *items;
	int count;
	int room;
	char installation[16];
	int64 parked_id; /* given to what is read now */
};

/*
 * All statuses of one wamid, and what became of them.
 */
typedef struct WaStatusGroup
{
	WaStatus merged;
	int first; /* its items in the sorted list */
	int items;
	int count;	  /* those of them that the webhook has */
	int repeated; /* and that said nothing new among themselves */
	bool settles; /* the message was in the queue, and is taken out for it */
	bool done;	  /* counted */
} WaStatusGroup;

/*
 * webhook/group.c: finds the messages of the list, of which those remain that
 * have one; then groups it, in order of message id and wamid.  Each group is
 * counted or parked once.
 */
extern void wa_status_look_up(WaWebhook *webhook);
extern WaStatusGroup *wa_status_group(WaStatusList *list, int *ngroups);
extern void wa_status_count(WaWebhook *webhook, WaStatusGroup *group, bool applied);
extern void wa_status_park(WaWebhook *webhook, WaStatusGroup *group, const char *reason);

/* webhook/update.c */
extern WaRows wa_status_update(Oid schema, WaStatusGroup *const *groups, int n);

/* webhook/status.c */
extern bool wa_status_merge(WaStatus *into, const WaStatus *from);
extern TimestampTz wa_status_first_at(const WaStatus *status);
extern bool wa_status_proves_delivery(const WaStatus *status);

#endif
