/*
 * role.h
 *	  As whom the expressions of notifications run.
 */
#ifndef WA_NOTIFY_ROLE_H
#define WA_NOTIFY_ROLE_H

#include "notify/notify.h"

/*
 * Raises an error unless the role that made the notification may send, may do so
 * for rows of a table of this owner, and could when it made it.  Returns the role
 * that the expressions run as.
 */
extern Oid wa_notify_check_role(const WaNotification *notification, Oid owner,
								const char *relation_name, Oid enqueue_function);

/* wa_enqueue_message(text, …) in this schema. */
extern Oid wa_notify_enqueue_function(Oid schema);

#endif
