/*
 * trigger.h
 *	  wa_notify, the trigger that sends a message for a row.
 */
#ifndef WA_NOTIFY_TRIGGER_H
#define WA_NOTIFY_TRIGGER_H

/*
 * Sends the message, if one is to be sent.  Takes a WaNotifyFiring, as a step for
 * wa_notify_in_subtransaction().
 */
extern void wa_notify_send(void *firing);

#endif
