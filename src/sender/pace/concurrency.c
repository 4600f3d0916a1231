/*
 * concurrency.c
 *	  How many requests are allowed on the wire (the concurrency limit).
 *
 * That depends on what limits us.  If the sender sits waiting for responses with the
 * limit reached, the peer is slow and the limit grows; if it is busy all the time, more
 * requests out would only be more connections to look after, and it shrinks.
 * Response times would be the wrong measure: a busy sender's own delays are part
 * of them.
 *
 * What leaves within the next moment is claimed ahead, so that requests follow
 * each other while a transaction is being written, and one transaction serves
 * many.  It is a moment only, because whatever is leased when the process dies
 * has to be taken for sent.
 */
#include "postgres.h"

#include "sender/pace/concurrency.h"

#define MIN_CONCURRENCY 128

/* The limit is adapted after this long. */
#define MEASURED_US 50000

/* What is claimed ahead: what leaves in this time, and never more than this. */
#define AHEAD_US 20000
#define MAX_AHEAD 512

/* Shares of that time spent waiting with the limit reached. */
#define IDLE_TO_GROW 0.10
#define IDLE_TO_SHRINK 0.02

/* How the limit has done since it was last adapted. */
static struct
{
	int64 since_us;
	int64 waited_us; /* for responses, with it reached */
	int responses;
} measured;

static void
measure_anew(int64 now)
{
	memset(&measured, 0, sizeof(measured));
	measured.since_us = now;
}

void
wa_concurrency_start(WaSender *sender, int most)
{
	sender->concurrency = Min(MIN_CONCURRENCY, most);
	sender->ahead = 0;
	measure_anew(wa_now_us());
}

void
wa_concurrency_configured(WaSender *sender, int most)
{
	sender->concurrency = Min(sender->concurrency, most);
}

/*
 * Sleep counts if only a response could have ended it: all is used, or what may be
 * used by those who have something to send.
 */
void
wa_concurrency_slept(WaSender *sender, int64 us)
{
	int useful = sender->n_in_flight + sender->n_finished - sender->numbers.wire.stuck;

	if (sender->numbers.wire.held > 0 || useful >= sender->concurrency - sender->concurrency / 8)
		measured.waited_us += us;
}

void
wa_concurrency_answered(void)
{
	measured.responses++;
}

void
wa_concurrency_adapt(WaSender *sender, int most)
{
	int64 now = wa_now_us();
	int64 elapsed = now - measured.since_us;
	int limit = sender->concurrency;
	double idle;

	if (elapsed < MEASURED_US)
		return;
	idle = (double) measured.waited_us / elapsed;
	if (idle > IDLE_TO_GROW)
		limit += limit / 2;
	else if (idle < IDLE_TO_SHRINK)
		limit -= limit / 16;
	sender->concurrency = Min(Max(limit, MIN_CONCURRENCY), most);
	sender->ahead = (int) Min(measured.responses * (int64) AHEAD_US / elapsed, MAX_AHEAD);
	measure_anew(now);
}

/* Requests of numbers in trouble are of no use and come on top. */
static int
allowed(const WaSender *sender)
{
	return sender->concurrency + sender->numbers.wire.stuck;
}

bool
wa_concurrency_has_room(const WaSender *sender)
{
	return wa_sender_on_the_wire(sender) < allowed(sender);
}

void
wa_concurrency_set_slots(WaSender *sender, int capacity)
{
	WaWire *wire = &sender->numbers.wire;
	int before = wire->slots;

	wire->slots = Min(allowed(sender), capacity) + sender->n_draining + sender->ahead;
	if (wire->slots > before && wire->held > 0)
		wa_numbers_turns_changed(&sender->numbers);
}
