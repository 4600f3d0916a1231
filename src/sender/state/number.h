/*
 * number.h
 *	  The phone numbers of an account as a sender knows them: how far it has read
 *	  each one's ready rows, what each may send, and whose turn it is.
 *
 * Times are of the steady clock, in microseconds, unless they are TimestampTz.
 * A number is never forgotten, so pointers to it stay valid.
 */
#ifndef WA_SENDER_STATE_NUMBER_H
#define WA_SENDER_STATE_NUMBER_H

#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "utils/hsearch.h"

#include "common/limiter.h"
#include "sender/state/trouble.h"

#define WA_NUMBER_SIZE 24

/* Trouble that is over sooner is nothing that people have to hear of. */
#define WA_NOTICE_US INT64_C(2000000)

/* One has something to send, and may. */
#define WA_TURN_IS_NOW 0

struct WaNumber;

/* What all numbers share: sender/state/wire.c. */
typedef struct WaWire
{
	int slots;		   /* for requests, leased or under way */
	int used;		   /* of them */
	int stuck;		   /* of the used ones, by numbers in trouble; come on top of the slots */
	int held;		   /* numbers that could send but for their share */
	int aside;		   /* settlements that somebody's locks put off, ... */
	int most_aside;	   /* ... and how many there may be */
	WaTrouble host;	   /* what lies behind all numbers, and on the way to it */
	uint64 outage;	   /* counts those that are over */
	bool back;		   /* an outage is over: what hung in it may be begun anew */
	int64 back_us;	   /* ... and when that last was so */
	bool several;	   /* failures of more than one number since the host last answered, ... */
	int untried;	   /* how many numbers without one may still try before its next probe */
	char problem[128]; /* what was said of the last failure */
	const struct WaNumber *failing;	 /* ... and the first of these numbers */
	const struct WaNumber *answered; /* the number of the last answer */
} WaWire;

typedef struct WaNumbers
{
	HTAB *table; /* WaNumber */
	int index;	 /* of this sender, which owns each nsenders-th number */
	int nsenders;
	dlist_head fresh;	/* WaNumber with something to send, in the order of their turns, ... */
	dlist_head backlog; /* ... and of those that are known to have more of it */
	dlist_head stopped; /* WaNumber with something that may not leave */
	dlist_head watched; /* WaNumber with requests on the wire, or to be looked at again */
	uint64 turn;		/* claims made */
	int64 next_turn_us; /* when some number may send; WA_TURN_IS_NOW */
	int64 next_turn_known_us; /* until when that is known; 0: it is not */
	int contenders;			  /* numbers that had something to send at the last claim */
	WaWire wire;
	dlist_head noticed; /* WaNumber that is in trouble, or has been: sender/notice.c */
	int64 notice_us;	/* when to look at these; PG_INT64_MAX: not */
	bool host_alerted;	/* an alert about the host is open, ... */
	bool host_over;		/* ... and it has answered since */
} WaNumbers;

typedef struct WaNumber
{
	uint64 key; /* hash key: wa_number_key(id) */
	char id[WA_NUMBER_SIZE];
	WaNumbers *numbers;	 /* it is one of these */
	bool mine;			 /* this sender owns it */
	bool may_have_ready; /* there may be rows after the cursor */
	bool backlogged;	 /* the last claim did not exhaust it */
	dlist_head *line;	 /* where it stands with what it has; NULL: nowhere */
	dlist_node line_node;
	bool watched; /* it is in the list of those, with: */
	dlist_node watched_node;
	int64 cursor_rank; /* everything up to (rank, id) has been looked at */
	int64 cursor_id;
	int64 passed_rank;	   /* the first row passed by, because it was locked */
	int64 passed_since_us; /* for how long there has been such a row; 0: there is none */
	int64 look_again_us;   /* when to look at it again; 0: not */
	WaBucket bucket;
	WaSlidingWindow sent;	  /* what the platform counts */
	TimestampTz paused_until; /* 0: not paused */
	bool tenant_stopped;	  /* the tenant that has it is paused or switched off */
	int n_again;
	dlist_head again;  /* WaWaiting: to be claimed by id */
	int on_wire;	   /* requests, leased or under way */
	int64 answered_us; /* when it last had an answer */
	int probes;		   /* of them, to find out whether it is answered again */
	bool held;		   /* it could send but for its share */
	int aside;		   /* settlements of its requests that somebody's locks put off */
	bool limited;	   /* what it has on the wire is counted in stuck */
	WaTrouble trouble;
	uint64 outage; /* what is known of its trouble is of this one */
	bool noticed;  /* it is in the list of those, with: */
	bool alerted;  /* an alert about it is open */
	bool to_alert; /* ... or will be, once the transaction is committed */
	bool over;	   /* it has been answered since */
	char *problem; /* malloc'd: what went wrong; NULL: nothing was heard */
	dlist_node noticed_node;
} WaNumber;

