/*
 * service_window.h
 *	  The 24 hours after a customer's message, in which one may write freely.
 */
#ifndef WA_ENQUEUE_SERVICE_WINDOW_H
#define WA_ENQUEUE_SERVICE_WINDOW_H

#include "datatype/timestamp.h"
#include "utils/snapshot.h"

/* Will it (still) be open then? */
extern bool wa_window_is_open(Oid schema, const text *phone_number_id, const char *recipient,
							  TimestampTz when, Snapshot snapshot);

/* Whether any customer's message has ever arrived. */
extern bool wa_window_is_known(Oid schema);

#endif
