/*
 * pair_person.c
 *	  One person is one recipient, by whatever number or user id.
 *
 * Who is whose stands in whatsapp_contact_identities, and the claim asks for it.  It
 * may change at any time: Meta tells a user id with the first status, two contacts
 * turn out to be one, a number is given to somebody else.  What is under way to a
 * recipient is remembered under the key that he had then; so at the first message
 * for which the tables say something else, the one memory goes over into the other.
 * Nothing is asked for by both keys after that, and nobody is passed.
 */
#include "postgres.h"

#include "sender/pace/pair_order.h"
#include "sender/pace/pair_person.h"
#include "sender/pace/pair_waiting.h"
#include "shared/wake.h"

/* Both have used a part of the same limit. */
static void
add_limits(WaPair *into, const WaPair *from, int64 now)
{
	if (from->whole_at_us > now)
		into->whole_at_us = Max(into->whole_at_us, now) + from->whole_at_us - now;
	into->throttles = Max(into->throttles, from->throttles);
}

/* Moves all that is known under one key to the other, which from then on is meant. */
static void
become_one(WaSender *sender, uint64 from_key, uint64 into_key)
{
	WaPair *from = wa_pair_get(sender, from_key);
	WaPair *into = wa_pair_get(sender, into_key);

	add_limits(into, from, wa_now_us());
	into->next_deferral_us = Max(into->next_deferral_us, from->next_deferral_us);
	into->blocked_until = Max(into->blocked_until, from->blocked_until);
	into->in_flight += from->in_flight;
	wa_pair_move_deferred(sender, from, into);
	wa_pair_move_waiting(from, into);
	wa_pair_remove(sender, from);
	wa_pairs_join(sender, from_key, into_key);
	wa_pair_rest(sender, into);
}

uint64
wa_pair_of_person(WaSender *sender, uint64 number_key, const char *recipient, const char *person)
{
	uint64 own = wa_pairs_meant(sender, wa_hash_text(recipient, number_key));
	uint64 key;

	if (person == NULL || strcmp(person, recipient) == 0)
		return own;
	key = wa_pairs_meant(sender, wa_hash_text(person, number_key));
	if (own == key)
		return key;
	if (!wa_pair_is_known(sender, own))
		wa_pairs_join(sender, own, key);
	else if (!wa_pair_is_known(sender, key))
	{
		wa_pairs_join(sender, key, own);
		return own;
	}
	else
		become_one(sender, own, key);
	return key;
}
