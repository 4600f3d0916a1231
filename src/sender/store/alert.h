/*
 * alert.h
 *	  What people should know: rows of whatsapp_alerts.
 *
 * Both need a transaction begun with wa_store_begin, and raise on failure.  An
 * alert that is open already is counted once more, which locks its row until
 * the transaction ends.
 */
#ifndef WA_SENDER_STORE_ALERT_H
#define WA_SENDER_STORE_ALERT_H

#include "c.h"

typedef struct WaAlert
{
	const char *severity; /* info, warning or error */
	const char *kind;
	const char *scope; /* account or number */
	const char *key;   /* within the scope; "" for the account as a whole */
	const char *message;
	int64 message_id; /* it is about this message; 0: not about one */
} WaAlert;

extern void wa_store_alert(const WaAlert *alert);

/* These messages have been accepted more than once; their wamids are written already. */
extern void wa_store_alert_accepted_twice(const int64 *ids, int n);

/* Closes it, if it is open. */
extern void wa_store_resolve_alert(const char *kind, const char *scope, const char *key);

/* The keys of those of a kind that are open, whatever their scope; returns how many. */
extern int wa_store_open_alerts(const char *kind, const char ***keys);

#endif
