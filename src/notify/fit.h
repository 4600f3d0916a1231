/*
 * fit.h
 *	  Whether a notification's template exists, and takes what it is given.
 */
#ifndef WA_NOTIFY_FIT_H
#define WA_NOTIFY_FIT_H

#include "nodes/pg_list.h"

#include "notify/notify.h"

/*
 * Raises an error if no message of the notification could be sent: its template
 * does not exist in any language that it may be sent in, or takes other
 * parameters.  Until templates have been read from Meta a NOTICE says that this
 * could not be checked.  "values": those of wa_notify_parameters_read().  Needs SPI
 * and the rights of the owner.
 */
extern void wa_notify_check_template(Oid schema, const WaNotification *n, const List *values);

#endif
