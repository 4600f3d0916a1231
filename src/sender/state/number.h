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

#define WA_NUMBER_SIZE 24

/* One has something to send, and may. */
#define WA_TURN_IS_NOW 0

typedef struct WaNumbers
{
	HTAB *table; /* WaNumber */
	int index;	 /* of this sender, which owns each nsenders-th number */
	int nsenders;
	uint64 turn;			  /* claims made */
	int64 next_turn_us;		  /* when some number may send; WA_TURN_IS_NOW */
	int64 next_turn_known_us; /* until when that is known; 0: it is not */
} WaNumbers;

typedef struct WaNumber
{
	uint64 key; /* hash key: wa_number_key(id) */
	char id[WA_NUMBER_SIZE];
	WaNumbers *numbers;	 /* it is one of these */
	bool mine;			 /* this sender owns it */
	bool may_have_ready; /* there may be rows after the cursor */
	bool backlogged;	 /* the last claim did not exhaust it */
	uint64 last_turn;	 /* which claim that was */
	int64 cursor_rank;	 /* everything up to (rank, id) has been looked at */
	int64 cursor_id;
	int64 passed_rank;	   /* the first row passed by, because it was locked */
	int64 passed_since_us; /* for how long there has been such a row; 0: there is none */
	int64 look_again_us;   /* when to look at it again; 0: not */
	WaBucket bucket;
	WaSlidingWindow sent;	  /* what the platform counts */
	TimestampTz paused_until; /* 0: not paused */
	int claim_seen;			  /* rows the claim being made has found */
	int n_again;
	dlist_head again; /* WaWaiting: to be claimed by id */
} WaNumber;

/* The table lives in this context. */
extern void wa_numbers_init(WaNumbers *numbers, MemoryContext context, int index, int nsenders);

/* NULL if it was never heard of; or made then: idle, with everything still to be read. */
extern WaNumber *wa_number_find(WaNumbers *numbers, const char *phone_number_id);
extern WaNumber *wa_number_get(WaNumbers *numbers, const char *phone_number_id);

/* Messages per second that the platform allows.  Raises when out of memory. */
extern void wa_number_set_rate(WaNumber *number, double rate);

/* Messages that may leave this number now; when the next one may; and n that do. */
extern int wa_number_available(WaNumber *number, int64 now);
extern int64 wa_number_ready_at(WaNumber *number, int64 now);
extern void wa_number_take(WaNumber *number, int n, int64 now);

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
