/*
 * pair_person.h
 *	  One person is one recipient, by whatever number or user id.
 */
#ifndef WA_SENDER_PACE_PAIR_PERSON_H
#define WA_SENDER_PACE_PAIR_PERSON_H

#include "sender/pace/pair.h"

/*
 * The key of the pair of this number (wa_number_key) and the person to whom messages
 * to this recipient go; NULL: whom nobody knows by another name.  What is remembered
 * of the recipient and what of the person is one thing from then on.
 */
extern uint64 wa_pair_of_person(WaSender *sender, uint64 number_key, const char *recipient,
								const char *person);

#endif
