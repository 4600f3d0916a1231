/*
 * key.h
 *	  Whether a row has changed, and how the message about it is recognised.
 */
#ifndef WA_NOTIFY_KEY_H
#define WA_NOTIFY_KEY_H

#include "notify/firing.h"

/* Whether this update has changed any of the columns that it is about. */
extern bool wa_notify_has_changed(const TriggerData *trigger);

/* The primary key as text, or NULL if there is none. */
extern char *wa_notify_row_key(const WaNotifyFiring *f);

/* The idempotency key if none is given; NULL without a primary key. */
extern text *wa_notify_key(const WaNotifyFiring *f);

#endif
