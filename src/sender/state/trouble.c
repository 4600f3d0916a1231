/*
 * trouble.c
 *	  Whether a peer is answered for, and how often to try one that is not.
 *
 * Requests fail in bursts: what was under way when a connection broke, or a
 * server fell over, fails together and says one thing.  So a failure counts only
 * if its request began after the last one that was counted, and after the last answer.
 *
 * A peer that says nothing at all would be recognised only when the first request
 * has timed out, after half a minute of further ones.  Silence for a few seconds,
 * with a request under way all the time, is as good as a failure: whoever is
 * merely slow is heard of again and again, from one request or another.
 *
 * What is known of a peer in trouble is learnt from messages, of which each may
 * be lost to the trouble.  Where nothing can have arrived, trying costs nothing
 * and is done at a steady pace; else less and less often, so that what it takes to
 * notice the end is a small part of the time for which it has lasted.
 */
#include "wa_c.h"

#include "sender/state/trouble.h"

/* One may be a connection that was closed while idle, two a pair of them. */
#define FAILURES 3

/* The slowest response that Meta is known for takes about two seconds (media by link). */
#define SILENCE_US INT64_C(2500000)

/* Of the time for which it has lasted, and never more than this. */
#define PROBE_SHARE 8
#define MAX_PROBE_US INT64_C(10000000)

void
wa_trouble_begun(WaTrouble *t, int64_t now_us)
{
	if (t->open++ == 0)
		t->heard_us = now_us;
}

void
wa_trouble_ended(WaTrouble *t)
{
	t->open--;
}

void
wa_trouble_answered(WaTrouble *t, int64_t now_us)
{
	t->open--;
	t->failures = 0;
	t->heard_us = now_us;
}

/* There is trouble from now on, or still. */
static void
count(WaTrouble *t, int failures, int64_t since_us, int64_t now_us, bool costly)
{
	if (t->failures == 0)
		t->since_us = since_us;
	if (t->failures < FAILURES && failures >= FAILURES)
		t->probe_at_us = now_us + WA_PROBE_US;
	t->failures = failures;
	t->counted_us = now_us;
	t->costly = costly;
}

bool
wa_trouble_failed(WaTrouble *t, int64_t started_us, int64_t now_us, bool written)
{
	t->open--;
	t->costly = written;
	if (started_us < t->heard_us || (t->failures > 0 && started_us <= t->counted_us))
		return false;
	count(t, t->failures + 1, now_us, now_us, written);
	return true;
}

void
wa_trouble_listen(WaTrouble *t, int64_t now_us)
{
	if (t->open > 0 && t->failures < FAILURES && now_us - t->heard_us >= SILENCE_US)
		count(t, FAILURES, t->heard_us, now_us, true);
}

bool
wa_trouble_is(const WaTrouble *t)
{
	return t->failures >= FAILURES;
}

void
wa_trouble_probed(WaTrouble *t, int64_t now_us)
{
	int64_t wait = WA_PROBE_US;

	if (t->costly)
		wait = Max(wait, Min((now_us - t->since_us) / PROBE_SHARE, MAX_PROBE_US));
	t->probe_at_us = now_us + wait;
}

void
wa_trouble_forget(WaTrouble *t, int64_t now_us)
{
	t->failures = 0;
	t->heard_us = now_us;
}
