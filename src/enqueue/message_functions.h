/*
 * message_functions.h
 *	  Turning a WaEnqueue that knows its tenant into one that has its content.
 */
#ifndef WA_ENQUEUE_MESSAGE_FUNCTIONS_H
#define WA_ENQUEUE_MESSAGE_FUNCTIONS_H

#include "enqueue/enqueue.h"

/*
 * Makes it a template message: resolves the language, checks the parameters
 * against the registry and builds the payload.  template_name is set, and
 * template_language if the caller chose one.
 */
extern void wa_message_use_template(WaEnqueue *e, Jsonb *parameters);

/*
 * Raises an error if the 24-hour window will be closed when the message is
 * due; or makes it a message of the fall-back template, if there is one.
 * "lenient": not as long as no customer's message has ever arrived by webhook.
 */
extern void wa_message_check_window(WaEnqueue *e, bool lenient);

#endif
