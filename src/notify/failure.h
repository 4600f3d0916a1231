/*
 * failure.h
 *	  Messages that a notification could not send.
 */
#ifndef WA_NOTIFY_FAILURE_H
#define WA_NOTIFY_FAILURE_H

#include "notify/firing.h"

/* As wa_subtransaction_run(), but what concerns the whole transaction is thrown. */
extern ErrorData *wa_notify_in_subtransaction(void (*step)(void *argument), void *argument);

/* Tells of it, and keeps it as a row. */
extern void wa_notify_failed(WaNotifyFiring *f, const ErrorData *error);
extern void wa_notify_warn(const WaNotifyFiring *f, const ErrorData *error);

#endif
