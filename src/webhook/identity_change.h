/*
 * identity_change.h
 *	  Customers whose number or user id has changed.
 */
#ifndef WA_WEBHOOK_IDENTITY_CHANGE_H
#define WA_WEBHOOK_IDENTITY_CHANGE_H

#include "webhook/webhook.h"

/* Numbers with "+".  Any of them may be NULL; of those that are not, all are one person's. */
typedef struct WaIdentityChange
{
	const char *old_phone;
	const char *old_user;
	const char *old_parent;
	const char *new_phone;
	const char *new_user;
	const char *new_parent;
	const char *name; /* as contacts beside it have them */
	const char *username;
	TimestampTz at;
} WaIdentityChange;

/*
 * What a message of the type "system" says of its sender's identity.  False: nothing.
 * The one contact beside it, or WA_JSON_NONE, may tell what the message does not.
 */
extern bool wa_identity_change_read(const WaWebhook *webhook, uint32 message, uint32 contact,
									WaIdentityChange *change);

/* Adds a change to those that are to be written. */
extern void wa_identity_change_add(WaWebhook *webhook, const WaIdentityChange *change);

/* The field "user_id_update".  False: nothing could be read from it. */
extern bool wa_identity_change_read_updates(WaWebhook *webhook, uint32 value);

/* Whether this is one of those whom the changes of the present change of the body are about. */
extern bool wa_identity_change_is_about(const WaWebhook *webhook, const char *phone,
										const char *user_id);

/* Leaves out those who are known by one of these forms. */
extern void wa_identity_change_drop(WaWebhook *webhook, const char *const *forms, int n);

extern void wa_identity_change_write(WaWebhook *webhook);

#endif
