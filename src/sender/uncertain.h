/*
 * uncertain.h
 *	  What becomes of messages that may or may not have been sent.
 */
#ifndef WA_SENDER_UNCERTAIN_H
#define WA_SENDER_UNCERTAIN_H

#include "datatype/timestamp.h"

/*
 * Decides about messages whose grace was over at this time, at most so many, and
 * returns how many there were.  Needs a transaction; wakes the senders at its
 * commit.
 */
extern int wa_uncertain_decide(TimestampTz now, int limit);

#endif