/* The table lives in this context. */
extern void wa_numbers_init(WaNumbers *numbers, MemoryContext context, int index, int nsenders);

/* NULL if it was never heard of; or made then: idle, with everything still to be read. */
extern WaNumber *wa_number_find(WaNumbers *numbers, const char *phone_number_id);
extern WaNumber *wa_number_get(WaNumbers *numbers, const char *phone_number_id);

/*
 * Nothing may leave from it.  Its rows stay as they are, and nobody reads them: when
 * that is over, they go on from where they were, and none had to be written.
 */
static inline bool
wa_number_is_stopped(const WaNumber *number)
{
	return number->paused_until != 0 || number->tenant_stopped;
}

static inline bool
wa_number_has_something(const WaNumber *number)
{
	return number->may_have_ready || number->n_again > 0;
}

/*
 * Of ten thousand numbers few have something to send, and only they are looked at when
 * turns are given.  One that has comes to stand last in its line; one that has had its
 * turn, too.  What it had may be gone, or be stopped, when its turn comes: whoever meets
 * it there calls wa_number_stand.
 */
extern void wa_number_stand(WaNumber *number);
extern void wa_number_had_turn(WaNumber *number);

/* A claim has read what it was given of its rows: there is more, or not. */
extern void wa_number_was_read(WaNumber *number, bool more);

/* Pauses and stopped tenants are other ones than before. */
extern void wa_numbers_stopped_changed(WaNumbers *numbers);

/* It is looked at in every turn for as long as there is a reason: sender/pace/turns.c. */
extern void wa_number_watch(WaNumber *number);

/* Messages per second that the platform allows.  Raises when out of memory. */
extern void wa_number_set_rate(WaNumber *number, double rate);

/* Messages that may leave this number now; when the next one may. */
extern int wa_number_available(WaNumber *number, int64 now);
extern int64 wa_number_ready_at(WaNumber *number, int64 now);

/*
 * One is to leave, and will when its connection is ready; now it has, at that time; or
 * it will not after all.
 */
extern void wa_number_reserve(WaNumber *number, int64 now);
extern void wa_number_left(WaNumber *number, int64 at);
extern void wa_number_stays(WaNumber *number);

/* So many messages came in, which the platform counts as well. */
extern void wa_number_came_in(WaNumber *number, int64 n, int64 now);

/* A row at this rank, with whatever id, has become ready. */
extern void wa_number_lower_cursor(WaNumber *number, int64 rank);

/* All have to be read from their beginning: nothing is known of what is ready. */
extern void wa_numbers_rewind(WaNumbers *numbers);

/* This number may have something to send now; any number may, or earlier than before. */
extern void wa_number_opened(WaNumber *number);
extern void wa_numbers_turns_changed(WaNumbers *numbers);

/* A row of this rank was passed by; and it is time to look at it again, if it is. */
extern void wa_number_passed_by(WaNumber *number, int64 rank);
extern void wa_number_look_again(WaNumber *number, int64 now);

#endif
