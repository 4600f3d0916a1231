/*
 * wire.c
 *	  What each number may have on the wire.
 *
 * Nobody knows who is next.  So slots are left for numbers that have nothing to
 * send yet: a number may have as many requests as it leaves slots free.  One that
 * hangs then holds half of all, two hold a third each, and so on; there is always
 * room for one more, and no list of who deserves what.  (Switches share their
 * buffers so: Choudhury and Hahne, "Dynamic queue length thresholds", 1998.)
 *
 * A number that is in trouble (state/trouble.c) sends probes only, a few of them
 * beside what else it has under way.  What it has there takes nothing from the
 * concurrency limit: that is about how many requests are useful.
 *
 * What was answered leaves the wire, and may still wait for its settlement while
 * somebody keeps its rows locked (sender/aside.c).  Each of those takes memory, is tried
 * once a second, and would be uncertain if the process died; and whoever has locked one
 * may go on with the next.  So they are bounded in the same way: a number may have as
 * many as it leaves, and one that has sends nothing more until some are written.
 *
 * Where several numbers fail and nobody is answered, it is the host, or the way to
 * it.  Then one request in a while is a probe for all, whosever it is; what is
 * under way, and may hang, is no reason to wait with the next.  A number that has
 * not failed yet may try as well, but few in each while: as long as one of a
 * thousand is answered, it must not be held up by others that are not.
 */
#include "postgres.h"

#include "common/clock.h"
#include "sender/state/wire.h"

/* Probes of one number under way beyond its share. */
#define MAX_PROBES 4

/* Numbers without a failure that may try the host between two probes. */
#define UNTRIED 8

/* Settlements that may be put off: for each request that there may be, and in all. */
#define ASIDE_PER_REQUEST 4
#define MOST_ASIDE 4096

/* When whose turn it is has to be found out anew. */
static void
turns_changed(WaNumbers *numbers)
{
	numbers->next_turn_known_us = 0;
}

/* Of what the host has done since it last answered, this number's part is known. */
static bool
is_current(const WaNumber *number)
{
	return number->outage == number->numbers->wire.outage;
}

static bool
in_trouble(const WaNumber *number)
{
	return is_current(number) && wa_trouble_is(&number->trouble);
}

/* What a number in trouble has on the wire is counted apart. */
static void
limit(WaNumber *number, bool limited)
{
	WaWire *wire = &number->numbers->wire;

	if (number->limited == limited)
		return;
	number->limited = limited;
	wire->stuck += limited ? number->on_wire : -number->on_wire;
}

static void
add(WaNumber *number, int n)
{
	WaWire *wire = &number->numbers->wire;

	number->on_wire += n;
	if (n > 0)
		wa_number_watch(number);
	wire->used += n;
	if (number->limited)
		wire->stuck += n;
}

/* Failures of an outage that is over were not this number's. */
static void
bring_up_to_date(WaNumber *number, int64 now)
{
	if (is_current(number))
		return;
	number->outage = number->numbers->wire.outage;
	wa_trouble_forget(&number->trouble, now);
	limit(number, false);
}

/* It is in trouble: people will have to know. */
static void
enter_trouble(WaNumber *number, const char *problem, int64 now)
{
	WaNumbers *numbers = number->numbers;

	limit(number, true);
	free(number->problem);
	number->problem = problem == NULL ? NULL : strdup(problem);
	number->over = false;
	if (!number->noticed)
		dlist_push_tail(&numbers->noticed, &number->noticed_node);
	number->noticed = true;
	numbers->notice_us = Min(numbers->notice_us, now + WA_NOTICE_US);
}

/* It has failed in a way that may be the host's. */
static void
blame_host(WaWire *wire, const WaNumber *number)
{
	if (wire->failing == NULL)
		wire->failing = number;
	wire->several |= wire->failing != number;
}

