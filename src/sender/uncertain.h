/*
 * uncertain.h
 *	  What becomes of messages that may or may not have been sent.
 */
#ifndef WA_SENDER_UNCERTAIN_H
#define WA_SENDER_UNCERTAIN_H

#include "datatype/timestamp.h"

/*
 * Decides about messages whose grace was over at this time, a batch; true: there may
 * be more.  hearing_since: see shared/hearing.h.  Needs a transaction; wakes the
 * senders at its commit.
 */
extern bool wa_uncertain_decide(TimestampTz now, TimestampTz hearing_since);

#endif
