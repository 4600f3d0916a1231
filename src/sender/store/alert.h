/*
 * alert.h
 *	  Alerts that the sender raises for people.  All need a transaction.
 */
#ifndef WA_SENDER_STORE_ALERT_H
#define WA_SENDER_STORE_ALERT_H

/* An uncertain message waits for a person; the number may be NULL. */
extern void wa_store_alert_parked(const char *phone_number_id, int64 message_id);

#endif
