/*
 * wire.h
 *	  What each number may have on the wire: its share, and less while it, or the
 *	  host, is in trouble.
 *
 * A request is on the wire from its lease to its end: claimed, begun, and then
 * answered, failed or left.
 */
#ifndef WA_SENDER_STATE_WIRE_H
#define WA_SENDER_STATE_WIRE_H

#include "sender/state/number.h"

/* One of its requests is leased.  True: it is a probe. */
extern bool wa_wire_claimed(WaNumber *number, int64 now);

/* It leaves, was answered by the Graph API, got no such answer, or ends unbegun. */
extern void wa_wire_begun(WaNumber *number, int64 now);
extern void wa_wire_answered(WaNumber *number, bool probe, int64 now);
extern void wa_wire_failed(WaNumber *number, bool probe, int64 started, bool written,
						   const char *problem, int64 now);
extern void wa_wire_left(WaNumber *number, bool probe);

/* Takes note of it if nothing is heard of what it has on the wire. */
extern void wa_wire_listen(WaNumber *number, int64 now);

/*
 * The settlement of one of its requests is put off, because of somebody's lock; it is
 * written.  Between the two it may be tried again and again.
 */
extern void wa_wire_put_aside(WaNumber *number);
extern void wa_wire_settled(WaNumber *number);

/* So many of them wait that it sends nothing more until some are written. */
extern bool wa_wire_is_behind(const WaNumber *number);

/* By how many requests there may be at the most. */
extern void wa_wire_bound_aside(WaNumbers *numbers, int max_in_flight);

/* Slots that nobody has. */
extern int wa_wire_free(const WaNumbers *numbers);

/*
 * How many requests more this number may have now; and when: PG_INT64_MAX: when one has
 * ended, or is settled.
 */
extern int wa_wire_room(WaNumber *number, int64 now);
extern int64 wa_wire_room_at(WaNumber *number, int64 now);

/* It could send but for its share: then it is looked at again when a request of it ends. */
extern void wa_wire_hold(WaNumber *number, bool held);

/* Nobody is answered: it is tried now and then whether anybody is. */
extern bool wa_wire_is_down(const WaNumbers *numbers);

/* It has not failed since the host last answered, and has nothing under way. */
extern bool wa_wire_is_untried(const WaNumber *number);

/* As far as can be told, it is the host or what lies before it, and no single number. */
extern bool wa_wire_host_fails(const WaNumbers *numbers);
extern bool wa_wire_number_fails(const WaNumber *number);

/*
 * An outage is over, or may be: what still hangs without a connection is better
 * begun anew.  Said once.
 */
extern bool wa_wire_is_back(WaNumbers *numbers);

/* True while it sends probes only: itself, or because nobody is answered. */
extern bool wa_wire_is_limited(const WaNumber *number);

/* What was wrong may have been mended. */
extern void wa_wire_forget_trouble(WaNumbers *numbers);

#endif
