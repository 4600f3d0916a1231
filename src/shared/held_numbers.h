/*
 * held_numbers.h
 *	  Which numbers the databases of this server send from.
 */
#ifndef WA_SHARED_HELD_NUMBERS_H
#define WA_SHARED_HELD_NUMBERS_H

#include "c.h"

/*
 * What the current database holds, instead of what it did before.  Needs the
 * library to be preloaded; takes the lock, and raises nothing.
 */
extern void wa_held_numbers_publish(const uint64 *keys, int n);

#endif
