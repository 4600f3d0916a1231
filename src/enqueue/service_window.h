/*
 * service_window.h
 *	  The 24 hours after a customer's message, in which one may write freely.
 */
#ifndef WA_ENQUEUE_SERVICE_WINDOW_H
#define WA_ENQUEUE_SERVICE_WINDOW_H

#include "enqueue/enqueue.h"

/*
 * Raises an error if the window will be closed when the message is due; or makes
 * it a message of its fall-back template, if it has one.  "lenient": not as long
 * as no customer's message has ever arrived by webhook.
 */
extern void wa_service_window_check(WaEnqueue *e, bool lenient);

#endif
