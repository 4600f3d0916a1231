/*
 * role.h
 *	  As whom the expressions of notifications run.
 */
#ifndef WA_NOTIFY_ROLE_H
#define WA_NOTIFY_ROLE_H

/*
 * Raises an error unless the role may send, and may do so for rows of a table
 * of this owner.  Returns the role that the expressions run as.
 */
extern Oid wa_notify_check_role(const char *role, Oid owner, const char *relation_name,
								Oid enqueue_function);

/* wa_enqueue_message(text, …) in this schema. */
extern Oid wa_notify_enqueue_function(Oid schema);

#endif
