/*
 * hearing.h
 *	  Since when this server has missed no webhook that was brought to it.
 */
#ifndef WA_SHARED_HEARING_H
#define WA_SHARED_HEARING_H

/*
 * This transaction takes in a webhook.  If it, or the subtransaction that it is in,
 * is rolled back, the webhook is missed, until Meta sends it again.
 */
extern void wa_hearing_watch(void);

/* A webhook has been missed, although the transaction goes on. */
extern void wa_hearing_missed(void);

#endif
