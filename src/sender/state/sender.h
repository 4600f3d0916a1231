/*
 * sender.h
 *	  What a sender remembers between cycles: numbers with their cursors and
 *	  buckets, tenants, pauses, recipients, and what is on the wire.
 *
 * All of it can be rebuilt from the tables; none of it survives the process.
 */
#ifndef WA_SENDER_STATE_SENDER_H
#define WA_SENDER_STATE_SENDER_H

#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "storage/itemptr.h"
#include "utils/hsearch.h"

#include "common/clock.h"
#include "common/limiter.h"
#include "graph/response.h"

struct WaHttp;
typedef struct WaPairs WaPairs;
struct WaSenderSlot;

#define WA_NUMBER_SIZE 24

typedef struct WaNumber
{
	uint64 key; /* hash key: wa_number_key(id) */
	char id[WA_NUMBER_SIZE];
	bool mine;			 /* this sender owns it */
	bool registered;	 /* seen in the last reload */
	bool may_have_ready; /* there may be rows after the cursor */
	bool backlogged;	 /* the last claim did not exhaust it */
	uint64 last_turn;	 /* which claim that was */
	int64 cursor_rank;	 /* everything up to (rank, id) has been looked at */
	int64 cursor_id;
	int64 passed_rank;	   /* the first row passed by, because it was locked */
	int64 passed_since_us; /* for how long there has been such a row; 0: there is none */
	int64 look_again_us;   /* when to look at it again; 0: not */
	WaBucket bucket;
	WaSlidingWindow window;	  /* what the platform counts */
	TimestampTz paused_until; /* 0: not paused */
	int claim_seen;			  /* rows the claim being made has found */
	int n_again;
	dlist_head again; /* WaWaiting: to be claimed by id */
} WaNumber;

typedef struct WaTenant
{
	uint64 key; /* hash of tenant_id */
	bool enabled;
	bool has_rate;
	WaBucket bucket;		  /* its own rate, if has_rate */
	int64 next_deferral_us;	  /* last turn given to a message over that rate */
	int64 next_return_us;	  /* ... to one that had had a turn */
	int64 deferred_id;		  /* the latest message that was given one */
	TimestampTz paused_until; /* 0: not paused */
	int64 reach_used;		  /* recipients of the last 24 hours: sender/pace/messaging_limit.c */
	double reach_guaranteed;  /* of them in any case */
	char phone_number_id[WA_NUMBER_SIZE]; /* "" if none */
} WaTenant;

/* A lease of ours, until the last of its requests is settled. */
typedef struct WaLease
{
	int64 lease_id;
	int outstanding; /* requests not yet settled */
	int settling;	 /* of these, in the settlement being written */
} WaLease;

typedef enum WaTrackedAs
{
	WA_TRACKED_IN_FLIGHT,
	WA_TRACKED_WAITING, /* in its recipient's list */
	WA_TRACKED_AGAIN,	/* in its number's list of those to be claimed by id */
	WA_TRACKED_ASKED	/* being claimed by id now */
} WaTrackedAs;

/* Messages that must not be claimed by the cursor, by id. */
typedef struct WaTracked
{
	int64 message_id; /* hash key */
	WaTrackedAs as;
} WaTracked;

/* A request, from its lease to its settlement. */
typedef struct WaJob
{
	dlist_node node; /* claiming, leased, in flight by start, or finished */
	int64 message_id;
	ItemPointerData queue_tid; /* where its two rows were when it was claimed */
	ItemPointerData message_tid;
	int64 rank;
	int attempt;
	int attempts_before;
	WaNumber *number;
	WaLease *lease;
	char *body; /* of the request, until it is submitted */
	size_t body_len;
	uint64 pair_key;
	int64 started_us;
	TimestampTz started_at;
	TimestampTz finished_at;
	int64 finished_us;
	bool marked_sending;
	bool withdrawn;		   /* stopped by a person before it was begun */
	int64 settle_after_us; /* its settlement failed: not again before */
	WaOutcome *outcome;	   /* once it is finished */
	WaTenant *tenant;
	char *template_key; /* "name/language", or NULL; points into strings */
	char strings[FLEXIBLE_ARRAY_MEMBER];
} WaJob;

/* One has something to send, and may. */
#define WA_TURN_IS_NOW 0

