/*
 * consequence.h
 *	  What follows from an error response beyond its own message: pauses, opt-outs,
 *	  alerts.
 *
 * The same functions of SQL write it down for webhooks.  All need a transaction,
 * and take effect for other senders when it commits.
 */
#ifndef WA_SENDER_STORE_CONSEQUENCE_H
#define WA_SENDER_STORE_CONSEQUENCE_H

/*
 * Pauses for so many seconds; 0: until something lifts it.  The key is empty for
 * the account.  A pause of a person stays as it is.
 */
extern void wa_store_pause(const char *scope, const char *key, int code, const char *detail,
						   int seconds);

/*
 * The recipients of these messages want no more marketing from their tenants.  Locks the
 * persons, all at once: after the messages, as webhooks do.
 */
extern void wa_store_opt_outs(const int64 *message_ids, int n);

/* Meta has sent a code that nobody here knows. */
extern void wa_store_alert_unknown_code(int code, const char *detail);

#endif