void
wa_wire_listen(WaNumber *number, int64 now)
{
	WaWire *wire = &number->numbers->wire;
	bool before;

	bring_up_to_date(number, now);
	before = wa_trouble_is(&number->trouble);
	wa_trouble_listen(&number->trouble, now);
	if (before || !wa_trouble_is(&number->trouble))
		return;
	blame_host(wire, number);
	wa_trouble_listen(&wire->host, now);
	if (wa_trouble_is(&wire->host))
		wire->problem[0] = '\0';
	enter_trouble(number, NULL, now);
}

bool
wa_wire_is_down(const WaNumbers *numbers)
{
	return wa_trouble_is(&numbers->wire.host) && numbers->wire.several;
}

bool
wa_wire_is_limited(const WaNumber *number)
{
	return in_trouble(number) || wa_wire_is_down(number->numbers);
}

bool
wa_wire_host_fails(const WaNumbers *numbers)
{
	const WaWire *wire = &numbers->wire;

	return wa_trouble_is(&wire->host) &&
		   (wire->several || wire->answered == NULL || wire->answered == wire->failing);
}

bool
wa_wire_number_fails(const WaNumber *number)
{
	return in_trouble(number) && !wa_wire_host_fails(number->numbers);
}

/* ---- settlements that wait for somebody's lock ------------------------------------ */

void
wa_wire_bound_aside(WaNumbers *numbers, int max_in_flight)
{
	numbers->wire.most_aside =
		Min(max_in_flight, MOST_ASIDE / ASIDE_PER_REQUEST) * ASIDE_PER_REQUEST;
	turns_changed(numbers);
}

bool
wa_wire_is_behind(const WaNumber *number)
{
	const WaWire *wire = &number->numbers->wire;

	return number->aside >= wire->most_aside - wire->aside;
}

void
wa_wire_put_aside(WaNumber *number)
{
	number->aside++;
	number->numbers->wire.aside++;
}

void
wa_wire_settled(WaNumber *number)
{
	number->aside--;
	number->numbers->wire.aside--;
	turns_changed(number->numbers);
}

/* ---- room ------------------------------------------------------------------------ */

int
wa_wire_free(const WaNumbers *numbers)
{
	return numbers->wire.slots - numbers->wire.used;
}

bool
wa_wire_is_untried(const WaNumber *number)
{
	return number->trouble.failures == 0 && number->trouble.open == 0;
}

static int
share(const WaNumber *number)
{
	int left = wa_wire_free(number->numbers);

	return left <= number->on_wire ? 0 : (left - number->on_wire + 1) / 2;
}

static bool
may_try_host(const WaNumber *number, int64 now)
{
	const WaWire *wire = &number->numbers->wire;

	return now >= wire->host.probe_at_us || (wa_wire_is_untried(number) && wire->untried > 0);
}

static bool
may_probe(const WaNumber *number, int64 now)
{
	return now >= number->trouble.probe_at_us && (number->probes < MAX_PROBES || share(number) > 0);
}

int
wa_wire_room(WaNumber *number, int64 now)
{
	wa_wire_listen(number, now);
	if (wa_wire_free(number->numbers) <= 0 || wa_wire_is_behind(number))
		return 0;
	if (wa_wire_is_down(number->numbers))
		return may_try_host(number, now) ? 1 : 0;
	if (in_trouble(number))
		return may_probe(number, now) ? 1 : 0;
	return share(number);
}

int64
wa_wire_room_at(WaNumber *number, int64 now)
{
	WaWire *wire = &number->numbers->wire;

	if (wa_wire_room(number, now) > 0)
		return now;
	if (wa_wire_free(number->numbers) <= 0 || wa_wire_is_behind(number))
		return PG_INT64_MAX;
	if (wa_wire_is_down(number->numbers))
		return wire->host.probe_at_us;
	if (in_trouble(number) && now < number->trouble.probe_at_us)
		return number->trouble.probe_at_us;
	return PG_INT64_MAX;
}

void
wa_wire_hold(WaNumber *number, bool held)
{
	if (number->held == held)
		return;
	number->held = held;
	number->numbers->wire.held += held ? 1 : -1;
}

