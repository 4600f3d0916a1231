/*
 * trouble.h
 *	  Whether a peer is answered for: one phone number, or the host behind them all.
 *
 * Pure: the caller gives the time, in microseconds of any steady clock.  Starts
 * with all zero.
 */
#ifndef WA_SENDER_STATE_TROUBLE_H
#define WA_SENDER_STATE_TROUBLE_H

#include <stdbool.h>
#include <stdint.h>

/* This often a peer in trouble is tried, at most. */
#define WA_PROBE_US INT64_C(500000)

typedef struct WaTrouble
{
	int failures;		 /* without an answer between them; those of one burst are one */
	int open;			 /* requests under way */
	bool costly;		 /* the last failure, or silence, may have reached a person */
	int64_t since_us;	 /* when the first failure was counted */
	int64_t counted_us;	 /* ... and the last */
	int64_t heard_us;	 /* the last answer, or the first request when none was under way */
	int64_t probe_at_us; /* in trouble: the next request not before */
} WaTrouble;

/* A request leaves; one that had left ends without saying anything about the peer. */
extern void wa_trouble_begun(WaTrouble *t, int64_t now_us);
extern void wa_trouble_ended(WaTrouble *t);

/* The peer has answered. */
extern void wa_trouble_answered(WaTrouble *t, int64_t now_us);

/*
 * A request begun at started_us has got no answer; written: but may have arrived.
 * False: it belongs to a burst that is counted already, or there was an answer since.
 */
extern bool wa_trouble_failed(WaTrouble *t, int64_t started_us, int64_t now_us, bool written);

/* Takes note of silence.  To be called whenever it matters. */
extern void wa_trouble_listen(WaTrouble *t, int64_t now_us);

/* It is tried now and then only, until it answers. */
extern bool wa_trouble_is(const WaTrouble *t);

/* A probe leaves: when the next may. */
extern void wa_trouble_probed(WaTrouble *t, int64_t now_us);

/* As if nothing had happened; what is under way still is. */
extern void wa_trouble_forget(WaTrouble *t, int64_t now_us);

#endif
