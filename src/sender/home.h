/*
 * home.h
 *	  Whether this database is the one from which its messages are to be sent.
 */
#ifndef WA_SENDER_HOME_H
#define WA_SENDER_HOME_H

#include "sender/state/sender.h"

/*
 * Outside of a transaction: sets sender->at_home and installation_id, takes over
 * from a primary that has gone, and logs once what is in doubt.
 */
extern void wa_home_check(WaSender *sender);

/*
 * In the transaction that claims, before it looks at the queue: whether the
 * database is still at home, as it will then be until the transaction ends.  Takes
 * a lock on whatsapp_home, and does not wait for it.
 */
extern bool wa_home_keep(WaSender *sender);

/* Whether wa_home_check is to be called (again) now; and in how many milliseconds, -1: not. */
extern bool wa_home_check_due(const WaSender *sender);
extern long wa_home_wait_ms(const WaSender *sender);

#endif
