/*
 * update.h
 *	  The UPDATE that merges a batch of statuses into whatsapp_messages.
 */
#ifndef WA_WEBHOOK_UPDATE_H
#define WA_WEBHOOK_UPDATE_H

#include "base/rows.h"
#include "webhook/group.h"

/*
 * Runs it for the groups that are not done, which are of different messages and in
 * order of message id.  Returns, for each row changed: message id; whether the row
 * has the group's wamid; whether the group dates its acceptance; whether it made the
 * message fail; whether the message was delivered long after it was due; when it was
 * accepted, if the group tells of its sending first; how it counts as delivered, in three
 * columns; whom it is addressed to (NULL if it is erased), from which number, and since when.
 * How it counted before is in the group.
 */
extern WaRows wa_status_update(Oid schema, WaStatusGroup *const *groups, int n);

#endif