typedef struct WaSender
{
	struct WaSenderSlot *slot;
	int index;
	int nsenders;
	uint64 generation;
	Oid schema;

	/* memory: state lives as long as the process, cycle is reset each cycle */
	MemoryContext state_context;
	MemoryContext cycle_context;

	/* installation */
	char installation_id[16];
	bool at_home; /* this data belongs to this cluster and database */

	/* configuration, reloaded when config_generation changes */
	uint64 config_generation;
	bool config_loaded;
	HTAB *numbers;					  /* WaNumber */
	HTAB *tenants;					  /* WaTenant */
	HTAB *paused_templates;			  /* uint64: keys of names and languages */
	TimestampTz account_paused_until; /* 0: not paused */
	TimestampTz next_pause_end;		  /* DT_NOEND: none */
	bool default_number_taken;		  /* a tenant has it: it sends for nobody else */
	int reach_limit;				  /* recipients per 24 hours for all tenants; 0: no limit */

	/* the wire */
	struct WaHttp *http;
	uint64 secret_generation;
	bool has_token;
	bool token_rotated;		 /* since the last upkeep */
	bool reopen;			 /* the HTTP client's settings have changed */
	dlist_head claiming;	 /* WaJob whose lease is not committed yet */
	dlist_head leased;		 /* WaJob to be submitted next */
	dlist_head in_flight;	 /* WaJob by started_us */
	dlist_head finished;	 /* WaJob waiting for settlement */
	WaOutcome *next_outcome; /* memory for the next of these */
	int n_leased;
	int n_in_flight;
	int n_finished;
	bool apart;		  /* after a failure: settle and claim in transactions of their own */
	int settle_limit; /* jobs settled at a time after a failure; 0: all */
	HTAB *tracked;	  /* WaTracked */
	WaPairs *pairs;
	int n_waiting; /* in the lists of all recipients */

	/* pacing */
	int window; /* requests in flight allowed now */
	int ahead;	/* and further ones leased already, to follow at once */
	int64 window_at_us;
	int64 window_wait_us; /* time spent waiting for answers with it full */
	int window_answers;	  /* requests finished since window_at_us */
	int64 last_claim_us;
	uint64 turn;			  /* claims made */
	int64 next_turn_us;		  /* when some number may send; WA_TURN_IS_NOW */
	int64 next_turn_known_us; /* until when that is known; 0: it is not */

	/* trouble with the network: see sender/dispatch.c */
	int failures_in_row; /* requests without an HTTP answer */
	int64 probe_at_us;	 /* no claim before; 0: none */
	bool outage_alerted;
	char api_version_seen[16]; /* that differs from ours; "" if none */
	bool version_alerted;

	/* upkeep */
	TimestampTz next_due; /* earliest deferred row known; DT_NOEND: none */
	TimestampTz next_expiry;
	int64 next_sweep_us;
	bool stopping;
} WaSender;

extern WaSender *wa_sender_create(struct WaSenderSlot *slot, uint64 generation, Oid schema);

/* Inside a transaction: reads numbers, tenants, assignments, pauses. */
extern void wa_sender_load_config(WaSender *sender);

/* Inside a transaction: which numbers have ready rows; all cursors start again. */
extern void wa_sender_discover(WaSender *sender);

extern WaNumber *wa_sender_number(WaSender *sender, const char *phone_number_id, bool create);
extern WaTenant *wa_sender_tenant(WaSender *sender, const char *tenant_id);

/* Nobody has stopped all messages, and what sending needs is there. */
extern bool wa_sender_may_send(const WaSender *sender);

extern bool wa_sender_template_paused(WaSender *sender, const char *name, const char *language);

extern bool wa_sender_is_tracked(WaSender *sender, int64 message_id, WaTrackedAs *as);
extern void wa_sender_track(WaSender *sender, int64 message_id, WaTrackedAs as);
extern void wa_sender_untrack(WaSender *sender, int64 message_id);

/* Messages that may leave this number now; when the next one may; and one that does. */
extern int wa_number_available(WaNumber *number, int64 now);
extern int64 wa_number_ready_at(WaNumber *number, int64 now);
extern void wa_number_take(WaNumber *number, int n, int64 now);

/* A row at this rank, with whatever id, has become ready. */
extern void wa_number_lower_cursor(WaSender *sender, WaNumber *number, int64 rank);

/* This number may have something to send now; any number may, or earlier than before. */
extern void wa_number_opened(WaSender *sender, WaNumber *number);
extern void wa_sender_turns_changed(WaSender *sender);

/* A row of this rank was passed by; and it is time to look at it again, if it is. */
extern void wa_number_passed_by(WaSender *sender, WaNumber *number, int64 rank);
extern void wa_number_look_again(WaSender *sender, WaNumber *number, int64 now);

/* The shorter of two waits in milliseconds, of which -1 never ends. */
static inline long
wa_sooner_ms(long a, long b)
{
	return a < 0 ? b : (b < 0 ? a : Min(a, b));
}

extern uint64 wa_hash_text(const char *text, uint64 seed);

#endif
