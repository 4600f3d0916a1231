/*
 * notify.h
 *	  Notifications: messages that a trigger on an application's table sends.
 *
 * Here is what one is; README.md says what the files of this folder do with it.
 */
#ifndef WA_NOTIFY_NOTIFY_H
#define WA_NOTIFY_NOTIFY_H

#include "utils/jsonb.h"

#include "base/registration.h"

/* The arguments of our triggers. */
#define WA_NOTIFY_ARG_NAME 0
#define WA_NOTIFY_ARG_ID 1
#define WA_NOTIFY_ARGS 2

/*
 * The values of a notification that are no parameters of its template, in the
 * order in which the plan computes them; the parameters' follow.
 */
typedef enum WaNotifyPart
{
	WA_NOTIFY_TENANT,
	WA_NOTIFY_RECIPIENT,
	WA_NOTIFY_REFERENCE,
	WA_NOTIFY_KEY,
	WA_NOTIFY_SCHEDULED_AT,
	WA_NOTIFY_EXPIRES_AT,
	WA_NOTIFY_PARTS
} WaNotifyPart;

/* A row of whatsapp_notifications.  What may be absent is NULL. */
typedef struct WaNotification
{
	const char *id;
	const char *name;
	const char *relation; /* as it was called then */
	const char *events;
	const char *template_name;
	const char *parts[WA_NOTIFY_PARTS]; /* columns or expressions */
	Jsonb *parameters;
	const char *condition;
	const char *language;
	int priority;
	const char *on_uncertain;
	bool strict;
	WaRegistration registration;
	const char *search_path;
} WaNotification;

#endif