/* ---- a request ------------------------------------------------------------------- */

bool
wa_wire_claimed(WaNumber *number, int64 now)
{
	WaWire *wire = &number->numbers->wire;
	bool down = wa_wire_is_down(number->numbers);
	bool probe = true;

	if (down && wa_wire_is_untried(number) && now < wire->host.probe_at_us)
	{
		wire->untried--;
		probe = false;
	}
	else if (down)
	{
		wa_trouble_probed(&wire->host, now);
		wire->untried = UNTRIED;
	}
	else if (in_trouble(number))
		wa_trouble_probed(&number->trouble, now);
	else
		probe = false;
	if (probe)
		number->probes++;
	add(number, 1);
	return probe;
}

void
wa_wire_begun(WaNumber *number, int64 now)
{
	bring_up_to_date(number, now);
	wa_trouble_begun(&number->trouble, now);
	wa_trouble_begun(&number->numbers->wire.host, now);
}

/* Its end, whatever it was. */
static void
ended(WaNumber *number, bool probe)
{
	add(number, -1);
	if (probe)
		number->probes--;
	if (number->held && share(number) > 0)
	{
		wa_wire_hold(number, false);
		number->numbers->next_turn_us = WA_TURN_IS_NOW;
	}
}

void
wa_wire_left(WaNumber *number, bool probe)
{
	ended(number, probe);
}

void
wa_wire_answered(WaNumber *number, bool probe, int64 now)
{
	WaNumbers *numbers = number->numbers;
	WaWire *wire = &numbers->wire;

	if (wa_wire_is_down(numbers) || in_trouble(number))
		turns_changed(numbers);
	if (wa_wire_is_down(numbers))
	{
		wire->outage++;
		wire->back = true;
	}
	number->over = numbers->host_over = true;
	if (number->noticed || numbers->host_alerted)
		numbers->notice_us = Min(numbers->notice_us, now);
	wa_trouble_answered(&number->trouble, now);
	number->answered_us = now;
	number->outage = wire->outage;
	limit(number, false);
	wa_trouble_answered(&wire->host, now);
	wire->answered = number;
	wire->failing = NULL;
	wire->several = false;
	wire->untried = UNTRIED;
	ended(number, probe);
}

void
wa_wire_failed(WaNumber *number, bool probe, int64 started, bool written, const char *problem,
			   int64 now)
{
	WaNumbers *numbers = number->numbers;
	WaWire *wire = &numbers->wire;
	bool before;

	bring_up_to_date(number, now);
	before = wa_trouble_is(&number->trouble);
	(void) wa_trouble_failed(&number->trouble, started, now, written);
	if (before && !wa_wire_is_down(numbers))
		wa_trouble_ended(&wire->host); /* its own trouble is no news about others */
	else
	{
		blame_host(wire, number);
		(void) wa_trouble_failed(&wire->host, started, now, written);
	}
	strlcpy(wire->problem, problem, sizeof(wire->problem));
	if (!before && wa_trouble_is(&number->trouble))
		enter_trouble(number, problem, now);
	ended(number, probe);
	turns_changed(numbers);
}

bool
wa_wire_is_back(WaNumbers *numbers)
{
	bool back = numbers->wire.back;

	numbers->wire.back = false;
	if (back)
		numbers->wire.back_us = wa_now_us();
	return back;
}

/* For longer than a connection usually takes. */
static bool
is_waiting(const WaTrouble *host, int64 now)
{
	return host->open > 0 && now - host->heard_us > WA_PROBE_US;
}

void
wa_wire_forget_trouble(WaNumbers *numbers)
{
	WaWire *wire = &numbers->wire;
	int64 now = wa_now_us();

	wire->back = wa_trouble_is(&wire->host) || is_waiting(&wire->host, now);
	wire->outage++;
	wire->failing = NULL;
	wire->several = false;
	wa_trouble_forget(&wire->host, now);
	turns_changed(numbers);
}
