/*
 * group.h
 *	  Statuses of messages: which message each is about, and what became of it.
 */
#ifndef WA_WEBHOOK_GROUP_H
#define WA_WEBHOOK_GROUP_H

#include "webhook/delivered.h"
#include "webhook/status.h"

/* In a statement: whom the message m is addressed to; NULL: unknown, a group, or erased. */
#define WA_STATUS_RECIPIENT                                                                        \
	"CASE WHEN m.erased_at IS NULL THEN COALESCE(m.recipient_phone, m.recipient_user_id) END"

/*
 * All statuses of one wamid, and what became of them.
 */
typedef struct WaStatusGroup
{
	WaStatus merged;
	int first; /* its items in the sorted list */
	int items;
	bool settles;  /* the message was in the queue, and is taken out for it */
	bool replaces; /* the message has, or had, the wamid of another acceptance */
	bool done;	   /* counted */

	/* How the message counts for wa_costs, if it has been updated. */
	WaDelivered before;
	WaDelivered after;
} WaStatusGroup;

/* Learns which installation's data is ours.  Before the first status is read. */
extern void wa_status_read_installation(WaWebhook *webhook);

/*
 * Finds the messages of the webhook's statuses, of which those remain that have
 * one; then groups these, in order of message id and wamid.
 */
extern void wa_status_look_up(WaWebhook *webhook);
extern WaStatusGroup *wa_status_group(WaWebhook *webhook, int *ngroups);

/* Each group ends once: applied or known before, or unmatched for this reason. */
extern void wa_status_count(WaWebhook *webhook, WaStatusGroup *group, bool applied);
extern void wa_status_park(WaWebhook *webhook, WaStatusGroup *group, const char *reason);

#endif
